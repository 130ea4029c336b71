//! Which things changed, in order, as part of a snapshot: whoever kept an earlier snapshot learns what to look at again.
//!
//! Snapshots share what is equal. A journal knows the snapshots it grew out of by the identity of their last entry, so one
//! of another history, and one that is too old, is told apart from one that nothing happened since.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

/// Entries kept: whoever has missed more looks at everything.
const KEPT: u64 = 4096;

/// The last changes.
#[derive(Clone, Debug)]
pub struct Journal<T> {
    /// How many changes there were.
    count: u64,
    last: RedBlackTreeMapSync<u64, Arc<T>>,
}

impl<T> Default for Journal<T> {
    fn default() -> Self {
        Self { count: 0, last: RedBlackTreeMapSync::new_sync() }
    }
}

impl<T> Journal<T> {
    /// Notes that something changed.
    pub fn note(&mut self, what: T) {
        self.count += 1;
        self.last.insert_mut(self.count, Arc::new(what));
        if let Some(old) = self.count.checked_sub(KEPT) {
            self.last.remove_mut(&old);
        }
    }

    /// What changed since, in order, the same thing as often as it did. `None`: that is not known.
    pub fn since<'a>(&'a self, earlier: &Self) -> Option<impl Iterator<Item = &'a T> + use<'a, T>> {
        let first_unseen = earlier.count + 1;
        let is_known = match earlier.last.get(&earlier.count) {
            Some(seen) => self.last.get(&earlier.count).is_some_and(|ours| Arc::ptr_eq(ours, seen)),
            // Of nothing at all every history is a continuation.
            None => self.count == 0 || self.last.contains_key(&first_unseen),
        };
        is_known.then(|| self.last.range(first_unseen..).map(|(_, what)| what.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(now: &Journal<u64>, earlier: &Journal<u64>) -> Option<Vec<u64>> {
        now.since(earlier).map(|changes| changes.copied().collect())
    }

    #[test]
    fn tells_what_came_after_each_snapshot_of_its_own_history() {
        let mut journal = Journal::default();
        let empty = journal.clone();
        journal.note(1);
        let one = journal.clone();
        journal.note(2);
        journal.note(1);
        assert_eq!(since(&journal, &empty), Some(vec![1, 2, 1]));
        assert_eq!(since(&journal, &one), Some(vec![2, 1]));
        assert_eq!(since(&journal, &journal), Some(vec![]));
    }

    #[test]
    fn another_history_and_a_snapshot_too_old_are_not_known() {
        let mut journal = Journal::default();
        let empty = journal.clone();
        journal.note(0);
        let (first, mut other) = (journal.clone(), empty.clone());
        other.note(0);
        assert_eq!(since(&journal, &other), None, "equal, and not the same");
        (1..=KEPT).for_each(|n| journal.note(n));
        assert_eq!(since(&first, &journal), None, "a later one");
        assert_eq!(since(&journal, &empty), None);
        assert_eq!(since(&journal, &first), None);
        let latest = journal.clone();
        journal.note(7);
        assert_eq!(since(&journal, &latest), Some(vec![7]));
    }
}
