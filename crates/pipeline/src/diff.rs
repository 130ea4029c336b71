//! The difference between what a switch has and what it should have, as a plan for one bundle.

use std::collections::BTreeSet;

use openflow::{Flow, FlowMod, PackedKey};

use crate::cookie::Cookie;
use crate::flow_set::{FlowEntry, FlowSet, PackedEntry, unpack};
use crate::meters::MeterPlan;
use crate::owners::Owners;
use crate::sabotage::sabotaged;
use crate::table::Table;

/// What to change. A bundle applies it at once; the order within is delete, modify, add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowPlan {
    /// Keys to delete strictly.
    pub delete: Vec<PackedKey>,
    /// Flows that get other actions and keep counters and cookie: `OFPFC_MODIFY_STRICT`.
    pub modify: Vec<(PackedKey, PackedEntry)>,
    /// Flows to add. Also those that get another cookie, which modifying cannot change (OpenFlow 1.5 section 7.3.4.3).
    pub add: Vec<(PackedKey, PackedEntry)>,
    /// Meters: before and after the bundle.
    pub meters: MeterPlan,
}

impl FlowPlan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many flows and meters are changed.
    pub fn len(&self) -> usize {
        self.flow_count() + self.meters.len()
    }

    /// How many flow modifications there are.
    pub fn flow_count(&self) -> usize {
        self.delete.len() + self.modify.len() + self.add.len()
    }

    /// Does to a set what the bundle does to the switch.
    pub fn apply(&self, flows: &mut FlowSet) {
        for key in &self.delete {
            flows.take(key);
        }
        for (key, entry) in self.modify.iter().chain(&self.add) {
            flows.put(key.clone(), entry.clone());
        }
    }

    /// The bundle's messages, in order.
    pub fn flow_mods(&self) -> impl Iterator<Item = FlowMod> {
        let delete = self.delete.iter().filter_map(|key| key.unpack().ok()).map(FlowMod::delete_strict);
        let modify = self.modify.iter().filter_map(|(k, e)| unpack(k, e)).map(FlowMod::modify_strict);
        let add = self.add.iter().filter_map(|(k, e)| unpack(k, e)).map(FlowMod::add);
        delete.chain(modify).chain(add)
    }

    /// What leads from `old` to `new` under one key.
    pub(crate) fn step(&mut self, key: &PackedKey, old: Option<&PackedEntry>, new: Option<&PackedEntry>) {
        if stale_class(key, old) {
            return;
        }
        match (old, new) {
            (None, None) => {}
            (Some(_), None) => self.delete.push(key.clone()),
            (Some(old), Some(new)) if old == new => {}
            (Some(old), Some(new)) if old.cookie == new.cookie => {
                self.modify.push((key.clone(), new.clone()))
            }
            (_, Some(new)) => self.add.push((key.clone(), new.clone())),
        }
    }
}

/// Defect: an endpoint that changes its group keeps its old class in the switch.
fn stale_class(key: &PackedKey, old: Option<&PackedEntry>) -> bool {
    let of_class = |t| matches!(Table::from_number(t), Some(Table::SrcClass | Table::DstClass));
    sabotaged!("stale-classes") && old.is_some() && of_class(key.table())
}

/// Plans the way from `installed` to `desired`. `apply(diff(a, b), a) == b`.
pub fn diff(installed: &FlowSet, desired: &FlowSet) -> FlowPlan {
    let mut plan = FlowPlan::default();
    let (mut have, mut want) = (installed.packed().peekable(), desired.packed().peekable());
    loop {
        match (have.peek().copied(), want.peek().copied()) {
            (None, None) => return plan,
            (Some((a, old)), Some((b, new))) if a == b => {
                plan.step(a, Some(old), Some(new));
                have.next();
                want.next();
            }
            (Some((a, old)), other) if other.is_none_or(|(b, _)| a < b) => {
                plan.step(a, Some(old), None);
                have.next();
            }
            (_, Some((b, new))) => {
                plan.step(b, None, Some(new));
                want.next();
            }
            (Some(_), None) => return plan,
        }
    }
}

/// What a switch holds, compared with what it should hold: flow by flow, as it tells them, so that they never all exist
/// twice.
#[derive(Debug)]
pub struct Comparison<'d> {
    desired: &'d FlowSet,
    /// Where the keys stand in memory that the switch has: their identity, at a word each.
    seen: Vec<usize>,
    found: Found,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The way to what there should be.
    pub plan: FlowPlan,
    /// How many flows are ours.
    pub ours: usize,
    /// How many are not. They are left alone.
    pub foreign: usize,
    /// The owners of addresses that our flows speak of.
    pub owners: Owners,
}

impl<'d> Comparison<'d> {
    /// A comparison with what there should be.
    pub fn new(desired: &'d FlowSet) -> Self {
        Self { desired, seen: Vec::with_capacity(desired.len()), found: Found::default() }
    }

    /// Compares flows that are all there are.
    pub fn of(flows: impl IntoIterator<Item = Flow>, desired: &'d FlowSet) -> Found {
        let mut comparison = Self::new(desired);
        flows.into_iter().for_each(|flow| comparison.see(flow));
        comparison.finish()
    }

    /// Takes in a flow the switch has.
    ///
    /// One of ours that somebody gave a timeout or flags counts as having a cookie that nothing renders: it is written
    /// anew.
    pub fn see(&mut self, flow: Flow) {
        let cookie = Cookie::from_bits(flow.cookie);
        if !cookie.is_ours() {
            self.found.foreign += 1;
            return;
        }
        self.found.ours += 1;
        let plain = (flow.idle_timeout, flow.hard_timeout, flow.flags.0, flow.importance) == (0, 0, 0, 0);
        let cookie = if plain { cookie } else { Cookie::from_bits(0) };
        let key = flow.key();
        self.found.owners.see(&key, cookie);
        // What has no wire form came over no wire.
        let entry = PackedEntry::new(&FlowEntry { cookie, actions: flow.actions });
        let (Ok(key), Ok(entry)) = (PackedKey::new(&key), entry) else { return };
        match self.desired.find(&key) {
            Some((key, wanted)) => {
                self.seen.push(address(key));
                self.found.plan.step(key, Some(&entry), Some(wanted));
            }
            None => self.found.plan.step(&key, Some(&entry), None),
        }
    }

    /// Nothing more comes: what was not seen is missing.
    pub fn finish(mut self) -> Found {
        // A table that changes while it is read may tell a flow twice.
        self.seen.sort_unstable();
        self.seen.dedup();
        if self.seen.len() < self.desired.len() {
            let missing = |(key, _): &(&PackedKey, _)| self.seen.binary_search(&address(key)).is_err();
            for (key, wanted) in self.desired.packed().filter(missing) {
                self.found.plan.step(key, None, Some(wanted));
            }
        }
        let plan = &mut self.found.plan;
        plan.delete.sort_unstable();
        plan.delete.dedup();
        for written in [&mut plan.modify, &mut plan.add] {
            written.sort_unstable();
            written.dedup();
        }
        self.found
    }
}

/// The identity of a key of a set that does not change meanwhile.
fn address(key: &PackedKey) -> usize {
    std::ptr::from_ref(key).addr()
}

/// Plans to put back what somebody else changed: `suspects` are the keys of flows that were added, altered or removed
/// by others. What should be there is written, whatever there is now; what should not is deleted.
pub fn repair(suspects: &BTreeSet<PackedKey>, desired: &FlowSet) -> FlowPlan {
    let mut plan = FlowPlan::default();
    for key in suspects {
        match desired.get_packed(key) {
            Some(entry) => plan.add.push((key.clone(), entry.clone())),
            None => plan.delete.push(key.clone()),
        }
    }
    plan
}
