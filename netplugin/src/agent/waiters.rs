//! Who waits for what: procedures wait on the owner's state, level-triggered.

use std::collections::BTreeMap;

use node_state::FragmentKey;
use tokio::sync::oneshot;
use types::{EndpointUid, OfPort};

use super::Agent;
use super::flight::Flight;

/// What a procedure may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The switch holds the endpoint's flows for this port number, or has accepted them and is about to: which need not be
    /// a port's yet.
    Accepted(EndpointUid, OfPort),
    /// It holds them, and the endpoint's port has the number.
    Enforced(EndpointUid, OfPort),
    /// The switch holds no flow that names the endpoint's port.
    Gone(EndpointUid),
    /// It is known which ports the flows in the switch may name.
    Settled,
    /// No flows are on their way to the switch but what it has accepted.
    Quiet,
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
    /// What the bundle on its way will.
    pub coming: Option<&'a BTreeMap<EndpointUid, OfPort>>,
    /// Whether the switch has accepted all of that.
    pub taken: bool,
    /// Whether another bundle is going to follow.
    pub due: bool,
    /// Whether no pass is due that changes what an endpoint may do.
    pub stays: &'a dyn Fn(EndpointUid) -> bool,
    /// The number an endpoint's port has.
    pub plugged: &'a dyn Fn(EndpointUid) -> Option<OfPort>,
    pub refused: &'a BTreeMap<EndpointUid, String>,
}

impl Condition {
    /// `None`: not yet.
    pub(super) fn judge(self, facts: &Facts<'_>) -> Option<Result<(), Hopeless>> {
        let holds = match self {
            Self::Accepted(uid, ofport) | Self::Enforced(uid, ofport) => {
                if let Some(reason) = facts.refused.get(&uid) {
                    return Some(Err(Hopeless(reason.clone())));
                }
                // In the switch, whether the bundle on its way lands or not, and to stay there.
                let is = |e: &BTreeMap<EndpointUid, OfPort>| e.get(&uid) == Some(&ofport);
                let is_plugged = || (facts.plugged)(uid) == Some(ofport);
                let held = facts.enforced.is_some_and(is);
                let there = match self {
                    Self::Accepted(..) => held || facts.taken,
                    _ => held && is_plugged(),
                };
                there && facts.coming.is_none_or(is) && (facts.stays)(uid)
            }
            // Knowing nothing the agent touches no flow, so there is nothing to wait for; the number stays unused,
            // because numbers are given out only when the flows are known.
            Self::Gone(uid) => {
                let lacks = |e: &BTreeMap<EndpointUid, OfPort>| !e.contains_key(&uid);
                facts.knows_nothing || (facts.enforced.is_some_and(lacks) && facts.coming.is_none_or(lacks))
            }
            Self::Settled => facts.settled,
            Self::Quiet => !facts.due && (facts.coming.is_none() || facts.taken),
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

impl Agent {
    /// Answers those whose condition is decided by now.
    pub(super) fn answer_waiters(&mut self) {
        let mut waiters = std::mem::take(&mut self.waiters);
        let refused = |(key, reason): (&FragmentKey, &String)| match key {
            FragmentKey::Endpoint(uid) => Some((*uid, reason.clone())),
            _ => None,
        };
        let refused: BTreeMap<_, _> = self.enforcement.refused.iter().filter_map(refused).collect();
        // Whatever it is, it may concern anybody.
        let intent_changes = self.changed.iter().any(|key| !matches!(key, FragmentKey::Endpoint(_)));
        let stays = |uid| {
            let changes = intent_changes || self.changed.contains(&FragmentKey::Endpoint(uid));
            self.may_have_flows(uid) && !changes
        };
        let facts = Facts {
            knows_nothing: self.holding.state().is_none(),
            settled: self.ofports.is_settled(),
            enforced: self.installed.then_some(&self.enforcement.endpoints),
            coming: self.flight.as_ref().map(|flight| &flight.brings().endpoints),
            taken: self.flight.as_ref().is_some_and(Flight::is_taken),
            due: self.dirty || !self.newcomers.is_empty(),
            stays: &stays,
            plugged: &|uid| self.plugged(uid),
            refused: &refused,
        };
        waiters.answer(&facts);
        self.waiters = waiters;
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
        let plugged = |uid| Some(if uid == one { p5 } else { p6 });
        let mut facts = Facts {
            knows_nothing: false,
            settled: true,
            enforced: Some(&enforced),
            coming: None,
            taken: false,
            due: false,
            stays: &|_| true,
            plugged: &plugged,
            refused: &refused,
        };
        assert_eq!(Condition::Enforced(one, p5).judge(&facts), Some(Ok(())));
        assert_eq!(Condition::Enforced(one, p6).judge(&facts), None);
        assert_eq!(Condition::Enforced(two, p6).judge(&facts), Some(Err(Hopeless("dark".into()))));
        assert_eq!(Condition::Gone(one).judge(&facts), None);
        assert_eq!(Condition::Gone(two).judge(&facts), Some(Ok(())));
        facts.enforced = None;
        assert_eq!(Condition::Gone(two).judge(&facts), None, "an unknown switch proves nothing");
        assert_eq!(Condition::Settled.judge(&facts), Some(Ok(())));
        assert_eq!(Condition::Quiet.judge(&facts), Some(Ok(())));
        facts.due = true;
        assert_eq!(Condition::Quiet.judge(&facts), None);
        facts.settled = false;
        assert_eq!(Condition::Settled.judge(&facts), None);
        facts.knows_nothing = true;
        assert_eq!(Condition::Gone(one).judge(&facts), Some(Ok(())));
    }
    #[test]
    fn a_bundle_on_its_way_may_land_or_not() {
        let (one, two) = (EndpointUid::new(1).unwrap(), EndpointUid::new(2).unwrap());
        let p5 = OfPort::new(5).unwrap();
        let (with, without, refused) = (BTreeMap::from([(one, p5)]), BTreeMap::new(), BTreeMap::new());
        let judge_when = |taken, condition: Condition, enforced, coming, stays: bool, plugged| {
            let facts = Facts {
                knows_nothing: false,
                settled: true,
                enforced,
                coming,
                taken,
                due: false,
                stays: &|_| stays,
                plugged: &|_| plugged,
                refused: &refused,
            };
            condition.judge(&facts)
        };
        let judge = |condition, enforced, coming, stays, plugged: Option<OfPort>| {
            judge_when(false, condition, enforced, coming, stays, plugged)
        };
        let (ready, there, gone) =
            (Condition::Accepted(one, p5), Condition::Enforced(one, p5), Condition::Gone(one));
        assert_eq!(judge(there, Some(&with), Some(&with), true, Some(p5)), Some(Ok(())));
        assert_eq!(judge(there, Some(&with), Some(&with), true, None), None, "it has no port yet");
        assert_eq!(judge(ready, Some(&with), Some(&with), true, None), Some(Ok(())));
        let taken = |condition, coming, stays| {
            judge_when(true, condition, Some(&without), Some(coming), stays, Some(p5))
        };
        assert_eq!(taken(ready, &with, true), Some(Ok(())), "accepted, and to be committed");
        assert_eq!(taken(there, &with, true), None, "not in force yet");
        assert_eq!(taken(Condition::Quiet, &with, true), Some(Ok(())), "nobody's flows are left to accept");
        assert_eq!(judge(Condition::Quiet, Some(&with), Some(&with), true, None), None);
        assert_eq!(taken(ready, &without, true), None, "what was accepted has nothing of it");
        assert_eq!(taken(ready, &with, false), None, "a pass is due that may take them out");
        for condition in [ready, there] {
            let judge = |enforced, coming, stays| judge(condition, enforced, coming, stays, Some(p5));
            assert_eq!(judge(Some(&without), Some(&with), true), None, "not yet");
            assert_eq!(judge(Some(&with), Some(&without), true), None, "not much longer");
            assert_eq!(judge(Some(&with), None, false), None, "a pass is due that may take them out");
        }
        let judge = |condition, enforced, coming| judge(condition, enforced, coming, true, None);
        assert_eq!(judge(gone, Some(&without), Some(&without)), Some(Ok(())));
        assert_eq!(judge(gone, Some(&with), Some(&without)), None);
        assert_eq!(judge(gone, Some(&without), Some(&with)), None);
        assert_eq!(judge(gone, None, Some(&without)), None);
        assert_eq!(judge(Condition::Gone(two), Some(&with), None), Some(Ok(())));
    }
}
