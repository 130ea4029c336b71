//! Policies: rules with names resolved to numbers. A policy compiles whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use model::{Kind, Peer, RuleSpec};
use node_state::{Fragment, PolicyRule, RulePeer, RuleService};
use types::{Name, RuleSlot, VrfId};

use crate::Refused;
use crate::compiled::Compiled;
use crate::names::{Names, in_tenant};

pub(crate) fn compile(names: &Names<'_>, out: &mut Compiled) {
    let attached: BTreeSet<(&Name, &Name)> = names
        .view
        .groups
        .iter()
        .flat_map(|((t, _), g)| g.spec.policies.iter().map(move |p| (t, p)))
        .collect();
    for (tenant, name) in names.view.policies.keys() {
        let object = in_tenant(Kind::Policy, tenant, name);
        match fragment(names, tenant, name) {
            Ok((vrf, fragment)) if attached.contains(&(tenant, name)) => {
                out.put(vrf, object, Fragment::Policy(fragment));
            }
            // Checked, so that its status is known, but no node has a use for it.
            Ok(_) => {}
            Err(why) => out.refuse(object, why),
        }
    }
}

fn fragment(names: &Names<'_>, tenant: &Name, name: &Name) -> Result<(VrfId, node_state::Policy), Refused> {
    let vrf = names.tenant(tenant)?.vrf;
    let policy = names.policy(tenant, name)?;
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
            peer: peer(names, tenant, &spec.peer)?,
            service: service(spec)?,
            verdict: spec.action,
        };
        if let Some(other) = rules.insert(slot, rule) {
            let text = format!("rules {} and {} share slot {slot}", other.name, spec.name);
            return Err(Refused::Malformed(text));
        }
    }
    let rules = rules.into_values().collect();
    Ok((vrf, node_state::Policy { id: policy.id, vrf, name: name.clone(), rules }))
}

fn peer(names: &Names<'_>, tenant: &Name, peer: &Peer) -> Result<RulePeer, Refused> {
    Ok(match peer {
        Peer::Any => RulePeer::Any,
        Peer::Group(group) => RulePeer::Group(names.group(tenant, group)?.id),
        Peer::Network(network) => RulePeer::Network(names.network(tenant, network)?.vni),
        Peer::Cidr(cidr) => RulePeer::Cidr(*cidr),
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
