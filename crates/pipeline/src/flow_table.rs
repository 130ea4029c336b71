//! The flows with their owners: which unit of rendering each is of, so that one unit can be rendered again alone.
//!
//! # Invariants
//! Equal actions exist once: an endpoint's ten flows do what those of every other one do but for a few.
//! A key has one entry. Two units that put different entries under one key cannot both hold, and nobody can tell which
//! is meant: the key drops. No valid state leads there (the view leaves conflicts out); tests run with the assertion on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use node_state::FragmentKey;
use openflow::{PackedActions, PackedKey};
use types::{EndpointUid, GroupId, RuleId, Vni, VrfId};

use crate::classes::Prefix;
use crate::dense::Dense;
use crate::diff::FlowPlan;
use crate::flow_set::{FlowSet, PackedEntry};
use crate::sabotage::sabotaged;
use crate::table::Table;
use crate::tables::Flows;

/// What is rendered as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    /// Flows that are everybody's.
    Fixed,
    /// A VRF's defaults.
    Vrf(VrfId),
    /// A network's gateways and broadcast addresses.
    Network(Vni),
    /// Where a network's group frames go.
    Flood(Vni),
    /// A tunnel source admitted to a network.
    Tunnel(Vni, IpAddr),
    /// An endpoint.
    Member(EndpointUid),
    /// An endpoint's limits and marks.
    Qos(EndpointUid),
    /// A prefix's classes.
    Prefix(VrfId, Prefix),
    /// A group whose endpoints are denied.
    Denied(VrfId, GroupId),
    /// What endpoints of a group, or of none, are judged by.
    Generation(VrfId, Option<GroupId>),
    /// A rule's decision.
    Rule(RuleId),
}

impl Unit {
    /// The object of a node's state whose flows these are; the pipeline's own are nobody's.
    pub(crate) fn object(self) -> Option<FragmentKey> {
        match self {
            Self::Fixed => None,
            Self::Vrf(vrf) | Self::Prefix(vrf, _) | Self::Generation(vrf, None) => {
                Some(FragmentKey::Vrf(vrf))
            }
            Self::Network(vni) | Self::Flood(vni) | Self::Tunnel(vni, _) => Some(FragmentKey::Network(vni)),
            Self::Member(uid) | Self::Qos(uid) => Some(FragmentKey::Endpoint(uid)),
            Self::Denied(_, group) | Self::Generation(_, Some(group)) => Some(FragmentKey::Group(group)),
            Self::Rule(id) => Some(FragmentKey::Policy(id.policy())),
        }
    }
}

/// The flows, by owner and by key.
#[derive(Debug, Default)]
pub(crate) struct FlowTable {
    flows: FlowSet,
    units: BTreeMap<Unit, Box<[PackedKey]>>,
    /// Keys that more than one unit has put something under.
    contested: BTreeMap<PackedKey, BTreeMap<Unit, PackedEntry>>,
    /// Units with a flow that drops because it is too large, and its table.
    too_large: BTreeMap<Unit, Table>,
    actions: Pool,
    /// Flows of the first rendering, with their units, until [`FlowTable::gather`] makes a set of them: a tree that grows
    /// in order is half empty, one that is made of what is sorted is full.
    first: Vec<(PackedKey, PackedEntry, Option<Unit>)>,
}

/// Entries as they were before a change.
#[derive(Debug)]
pub(crate) enum Before {
    /// There was nothing.
    Nothing,
    /// Those that were changed since.
    Entries(BTreeMap<PackedKey, Option<PackedEntry>>),
}

impl Before {
    fn note(&mut self, key: PackedKey, old: Option<PackedEntry>) {
        if let Self::Entries(entries) = self {
            entries.entry(key).or_insert(old);
        }
    }
}

/// Bytes of actions worth looking for.
const SHARED_AT_MOST: usize = 120;

/// Actions, each once.
#[derive(Debug, Default)]
struct Pool {
    known: BTreeSet<PackedActions>,
    /// How often one may have lost its last user since they were looked through.
    dropped: usize,
}

impl Pool {
    /// The same actions, shared.
    fn share(&mut self, actions: PackedActions) -> PackedActions {
        // Long ones are answers in somebody's own name.
        if actions.len() > SHARED_AT_MOST {
            return actions;
        }
        if let Some(known) = self.known.get(&actions) {
            return known.clone();
        }
        self.known.insert(actions.clone());
        actions
    }

    /// Somebody uses some no longer. Looking through all of them is paid for by as many of these.
    fn dropped(&mut self) {
        self.dropped += 1;
        if self.dropped > self.known.len() {
            self.known.retain(PackedActions::is_shared);
            self.dropped = 0;
        }
    }
}

impl FlowTable {
    /// The flows.
    pub(crate) fn flows(&self) -> &FlowSet {
        &self.flows
    }

    /// The flows.
    pub(crate) fn into_flows(self) -> FlowSet {
        self.flows
    }

    /// Puts one flow that is no unit's.
    pub(crate) fn put(&mut self, key: PackedKey, entry: Option<PackedEntry>, before: &mut Before) {
        let entry = entry.map(|e| PackedEntry { actions: self.actions.share(e.actions), ..e });
        if matches!(before, Before::Nothing) {
            self.first.extend(entry.map(|entry| (key, entry, None)));
            return;
        }
        let old = match entry {
            Some(entry) => self.flows.put(key.clone(), entry),
            None => self.flows.take(&key),
        };
        if old.is_some() {
            self.actions.dropped();
        }
        before.note(key, old);
    }

    /// Units with a flow that drops because it is too large, and its table.
    pub(crate) fn too_large(&self) -> impl Iterator<Item = (Unit, Table)> + '_ {
        self.too_large.iter().map(|(unit, table)| (*unit, *table))
    }

    /// Takes what a unit has out.
    pub(crate) fn clear(&mut self, unit: Unit, before: &mut Before) {
        self.too_large.remove(&unit);
        for key in self.units.remove(&unit).unwrap_or_default() {
            let entry = match self.contested.get_mut(&key) {
                None => None,
                Some(claims) => {
                    claims.remove(&unit);
                    let entry = resolve(claims);
                    if claims.len() < 2 {
                        self.contested.remove(&key);
                    }
                    entry
                }
            };
            self.put(key, entry, before);
        }
    }

    /// Puts what a unit, which has nothing now, has from now on.
    pub(crate) fn set(&mut self, unit: Unit, flows: Flows, before: &mut Before) {
        let (flows, too_large) = flows.into_parts();
        self.too_large.extend(too_large.map(|table| (unit, table)));
        let mut own: BTreeMap<PackedKey, PackedEntry> = BTreeMap::new();
        for (key, entry) in flows {
            match own.get_mut(&key) {
                None => drop(own.insert(key, entry)),
                Some(other) if *other == entry || sabotaged!("shared-vrf") => {}
                Some(other) => other.actions = PackedActions::drop_all(),
            }
        }
        let mut keys = Vec::with_capacity(own.len());
        for (key, entry) in own {
            keys.push(key.clone());
            if matches!(before, Before::Nothing) {
                let actions = self.actions.share(entry.actions);
                self.first.push((key, PackedEntry { actions, ..entry }, Some(unit)));
                continue;
            }
            let entry = self.claim(unit, &key, entry);
            self.put(key, Some(entry), before);
        }
        if !keys.is_empty() {
            self.units.insert(unit, keys.into_boxed_slice());
        }
    }

    /// The entry for a key that a unit wants for itself.
    fn claim(&mut self, unit: Unit, key: &PackedKey, entry: PackedEntry) -> PackedEntry {
        let Some(present) = self.flows.get_packed(key) else { return entry };
        if !self.contested.contains_key(key) {
            let owner = self.units.iter().find(|(_, keys)| keys.contains(key)).map(|(owner, _)| *owner);
            let Some(owner) = owner else { return entry };
            self.contested.insert(key.clone(), BTreeMap::from([(owner, present.clone())]));
        }
        let claims = self.contested.entry(key.clone()).or_default();
        claims.insert(unit, entry.clone());
        resolve(claims).unwrap_or(entry)
    }

    /// Makes a set of the flows of the first rendering; nothing, when it was not the first.
    pub(crate) fn gather(&mut self) {
        if self.first.is_empty() {
            return;
        }
        self.units.make_dense();
        let mut first = std::mem::take(&mut self.first);
        // In place, as all that follows: another copy of so many would be the most memory that is ever used.
        first.sort_unstable_by(|(a, _, of_a), (b, _, of_b)| (a, of_a).cmp(&(b, of_b)));
        for group in first.chunk_by_mut(|(a, ..), (b, ..)| a == b).filter(|group| group.len() > 1) {
            let claims = group.iter().filter_map(|(_, entry, unit)| Some(((*unit)?, entry.clone())));
            let claims: BTreeMap<Unit, PackedEntry> = claims.collect();
            let entry = if claims.len() > 1 { resolve(&claims) } else { None };
            if let (Some((key, last, _)), Some(entry)) = (group.last_mut(), entry) {
                *last = entry;
                self.contested.insert(key.clone(), claims);
            }
        }
        // The last of those with one key stands.
        self.flows = first.into_iter().map(|(key, entry, _)| (key, entry)).collect();
    }

    /// What leads from what was `before` to what is now.
    pub(crate) fn plan(&self, before: &Before) -> FlowPlan {
        let mut plan = FlowPlan::default();
        match before {
            Before::Nothing => {
                plan.add.reserve_exact(self.flows.len());
                self.flows.packed().for_each(|(key, entry)| plan.step(key, None, Some(entry)));
            }
            Before::Entries(entries) => {
                entries
                    .iter()
                    .for_each(|(key, old)| plan.step(key, old.as_ref(), self.flows.get_packed(key)));
            }
        }
        plan
    }
}

/// What stands under a key that several claim: theirs if they agree, else nothing passes.
fn resolve(claims: &BTreeMap<Unit, PackedEntry>) -> Option<PackedEntry> {
    let first = claims.values().next()?;
    let distinct: BTreeSet<&PackedEntry> = claims.values().collect();
    // Defect: tenants are not told apart, so most keys are contested; the first one wins.
    if distinct.len() == 1 || sabotaged!("shared-vrf") {
        return Some(first.clone());
    }
    debug_assert!(false, "two flows under one key: {claims:?}");
    Some(PackedEntry { cookie: first.cookie, actions: PackedActions::drop_all() })
}

#[cfg(test)]
mod tests {
    use openflow::{Action, Match, Port};

    use super::*;
    use crate::cookie::Object;

    fn flows(priorities: std::ops::Range<u16>, actions: &[Action]) -> Flows {
        let mut flows = Flows::default();
        for priority in priorities {
            flows.add(Table::Flood, priority, Object::Pipeline, Match::any(), actions.to_vec());
        }
        flows
    }

    #[test]
    fn equal_actions_exist_once_and_go_with_their_last_user() {
        let mut table = FlowTable::default();
        let mut before = Before::Entries(BTreeMap::new());
        let unit = |n| Unit::Vrf(VrfId::new(n).unwrap());
        table.set(unit(1), flows(0..500, &[Action::output(Port(1))]), &mut before);
        table.set(unit(2), flows(500..1000, &[Action::output(Port(1))]), &mut before);
        assert_eq!(table.actions.known.len(), 1);
        for n in 1..100 {
            table.clear(unit(1), &mut before);
            table.set(unit(1), flows(0..500, &[Action::output(Port(n))]), &mut before);
            assert!(table.actions.known.len() <= 4, "{n}");
        }
        assert_eq!(table.plan(&before).len(), 1000);
    }

    #[test]
    fn flows_of_the_first_rendering_have_their_owners_as_later_ones_have() {
        let unit = |n| Unit::Vrf(VrfId::new(n).unwrap());
        let same = [Action::output(Port(1))];
        let mut tables = [FlowTable::default(), FlowTable::default()];
        for (table, mut before) in tables.iter_mut().zip([Before::Nothing, Before::Entries(BTreeMap::new())])
        {
            table.set(unit(1), flows(0..9, &same), &mut before);
            table.set(unit(2), flows(5..12, &same), &mut before);
            table.gather();
            assert_eq!(table.plan(&before).len(), 12);
            let mut before = Before::Entries(BTreeMap::new());
            table.clear(unit(1), &mut before);
            assert_eq!(table.plan(&before).delete.len(), 5, "what the other one has, too, stays");
        }
        assert_eq!(tables[0].flows(), tables[1].flows());
    }

    #[test]
    fn a_flow_too_large_drops_and_is_told_for_as_long_as_it_is() {
        let mut table = FlowTable::default();
        let (mut before, unit) = (Before::Entries(BTreeMap::new()), Unit::Flood(Vni::new(7).unwrap()));
        table.set(unit, flows(0..2, &vec![Action::output(Port(1)); 5000]), &mut before);
        assert_eq!(table.too_large().collect::<Vec<_>>(), [(unit, Table::Flood)]);
        assert!(table.flows().iter().all(|(_, entry)| entry.actions.is_empty()));
        table.clear(unit, &mut before);
        table.set(unit, flows(0..2, &vec![Action::output(Port(1)); 50]), &mut before);
        assert_eq!(table.too_large().count(), 0);
    }
}
