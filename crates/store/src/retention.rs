//! What keeps history from growing for ever: change records by count and age, revisions by age.
//!
//! Both are the leader's work, a bounded step at a time. Trimming deletes the oldest records in small transactions, each
//! fenced. Compaction is no transaction and needs no fence: it goes up only, and a leader that was deposed meanwhile can
//! at worst repeat what was due.
//!
//! # Invariants
//! Never trimmed: records younger than the age and among the newest of the count. Never compacted: a revision that was
//! current within the history kept.

use std::collections::VecDeque;
use std::time::Duration;

use types::Revision;

use crate::change::{ChangeId, Timestamp};
use crate::election::{Fence, FencedError};
use crate::keys::{Entry, Key};
use crate::txn::{Compare, Outcome, Txn};
use crate::{FirstKeys, Prefix, Store, StoreError};

/// Records deleted by one transaction.
const AT_ONCE: usize = 64;

/// Which change records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// At most so many.
    pub records: usize,
    /// None from before this time.
    pub since: Timestamp,
}

/// Deletes some of the change records that are too old or too many; how many. Zero when all that is left is kept.
///
/// # Errors
/// [`FencedError`].
pub async fn trim(store: &dyn Store, fence: &Fence, keep: &Keep) -> Result<usize, FencedError> {
    let at_once = AT_ONCE.min(store.limits().max_ops.saturating_sub(1)).max(1);
    let FirstKeys { keys, total } = store.first_keys(&Prefix::changes(), at_once).await?;
    let surplus = total.saturating_sub(keep.records);
    let oldest = Entry::Change(ChangeId::new(&keep.since, 0)).key();
    let due: Vec<Key> = keys
        .into_iter()
        .enumerate()
        .filter(|(n, key)| *n < surplus || *key < oldest)
        .map(|(_, k)| k)
        .collect();
    if due.is_empty() {
        return Ok(0);
    }
    let count = due.len();
    // That they exist is certain, so that no back end need read them first: a record may be large.
    let txn = due.into_iter().fold(Txn::new(), |txn, key| txn.when(Compare::Exists(key.clone())).delete(key));
    match fence.txn(store, txn).await? {
        Outcome::Committed { .. } | Outcome::Unchanged { .. } => Ok(count),
        // Somebody deletes records by hand. The next round reads again.
        Outcome::Conflict { .. } => Ok(0),
    }
}

/// Which revision was current when, as far as needed to tell what may be forgotten. Pure.
#[derive(Clone, Debug)]
pub struct History {
    keep: Duration,
    /// Times since a common start, with the revision then.
    samples: VecDeque<(Duration, Revision)>,
}

impl History {
    /// Keeps every revision that was current within this time.
    pub fn keeping(keep: Duration) -> Self {
        Self { keep, samples: VecDeque::new() }
    }

    /// Takes note of the revision now, and says up to which revision history may be forgotten. Times are since a common
    /// start and never go back.
    pub fn note(&mut self, now: Duration, revision: Revision) -> Option<Revision> {
        self.samples.push_back((now, revision));
        let mut forgotten = None;
        while let Some((at, revision)) = self.samples.front().copied() {
            if now.saturating_sub(at) < self.keep {
                break;
            }
            forgotten = Some(revision);
            self.samples.pop_front();
        }
        forgotten
    }
}

/// Notes the store's revision, and forgets what is older than the history kept; up to where.
///
/// # Errors
/// [`StoreError`].
pub async fn compact(
    store: &dyn Store,
    history: &mut History,
    now: Duration,
) -> Result<Option<Revision>, StoreError> {
    let revision = store.health().await?.revision;
    let Some(up_to) = history.note(now, revision) else { return Ok(None) };
    store.compact(up_to).await?;
    Ok(Some(up_to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_current_within_the_time_kept_stays() {
        let (second, at) = (Duration::from_secs, Revision::new);
        let mut history = History::keeping(second(10));
        assert_eq!(history.note(second(0), at(5)), None);
        assert_eq!(history.note(second(9), at(8)), None);
        // 5 was current until after second 0; ten seconds later nobody needs what came before it.
        assert_eq!(history.note(second(10), at(9)), Some(at(5)));
        assert_eq!(history.note(second(11), at(9)), None);
        assert_eq!(history.note(second(30), at(9)), Some(at(9)));
    }
}
