//! Policies: rules with names resolved to numbers. A policy compiles whole or not at all.

use std::collections::BTreeMap;

use model::{Peer, Policy};
use node_state::{Fragment, PolicyRule, RulePeer, RuleService};
use types::{Name, RuleSlot, VrfId};

use crate::Refused;
use crate::facts::Facts;

pub(crate) fn fragment(policy: &Policy, facts: &Facts) -> Result<(VrfId, Fragment), Refused> {
    let (tenant, name) = (&policy.spec.tenant, &policy.spec.name);
    let vrf = facts.tenant(tenant)?;
    let id = facts.policy(tenant, name)?;
    let mut rules: BTreeMap<RuleSlot, PolicyRule> = BTreeMap::new();
    for spec in &policy.spec.rules {
        let slot = *policy
            .slots
            .get(&spec.name)
            .ok_or_else(|| Refused::Malformed(format!("rule {} has no slot", spec.name)))?;
        let rule = PolicyRule {
            slot,
            name: spec.name.clone(),
            direction: spec.direction,
            priority: spec.priority,
            peer: peer(facts, tenant, &spec.peer)?,
            service: spec.services.clone().map_or(RuleService::Any, RuleService::Of),
            verdict: spec.action,
        };
        if let Some(other) = rules.insert(slot, rule) {
            let text = format!("rules {} and {} share slot {slot}", other.name, spec.name);
            return Err(Refused::Malformed(text));
        }
    }
    let rules = rules.into_values().collect();
    Ok((vrf, Fragment::Policy(node_state::Policy { id, vrf, name: name.clone(), rules })))
}

fn peer(facts: &Facts, tenant: &Name, peer: &Peer) -> Result<RulePeer, Refused> {
    Ok(match peer {
        Peer::Any => RulePeer::Any,
        Peer::Group(group) => RulePeer::Group(facts.group(tenant, group)?.id),
        Peer::Network(network) => RulePeer::Network(facts.network(tenant, network)?.vni),
        Peer::Cidr(block) => RulePeer::Cidr(block.clone()),
        Peer::Range(range) => RulePeer::Range(*range),
    })
}
