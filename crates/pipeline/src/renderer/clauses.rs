//! Flows that satisfy clauses of rules. Several rules share one, so none of them owns it.

use std::collections::{BTreeMap, BTreeSet};

use openflow::PackedKey;
use types::{RuleId, VrfId};

use super::Sharers;
use crate::classes::AddressSet;
use crate::flow_table::{Before, FlowTable};
use crate::tables::policy::{MAX_SHARERS, Shares, shared};

/// Which rules share what.
#[derive(Debug, Default)]
pub(super) struct Clauses {
    sharers: Sharers,
    rules: BTreeMap<RuleId, Rule>,
    /// Which rules name a set: a set that gets other classes changes them.
    naming: BTreeSet<(VrfId, AddressSet, RuleId)>,
    touched: BTreeSet<PackedKey>,
}

#[derive(Debug)]
struct Rule {
    vrf: VrfId,
    sets: BTreeSet<AddressSet>,
    keys: Box<[PackedKey]>,
}

impl Clauses {
    pub(super) fn naming(&self, vrf: VrfId, set: &AddressSet) -> impl Iterator<Item = RuleId> + use<'_> {
        let range = (vrf, set.clone(), RuleId::MIN)..=(vrf, set.clone(), RuleId::MAX);
        self.naming.range(range).map(|(_, _, id)| *id)
    }

    pub(super) fn remove(&mut self, id: RuleId) {
        let Some(rule) = self.rules.remove(&id) else { return };
        for set in rule.sets {
            self.naming.remove(&(rule.vrf, set, id));
        }
        for key in rule.keys {
            if let Some((_, sharers)) = self.sharers.get_mut(&key) {
                sharers.remove(&id);
                if sharers.is_empty() {
                    self.sharers.remove(&key);
                }
            }
            self.touched.insert(key);
        }
    }

    pub(super) fn add(
        &mut self,
        vrf: VrfId,
        id: RuleId,
        sets: impl Iterator<Item = AddressSet>,
        shares: Shares,
    ) {
        let sets: BTreeSet<AddressSet> = sets.collect();
        self.naming.extend(sets.iter().map(|set| (vrf, set.clone(), id)));
        let keys = shares.keys().cloned().collect();
        self.touched.extend(shares.keys().cloned());
        for (key, clause) in shares {
            self.sharers.entry(key).or_insert_with(|| (vrf, BTreeMap::new())).1.insert(id, clause);
        }
        self.rules.insert(id, Rule { vrf, sets, keys });
    }

    /// Of each VRF with a flow that would hold too many conjunctions, the rule that is one too many.
    pub(super) fn overfull(&self) -> BTreeMap<VrfId, RuleId> {
        let mut found = BTreeMap::new();
        for key in &self.touched {
            if let Some((vrf, sharers)) = self.sharers.get(key)
                && let Some(rule) = sharers.keys().nth(MAX_SHARERS)
            {
                found.entry(*vrf).or_insert(*rule);
            }
        }
        found
    }

    /// Writes the flows that changed.
    pub(super) fn flush(&mut self, table: &mut FlowTable, before: &mut Before, rendered: &mut u64) {
        for key in std::mem::take(&mut self.touched) {
            let entry = self.sharers.get(&key).map(|(_, sharers)| shared(&key, sharers));
            *rendered += u64::from(entry.is_some());
            table.put(key, entry, before);
        }
    }
}
