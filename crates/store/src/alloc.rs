//! Allocation of numbers and addresses, in the transaction of the object that uses them.
//!
//! A slot in use or cooling is a key; a free one has none. Claiming is `Absent(key)` and a put, so a slot can neither be
//! handed out twice nor leak: it is taken exactly when the object that wanted it is stored. A released slot *cools*
//! first, because the fabric may still hold state about its last owner, and is reclaimed by a task later.
//!
//! Which slot is claimed `model` decides, by what a [`Snapshot`](crate::intent::Snapshot) shows to be taken. When that
//! was old the transaction conflicts, and it is decided again.
//!
//! # Invariants
//! The store has no clock: callers give the time of release and the time before which cooling slots may return.

use serde::{Deserialize, Serialize};
use types::Revision;

use crate::change::Timestamp;
use crate::envelope::Codec;
use crate::error::StoreError;
use crate::keys::Slot;
use crate::kv::KeyValue;
use crate::txn::{Compare, Op, Txn};

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
