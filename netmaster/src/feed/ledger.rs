//! In what one agent differs from what it must hold, and so what to send it next. Pure: hashes in, differences out.
//!
//! What the agent holds is kept only where it is not what its span says now. In the long run that is nothing, so a
//! session costs no memory for its span, and a change costs the keys it concerns.
//!
//! # Invariants
//! * Of a key that is not `behind`, the agent holds what its span says now, or what was refused of it.
//! * At most one update is in flight; what is held changes only by the agent's own word (subscribe, ack, nack).
//! * A fragment the agent has refused is not sent again until its content changes; meanwhile its last good one counts as
//!   held.
//! * [`Ledger::next`] compares with the latest span only. How many changes there were meanwhile makes no difference.
//!
//! # Failure
//! [`OutOfTurn`]: the agent answered something that was not asked. The session ends.

use std::collections::{BTreeMap, BTreeSet};

use node_api::{Nack, Subscribe};
use node_state::{FragmentHash, FragmentKey};
use types::{Revision, StoreId};

use super::hub::News;

/// What an agent must hold.
pub(super) type Span = BTreeMap<FragmentKey, FragmentHash>;

/// An answer to something that was not asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OutOfTurn {
    #[error("revision {answered} was answered, but {}", .sent.map_or("nothing is in flight".to_owned(), |r| format!("{r} is in flight")))]
    Revision { answered: Revision, sent: Option<Revision> },
    #[error("fragment {0} was refused, but the update does not hold it")]
    Fragment(String),
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub upserts: BTreeSet<FragmentKey>,
    pub removes: BTreeSet<FragmentKey>,
    /// Keys of another release that the agent holds.
    pub removes_unknown: BTreeSet<String>,
}

#[derive(Debug)]
struct InFlight {
    revision: Revision,
    upserts: Span,
    removes: BTreeSet<FragmentKey>,
}

/// The state of one session.
#[derive(Debug)]
pub(super) struct Ledger {
    /// What the agent holds (`None` = nothing) of the keys of which it must, or may have to, hold something else.
    behind: BTreeMap<FragmentKey, Option<FragmentHash>>,
    unknown: BTreeSet<String>,
    refused: BTreeMap<FragmentKey, (FragmentHash, String)>,
    in_flight: Option<InFlight>,
    /// The revision of the agent's last update.
    last: Option<Revision>,
    /// An update is due even if it is empty: the agent must learn history and revision.
    due: bool,
}

impl Ledger {
    /// From what the agent says it holds, and what it must hold now.
    pub fn new(subscribe: Subscribe, store_id: &StoreId, span: &Span) -> Self {
        let same = subscribe.known.filter(|k| k.store_id == *store_id);
        let missing = span.keys().filter(|k| !subscribe.held.contains_key(*k)).map(|k| (k.clone(), None));
        let missing: Vec<_> = missing.collect();
        let other = subscribe.held.into_iter().filter(|(k, h)| span.get(k) != Some(h));
        Self {
            behind: other.map(|(k, h)| (k, Some(h))).chain(missing).collect(),
            unknown: subscribe.unknown,
            refused: BTreeMap::new(),
            in_flight: None,
            due: same.is_none(),
            last: same.map(|k| k.revision),
        }
    }

    /// The span is another now: these keys, of which the agent had to hold this.
    pub fn note(&mut self, news: News) {
        for (key, before) in news {
            // What the agent really holds is known better of a key it is behind with.
            self.behind.entry(key).or_insert(before);
        }
    }

    /// What to send now: `None` while an update is in flight, and when the agent holds what it must. `latest` is its span
    /// at `revision`.
    pub fn next(
        &mut self,
        revision: Revision,
        latest: impl Fn(&FragmentKey) -> Option<FragmentHash>,
    ) -> Option<Difference> {
        if self.in_flight.is_some() {
            return None;
        }
        self.behind.retain(|key, held| *held != latest(key));
        self.refused.retain(|key, (hash, _)| self.behind.contains_key(key) && latest(key) == Some(*hash));
        let (mut upserts, mut removes) = (Span::new(), BTreeSet::new());
        for key in self.behind.keys().filter(|key| !self.refused.contains_key(*key)) {
            match latest(key) {
                Some(hash) => drop(upserts.insert(key.clone(), hash)),
                None => drop(removes.insert(key.clone())),
            }
        }
        let removes_unknown = std::mem::take(&mut self.unknown);
        if upserts.is_empty() && removes.is_empty() && removes_unknown.is_empty() && !self.due {
            return None;
        }
        self.due = false;
        let difference = Difference {
            upserts: upserts.keys().cloned().collect(),
            removes: removes.clone(),
            removes_unknown,
        };
        self.in_flight = Some(InFlight { revision, upserts, removes });
        Some(difference)
    }

    /// Whether an update is in flight.
    pub fn is_waiting(&self) -> bool {
        self.in_flight.is_some()
    }

    /// The revision of the last update the agent has answered.
    pub fn last(&self) -> Option<Revision> {
        self.last
    }

    /// Fragments the agent does not take, and why.
    pub fn refused(&self) -> impl Iterator<Item = (&FragmentKey, &str)> {
        self.refused.iter().map(|(k, (_, reason))| (k, reason.as_str()))
    }

    /// How many keys are kept account of.
    #[cfg(test)]
    pub fn behind(&self) -> usize {
        self.behind.len()
    }

    /// The agent holds the update.
    pub fn ack(&mut self, revision: Revision) -> Result<(), OutOfTurn> {
        self.answered(revision, BTreeMap::new())
    }

    /// The agent holds the update but for these fragments.
    pub fn nack(&mut self, nack: Nack) -> Result<(), OutOfTurn> {
        self.answered(nack.revision, nack.refusals)
    }

    fn answered(&mut self, revision: Revision, refusals: BTreeMap<String, String>) -> Result<(), OutOfTurn> {
        let sent = self.in_flight.as_ref().map(|u| u.revision);
        let Some(update) = self.in_flight.take_if(|u| u.revision == revision) else {
            return Err(OutOfTurn::Revision { answered: revision, sent });
        };
        let InFlight { mut upserts, removes, .. } = update;
        for (text, reason) in refusals {
            let key: Option<FragmentKey> = text.parse().ok();
            let Some((key, hash)) = key.and_then(|k| upserts.remove_entry(&k)) else {
                return Err(OutOfTurn::Fragment(text));
            };
            self.refused.insert(key, (hash, reason));
        }
        // Compared with the latest span by the next `next`.
        self.behind.extend(removes.into_iter().map(|key| (key, None)));
        self.behind.extend(upserts.into_iter().map(|(key, hash)| (key, Some(hash))));
        self.last = Some(revision);
        Ok(())
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
