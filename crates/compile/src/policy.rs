//! Policies: rules with names resolved to numbers. A policy compiles whole or not at all.

use std::collections::BTreeMap;

use model::{Peer, Policy, RuleSpec};
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
            service: service(spec)?,
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

fn service(rule: &RuleSpec) -> Result<RuleService, Refused> {
    match (rule.protocol, rule.port) {
        (None, None) => Ok(RuleService::Any),
        (Some(protocol), None) => Ok(RuleService::Protocol(protocol)),
        (Some(protocol), Some(ports)) if protocol.has_ports() => Ok(RuleService::Ports { protocol, ports }),
        (Some(protocol), Some(_)) => {
            Err(Refused::Malformed(format!("rule {}: protocol {protocol} has no ports", rule.name)))
        }
        (None, Some(_)) => Err(Refused::Malformed(format!("rule {} has a port but no protocol", rule.name))),
    }
}
