//! The newest revisions as events, so that watches that follow closely need not read them back from the file.
//!
//! # Invariants
//! What it holds is what the log holds: a revision goes in when it is committed, before it is announced, and everything
//! goes out when history is compacted. Bounded; a watch that is further behind reads the log.

use std::collections::VecDeque;

use types::Revision;

use crate::keys::Prefix;
use crate::kv::Event;
use crate::watch::Past;

/// Revisions at most.
const REVISIONS: usize = 256;
/// Bytes of values at most; one revision may be larger, and is then all there is.
const BYTES: usize = 8 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Consecutive revisions, generations left out.
    revisions: VecDeque<(Revision, Vec<Event>)>,
    bytes: usize,
}

impl Recent {
    /// Takes a revision in.
    pub(super) fn push(&mut self, revision: Revision, events: Vec<Event>) {
        let follows = |(last, _): &(Revision, Vec<Event>)| last.get().checked_add(1) == Some(revision.get());
        if !self.revisions.back().is_none_or(follows) {
            // A commit whose answer was lost may have been one.
            self.clear();
        }
        self.bytes += size(&events);
        self.revisions.push_back((revision, events));
        while self.revisions.len() > REVISIONS || (self.bytes > BYTES && self.revisions.len() > 1) {
            let gone = self.revisions.pop_front().map_or(0, |(_, events)| size(&events));
            self.bytes = self.bytes.saturating_sub(gone);
        }
    }

    pub(super) fn clear(&mut self) {
        self.revisions.clear();
        self.bytes = 0;
    }

    /// Events of the next revisions after `after`; `None` when they are not here.
    pub(super) fn past(&self, prefix: &Prefix, after: Revision, revisions: usize) -> Option<Past> {
        let (first, _) = self.revisions.front()?;
        let skip = (after.get() + 1).checked_sub(first.get())?;
        let next = self.revisions.iter().skip(usize::try_from(skip).ok()?).take(revisions);
        let through = next.clone().next_back().map(|(revision, _)| *revision)?;
        let seen = |event: &&Event| prefix.contains(event.key());
        let batches = next.map(|(at, events)| (*at, events.iter().filter(seen).cloned().collect::<Vec<_>>()));
        let batches = batches.filter(|(_, events)| !events.is_empty() || prefix.has_hole()).collect();
        Some(Past::Events { batches, through })
    }
}

fn size(events: &[Event]) -> usize {
    let of = |event: &Event| match event {
        Event::Put { current, previous } => {
            current.value.len() + previous.as_ref().map_or(0, |p| p.value.len())
        }
        Event::Delete { previous, .. } => previous.as_ref().map_or(0, |p| p.value.len()),
    };
    events.iter().map(of).sum()
}
