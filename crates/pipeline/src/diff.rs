//! The difference between what a switch has and what it should have, as a plan for one bundle.

use std::collections::BTreeSet;

use openflow::{FlowMod, PackedKey};

use crate::flow_set::{FlowSet, PackedEntry, unpack};
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
}

impl FlowPlan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many flow modifications there are.
    pub fn len(&self) -> usize {
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
