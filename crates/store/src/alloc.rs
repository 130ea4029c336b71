//! Allocation of numbers and addresses, in the transaction of the object that uses them.
//!
//! A slot in use or cooling is a key; a free one has none. Claiming is `Absent(key)` and a put, so a slot can neither be
//! handed out twice nor leak: it is taken exactly when the object that wanted it is stored. A released slot *cools*
//! first, because the fabric may still hold state about its last owner, and is reclaimed by a task later.
//!
//! Choosing is pure: [`Pool`] is what is known to be taken, [`Pool::choose`] gives the lowest free number. A pool may be
//! stale (a watch feeds it, or one list); [`allocate`] then learns of the slot from the conflict, reads what follows it,
//! one page at most, and takes the next one.
//!
//! # Invariants
//! The lowest free number is taken, so allocations are dense while nothing is released. The store has no clock: callers
//! give the time of release and the time before which cooling slots may return.
//!
//! # Failure
//! [`AllocError`]. A race lost again and again is [`AllocError::Busy`], after a bounded number of attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::{AddressRange, Invalid, Revision};

use crate::change::Timestamp;
use crate::envelope::Codec;
use crate::error::StoreError;
use crate::keys::{Entry, Key, Slot, Space};
use crate::kv::{KeyValue, PageRequest};
use crate::txn::{Compare, Failed, Op, Outcome, Txn};
use crate::{Prefix, Store, list_all};

const CODEC: Codec = Codec::first("Allocation");

/// What a slot's key holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Allocation {
    /// In use.
    Held {
        /// By this object, in display form: for people, never parsed.
        owner: String,
    },
    /// Given back; not to be handed out yet.
    Cooling {
        /// When it was given back.
        since: Timestamp,
    },
}

/// Why nothing was allocated.
#[derive(Debug, thiserror::Error)]
pub enum AllocError {
    /// Nothing is free in the range.
    #[error("no free {space} between {first:#x} and {last:#x}; {cooling} are cooling down")]
    Exhausted {
        /// The space.
        space: Space,
        /// The range's ends.
        first: u128,
        /// The range's ends.
        last: u128,
        /// How many of the range come back by themselves.
        cooling: usize,
    },
    /// The slot asked for is in use or cooling.
    #[error("{slot} is not free")]
    Taken {
        /// The slot.
        slot: Slot,
    },
    /// Others were faster every time.
    #[error("allocation busy: lost {attempts} races in a row, try again")]
    Busy {
        /// How often it was tried.
        attempts: u32,
    },
    /// A condition of the caller's own part of the transaction failed.
    #[error("a condition of the transaction does not hold")]
    Conflict {
        /// Those that failed.
        failed: Vec<Failed>,
        /// When.
        revision: Revision,
    },
    /// The space has no such number.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An inclusive range of numbers; addresses are their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRange {
    first: u128,
    last: u128,
}

impl NumberRange {
    /// The numbers from `first` to `last`.
    ///
    /// # Errors
    /// [`Invalid`] when it ends before it starts.
    pub fn new(first: u128, last: u128) -> Result<Self, Invalid> {
        if last < first {
            return Err(Invalid::new("range", format!("{first}-{last}"), "ends before it starts"));
        }
        Ok(Self { first, last })
    }

    /// The addresses of a range.
    pub fn of(range: AddressRange) -> Self {
        Self { first: address_number(range.first()), last: address_number(range.last()) }
    }
}

/// An address as a number of its space.
pub fn address_number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(a) => a.to_bits().into(),
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// The lowest number of the range that is not taken.
pub fn lowest_free(range: NumberRange, is_taken: impl Fn(u128) -> bool) -> Option<u128> {
    (range.first..=range.last).find(|n| !is_taken(*n))
}

/// A taken slot as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it holds.
    pub allocation: Allocation,
    /// The revision that wrote it.
    pub modified: Revision,
}

/// What is known to be taken in one space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    space: Space,
    taken: BTreeMap<u128, Known>,
}

impl Pool {
    /// Builds it from the space's keys.
    ///
    /// # Errors
    /// [`StoreError`] when one of them is not understood.
    pub fn new(space: Space, items: &[KeyValue]) -> Result<Self, StoreError> {
        let mut pool = Self { space, taken: BTreeMap::new() };
        items.iter().try_for_each(|kv| pool.learn(kv))?;
        Ok(pool)
    }

    /// Reads the space.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(store: &dyn Store, space: Space) -> Result<Self, StoreError> {
        let (items, _) = list_all(store, &Prefix::allocations(space)).await?;
        Self::new(space, &items)
    }

    /// Takes note of one key of the space; of others it takes none.
    ///
    /// # Errors
    /// [`StoreError`] when it is not understood.
    pub fn learn(&mut self, kv: &KeyValue) -> Result<(), StoreError> {
        let corrupt = |e: Invalid| StoreError::Corrupt(e.to_string());
        let Entry::Allocation(slot) = Entry::parse(&kv.key).map_err(corrupt)? else { return Ok(()) };
        if slot.space() == self.space {
            let allocation = decode(kv)?;
            self.taken.insert(slot.number(), Known { allocation, modified: kv.modified });
        }
        Ok(())
    }

    /// Reads the next part of the space again, from a slot on that somebody else took: who is that far may be further.
    async fn catch_up(&mut self, store: &dyn Store, from: Slot) -> Result<(), StoreError> {
        let request = PageRequest::beyond(PageRequest::MAX, from.key());
        let page = store.list(&Prefix::allocations(self.space), request).await?;
        page.items.iter().try_for_each(|kv| self.learn(kv))
    }

    /// Takes note that a key is gone.
    pub fn forget(&mut self, key: &Key) {
        if let Ok(Entry::Allocation(slot)) = Entry::parse(key)
            && slot.space() == self.space
        {
            self.taken.remove(&slot.number());
        }
    }

    /// What is taken, by number.
    pub fn taken(&self) -> &BTreeMap<u128, Known> {
        &self.taken
    }

    /// The lowest number of the range that is neither taken nor excluded.
    ///
    /// # Errors
    /// [`AllocError::Exhausted`].
    pub fn choose(&self, range: NumberRange, excluded: &BTreeSet<u128>) -> Result<Slot, AllocError> {
        let NumberRange { first, last } = range;
        let number = lowest_free(range, |n| self.taken.contains_key(&n) || excluded.contains(&n));
        let number = number.ok_or_else(|| {
            let known = self.taken.range(first..=last);
            let cooling = known.filter(|(_, k)| matches!(k.allocation, Allocation::Cooling { .. })).count();
            AllocError::Exhausted { space: self.space, first, last, cooling }
        })?;
        Ok(self.space.slot(number)?)
    }

    /// Cooling slots that were given back before this time, with the revision [`reclaim`] wants.
    pub fn cooled(&self, before: &Timestamp) -> Vec<(Slot, Revision)> {
        let cooled = |k: &Known| matches!(&k.allocation, Allocation::Cooling { since } if since < before);
        let slots = self.taken.iter().filter(|(_, k)| cooled(k));
        slots.filter_map(|(n, k)| Some((self.space.slot(*n).ok()?, k.modified))).collect()
    }
}

pub(crate) fn decode(kv: &KeyValue) -> Result<Allocation, StoreError> {
    CODEC.decode(&kv.value).map_err(|source| StoreError::Object { key: kv.key.clone(), source })
}

fn put(slot: Slot, allocation: &Allocation) -> Result<Op, StoreError> {
    let key = slot.key();
    let value = CODEC.encode(allocation).map_err(|source| StoreError::Object { key: key.clone(), source })?;
    Ok(Op::Put { key, value, lease: None })
}

/// Adds to a transaction: the slot is free, and becomes the owner's.
///
/// # Errors
/// [`StoreError`] when the owner cannot be written.
pub fn claim(txn: Txn, slot: Slot, owner: &str) -> Result<Txn, StoreError> {
    let held = Allocation::Held { owner: owner.to_owned() };
    Ok(txn.when(Compare::Absent(slot.key())).then(put(slot, &held)?))
}

/// Adds to a transaction: the slot is as it was at `modified`, and starts cooling.
///
/// # Errors
/// [`StoreError`] when the time cannot be written.
pub fn release(txn: Txn, slot: Slot, modified: Revision, since: Timestamp) -> Result<Txn, StoreError> {
    let cooling = Allocation::Cooling { since };
    Ok(txn.when(Compare::ModRevision(slot.key(), modified)).then(put(slot, &cooling)?))
}

/// Adds to a transaction: the slot is as it was at `modified`, and becomes free.
#[must_use]
pub fn reclaim(txn: Txn, slot: Slot, modified: Revision) -> Txn {
    txn.when(Compare::ModRevision(slot.key(), modified)).delete(slot.key())
}

/// One slot wanted.
#[derive(Debug)]
pub enum Wish<'a> {
    /// The lowest free one of a range.
    Lowest {
        /// What is known to be taken; learns from lost races.
        pool: &'a mut Pool,
        /// Where to look.
        range: NumberRange,
        /// Numbers of the range that are never handed out (a gateway, a broadcast address).
        excluded: &'a BTreeSet<u128>,
    },
    /// This one: an address somebody asked for, or a random number.
    Fixed(Slot),
}

impl Wish<'_> {
    fn choose(&self) -> Result<Slot, AllocError> {
        match self {
            Self::Lowest { pool, range, excluded } => pool.choose(*range, excluded),
            Self::Fixed(slot) => Ok(*slot),
        }
    }

    /// Takes note of a slot that was not free.
    async fn lost(
        &mut self,
        store: &dyn Store,
        slot: Slot,
        present: Option<&KeyValue>,
    ) -> Result<(), AllocError> {
        let Self::Lowest { pool, .. } = self else { return Err(AllocError::Taken { slot }) };
        present.map_or(Ok(()), |kv| pool.learn(kv))?;
        Ok(pool.catch_up(store, slot).await?)
    }
}

/// Slots that were taken, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// One per wish, in their order.
    pub slots: Vec<Slot>,
    /// The transaction's revision.
    pub revision: Revision,
}

/// How often a lost race is run again.
pub const ATTEMPTS: u32 = 64;

/// Takes one slot per wish for `owner`, all in one transaction, together with what `complete` adds to it. `complete` is
/// called anew for every attempt, with the slots of that attempt.
///
/// # Errors
/// [`AllocError`].
pub async fn allocate(
    store: &dyn Store,
    owner: &str,
    wishes: &mut [Wish<'_>],
    complete: impl Fn(Txn, &[Slot]) -> Txn + Send + Sync,
) -> Result<Allocated, AllocError> {
    for attempt in 0..ATTEMPTS {
        let slots = wishes.iter().map(Wish::choose).collect::<Result<Vec<_>, _>>()?;
        let claims = slots.iter().try_fold(Txn::new(), |txn, slot| claim(txn, *slot, owner))?;
        match store.txn(complete(claims, &slots)).await {
            Ok(Outcome::Committed { revision } | Outcome::Unchanged { revision }) => {
                return Ok(Allocated { slots, revision });
            }
            Ok(Outcome::Conflict { failed, revision }) => {
                lost_race(store, wishes, &slots, failed, revision).await?;
                back_off(attempt).await;
            }
            Err(StoreError::Contended { .. }) => back_off(attempt).await,
            Err(other) => return Err(other.into()),
        }
    }
    Err(AllocError::Busy { attempts: ATTEMPTS })
}

/// Learns from a conflict, or gives it to the caller when it is not about the slots.
async fn lost_race(
    store: &dyn Store,
    wishes: &mut [Wish<'_>],
    slots: &[Slot],
    failed: Vec<Failed>,
    revision: Revision,
) -> Result<(), AllocError> {
    let slot_of = |f: &Failed| match &f.compare {
        Compare::Absent(key) => slots.iter().position(|slot| slot.key() == *key),
        _ => None,
    };
    if failed.iter().any(|f| slot_of(f).is_none()) {
        return Err(AllocError::Conflict { failed, revision });
    }
    for failure in &failed {
        if let Some(i) = slot_of(failure)
            && let (Some(wish), Some(slot)) = (wishes.get_mut(i), slots.get(i))
        {
            wish.lost(store, *slot, failure.present.as_ref()).await?;
        }
    }
    Ok(())
}

/// Waits a little, longer after more attempts, and never as long as the others.
async fn back_off(attempt: u32) {
    let longest = 1_u64 << attempt.min(6);
    let wait = Duration::from_micros(rand::random_range(0..=longest * 1_000));
    tokio::time::sleep_until(tokio::time::Instant::now() + wait).await;
}

#[cfg(test)]
mod tests;
