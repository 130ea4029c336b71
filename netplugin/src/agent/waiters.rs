//! Who waits for what: procedures wait on the owner's state, level-triggered.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use types::{EndpointUid, OfPort};

/// What a procedure may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The switch holds the endpoint's flows for this port.
    Enforced(EndpointUid, OfPort),
    /// The switch holds no flow that names the endpoint's port.
    Gone(EndpointUid),
    /// It is known which ports the flows in the switch may name.
    Settled,
}

/// Why waiting is pointless: the endpoint is refused by the pipeline, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hopeless(pub String);

/// The state conditions look at.
pub(super) struct Facts<'a> {
    pub knows_nothing: bool,
    /// Whether it is known which ports the flows in the switch may name.
    pub settled: bool,
    /// What the last acknowledged bundle enforces; `None` while the flows in the switch are not known.
    pub enforced: Option<&'a BTreeMap<EndpointUid, OfPort>>,
    pub refused: &'a BTreeMap<EndpointUid, String>,
}

impl Condition {
    /// `None`: not yet.
    pub(super) fn judge(self, facts: &Facts<'_>) -> Option<Result<(), Hopeless>> {
        let holds = match self {
            Self::Enforced(uid, ofport) => {
                if let Some(reason) = facts.refused.get(&uid) {
                    return Some(Err(Hopeless(reason.clone())));
                }
                facts.enforced.is_some_and(|e| e.get(&uid) == Some(&ofport))
            }
            // Knowing nothing the agent touches no flow, so there is nothing to wait for; the number stays unused,
            // because numbers are given out only when the flows are known.
            Self::Gone(uid) => facts.knows_nothing || facts.enforced.is_some_and(|e| !e.contains_key(&uid)),
            Self::Settled => facts.settled,
        };
        holds.then_some(Ok(()))
    }
}

/// The waiting procedures.
#[derive(Default)]
pub(super) struct Waiters(Vec<(Condition, oneshot::Sender<Result<(), Hopeless>>)>);

impl Waiters {
    pub(super) fn add(&mut self, condition: Condition, reply: oneshot::Sender<Result<(), Hopeless>>) {
        self.0.push((condition, reply));
    }

    /// Answers those whose condition is decided and forgets those who gave up.
    pub(super) fn answer(&mut self, facts: &Facts<'_>) {
        let waiting = std::mem::take(&mut self.0);
        for (condition, reply) in waiting {
            match condition.judge(facts) {
                Some(result) => drop(reply.send(result)),
                None if reply.is_closed() => {}
                None => self.0.push((condition, reply)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_only_for_the_port_the_flows_name() {
        let (one, two) = (EndpointUid::new(1).unwrap(), EndpointUid::new(2).unwrap());
        let (p5, p6) = (OfPort::new(5).unwrap(), OfPort::new(6).unwrap());
        let enforced = BTreeMap::from([(one, p5)]);
        let refused = BTreeMap::from([(two, "dark".to_owned())]);
        let mut facts =
            Facts { knows_nothing: false, settled: true, enforced: Some(&enforced), refused: &refused };
        assert_eq!(Condition::Enforced(one, p5).judge(&facts), Some(Ok(())));
        assert_eq!(Condition::Enforced(one, p6).judge(&facts), None);
        assert_eq!(Condition::Enforced(two, p6).judge(&facts), Some(Err(Hopeless("dark".into()))));
        assert_eq!(Condition::Gone(one).judge(&facts), None);
        assert_eq!(Condition::Gone(two).judge(&facts), Some(Ok(())));
        facts.enforced = None;
        assert_eq!(Condition::Gone(two).judge(&facts), None, "an unknown switch proves nothing");
        assert_eq!(Condition::Settled.judge(&facts), Some(Ok(())));
        facts.settled = false;
        assert_eq!(Condition::Settled.judge(&facts), None);
        facts.knows_nothing = true;
        assert_eq!(Condition::Gone(one).judge(&facts), Some(Ok(())));
    }
}
