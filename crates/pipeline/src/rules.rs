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

use node_state::{FragmentKey, Policy, PolicyRule, RulePeer, RuleService};
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
pub(crate) struct ActiveRule<'a> {
    pub(crate) id: RuleId,
    pub(crate) vrf: VrfId,
    pub(crate) rule: &'a PolicyRule,
    pub(crate) groups: &'a BTreeSet<GroupId>,
    pub(crate) priority: u16,
}

/// Which policies are attached to what, and what is denied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attachments {
    /// Groups each policy in force is attached to.
    pub(crate) policies: BTreeMap<PolicyId, BTreeSet<GroupId>>,
    /// Groups whose endpoints are denied.
    pub(crate) denied: BTreeSet<(VrfId, GroupId)>,
}

impl Attachments {
    /// Follows the references from endpoints to groups to policies.
    pub(crate) fn new(view: &View<'_>, refused: &mut Refused) -> Self {
        let mut this = Self::default();
        for group in view.groups.values() {
            for &policy in &group.policies {
                let fault = match view.policies.get(&policy) {
                    None => RenderError::MissingPolicy { policy },
                    Some(p) if p.vrf != group.vrf => RenderError::PolicyOfOtherVrf { policy },
                    Some(_) => {
                        this.policies.entry(policy).or_default().insert(group.id);
                        continue;
                    }
                };
                this.denied.insert((group.vrf, group.id));
                refused.entry(FragmentKey::Group(group.id)).or_insert(fault);
            }
        }
        for (uid, member) in &view.members {
            let Some(group) = member.endpoint.group else { continue };
            let vrf = member.endpoint.vrf;
            let fault = match view.groups.get(&group) {
                None => RenderError::MissingGroup { group },
                Some(g) if g.vrf != vrf => RenderError::GroupOfOtherVrf { group },
                Some(_) => continue,
            };
            this.denied.insert((vrf, group));
            refused.entry(FragmentKey::Endpoint(*uid)).or_insert(fault);
        }
        let faulty: Vec<_> = this
            .policies
            .keys()
            .filter_map(|id| view.policies.get(id).and_then(|p| check(view, p).err()).map(|e| (*id, e)))
            .collect();
        for (id, error) in faulty {
            this.refuse(view, id, error, refused);
        }
        this
    }

    /// Takes a policy out of force and denies the groups it was attached to.
    pub(crate) fn refuse(
        &mut self,
        view: &View<'_>,
        id: PolicyId,
        error: RenderError,
        refused: &mut Refused,
    ) {
        let vrf = view.policies.get(&id).map(|p| p.vrf);
        let groups = self.policies.remove(&id).unwrap_or_default();
        self.denied.extend(vrf.into_iter().flat_map(|vrf| groups.iter().map(move |g| (vrf, *g))));
        refused.entry(FragmentKey::Policy(id)).or_insert(error);
    }

    /// The sets that rules in force and denials name, by VRF.
    pub(crate) fn named_sets(&self, view: &View<'_>) -> BTreeMap<VrfId, BTreeSet<AddressSet>> {
        let mut named: BTreeMap<VrfId, BTreeSet<AddressSet>> = BTreeMap::new();
        for (vrf, group) in &self.denied {
            named.entry(*vrf).or_default().insert(AddressSet::Group(*group));
        }
        for (id, groups) in &self.policies {
            let Some(policy) = view.policies.get(id) else { continue };
            let sets = named.entry(policy.vrf).or_default();
            sets.extend(groups.iter().copied().map(AddressSet::Group));
            sets.extend(policy.rules.iter().filter_map(|r| peer_set(&r.peer)));
        }
        named
    }

    /// The rules in force with their priorities; or the policy that finds no room.
    pub(crate) fn rules<'a>(
        &'a self,
        view: &View<'a>,
    ) -> Result<Vec<ActiveRule<'a>>, (PolicyId, RenderError)> {
        let mut levels: BTreeMap<(VrfId, Direction, u16), Vec<ActiveRule<'a>>> = BTreeMap::new();
        for (id, groups) in &self.policies {
            let Some(&policy) = view.policies.get(id) else { continue };
            for rule in &policy.rules {
                let active = ActiveRule {
                    id: RuleId::new(*id, rule.slot),
                    vrf: policy.vrf,
                    rule,
                    groups,
                    priority: 0,
                };
                levels.entry((policy.vrf, rule.direction, level(rule))).or_default().push(active);
            }
        }
        let mut rules = Vec::new();
        for ((_, _, level), mut peers) in levels {
            peers.sort_by_key(|r| r.id);
            place(view, level, &mut peers)?;
            rules.extend(peers);
        }
        Ok(rules)
    }
}

/// What the policy names exists and is of its own VRF.
fn check(view: &View<'_>, policy: &Policy) -> Result<(), RenderError> {
    let mut slots = BTreeSet::new();
    for rule in &policy.rules {
        if !slots.insert(rule.slot) {
            return Err(RenderError::DuplicateSlot { slot: rule.slot });
        }
        match rule.peer {
            RulePeer::Network(vni) => match view.networks.get(&vni) {
                None => return Err(RenderError::MissingNetwork { vni }),
                Some(n) if n.vrf != policy.vrf => return Err(RenderError::NetworkOfOtherVrf { vni }),
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
fn place(view: &View<'_>, level: u16, rules: &mut [ActiveRule<'_>]) -> Result<(), (PolicyId, RenderError)> {
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
fn overlap(view: &View<'_>, a: &ActiveRule<'_>, b: &ActiveRule<'_>) -> bool {
    services_overlap(&a.rule.service, &b.rule.service)
        && !a.groups.is_disjoint(b.groups)
        && peers_overlap(view, &a.rule.peer, &b.rule.peer)
}

fn peers_overlap(view: &View<'_>, a: &RulePeer, b: &RulePeer) -> bool {
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

fn subnets<'b>(view: &'b View<'_>, vni: Vni) -> impl Iterator<Item = types::IpCidr> + 'b {
    view.networks.get(&vni).into_iter().flat_map(|n| n.subnets.iter().map(|s| s.cidr))
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
