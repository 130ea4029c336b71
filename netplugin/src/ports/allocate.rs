//! OpenFlow port numbers of endpoint ports, with quarantine.
//!
//! Flows name an endpoint by its port number. A number that is given to another endpoint while flows of its last owner
//! are still in the switch would let the new owner send as the old one. So a number is free only when no port has it
//! *and* no flow can name it: the flows in the switch are known (the last bundle was acknowledged) and were rendered
//! without it. Numbers are taken in rotation, which keeps reuse rare on top of that.
//!
//! Flows of a number that was given out may be in the switch before the port is. So that no other port can have it
//! meanwhile, numbers come from the half in which Open vSwitch itself assigns none (`alloc_ofp_port()` in
//! ofproto/ofproto.c: "to reserve the upper half for assignment by controllers").

use std::collections::{BTreeMap, BTreeSet};

use types::{EndpointUid, OfPort};

/// The tunnel port's number: the highest there is.
pub const TUNNEL: OfPort = OfPort::MAX;

/// The first number that Open vSwitch does not give to a port by itself.
const FIRST: u16 = 32768;
/// A process starts its rotation at a multiple of this: so many numbers are given out for one write of the file.
const BLOCK: u16 = 64;

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
        let next = if next < TUNNEL.get() { next.max(FIRST) } else { FIRST };
        Self { next, reserved: BTreeMap::new(), named_by_flows: None }
    }

    /// Where the next process should start: behind the block of the next number.
    pub fn resume_at(&self) -> u16 {
        (self.next / BLOCK + 1).saturating_mul(BLOCK)
    }

    /// The number given out for an endpoint whose port is not there yet.
    pub fn reserved(&self, uid: EndpointUid) -> Option<OfPort> {
        self.reserved.get(&uid).copied()
    }

    /// All of these.
    pub fn reservations(&self) -> impl Iterator<Item = (EndpointUid, OfPort)> {
        self.reserved.iter().map(|(uid, ofport)| (*uid, *ofport))
    }

    /// Whether it is known which numbers flows in the switch may name.
    pub fn is_settled(&self) -> bool {
        self.named_by_flows.is_some()
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
    pub fn reserve(
        &mut self,
        uid: EndpointUid,
        in_use: impl Fn(OfPort) -> bool,
    ) -> Result<OfPort, AllocateError> {
        if let Some(ofport) = self.reserved.get(&uid) {
            return Ok(*ofport);
        }
        let named = self.named_by_flows.as_ref().ok_or(AllocateError::Unsettled)?;
        let taken = |n: &OfPort| {
            *n == TUNNEL || in_use(*n) || named.contains(n) || self.reserved.values().any(|r| r == n)
        };
        let last = TUNNEL.get() - 1;
        // Defect: the lowest free number, so that one is used again at once.
        if crate::sabotaged!("lowest-port-number") {
            self.next = FIRST;
        }
        let rotation = (self.next..=last).chain(FIRST..self.next);
        let free = rotation.filter_map(|n| OfPort::new(n.into()).ok()).find(|n| !taken(n));
        let free = free.ok_or(AllocateError::Exhausted)?;
        self.next = if free.get() == last { FIRST } else { free.get() + 1 };
        self.reserved.insert(uid, free);
        Ok(free)
    }

    /// The port is in the bridge, or was given up; whether a number was given out.
    pub fn release(&mut self, uid: EndpointUid) -> bool {
        self.reserved.remove(&uid).is_some()
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

    /// The nth number that is given out.
    fn nth(n: u16) -> OfPort {
        of((FIRST + n).into())
    }

    fn settled() -> OfPorts {
        let mut ports = OfPorts::new(0);
        ports.flows_are([]);
        ports
    }

    #[test]
    fn gives_nothing_while_the_flows_in_the_switch_are_unknown() {
        let mut ports = OfPorts::new(0);
        assert_eq!(ports.reserve(uid(1), |_| false), Err(AllocateError::Unsettled));
        ports.flows_are([]);
        assert_eq!(ports.reserve(uid(1), |_| false), Ok(nth(0)));
        ports.flows_unknown();
        assert_eq!(ports.reserve(uid(2), |_| false), Err(AllocateError::Unsettled));
    }

    #[test]
    fn a_number_is_not_reused_before_its_flows_are_gone() {
        let mut ports = settled();
        ports.next = FIRST + 5;
        ports.flows_are([nth(5), nth(6)]);
        // Port 5 is out of the bridge, its flows are not out of the switch.
        assert_eq!(ports.reserve(uid(1), |n| n == nth(6)), Ok(nth(7)));
        ports.flows_may_be([nth(7)]);
        ports.release(uid(1));
        ports.next = FIRST + 5;
        assert_eq!(ports.reserve(uid(2), |_| false), Ok(nth(8)));
        ports.flows_are([nth(8)]);
        ports.next = FIRST + 5;
        assert_eq!(ports.reserve(uid(3), |_| false), Ok(nth(5)));
    }

    #[test]
    fn one_endpoint_keeps_its_number_and_two_never_share_one() {
        let mut ports = settled();
        assert_eq!(ports.reserve(uid(1), |_| false), Ok(nth(0)));
        assert_eq!(ports.reserve(uid(1), |_| false), Ok(nth(0)));
        assert_eq!(ports.reserve(uid(2), |_| false), Ok(nth(1)));
        assert_eq!(ports.reservations().collect::<Vec<_>>(), [(uid(1), nth(0)), (uid(2), nth(1))]);
    }

    #[test]
    fn rotates_and_never_gives_the_tunnels_number_nor_one_the_switch_gives() {
        let mut ports = settled();
        ports.next = TUNNEL.get() - 1;
        assert_eq!(ports.reserve(uid(1), |_| false), Ok(of(u64::from(TUNNEL.get() - 1))));
        assert_eq!(ports.reserve(uid(2), |_| false), Ok(nth(0)));
        let all: BTreeSet<OfPort> = (FIRST..TUNNEL.get()).map(|n| of(n.into())).collect();
        assert_eq!(ports.reserve(uid(3), |n| all.contains(&n)), Err(AllocateError::Exhausted));
    }

    #[test]
    fn the_next_process_starts_behind_every_number_given_out() {
        for next in [0, FIRST, FIRST + 63, FIRST + 64, TUNNEL.get() - 2, TUNNEL.get() - 1, u16::MAX] {
            let mut ports = OfPorts::new(next);
            ports.flows_are([]);
            let given = ports.reserve(uid(1), |_| false).unwrap();
            let resumed = OfPorts::new(ports.resume_at()).next;
            let is_behind = resumed > given.get() && resumed - given.get() <= BLOCK + 1;
            let has_come_round = given.get() + BLOCK >= TUNNEL.get() && resumed <= FIRST + BLOCK;
            assert!(is_behind || has_come_round, "{next}: {given} then {resumed}");
        }
    }
}
