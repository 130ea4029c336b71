//! Checked changes as transactions.

use model::{Plan, Removal};
use types::Revision;

use super::draft::{Admission, Draft, Intention};
use super::snapshot::Snapshot;
use crate::alloc;
use crate::change::Timestamp;
use crate::election::{Fence, FencedError};
use crate::keys::Slot;
use crate::txn::{Compare, Op, Outcome, Txn};
use crate::{Store, StoreError};

/// On whose behalf something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The authenticated subject.
    pub who: String,
    /// Where the request came from.
    pub from: String,
    /// The request.
    pub request_id: String,
    /// The time.
    pub at: Timestamp,
}

/// What else belongs into the same transaction: a token that is used up, a key that is revoked.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// More conditions.
    pub compares: Vec<Compare>,
    /// More effects.
    pub ops: Vec<Op>,
}

/// It is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The revision from which on it holds.
    pub revision: Revision,
}

/// Why it is not.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Something the decision rests on has changed. Decide again on a snapshot at or after this revision.
    #[error("intent changed meanwhile (revision {revision})")]
    Conflict {
        /// When.
        revision: Revision,
        /// Whether all that failed are conditions of [`Extra`]: deciding again will not help.
        extra_only: bool,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes a plan that was decided on this snapshot.
///
/// # Errors
/// [`CommitError`]; nothing was written then, except perhaps after [`StoreError::Indeterminate`].
pub async fn commit(
    store: &dyn Store,
    snapshot: &Snapshot,
    plan: &Plan,
    author: Author,
    extra: Extra,
) -> Result<Committed, CommitError> {
    write(store, snapshot, Intention::Plan(plan), author, extra).await
}

/// Deletes an object; the decision was made on this snapshot.
///
/// # Errors
/// As [`commit`].
pub async fn remove(
    store: &dyn Store,
    snapshot: &Snapshot,
    removal: &Removal,
    author: Author,
    extra: Extra,
) -> Result<Committed, CommitError> {
    write(store, snapshot, Intention::Removal(removal), author, extra).await
}

async fn write(
    store: &dyn Store,
    snapshot: &Snapshot,
    what: Intention<'_>,
    author: Author,
    extra: Extra,
) -> Result<Committed, CommitError> {
    let mut draft = Draft::new(snapshot, store.limits());
    // The first is never put off.
    let _: Admission = draft.add(what, author, extra)?;
    draft.commit(store).await
}

/// Frees what was given back before `before`, a transaction's worth at most, on behalf of a leader. The revision of that
/// transaction; `None` when there is nothing to free.
///
/// # Errors
/// [`ReclaimError`]; nothing was written then.
pub async fn reclaim(
    store: &dyn Store,
    snapshot: &Snapshot,
    before: &Timestamp,
    fence: &Fence,
) -> Result<Option<Revision>, ReclaimError> {
    const AT_ONCE: usize = 64;
    let due = snapshot.cooled().filter(|c| c.since < *before).take(AT_ONCE);
    let due: Vec<(Slot, Revision)> = due.filter_map(|c| Some((c.slot, snapshot.claimed(c.slot)?))).collect();
    if due.is_empty() {
        return Ok(None);
    }
    let txn = due.iter().fold(Txn::new(), |txn, (slot, modified)| alloc::reclaim(txn, *slot, *modified));
    match fence.txn(store, txn).await? {
        Outcome::Conflict { revision, .. } => Err(ReclaimError::Changed { revision }),
        Outcome::Committed { revision } | Outcome::Unchanged { revision } => Ok(Some(revision)),
    }
}

/// Why nothing was freed.
#[derive(Debug, thiserror::Error)]
pub enum ReclaimError {
    /// Somebody else reclaimed meanwhile. Look again at or after this revision.
    #[error("what was cooling has changed meanwhile (revision {revision})")]
    Changed {
        /// When.
        revision: Revision,
    },
    /// Deposed, or the store failed.
    #[error(transparent)]
    Fenced(#[from] FencedError),
}
