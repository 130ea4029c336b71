//! Which rules are in force, for whom, and at which OpenFlow priority.
//!
//! # Priorities
//! A rule's (priority, verdict) is its level; deny stands above allow of the same priority. A level is [`GAP`]
//! OpenFlow priorities wide. Open vSwitch leaves conjunctions that overlap at one priority undefined (ovs-fields(7)), so
//! rules of one level that can match one packet get different priorities inside it, the smaller rule id the higher one.
//! Whether two rules can overlap is decided by what they *name* (groups, prefixes, ports), never by which endpoints
//! exist now, so that an endpoint coming or going moves no rule.
//!
//! # Failure
//! A policy that names something wrong, or a rule for which the gap has no room left, refuses the whole policy, and
//! every group it is attached to is denied: enforcing the rest could let through what the refused part denies.

use std::collections::{BTreeMap, BTreeSet};

use node_state::{Fragment, FragmentKey, NodeState, Policy, PolicyRule, RulePeer, RuleService};
use types::{Direction, GroupId, IpProtocol, PolicyId, PortRange, RuleId, Verdict, Vni, VrfId};

use crate::classes::AddressSet;
use crate::error::RenderError;
use crate::view::{Refused, View};

/// OpenFlow priorities of one level: this many rules may overlap one another there.
pub(crate) const GAP: u16 = 300;
/// Below the lowest level: table defaults.
const BASE: u16 = 1000;

/// A rule in force.
#[derive(Clone, Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) id: RuleId,
    pub(crate) rule: &'a PolicyRule,
    pub(crate) groups: &'a BTreeSet<GroupId>,
    pub(crate) priority: u16,
}

/// What is in force in one VRF, and what is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Groups each policy in force is attached to.
    pub(crate) policies: BTreeMap<PolicyId, BTreeSet<GroupId>>,
    /// OpenFlow priority of each rule in force.
    pub(crate) priorities: BTreeMap<RuleId, u16>,
    /// Groups whose endpoints are denied.
    pub(crate) denied: BTreeSet<GroupId>,
    /// The sets that rules in force and denials name.
    pub(crate) named: BTreeSet<AddressSet>,
    /// Objects that are not enforced as written.
    pub(crate) refused: Refused,
    /// Fragments that were looked for: if one of them changes, this is to be planned again.
    pub(crate) asked: BTreeSet<FragmentKey>,
}

impl Plan {
    /// Follows the references from endpoints to groups to policies. `excluded`: policies found to be too large.
    pub(crate) fn new(
        view: &View,
        state: &NodeState,
        vrf: VrfId,
        excluded: &BTreeMap<PolicyId, RenderError>,
    ) -> Self {
        let mut this = Self::default();
        this.attach(view, vrf);
        this.deny_strangers(view, vrf);
        let faulty = |id: &PolicyId| {
            let policy = policy(state, *id)?;
            Some((*id, excluded.get(id).cloned().or_else(|| check(view, policy).err())?))
        };
        let faulty: Vec<_> = this.policies.keys().filter_map(faulty).collect();
        let named = this.policies.keys().filter_map(|id| policy(state, *id)).flat_map(|p| &p.rules);
        let asked = named.filter_map(|rule| match rule.peer {
            RulePeer::Network(vni) => Some(FragmentKey::Network(vni)),
            RulePeer::Group(group) => Some(FragmentKey::Group(group)),
            RulePeer::Any | RulePeer::Cidr(_) => None,
        });
        this.asked.extend(asked.collect::<Vec<_>>());
        for (id, error) in faulty {
            this.refuse(id, error);
        }
        // A policy that finds no room is refused, which makes room for others: each turn refuses one.
        loop {
            match this.place(view, state) {
                Ok(priorities) => {
                    this.priorities = priorities;
                    break;
                }
                Err((id, error)) => this.refuse(id, error),
            }
        }
        this.name_sets(state);
        this
    }

    fn attach(&mut self, view: &View, vrf: VrfId) {
        for (id, group) in view.groups.iter().filter(|(_, g)| g.vrf == vrf) {
            for &policy in &group.policies {
                self.asked.insert(FragmentKey::Policy(policy));
                let fault = match view.policies.get(&policy) {
                    None => RenderError::MissingPolicy { policy },
                    Some(of) if *of != vrf => RenderError::PolicyOfOtherVrf { policy },
                    Some(_) => {
                        self.policies.entry(policy).or_default().insert(*id);
                        continue;
                    }
                };
                self.denied.insert(*id);
                self.refused.entry(FragmentKey::Group(*id)).or_insert(fault);
            }
        }
    }

    /// Endpoints that name a group that is not there, or another VRF's.
    fn deny_strangers(&mut self, view: &View, vrf: VrfId) {
        for group in view.groups_named_in(vrf) {
            let fault = match view.groups.get(&group) {
                None => RenderError::MissingGroup { group },
                Some(g) if g.vrf != vrf => RenderError::GroupOfOtherVrf { group },
                Some(_) => continue,
            };
            self.asked.insert(FragmentKey::Group(group));
            self.denied.insert(group);
            let keys = view.members_of(vrf, group).map(|m| FragmentKey::Endpoint(m.uid));
            self.refused.extend(keys.map(|key| (key, fault.clone())));
        }
    }

    /// Takes a policy out of force and denies the groups it was attached to.
    fn refuse(&mut self, id: PolicyId, error: RenderError) {
        self.denied.extend(self.policies.remove(&id).unwrap_or_default());
        self.refused.entry(FragmentKey::Policy(id)).or_insert(error);
    }

    fn name_sets(&mut self, state: &NodeState) {
        self.named.extend(self.denied.iter().copied().map(AddressSet::Group));
        for (id, groups) in &self.policies {
            self.named.extend(groups.iter().copied().map(AddressSet::Group));
            let rules = policy(state, *id).into_iter().flat_map(|p| &p.rules);
            self.named.extend(rules.filter_map(|r| peer_set(&r.peer)));
        }
    }

    /// The priorities of the rules in force; or the policy that finds no room.
    fn place(
        &self,
        view: &View,
        state: &NodeState,
    ) -> Result<BTreeMap<RuleId, u16>, (PolicyId, RenderError)> {
        let mut levels: BTreeMap<(Direction, u16), Vec<Placed<'_>>> = BTreeMap::new();
        for (id, groups) in &self.policies {
            for rule in policy(state, *id).into_iter().flat_map(|p| &p.rules) {
                let active = Placed { id: RuleId::new(*id, rule.slot), rule, groups, priority: 0 };
                levels.entry((rule.direction, level(rule))).or_default().push(active);
            }
        }
        let mut priorities = BTreeMap::new();
        for ((_, level), mut peers) in levels {
            peers.sort_by_key(|r| r.id);
            place(view, level, &mut peers)?;
            priorities.extend(peers.iter().map(|r| (r.id, r.priority)));
        }
        Ok(priorities)
    }
}

/// A policy of the state.
pub(crate) fn policy(state: &NodeState, id: PolicyId) -> Option<&Policy> {
    match state.get(&FragmentKey::Policy(id)) {
        Some(Fragment::Policy(policy)) => Some(policy),
        _ => None,
    }
}

/// What the policy names exists and is of its own VRF.
fn check(view: &View, policy: &Policy) -> Result<(), RenderError> {
    let mut slots = BTreeSet::new();
    for rule in &policy.rules {
        if !slots.insert(rule.slot) {
            return Err(RenderError::DuplicateSlot { slot: rule.slot });
        }
        match rule.peer {
            RulePeer::Network(vni) => match view.networks.get(&vni) {
                None => return Err(RenderError::MissingNetwork { vni }),
                Some(n) if n.network.vrf != policy.vrf => return Err(RenderError::NetworkOfOtherVrf { vni }),
                Some(_) => {}
            },
            // An absent group is an empty one as a peer: its endpoints, if any, are denied for themselves.
            RulePeer::Group(group) => {
                if view.groups.get(&group).is_some_and(|g| g.vrf != policy.vrf) {
                    return Err(RenderError::GroupOfOtherVrf { group });
                }
            }
            RulePeer::Any | RulePeer::Cidr(_) => {}
        }
    }
    Ok(())
}

/// The set a peer names; `None` is everything.
pub(crate) fn peer_set(peer: &RulePeer) -> Option<AddressSet> {
    match *peer {
        RulePeer::Any => None,
        RulePeer::Group(id) => Some(AddressSet::Group(id)),
        RulePeer::Network(vni) => Some(AddressSet::Network(vni)),
        RulePeer::Cidr(cidr) => Some(AddressSet::Cidr(cidr)),
    }
}

/// 0 to 199: by priority, deny above allow.
fn level(rule: &PolicyRule) -> u16 {
    let deny = match rule.verdict {
        Verdict::Allow => 0,
        Verdict::Deny => 1,
    };
    u16::from(rule.priority.get() - 1) * 2 + deny
}

/// Gives the rules of one level, in id order, their OpenFlow priorities.
fn place(view: &View, level: u16, rules: &mut [Placed<'_>]) -> Result<(), (PolicyId, RenderError)> {
    let top = BASE + (level + 1) * GAP - 1;
    for i in 0..rules.len() {
        let (before, rest) = rules.split_at_mut(i);
        let Some(this) = rest.first_mut() else { break };
        let lowest = before.iter().filter(|r| overlap(view, r, this)).map(|r| r.priority).min();
        let priority = lowest.map_or(top, |p| p - 1);
        if priority <= top - GAP {
            let error = RenderError::TooManyOverlaps {
                priority: this.rule.priority,
                verdict: this.rule.verdict,
                limit: GAP,
            };
            return Err((this.id.policy(), error));
        }
        this.priority = priority;
    }
    Ok(())
}

/// Whether one packet could match both rules of one direction. May say yes too often, never no wrongly.
fn overlap(view: &View, a: &Placed<'_>, b: &Placed<'_>) -> bool {
    services_overlap(&a.rule.service, &b.rule.service)
        && !a.groups.is_disjoint(b.groups)
        && peers_overlap(view, &a.rule.peer, &b.rule.peer)
}

fn peers_overlap(view: &View, a: &RulePeer, b: &RulePeer) -> bool {
    match (a, b) {
        // An endpoint has one group.
        (RulePeer::Group(a), RulePeer::Group(b)) => a == b,
        (RulePeer::Any | RulePeer::Group(_), _) | (_, RulePeer::Any | RulePeer::Group(_)) => true,
        (RulePeer::Cidr(a), RulePeer::Cidr(b)) => a.overlaps(*b),
        (RulePeer::Network(vni), RulePeer::Cidr(cidr)) | (RulePeer::Cidr(cidr), RulePeer::Network(vni)) => {
            subnets(view, *vni).any(|s| s.overlaps(*cidr))
        }
        (RulePeer::Network(a), RulePeer::Network(b)) => {
            subnets(view, *a).any(|a| subnets(view, *b).any(|b| a.overlaps(b)))
        }
    }
}

fn subnets<'b>(view: &'b View, vni: Vni) -> impl Iterator<Item = types::IpCidr> + 'b {
    view.networks.get(&vni).into_iter().flat_map(|n| n.network.subnets.iter().map(|s| s.cidr))
}

fn services_overlap(a: &RuleService, b: &RuleService) -> bool {
    fn parts(s: &RuleService) -> Option<(IpProtocol, Option<PortRange>)> {
        match s {
            RuleService::Any => None,
            RuleService::Protocol(p) => Some((*p, None)),
            RuleService::Ports { protocol, ports } => Some((*protocol, Some(*ports))),
        }
    }
    match (parts(a), parts(b)) {
        (Some((p, _)), Some((q, _))) if p != q => false,
        (Some((_, Some(a))), Some((_, Some(b)))) => a.first() <= b.last() && b.first() <= a.last(),
        _ => true,
    }
}
