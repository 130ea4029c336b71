//! Leadership: one of several replicas does what must be done once, and who no longer leads cannot write.
//!
//! Every replica serves and feeds; only singleton tasks (reclaiming, trimming history) need a leader. It is whoever
//! created the key `leases/leader`, which dies with the creator's lease. The same code runs on every back end; on SQLite
//! there is just one candidate.
//!
//! A lease alone does not exclude two leaders: a process that was suspended wakes up, does not know that its time is over
//! and writes. Therefore each leadership has a *fencing token*, the revision at which its key was created, and every
//! transaction on its behalf compares it ([`Fence::guard`]): the store refuses what a deposed leader writes, however late
//! it arrives (M. Kleppmann, *Designing Data-Intensive Applications*, chapter 8).
//!
//! # Invariants
//! Tokens grow from leadership to leadership. A transaction that passed [`Fence::guard`] commits only while the
//! leadership it was given for lasts, and two leaderships never overlap *in the store*.
//!
//! # Failure
//! Passing trouble is waited out in [`campaign`]. A lost answer to the decisive transaction is read back, not guessed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use types::Revision;

use crate::envelope::Codec;
use crate::kv::{Event, KeyValue};
use crate::lease::Lease;
use crate::txn::{Compare, Outcome, Txn};
use crate::watch::{Backoff, WatchItem};
use crate::{Prefix, Store, StoreError, keys};

const CODEC: Codec = Codec::first("Leader");

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The replica's name, for people.
    pub name: String,
    /// Since when: the fencing token.
    pub since: Revision,
}

/// The stored form.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    name: String,
    /// Tells two candidates of one name apart, and one's own write after a lost answer.
    nonce: String,
}

/// Leading. Dropping it lets the lease run out; [`Leadership::resign`] makes room at once.
pub struct Leadership {
    lease: Lease,
    fence: Fence,
}

/// What a leader's transactions are guarded with. It outlives the leadership, and then lets nothing through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    token: Revision,
}

/// Why a leader's transaction did not happen.
#[derive(Debug, thiserror::Error)]
pub enum FencedError {
    /// Somebody else leads, or nobody.
    #[error("no longer the leader: the leadership of revision {0} is over")]
    Deposed(Revision),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fence {
    /// The revision at which this leadership began.
    pub fn token(&self) -> Revision {
        self.token
    }

    fn compare(&self) -> Compare {
        Compare::Created(keys::Entry::Leader.key(), self.token)
    }

    /// Adds to a transaction: the leadership lasts.
    #[must_use]
    pub fn guard(&self, txn: Txn) -> Txn {
        txn.when(self.compare())
    }

    /// Does a transaction on behalf of this leadership.
    ///
    /// # Errors
    /// [`FencedError::Deposed`]: nothing was written, and nothing ever will be. Those of [`Store::txn`].
    pub async fn txn(&self, store: &dyn Store, txn: Txn) -> Result<Outcome, FencedError> {
        let compare = self.compare();
        match store.txn(self.guard(txn)).await? {
            Outcome::Conflict { failed, .. } if failed.iter().any(|f| f.compare == compare) => {
                Err(FencedError::Deposed(self.token))
            }
            outcome => Ok(outcome),
        }
    }
}

impl Leadership {
    /// What its transactions are guarded with.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Waits until it is over, by our own clock: never later than the store lets another one lead, unless this process
    /// was suspended. That is what the fence is for.
    pub async fn lost(&self) {
        self.lease.lost().await;
    }

    /// Ends it now, so that another replica need not wait.
    ///
    /// # Errors
    /// Those of [`Store::revoke`]; it runs out then.
    pub async fn resign(self) -> Result<(), StoreError> {
        self.lease.revoke().await
    }
}

/// Who leads now.
///
/// # Errors
/// Back end failures; [`StoreError::Object`] when a newer version leads.
pub async fn leader(store: &dyn Store) -> Result<Option<Leader>, StoreError> {
    store.get(&keys::Entry::Leader.key()).await?.map(|kv| decode(&kv)).transpose()
}

/// Reads the leader's key.
pub(crate) fn decode(kv: &KeyValue) -> Result<Leader, StoreError> {
    let Stored { name, .. } = stored(kv)?;
    Ok(Leader { name, since: kv.created })
}

fn stored(kv: &KeyValue) -> Result<Stored, StoreError> {
    CODEC.decode(&kv.value).map_err(|source| StoreError::Object { key: kv.key.clone(), source })
}

/// Waits until this replica leads. `ttl` is how long a leader that died goes on being one.
///
/// # Errors
/// Permanent ones of the store.
pub async fn campaign(store: &Arc<dyn Store>, name: &str, ttl: Duration) -> Result<Leadership, StoreError> {
    let mut backoff = Backoff::default();
    loop {
        match attempt(store, name, ttl).await {
            Ok(Attempt::Elected(leadership)) => return Ok(leadership),
            Ok(Attempt::Held(since)) => {
                backoff.reset();
                vacancy(store, since).await?;
            }
            Err(error) if passes(&error) => {
                tracing::warn!(%error, "election interrupted, trying again");
                backoff.wait().await;
            }
            Err(error) => return Err(error),
        }
    }
}

enum Attempt {
    Elected(Leadership),
    /// Somebody leads; this revision wrote the key.
    Held(Revision),
}

fn passes(error: &StoreError) -> bool {
    error.is_transient() || matches!(error, StoreError::Indeterminate { .. } | StoreError::LeaseGone(_))
}

async fn attempt(store: &Arc<dyn Store>, name: &str, ttl: Duration) -> Result<Attempt, StoreError> {
    let key = keys::Entry::Leader.key();
    if let Some(held) = store.get(&key).await? {
        return Ok(Attempt::Held(held.modified));
    }
    let lease = Lease::acquire(Arc::clone(store), ttl).await?;
    let nonce = format!("{:032x}", rand::random::<u128>());
    let value = Stored { name: name.to_owned(), nonce: nonce.clone() };
    let value = CODEC.encode(&value).map_err(|source| StoreError::Object { key: key.clone(), source })?;
    let txn = Txn::new().when(Compare::Absent(key)).put_leased(keys::Entry::Leader, value, lease.id());
    match store.txn(txn).await {
        Ok(Outcome::Committed { revision }) => Ok(Attempt::Elected(lead(lease, revision))),
        Ok(Outcome::Unchanged { revision } | Outcome::Conflict { revision, .. }) => {
            // The lease holds nothing; should this fail it runs out.
            drop(lease.revoke().await);
            Ok(Attempt::Held(revision))
        }
        Err(StoreError::Indeterminate { .. }) => read_back(store, lease, &nonce).await,
        Err(error) => Err(error),
    }
}

fn lead(lease: Lease, token: Revision) -> Leadership {
    Leadership { lease, fence: Fence { token } }
}

/// Whether it was we who were elected, after the answer was lost.
async fn read_back(store: &Arc<dyn Store>, lease: Lease, nonce: &str) -> Result<Attempt, StoreError> {
    let mut backoff = Backoff::default();
    while !lease.is_lost() {
        match store.get(&keys::Entry::Leader.key()).await {
            Ok(Some(kv)) if stored(&kv)?.nonce == nonce => {
                return Ok(Attempt::Elected(lead(lease, kv.created)));
            }
            Ok(Some(kv)) => return Ok(Attempt::Held(kv.modified)),
            // Not written, or written and expired; what is still on its way needs the lease, which ends here.
            Ok(None) => break,
            Err(error) if passes(&error) => backoff.wait().await,
            Err(error) => return Err(error),
        }
    }
    lease.revoke().await?;
    let reason = "the answer to the election was lost".to_owned();
    Err(StoreError::Transient { backend: "store", operation: "campaign", reason })
}

/// Waits until the leader's key, last written at `since`, is gone.
async fn vacancy(store: &Arc<dyn Store>, since: Revision) -> Result<(), StoreError> {
    let leader = keys::Entry::Leader.key();
    let mut watch = store.watch(Prefix::leases(), since);
    while let Some(item) = watch.next().await {
        let vacant = match item? {
            WatchItem::Events { events, .. } => {
                events.iter().any(|e| matches!(e, Event::Delete { key, .. } if *key == leader))
            }
            WatchItem::Resync { items, .. } => !items.iter().any(|kv| kv.key == leader),
        };
        if vacant {
            return Ok(());
        }
    }
    let reason = "the watch ended".to_owned();
    Err(StoreError::Permanent { backend: "store", operation: "campaign", reason })
}
