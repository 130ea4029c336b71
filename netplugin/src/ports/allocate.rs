//! OpenFlow port numbers of endpoint ports, with quarantine.
//!
//! Flows name an endpoint by its port number. A number that is given to another endpoint while flows of its last owner
//! are still in the switch would let the new owner send as the old one. So a number is free only when no port has it
//! *and* no flow can name it: the flows in the switch are known (the last bundle was acknowledged) and were rendered
//! without it. Numbers are taken in rotation, which keeps reuse rare on top of that.

use std::collections::{BTreeMap, BTreeSet};

use types::{EndpointUid, OfPort};

/// The tunnel port's number: the highest there is.
pub const TUNNEL: OfPort = OfPort::MAX;

/// Why no number was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocateError {
    /// What the switch holds is not known (yet): a number that looks free may still be named by a flow.
    #[error("the flows in the switch are not known yet")]
    Unsettled,
    /// Every number is taken.
    #[error("no OpenFlow port number is free")]
    Exhausted,
}

/// The allocator.
#[derive(Clone, Debug)]
pub struct OfPorts {
    next: u16,
    /// Given out, row not seen yet.
    reserved: BTreeMap<EndpointUid, OfPort>,
    /// What flows in the switch may name; `None` while that is unknown.
    named_by_flows: Option<BTreeSet<OfPort>>,
}

impl OfPorts {
    /// Starts at `next`, where the last process stopped.
    pub fn new(next: u16) -> Self {
        Self { next, reserved: BTreeMap::new(), named_by_flows: None }
    }

    /// Where the next process should start.
    pub fn next(&self) -> u16 {
        self.next
    }

    /// The switch now holds flows for exactly these ports.
    pub fn flows_are(&mut self, ports: impl IntoIterator<Item = OfPort>) {
        self.named_by_flows = Some(ports.into_iter().collect());
    }

    /// A bundle is on its way: the switch may hold flows for these, too.
    pub fn flows_may_be(&mut self, ports: impl IntoIterator<Item = OfPort>) {
        if let Some(named) = &mut self.named_by_flows {
            named.extend(ports);
        }
    }

    /// The connection to the switch is lost, or somebody else changed its flows.
    pub fn flows_unknown(&mut self) {
        self.named_by_flows = None;
    }

    /// A number nobody has and no flow names. The same endpoint gets the same number until [`OfPorts::release`].
    ///
    /// # Errors
    /// [`AllocateError`].
    pub fn reserve(&mut self, uid: EndpointUid, in_use: &BTreeSet<OfPort>) -> Result<OfPort, AllocateError> {
        if let Some(ofport) = self.reserved.get(&uid) {
            return Ok(*ofport);
        }
        let named = self.named_by_flows.as_ref().ok_or(AllocateError::Unsettled)?;
        let taken = |n: &OfPort| {
            *n == TUNNEL || in_use.contains(n) || named.contains(n) || self.reserved.values().any(|r| r == n)
        };
        let last = TUNNEL.get() - 1;
        // Defect: the lowest free number, so that one is used again at once.
        if crate::sabotaged!("lowest-port-number") {
            self.next = 1;
        }
        let rotation = (self.next..=last).chain(1..self.next.min(last));
        let free = rotation.filter_map(|n| OfPort::new(n.into()).ok()).find(|n| !taken(n));
        let free = free.ok_or(AllocateError::Exhausted)?;
        self.next = if free.get() == last { 1 } else { free.get() + 1 };
        self.reserved.insert(uid, free);
        Ok(free)
    }

    /// The port is in the bridge, or was given up.
    pub fn release(&mut self, uid: EndpointUid) {
        self.reserved.remove(&uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(n: u64) -> EndpointUid {
        EndpointUid::new(n).unwrap()
    }

    fn of(n: u64) -> OfPort {
        OfPort::new(n).unwrap()
    }

    fn settled() -> OfPorts {
        let mut ports = OfPorts::new(1);
        ports.flows_are([]);
        ports
    }

    #[test]
    fn gives_nothing_while_the_flows_in_the_switch_are_unknown() {
        let mut ports = OfPorts::new(1);
        assert_eq!(ports.reserve(uid(1), &BTreeSet::new()), Err(AllocateError::Unsettled));
        ports.flows_are([]);
        assert_eq!(ports.reserve(uid(1), &BTreeSet::new()), Ok(of(1)));
        ports.flows_unknown();
        assert_eq!(ports.reserve(uid(2), &BTreeSet::new()), Err(AllocateError::Unsettled));
    }

    #[test]
    fn a_number_is_not_reused_before_its_flows_are_gone() {
        let mut ports = OfPorts::new(5);
        ports.flows_are([of(5), of(6)]);
        // Port 5 is out of the bridge, its flows are not out of the switch.
        assert_eq!(ports.reserve(uid(1), &BTreeSet::from([of(6)])), Ok(of(7)));
        ports.flows_may_be([of(7)]);
        ports.release(uid(1));
        ports.next = 5;
        assert_eq!(ports.reserve(uid(2), &BTreeSet::new()), Ok(of(8)));
        ports.flows_are([of(8)]);
        ports.next = 5;
        assert_eq!(ports.reserve(uid(3), &BTreeSet::new()), Ok(of(5)));
    }

    #[test]
    fn one_endpoint_keeps_its_number_and_two_never_share_one() {
        let mut ports = settled();
        assert_eq!(ports.reserve(uid(1), &BTreeSet::new()), Ok(of(1)));
        assert_eq!(ports.reserve(uid(1), &BTreeSet::new()), Ok(of(1)));
        assert_eq!(ports.reserve(uid(2), &BTreeSet::new()), Ok(of(2)));
    }

    #[test]
    fn rotates_and_never_gives_the_tunnels_number() {
        let mut ports = settled();
        ports.next = TUNNEL.get() - 1;
        assert_eq!(ports.reserve(uid(1), &BTreeSet::new()), Ok(of(u64::from(TUNNEL.get() - 1))));
        assert_eq!(ports.reserve(uid(2), &BTreeSet::new()), Ok(of(1)));
        let all: BTreeSet<OfPort> = (1..TUNNEL.get()).map(|n| of(n.into())).collect();
        assert_eq!(ports.reserve(uid(3), &all), Err(AllocateError::Exhausted));
    }
}
