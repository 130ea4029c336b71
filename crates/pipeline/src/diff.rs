//! The difference between what a switch has and what it should have, as a plan for one bundle.

use openflow::{FlowKey, FlowMod};

use crate::flow_set::{FlowEntry, FlowSet, to_flow};
use crate::sabotage::sabotaged;
use crate::table::Table;

/// What to change. A bundle applies it at once; the order within is delete, modify, add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowPlan {
    /// Keys to delete strictly.
    pub delete: Vec<FlowKey>,
    /// Flows that get other actions and keep counters and cookie: `OFPFC_MODIFY_STRICT`.
    pub modify: Vec<(FlowKey, FlowEntry)>,
    /// Flows to add. Also those that get another cookie, which modifying cannot change (OpenFlow 1.5 section 7.3.4.3).
    pub add: Vec<(FlowKey, FlowEntry)>,
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
            flows.remove(key);
        }
        for (key, entry) in self.modify.iter().chain(&self.add) {
            flows.insert(key.clone(), entry.clone());
        }
    }

    /// The bundle's messages, in order.
    pub fn flow_mods(&self) -> impl Iterator<Item = FlowMod> {
        let delete = self.delete.iter().cloned().map(FlowMod::delete_strict);
        let modify = self.modify.iter().map(|(key, entry)| FlowMod::modify_strict(to_flow(key, entry)));
        let add = self.add.iter().map(|(key, entry)| FlowMod::add(to_flow(key, entry)));
        delete.chain(modify).chain(add)
    }
}

/// Plans the way from `installed` to `desired`. `apply(diff(a, b), a) == b`.
pub fn diff(installed: &FlowSet, desired: &FlowSet) -> FlowPlan {
    // Defect: an endpoint that changes its group keeps its old class in the switch.
    let stale_classes = sabotaged!("stale-classes");
    let frozen = |key: &FlowKey| {
        stale_classes
            && matches!(Table::from_number(key.table), Some(Table::SrcClass | Table::DstClass))
            && installed.get(key).is_some()
    };
    let gone = |key: &&FlowKey| desired.get(key).is_none() && !frozen(key);
    let delete = installed.iter().map(|(key, _)| key).filter(gone).cloned().collect();
    let mut plan = FlowPlan { delete, ..FlowPlan::default() };
    for (key, entry) in desired.iter().filter(|(key, _)| !frozen(key)) {
        match installed.get(key) {
            Some(old) if old == entry => {}
            Some(old) if old.cookie == entry.cookie => plan.modify.push((key.clone(), entry.clone())),
            _ => plan.add.push((key.clone(), entry.clone())),
        }
    }
    plan
}
