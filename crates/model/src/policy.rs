//! Policies: ordered rules, one stored object with all of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use types::{AddressRange, CidrBlock, Direction, Name, PolicyId, RulePriority, RuleSlot, Services, Verdict};

use crate::context::Context;
use crate::runs::Pool;
use crate::{Kind, ObjectRef};

/// What people write of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// Owning tenant.
    pub tenant: Name,
    /// Its name in the tenant.
    pub name: Name,
    /// Its rules; names are unique inside the policy, order has no meaning.
    #[serde(default)]
    pub rules: Vec<RuleSpec>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleSpec {
    /// Its name in the policy (Contiv: rule id).
    pub name: Name,
    /// Relative to the endpoints of the groups the policy is attached to.
    pub direction: Direction,
    /// 1 to 100, higher wins, deny wins ties.
    #[serde(default = "lowest_priority")]
    pub priority: RulePriority,
    /// The other end.
    #[serde(default)]
    pub peer: Peer,
    /// What the connections carry; absent = everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Services>,
    /// The decision.
    pub action: Verdict,
}

/// The other end of a rule's connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Peer {
    /// Everything.
    #[default]
    Any,
    /// The endpoints of a group of the same tenant.
    Group(Name),
    /// Every address of a network of the same tenant.
    Network(Name),
    /// A prefix, with or without parts of it.
    Cidr(CidrBlock),
    /// Addresses from the first to the last.
    Range(AddressRange),
}

fn lowest_priority() -> RulePriority {
    RulePriority::MIN
}

/// A stored policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// What people wrote.
    pub spec: PolicySpec,
    /// Its number; never changes.
    pub id: PolicyId,
    /// The slot of every rule, by rule name: a rule keeps its slot while it exists.
    pub slots: BTreeMap<Name, RuleSlot>,
}

/// Rules of one policy at most: the slots there are.
const MAX_RULES: usize = RuleSlot::MAX.get() as usize + 1;

/// Checks a policy; gives a new one its number and its rules their slots.
pub(crate) fn plan(cx: &mut Context<'_>, spec: PolicySpec) -> Option<Policy> {
    let object =
        ObjectRef { kind: Kind::Policy, tenant: Some(spec.tenant.clone()), name: spec.name.to_string() };
    cx.tenant(&object, &spec.tenant);
    if spec.rules.len() > MAX_RULES {
        let count = format!("{} rules", spec.rules.len());
        cx.refuse(&object, "rules", count, format!("a policy has {MAX_RULES} rules at most; split it"));
        return None;
    }
    let mut names = BTreeSet::new();
    for (i, rule) in spec.rules.iter().enumerate() {
        if !names.insert(&rule.name) {
            cx.refuse(&object, format!("rules[{i}].name"), &rule.name, "is another rule's of this policy");
        }
        check_rule(cx, &object, &spec.tenant, i, rule);
    }
    let stored = cx.policy(&spec.tenant, &spec.name).cloned();
    let slots = assign_slots(&spec.rules, stored.as_ref().map(|p| &p.slots));
    if let Some(stored) = stored {
        return Some(Policy { spec, id: stored.id, slots });
    }
    let range = (PolicyId::MIN.into(), PolicyId::MAX.into());
    let id = cx.lowest_free_number((&Pool::Policy, &Pool::Policy), range, |_| true);
    let id = id.and_then(|n| PolicyId::new(n).ok());
    let Some(id) = id else {
        cx.refuse(&object, "name", &spec.name, format!("there is room for {} policies", PolicyId::MAX));
        return None;
    };
    Some(Policy { spec, id, slots })
}

fn check_rule(cx: &mut Context<'_>, object: &ObjectRef, tenant: &Name, i: usize, rule: &RuleSpec) {
    match &rule.peer {
        Peer::Any | Peer::Cidr(_) | Peer::Range(_) => {}
        Peer::Group(g) => {
            cx.reference(object, format!("rules[{i}].peer.group"), tenant, Kind::Group, g.as_str());
        }
        Peer::Network(n) => {
            cx.reference(object, format!("rules[{i}].peer.network"), tenant, Kind::Network, n.as_str());
        }
    }
}

/// A rule keeps its slot; a new one gets the lowest that neither a kept nor, where there is room, a removed rule has,
/// so that connections tracked under a removed rule are not taken for another's.
fn assign_slots(rules: &[RuleSpec], old: Option<&BTreeMap<Name, RuleSlot>>) -> BTreeMap<Name, RuleSlot> {
    let empty = BTreeMap::new();
    let old = old.unwrap_or(&empty);
    let mut slots: BTreeMap<Name, RuleSlot> =
        rules.iter().filter_map(|r| Some((r.name.clone(), *old.get(&r.name)?))).collect();
    let kept: BTreeSet<u64> = slots.values().map(|s| u64::from(*s)).collect();
    let used: BTreeSet<u64> = old.values().map(|s| u64::from(*s)).collect();
    // Those of rules that are gone last, so that a rule's number is not soon another one's.
    let never = (u64::from(RuleSlot::MIN)..=u64::from(RuleSlot::MAX)).filter(|n| !used.contains(n));
    let mut free = never.chain(used.difference(&kept).copied());
    for rule in rules {
        if slots.contains_key(&rule.name) {
            continue;
        }
        // More rules than slots were refused before; such a policy is never stored.
        let Some(slot) = free.next().and_then(|n| RuleSlot::new(n).ok()) else { break };
        slots.insert(rule.name.clone(), slot);
    }
    slots
}
