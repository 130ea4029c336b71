//! Meters: how fast a local endpoint, or a group's local endpoints together, may send and receive.
//!
//! A meter is no part of a bundle, so a plan says what goes before the flows (new and changed meters) and what after (those
//! that no flow names any more): a packet that should be metered never meets a flow whose meter is not there.
//!
//! # Invariants
//! An id follows from the endpoint's port or the group's number, so a restarted agent finds its meters. Ids outside
//! [`MeterId::is_ours`] are other people's, and left alone. This is the one place that gives ids out.

use std::collections::BTreeMap;

use openflow::{Meter, MeterCommand, MeterMod};
use types::{Direction, EndpointUid, GroupId, OfPort, RateLimit};

/// A meter's number. The upper byte says what it is for, the lower three whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterId(u32);

const GROUP_EGRESS: u32 = 0x5e << 24;
const GROUP_INGRESS: u32 = 0x5f << 24;
const ENDPOINT_EGRESS: u32 = 0x60 << 24;
const ENDPOINT_INGRESS: u32 = 0x61 << 24;
const FOR: u32 = 0xff << 24;

impl MeterId {
    /// The agent tries with this one whether the switch meters at all; it is there for no longer than that.
    pub const PROBE: Self = Self(0x62 << 24);

    /// What one endpoint sends or receives.
    pub const fn endpoint(direction: Direction, port: OfPort) -> Self {
        let base = match direction {
            Direction::Egress => ENDPOINT_EGRESS,
            Direction::Ingress => ENDPOINT_INGRESS,
        };
        Self(base | port.get() as u32)
    }

    /// What a group's endpoints on this node send or receive together.
    pub const fn group(direction: Direction, group: GroupId) -> Self {
        let base = match direction {
            Direction::Egress => GROUP_EGRESS,
            Direction::Ingress => GROUP_INGRESS,
        };
        Self(base | group.get())
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether a meter with this number is ours.
    pub const fn is_ours(number: u32) -> bool {
        matches!(number & FOR, GROUP_EGRESS | GROUP_INGRESS | ENDPOINT_EGRESS | ENDPOINT_INGRESS)
    }
}

/// Whether the switch was seen to meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metering {
    /// It does.
    Enforced {
        /// It has room for so many of ours: groups whose meters do not fit are refused.
        limit: u32,
    },
    /// It does not: groups that have a rate are refused.
    Missing,
}

impl Default for Metering {
    fn default() -> Self {
        Self::Enforced { limit: u32::MAX }
    }
}

/// The meters there should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterSet(BTreeMap<MeterId, RateLimit>);

impl MeterSet {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The meters as OpenFlow values, in order of their ids.
    pub fn meters(&self) -> impl Iterator<Item = Meter> + '_ {
        self.0.iter().map(|(id, limit)| meter(*id, *limit))
    }

    /// The way from what a switch has to what there should be.
    pub fn plan(&self, installed: &[Meter]) -> MeterPlan {
        let installed = installed.iter().filter(|meter| MeterId::is_ours(meter.id));
        let mut installed: BTreeMap<u32, &Meter> = installed.map(|meter| (meter.id, meter)).collect();
        let mut plan = MeterPlan::default();
        for wanted in self.meters() {
            match installed.remove(&wanted.id) {
                Some(there) if *there == wanted => {}
                Some(_) => plan.modify.push(wanted),
                None => plan.add.push(wanted),
            }
        }
        plan.delete = installed.into_keys().collect();
        plan
    }
}

fn meter(id: MeterId, limit: RateLimit) -> Meter {
    Meter::kbps(id.get(), limit.rate.kbps(), limit.burst_kilobits())
}

/// What to change in the switch's meters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterPlan {
    /// Meters to add, before the flows.
    pub add: Vec<Meter>,
    /// Meters that get another rate, in place: no packet is lost, no flow touched.
    pub modify: Vec<Meter>,
    /// Meters to delete, after the flows.
    pub delete: Vec<u32>,
}

impl MeterPlan {
    /// How many meters are changed.
    pub fn len(&self) -> usize {
        self.add.len() + self.modify.len() + self.delete.len()
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What goes before the flows.
    pub fn before_flows(&self) -> impl Iterator<Item = MeterMod> + '_ {
        let with = |command| move |meter: &Meter| MeterMod { command, meter: meter.clone() };
        self.add.iter().map(with(MeterCommand::Add)).chain(self.modify.iter().map(with(MeterCommand::Modify)))
    }

    /// What goes after them.
    pub fn after_flows(&self) -> impl Iterator<Item = MeterMod> + '_ {
        self.delete.iter().copied().map(MeterMod::delete)
    }
}

/// The meters with those who use them.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    set: MeterSet,
    users: BTreeMap<MeterId, usize>,
    of: BTreeMap<EndpointUid, Box<[MeterId]>>,
    /// Meters that were changed since the last plan, as they were before.
    before: BTreeMap<MeterId, Option<RateLimit>>,
}

impl Meters {
    /// The meters.
    pub(crate) fn set(&self) -> &MeterSet {
        &self.set
    }

    /// What an endpoint uses is this now. Who shares a meter names the same limit in the end.
    pub(crate) fn follow(&mut self, uid: EndpointUid, uses: &BTreeMap<MeterId, RateLimit>) {
        let had = if uses.is_empty() {
            self.of.remove(&uid)
        } else {
            self.of.insert(uid, uses.keys().copied().collect())
        };
        for (id, limit) in uses {
            *self.users.entry(*id).or_default() += 1;
            self.put(*id, Some(*limit));
        }
        for id in had.into_iter().flatten() {
            let users = self.users.entry(id).or_default();
            *users -= 1;
            if *users == 0 {
                self.users.remove(&id);
                self.put(id, None);
            }
        }
    }

    fn put(&mut self, id: MeterId, limit: Option<RateLimit>) {
        let old = match limit {
            Some(limit) => self.set.0.insert(id, limit),
            None => self.set.0.remove(&id),
        };
        self.before.entry(id).or_insert(old);
    }

    /// What leads from the meters of the last plan to those there are now.
    pub(crate) fn take_plan(&mut self) -> MeterPlan {
        let mut plan = MeterPlan::default();
        for (id, old) in std::mem::take(&mut self.before) {
            match (old, self.set.0.get(&id)) {
                (None, Some(new)) => plan.add.push(meter(id, *new)),
                (Some(old), Some(new)) if old != *new => plan.modify.push(meter(id, *new)),
                (Some(_), None) => plan.delete.push(id.get()),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        plan
    }
}
