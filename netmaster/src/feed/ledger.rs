//! What one agent holds, and so what to send it next. Pure: hashes in, differences out.
//!
//! # Invariants
//! * At most one update is in flight; what is held changes only by the agent's own word (subscribe, ack, nack).
//! * A fragment the agent has refused is not sent again until its content changes; meanwhile the agent's last good one
//!   counts as held.
//! * [`Ledger::next`] compares with the latest span only. How many changes there were meanwhile makes no difference.
//!
//! # Failure
//! [`OutOfTurn`]: the agent answered something that was not asked. The session ends.

use std::collections::{BTreeMap, BTreeSet};

use node_api::{Nack, Subscribe};
use node_state::{FragmentHash, FragmentKey};
use types::{Revision, StoreId};

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
    held: Span,
    unknown: BTreeSet<String>,
    refused: BTreeMap<FragmentKey, (FragmentHash, String)>,
    in_flight: Option<InFlight>,
    /// The revision of the agent's last update.
    last: Option<Revision>,
    /// An update is due even if it is empty: the agent must learn history and revision.
    due: bool,
}

impl Ledger {
    /// From what the agent says it holds.
    pub fn new(subscribe: Subscribe, store_id: &StoreId) -> Self {
        let same = subscribe.known.filter(|k| k.store_id == *store_id);
        Self {
            held: subscribe.held,
            unknown: subscribe.unknown,
            refused: BTreeMap::new(),
            in_flight: None,
            due: same.is_none(),
            last: same.map(|k| k.revision),
        }
    }

    /// What to send now: `None` while an update is in flight, and when the agent holds what it must.
    pub fn next(&mut self, revision: Revision, span: &Span) -> Option<Difference> {
        if self.in_flight.is_some() {
            return None;
        }
        self.refused.retain(|key, (hash, _)| span.get(key) == Some(hash));
        let wanted = |key: &FragmentKey, hash: &FragmentHash| {
            self.held.get(key) != Some(hash) && !self.refused.contains_key(key)
        };
        let upserts: Span = span.iter().filter(|(k, h)| wanted(k, h)).map(|(k, h)| (k.clone(), *h)).collect();
        let removes: BTreeSet<FragmentKey> =
            self.held.keys().filter(|k| !span.contains_key(*k)).cloned().collect();
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
        self.held.retain(|key, _| !removes.contains(key));
        self.held.extend(upserts);
        self.last = Some(revision);
        Ok(())
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
