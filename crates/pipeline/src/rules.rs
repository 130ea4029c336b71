//! Which policies are in force, for whom, and what is denied: kept between changes, for all VRFs.
//!
//! Follows the references from endpoints to groups to policies. A group, a policy or a network that changes has those
//! looked at that refer to it, and nobody else; where rules stand is [`levels`]' business.
//!
//! # Failure
//! A policy that names something wrong, or a rule for which its level has no room left, refuses the whole policy, and
//! every group it is attached to is denied: enforcing the rest could let through what the refused part denies. A policy
//! that finds no room makes room for others, so they are refused one by one, the first rule in order of level and id
//! first. While a VRF has such policies, each change in it tries them all again, so that what is refused follows from
//! the present state; that is dear, and rare.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use node_state::{Fragment, FragmentKey, NodeState, Policy, RulePeer};
use types::{EndpointUid, GroupId, PolicyId, RuleId, RuleSlot, Vni, VrfId};

use crate::classes::AddressSet;
use crate::error::RenderError;
use crate::generation::{self, Basis, Content, Generation};
use crate::view::{GroupRef, Refused, Touched, View};

mod levels;

pub(crate) use levels::Spec;
use levels::{GAP, Levels};

/// Why a group's endpoints are denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// A policy attached to it is missing, or another VRF's.
    Attachment,
    /// This policy of it is refused.
    Policy(PolicyId),
    /// Endpoints name it, but it is missing, or another VRF's.
    Stranger,
}

/// What a policy's rules may name as their peer, beside prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Peer {
    Network(Vni),
    Group(GroupId),
}

/// A policy that is attached to a group.
#[derive(Debug)]
struct Stand {
    vrf: VrfId,
    groups: Arc<BTreeSet<GroupId>>,
    /// Why it is refused.
    fault: Option<RenderError>,
    /// What its rules name.
    peers: BTreeSet<Peer>,
    /// The sets that count as named because of it: none when it is refused.
    sets: BTreeSet<AddressSet>,
    /// What it says.
    content: Content,
}

/// What a change of the plans touches.
#[derive(Debug, Default)]
pub(crate) struct Replanned {
    /// Rules that came, went, changed or moved.
    pub(crate) rules: BTreeSet<RuleId>,
    /// Groups that are denied now and were not, or the other way round.
    pub(crate) denied: BTreeSet<(VrfId, GroupId)>,
    /// Sets that are named now and were not, the other way round, or that consist of something else.
    pub(crate) sets: BTreeSet<(VrfId, AddressSet)>,
    /// Groups whose endpoints may be judged by something else.
    pub(crate) judged: BTreeSet<(VrfId, GroupId)>,
}

/// The policies of all VRFs.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    /// Groups as they were last seen.
    groups: BTreeMap<GroupId, GroupRef>,
    /// Groups by the policies they name, whether these are there or not.
    attached: BTreeSet<(PolicyId, GroupId)>,
    policies: BTreeMap<PolicyId, Stand>,
    /// Policies by what their rules name.
    naming: BTreeSet<(Peer, PolicyId)>,
    levels: Levels,
    denied: BTreeSet<(VrfId, GroupId, Cause)>,
    faulty_groups: BTreeMap<GroupId, RenderError>,
    strangers: BTreeMap<(GroupId, VrfId), RenderError>,
    /// Policies found to be too large.
    large: BTreeMap<VrfId, BTreeMap<PolicyId, RenderError>>,
    /// By how many policies and denials a set is named.
    named: BTreeMap<(VrfId, AddressSet), usize>,
    visits: u64,
    out: Replanned,
}

impl Plans {
    /// Follows what was touched.
    pub(crate) fn update(&mut self, view: &View, state: &NodeState, touched: &Touched) -> Replanned {
        let mut policies = touched.rules.clone();
        let mut groups: BTreeSet<GroupId> = BTreeSet::new();
        let mut strangers = touched.strangers.clone();
        for key in &touched.objects {
            match key {
                FragmentKey::Group(id) => {
                    groups.insert(*id);
                    policies.extend(self.naming(Peer::Group(*id)));
                    let before = (*id, VrfId::MIN)..=(*id, VrfId::MAX);
                    strangers.extend(self.strangers.range(before).map(|((group, vrf), _)| (*vrf, *group)));
                    strangers.extend(view.vrfs_naming(*id).map(|vrf| (vrf, *id)));
                }
                // It came, went or moved: whoever is attached to it is concerned.
                FragmentKey::Policy(id) => groups.extend(self.attached_to(*id)),
                FragmentKey::Network(vni) => policies.extend(self.naming(Peer::Network(*vni))),
                FragmentKey::Node(_) | FragmentKey::Vrf(_) | FragmentKey::Endpoint(_) => {}
            }
        }
        for id in groups {
            self.update_group(view, id, &mut policies);
        }
        for (vrf, group) in strangers {
            self.update_stranger(view, vrf, group);
        }
        for vrf in self.concerned(view, touched, &policies) {
            policies.extend(self.large.remove(&vrf).into_iter().flat_map(BTreeMap::into_keys));
        }
        self.update_policies(view, state, policies);
        self.make_room(view, state);
        for group in &touched.moves {
            let naming: Vec<PolicyId> = self.naming(Peer::Group(*group)).collect();
            naming.into_iter().for_each(|policy| self.judges_otherwise(policy));
        }
        for key in &touched.objects {
            // It may consist of other prefixes.
            let FragmentKey::Network(vni) = key else { continue };
            let set = AddressSet::Network(*vni);
            let vrf = view.networks.get(vni).map(|n| n.vrf);
            let named = vrf.map(|vrf| (vrf, set)).filter(|(vrf, set)| self.names(*vrf, set));
            self.out.sets.extend(named);
        }
        std::mem::take(&mut self.out)
    }

    /// Takes policies out of force with which a flow would be too large.
    pub(crate) fn exclude(
        &mut self,
        view: &View,
        state: &NodeState,
        found: &BTreeMap<PolicyId, (VrfId, RenderError)>,
    ) -> Replanned {
        let mut policies: BTreeSet<PolicyId> = found.keys().copied().collect();
        for (policy, (vrf, error)) in found {
            let large = self.large.entry(*vrf).or_default();
            // Without it others may find room.
            let crowded =
                |_: &PolicyId, e: &mut RenderError| matches!(e, RenderError::TooManyOverlaps { .. });
            policies.extend(large.extract_if(.., crowded).map(|(id, _)| id));
            large.insert(*policy, error.clone());
        }
        self.update_policies(view, state, policies);
        self.make_room(view, state);
        std::mem::take(&mut self.out)
    }

    /// A rule in force and its OpenFlow priority.
    pub(crate) fn rule(&self, id: RuleId) -> Option<(&Spec, u16)> {
        self.levels.get(id)
    }

    /// Whether a group's endpoints are denied.
    pub(crate) fn is_denied(&self, vrf: VrfId, group: GroupId) -> bool {
        let range = (vrf, group, Cause::Attachment)..=(vrf, group, Cause::Stranger);
        self.denied.range(range).next().is_some()
    }

    /// What the endpoints of a group, or those of none, are judged by.
    pub(crate) fn generation(&self, view: &View, vrf: VrfId, group: Option<GroupId>) -> Generation {
        let denied = group.is_some_and(|group| self.is_denied(vrf, group));
        let mut basis = Basis::new(view.vrfs.get(&vrf).copied(), denied);
        let of_vrf = group.and_then(|group| self.groups.get(&group)).filter(|g| g.vrf == vrf);
        for id in of_vrf.into_iter().flat_map(|group| &group.policies) {
            let Some(stand) = self.policies.get(id) else { continue };
            basis.policy(*id, &stand.content);
            for peer in &stand.peers {
                let Peer::Group(peer) = peer else { continue };
                view.moves_of(*peer).for_each(|(uid, times)| basis.moves(uid, times));
            }
        }
        basis.finish()
    }

    /// Whether rules in force or denials name a set.
    pub(crate) fn names(&self, vrf: VrfId, set: &AddressSet) -> bool {
        self.named.contains_key(&(vrf, set.clone()))
    }

    /// Objects that are not enforced as written.
    pub(crate) fn refused(&self, view: &View) -> Refused {
        let groups = self.faulty_groups.iter().map(|(id, e)| (FragmentKey::Group(*id), e.clone()));
        let fault = |(id, stand): (&PolicyId, &Stand)| Some((FragmentKey::Policy(*id), stand.fault.clone()?));
        let policies = self.policies.iter().filter_map(fault);
        let strangers = self.strangers.iter().flat_map(|((group, vrf), e)| {
            let uids = view.members_of(*vrf, *group).map(|m| m.uid);
            uids.map(move |uid: EndpointUid| (FragmentKey::Endpoint(uid), e.clone()))
        });
        groups.chain(policies).chain(strangers).collect()
    }

    /// How many groups, policies and rules were looked at in all: the work done.
    pub(crate) fn visits(&self) -> u64 {
        self.visits + self.levels.visits()
    }

    fn naming(&self, peer: Peer) -> impl Iterator<Item = PolicyId> + '_ {
        self.naming.range((peer, PolicyId::MIN)..=(peer, PolicyId::MAX)).map(|(_, policy)| *policy)
    }

    fn attached_to(&self, policy: PolicyId) -> impl Iterator<Item = GroupId> + '_ {
        let range = (policy, GroupId::MIN)..=(policy, GroupId::MAX);
        self.attached.range(range).map(|(_, group)| *group)
    }

    /// The endpoints a policy applies to may be judged otherwise.
    fn judges_otherwise(&mut self, policy: PolicyId) {
        let Some(stand) = self.policies.get(&policy) else { return };
        self.out.judged.extend(stand.groups.iter().map(|group| (stand.vrf, *group)));
    }

    /// VRFs with too large policies in which something changed.
    fn concerned(&self, view: &View, touched: &Touched, policies: &BTreeSet<PolicyId>) -> Vec<VrfId> {
        if self.large.is_empty() {
            return Vec::new();
        }
        let stood = policies.iter().filter_map(|id| self.policies.get(id)).map(|stand| stand.vrf);
        let stand = policies.iter().filter_map(|id| view.policies.get(id)).copied();
        let addresses = touched.addresses.iter().map(|(vrf, _)| *vrf);
        let all: BTreeSet<VrfId> = stood.chain(stand).chain(addresses).collect();
        all.into_iter().filter(|vrf| self.large.contains_key(vrf)).collect()
    }

    /// Follows a group; `policies` gets those it concerns.
    fn update_group(&mut self, view: &View, id: GroupId, policies: &mut BTreeSet<PolicyId>) {
        self.visits += 1;
        if let Some(before) = self.groups.remove(&id) {
            for policy in before.policies {
                self.attached.remove(&(policy, id));
                policies.insert(policy);
            }
            self.faulty_groups.remove(&id);
            self.deny(before.vrf, id, Cause::Attachment, false);
            self.out.judged.insert((before.vrf, id));
        }
        let Some(group) = view.groups.get(&id) else { return };
        self.out.judged.insert((group.vrf, id));
        self.groups.insert(id, group.clone());
        for &policy in &group.policies {
            self.attached.insert((policy, id));
            policies.insert(policy);
            let fault = match view.policies.get(&policy) {
                None => RenderError::MissingPolicy { policy },
                Some(of) if *of != group.vrf => RenderError::PolicyOfOtherVrf { policy },
                Some(_) => continue,
            };
            self.faulty_groups.entry(id).or_insert(fault);
            self.deny(group.vrf, id, Cause::Attachment, true);
        }
    }

    /// Endpoints that name a group that is not there, or another VRF's.
    fn update_stranger(&mut self, view: &View, vrf: VrfId, group: GroupId) {
        self.visits += 1;
        let fault = match view.groups.get(&group) {
            _ if view.members_of(vrf, group).next().is_none() => None,
            None => Some(RenderError::MissingGroup { group }),
            Some(g) if g.vrf != vrf => Some(RenderError::GroupOfOtherVrf { group }),
            Some(_) => None,
        };
        self.deny(vrf, group, Cause::Stranger, fault.is_some());
        match fault {
            Some(fault) => drop(self.strangers.insert((group, vrf), fault)),
            None => drop(self.strangers.remove(&(group, vrf))),
        }
    }

    fn deny(&mut self, vrf: VrfId, group: GroupId, cause: Cause, is_so: bool) {
        let before = self.is_denied(vrf, group);
        if is_so {
            self.denied.insert((vrf, group, cause));
        } else {
            self.denied.remove(&(vrf, group, cause));
        }
        if self.is_denied(vrf, group) != before {
            self.out.judged.insert((vrf, group));
            // Twice is not at all.
            if !self.out.denied.remove(&(vrf, group)) {
                self.out.denied.insert((vrf, group));
            }
            self.name(vrf, &AddressSet::Group(group), is_so);
        }
    }

    /// One more, or one less, names a set.
    fn name(&mut self, vrf: VrfId, set: &AddressSet, one_more: bool) {
        let key = (vrf, set.clone());
        let count = self.named.entry(key.clone()).or_default();
        *count = if one_more { *count + 1 } else { count.saturating_sub(1) };
        let now = *count;
        if now == 0 {
            self.named.remove(&key);
        }
        if now == usize::from(one_more) {
            self.out.sets.insert(key);
        }
    }

    fn update_policies(&mut self, view: &View, state: &NodeState, policies: BTreeSet<PolicyId>) {
        for id in policies {
            self.update_policy(view, state, id);
        }
        let moved = self.levels.settle();
        self.out.rules.extend(moved);
    }

    fn update_policy(&mut self, view: &View, state: &NodeState, id: PolicyId) {
        self.visits += 1;
        let stand = self.stand(view, state, id);
        let rules = match (&stand, policy(state, id)) {
            (Some(Stand { fault: None, vrf, groups, .. }), Some(policy)) => specs(view, *vrf, groups, policy),
            _ => BTreeMap::new(),
        };
        let ids = RuleId::new(id, RuleSlot::MIN)..=RuleId::new(id, RuleSlot::MAX);
        let gone: Vec<RuleId> = self.levels.ids(ids).filter(|rule| !rules.contains_key(rule)).collect();
        // The last first: none of the others is then looked at.
        for rule in gone.into_iter().rev() {
            self.visits += 1;
            self.levels.remove(rule);
            self.out.rules.insert(rule);
        }
        for (rule, spec) in rules {
            self.visits += 1;
            if self.levels.insert(rule, spec) {
                self.out.rules.insert(rule);
            }
        }
        self.replace(id, stand);
    }

    /// Puts a policy's standing in place of the one before. What is so both before and after is not undone in between.
    fn replace(&mut self, id: PolicyId, stand: Option<Stand>) {
        let before = self.policies.remove(&id);
        for peer in before.iter().flat_map(|stand| &stand.peers) {
            self.naming.remove(&(*peer, id));
        }
        if let Some(stand) = &stand {
            self.naming.extend(stand.peers.iter().map(|peer| (*peer, id)));
            stand.sets.iter().for_each(|set| self.name(stand.vrf, set, true));
            stand.denied().for_each(|group| self.deny(stand.vrf, group, Cause::Policy(id), true));
        }
        if let Some(before) = &before {
            let still = |group: &GroupId| {
                stand.as_ref().is_some_and(|s| s.vrf == before.vrf && s.denied().any(|g| g == *group))
            };
            let healed: Vec<GroupId> = before.denied().filter(|group| !still(group)).collect();
            healed.into_iter().for_each(|group| self.deny(before.vrf, group, Cause::Policy(id), false));
            before.sets.iter().for_each(|set| self.name(before.vrf, set, false));
        }
        let content = |stand: &Option<Stand>| stand.as_ref().map(|s| s.content);
        if content(&before) != content(&stand) {
            let groups = before.iter().chain(&stand).flat_map(|s| s.groups.iter().map(|g| (s.vrf, *g)));
            self.out.judged.extend(groups);
        }
        self.policies.extend(stand.map(|stand| (id, stand)));
    }

    /// How a policy stands; none if it is attached to no group.
    fn stand(&self, view: &View, state: &NodeState, id: PolicyId) -> Option<Stand> {
        let vrf = *view.policies.get(&id)?;
        let of_vrf = |group: &GroupId| self.groups.get(group).is_some_and(|g| g.vrf == vrf);
        let groups: BTreeSet<GroupId> = self.attached_to(id).filter(of_vrf).collect();
        let policy = policy(state, id).filter(|_| !groups.is_empty())?;
        let large = self.large.get(&vrf).and_then(|large| large.get(&id)).cloned();
        let fault = large.or_else(|| check(view, policy).err());
        let peers = policy.rules.iter().filter_map(|rule| match rule.peer {
            RulePeer::Network(vni) => Some(Peer::Network(vni)),
            RulePeer::Group(group) => Some(Peer::Group(group)),
            RulePeer::Any | RulePeer::Cidr(_) | RulePeer::Range(_) => None,
        });
        let mut sets = BTreeSet::new();
        if fault.is_none() {
            sets.extend(groups.iter().copied().map(AddressSet::Group));
            sets.extend(policy.rules.iter().filter_map(|rule| peer_set(&rule.peer)));
        }
        let content = generation::content(policy, |peer| match peer {
            RulePeer::Network(vni) => {
                view.networks.get(vni).into_iter().flat_map(|n| n.subnets.iter().map(|s| s.cidr)).collect()
            }
            RulePeer::Any | RulePeer::Group(_) | RulePeer::Cidr(_) | RulePeer::Range(_) => Vec::new(),
        });
        Some(Stand { vrf, groups: Arc::new(groups), fault, peers: peers.collect(), sets, content })
    }

    /// Refuses policies until every rule has room.
    fn make_room(&mut self, view: &View, state: &NodeState) {
        while let Some((rule, spec)) = self.levels.full() {
            let (priority, verdict) = (spec.priority, spec.verdict);
            let error = RenderError::TooManyOverlaps { priority, verdict, limit: GAP };
            self.large.entry(spec.vrf).or_default().insert(rule.policy(), error);
            self.update_policies(view, state, BTreeSet::from([rule.policy()]));
        }
    }
}

impl Stand {
    /// Groups that are denied because of it.
    fn denied(&self) -> impl Iterator<Item = GroupId> + '_ {
        self.groups.iter().copied().filter(|_| self.fault.is_some())
    }
}

/// A policy's rules as they are placed.
fn specs(
    view: &View,
    vrf: VrfId,
    groups: &Arc<BTreeSet<GroupId>>,
    policy: &Policy,
) -> BTreeMap<RuleId, Spec> {
    let spec = |rule: &node_state::PolicyRule| {
        let network = match rule.peer {
            RulePeer::Network(vni) => view.networks.get(&vni),
            RulePeer::Any | RulePeer::Group(_) | RulePeer::Cidr(_) | RulePeer::Range(_) => None,
        };
        let subnets = network.into_iter().flat_map(|n| n.subnets.iter().map(|s| s.cidr));
        (RuleId::new(policy.id, rule.slot), Spec::new(vrf, groups, rule, subnets))
    };
    policy.rules.iter().map(spec).collect()
}

/// A policy of the state.
fn policy(state: &NodeState, id: PolicyId) -> Option<&Policy> {
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
                Some(n) if n.vrf != policy.vrf => return Err(RenderError::NetworkOfOtherVrf { vni }),
                Some(_) => {}
            },
            // An absent group is an empty one as a peer: its endpoints, if any, are denied for themselves.
            RulePeer::Group(group) => {
                if view.groups.get(&group).is_some_and(|g| g.vrf != policy.vrf) {
                    return Err(RenderError::GroupOfOtherVrf { group });
                }
            }
            RulePeer::Any | RulePeer::Cidr(_) | RulePeer::Range(_) => {}
        }
    }
    Ok(())
}

/// The set a peer names; `None` is everything.
pub(crate) fn peer_set(peer: &RulePeer) -> Option<AddressSet> {
    match peer {
        RulePeer::Any => None,
        RulePeer::Group(id) => Some(AddressSet::Group(*id)),
        RulePeer::Network(vni) => Some(AddressSet::Network(*vni)),
        RulePeer::Cidr(block) => Some(AddressSet::Cidr(block.clone())),
        RulePeer::Range(range) => Some(AddressSet::Range(*range)),
    }
}
