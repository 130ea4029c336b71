//! The flows with their owners: which unit of rendering each is of, so that one unit can be rendered again alone.
//!
//! # Invariants
//! A key has one entry. Two units that put different entries under one key cannot both hold, and nobody can tell which
//! is meant: the key drops. No valid state leads there (the view leaves conflicts out); tests run with the assertion on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use openflow::{PackedActions, PackedKey};
use types::{EndpointUid, GroupId, RuleId, Vni, VrfId};

use crate::classes::Prefix;
use crate::diff::FlowPlan;
use crate::flow_set::{FlowSet, PackedEntry};
use crate::sabotage::sabotaged;

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
    /// A prefix's classes.
    Prefix(VrfId, Prefix),
    /// A group whose endpoints are denied.
    Denied(VrfId, GroupId),
    /// A rule's decision.
    Rule(RuleId),
}

/// The flows, by owner and by key.
#[derive(Debug, Default)]
pub(crate) struct FlowTable {
    flows: FlowSet,
    units: BTreeMap<Unit, Box<[PackedKey]>>,
    /// Keys that more than one unit has put something under.
    contested: BTreeMap<PackedKey, BTreeMap<Unit, PackedEntry>>,
}

/// Entries as they were before a change.
pub(crate) type Before = BTreeMap<PackedKey, Option<PackedEntry>>;

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
        let old = match entry {
            Some(entry) => self.flows.put(key.clone(), entry),
            None => self.flows.take(&key),
        };
        before.entry(key).or_insert(old);
    }

    /// Takes what a unit has out.
    pub(crate) fn clear(&mut self, unit: Unit, before: &mut Before) {
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
    pub(crate) fn set(&mut self, unit: Unit, flows: Vec<(PackedKey, PackedEntry)>, before: &mut Before) {
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

    /// What leads from what was `before` to what is now.
    pub(crate) fn plan(&self, before: &Before) -> FlowPlan {
        let mut plan = FlowPlan::default();
        for (key, old) in before {
            plan.step(key, old.as_ref(), self.flows.get_packed(key));
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
