//! Brings the view up to date with what changed, and says what that touches.
//!
//! Work is proportional to the change, with one exception: a node, a VRF or a network that comes, goes or moves has
//! every endpoint of the state compared with it (a few nanoseconds each; nothing is rendered for those it does not
//! concern).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use node_state::{Fragment, FragmentKey, Group, Network, NodeState, Qos};
use types::{EndpointUid, GroupId, NodeName, PolicyId, RateShare, Vni, VrfId};

use super::{Candidate, GroupRef, Member, View};
use crate::meters::Metering;
use crate::render::Ports;

/// What a change touches: what has to be rendered or planned again.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// The flows that belong to nobody.
    pub(crate) fixed: bool,
    /// VRFs that came or went, or whose default changed.
    pub(crate) vrfs: BTreeSet<VrfId>,
    pub(crate) networks: BTreeSet<Vni>,
    pub(crate) floods: BTreeSet<Vni>,
    /// Tunnel sources that a network admits now and did not before, or the other way round.
    pub(crate) tunnels: BTreeSet<(Vni, IpAddr)>,
    pub(crate) members: BTreeSet<EndpointUid>,
    /// Local members whose limits or marks may be others; of those that are touched anyway it need not be said.
    pub(crate) limited: BTreeSet<EndpointUid>,
    /// Addresses whose owner came, went, moved, or changed its group.
    pub(crate) addresses: BTreeSet<(VrfId, IpAddr)>,
    /// VRFs that came or went.
    pub(crate) spaces: BTreeSet<VrfId>,
    /// Groups, or none, that have local members now and had none, or the other way round.
    pub(crate) hosted: BTreeSet<(VrfId, Option<GroupId>)>,
    /// Groups that members entered or left since they exist, where these or how often is something else now.
    pub(crate) moves: BTreeSet<GroupId>,
    /// Groups that are not there, or another VRF's, and whose members in a VRF are others.
    pub(crate) strangers: BTreeSet<(VrfId, GroupId)>,
    /// Networks, groups and policies that changed in what a policy may say of them.
    pub(crate) objects: BTreeSet<FragmentKey>,
    /// Policies whose rules may be others.
    pub(crate) rules: BTreeSet<PolicyId>,
}

/// How many meters a group takes with so many local members in a VRF.
fn meters_of(group: &Group, vrf: VrfId, members: usize) -> usize {
    let Some(qos) = group.qos.filter(|_| group.vrf == vrf) else { return 0 };
    let limits = usize::from(qos.egress.is_some()) + usize::from(qos.ingress.is_some());
    match qos.share {
        RateShare::Group => limits,
        RateShare::Endpoint => limits * members,
    }
}

/// What decides whether an endpoint has to be checked again.
#[derive(Default)]
struct Shaken {
    all: bool,
    nodes: BTreeSet<NodeName>,
    vrfs: BTreeSet<VrfId>,
    networks: BTreeSet<Vni>,
    /// Checked in any case.
    endpoints: BTreeSet<EndpointUid>,
}

impl View {
    /// Follows `state`, of which at most the fragments `changed` differ from what was seen last.
    pub(crate) fn update(
        &mut self,
        state: &NodeState,
        changed: &BTreeSet<FragmentKey>,
        ports: &Ports,
    ) -> Touched {
        let (mut touched, mut shaken) = (Touched::default(), Shaken::default());
        self.update_ports(ports, &mut touched, &mut shaken);
        self.update_nodes(state, changed, &mut shaken);
        let mut networks: BTreeSet<Vni> = BTreeSet::new();
        self.update_vrfs(state, changed, &mut touched, &mut shaken);
        for key in changed {
            match key {
                FragmentKey::Network(vni) => drop(networks.insert(*vni)),
                FragmentKey::Endpoint(uid) => drop(shaken.endpoints.insert(*uid)),
                FragmentKey::Group(_)
                | FragmentKey::Policy(_)
                | FragmentKey::Node(_)
                | FragmentKey::Vrf(_) => {}
            }
        }
        if !shaken.vrfs.is_empty() {
            let of_shaken_vrf = state.networks().filter(|n| shaken.vrfs.contains(&n.vrf)).map(|n| n.vni);
            networks.extend(of_shaken_vrf);
            self.visits += state.networks().count() as u64;
        }
        for vni in networks {
            self.update_network(state, vni, &mut touched, &mut shaken);
        }
        self.update_groups(state, changed, &mut touched, &shaken);
        self.update_policies(state, changed, &mut touched, &shaken);
        self.update_endpoints(state, &mut touched, shaken);
        self.ration(state, &mut touched);
        touched
    }

    fn update_ports(&mut self, ports: &Ports, touched: &mut Touched, shaken: &mut Shaken) {
        let differs = |(uid, port): &(&EndpointUid, &types::OfPort)| self.ports.get(uid) != Some(port);
        shaken.endpoints.extend(ports.endpoints.iter().filter(differs).map(|(uid, _)| *uid));
        let gone = self.ports.keys().filter(|uid| !ports.endpoints.contains_key(uid));
        shaken.endpoints.extend(gone.copied());
        if !shaken.endpoints.is_empty() {
            self.ports.clone_from(&ports.endpoints);
        }
        if self.tunnel != ports.tunnel {
            self.tunnel = ports.tunnel;
            (shaken.all, touched.fixed) = (true, true);
            for (vni, network) in &self.networks {
                touched.floods.insert(*vni);
                touched.tunnels.extend(self.sites.of_vrf(network.vrf).map(|vtep| (*vni, vtep)));
            }
        }
    }

    fn update_nodes(&mut self, state: &NodeState, changed: &BTreeSet<FragmentKey>, shaken: &mut Shaken) {
        for key in changed {
            let FragmentKey::Node(name) = key else { continue };
            let vtep = match state.get(key) {
                Some(Fragment::Node(node)) => Some(node.vtep),
                _ => None,
            };
            let before = match vtep {
                Some(vtep) => self.vteps.insert(name.clone(), vtep),
                None => self.vteps.remove(name),
            };
            if before != vtep {
                shaken.nodes.insert(name.clone());
            }
        }
    }

    fn update_vrfs(
        &mut self,
        state: &NodeState,
        changed: &BTreeSet<FragmentKey>,
        touched: &mut Touched,
        shaken: &mut Shaken,
    ) {
        for key in changed {
            let FragmentKey::Vrf(id) = key else { continue };
            self.visits += 1;
            let default_action = match state.get(key) {
                Some(Fragment::Vrf(vrf)) => Some(vrf.default_action),
                _ => None,
            };
            let before = match default_action {
                Some(action) => self.vrfs.insert(*id, action),
                None => self.vrfs.remove(id),
            };
            if before.is_some() != default_action.is_some() {
                shaken.vrfs.insert(*id);
                touched.spaces.insert(*id);
            }
            if before != default_action {
                touched.vrfs.insert(*id);
            }
        }
    }

    fn networks_of(&self, vrf: VrfId) -> impl Iterator<Item = Vni> + '_ {
        self.networks_in.range((vrf, Vni::MIN)..=(vrf, Vni::MAX)).map(|(_, vni)| *vni)
    }

    fn update_network(&mut self, state: &NodeState, vni: Vni, touched: &mut Touched, shaken: &mut Shaken) {
        self.visits += 1;
        let key = FragmentKey::Network(vni);
        self.refused.remove(&key);
        let network = match state.get(&key) {
            Some(Fragment::Network(network)) => match self.check_network(network) {
                Ok(()) => Some(network.clone()),
                Err(e) => {
                    self.refused.insert(key.clone(), e);
                    None
                }
            },
            _ => None,
        };
        let before = match &network {
            Some(network) => self.networks.insert(vni, network.clone()),
            None => self.networks.remove(&vni),
        };
        if let Some(before) = &before {
            self.networks_in.remove(&(before.vrf, vni));
        }
        self.networks_in.extend(network.iter().map(|network| (network.vrf, vni)));
        let shape = |n: &Network| (n.vrf, n.subnets.clone());
        if before.as_ref().map(shape) == network.as_ref().map(shape) {
            return;
        }
        touched.networks.insert(vni);
        touched.floods.insert(vni);
        shaken.networks.insert(vni);
        touched.objects.insert(key);
        for network in before.iter().chain(&network) {
            touched.tunnels.extend(self.sites.of_vrf(network.vrf).map(|vtep| (vni, vtep)));
        }
    }

    fn update_groups(
        &mut self,
        state: &NodeState,
        changed: &BTreeSet<FragmentKey>,
        touched: &mut Touched,
        shaken: &Shaken,
    ) {
        let recheck = std::mem::take(&mut self.metering_changed);
        let all = (recheck || !shaken.vrfs.is_empty()).then(|| state.groups()).into_iter().flatten();
        let of_shaken = all.filter(|g| recheck || shaken.vrfs.contains(&g.vrf)).map(|g| g.id);
        let named = changed.iter().filter_map(|key| match key {
            FragmentKey::Group(id) => Some(*id),
            _ => None,
        });
        for id in of_shaken.chain(named).collect::<BTreeSet<GroupId>>() {
            self.update_group(state, id, touched);
        }
    }

    fn update_group(&mut self, state: &NodeState, id: GroupId, touched: &mut Touched) {
        self.visits += 1;
        let key = FragmentKey::Group(id);
        self.refused.remove(&key);
        let group = match state.get(&key) {
            Some(Fragment::Group(group)) => match self.check_group(group) {
                Ok(()) => {
                    let policies = group.policies.clone();
                    Some(GroupRef { vrf: group.vrf, policies, qos: group.qos })
                }
                Err(e) => {
                    self.refused.insert(key.clone(), e);
                    None
                }
            },
            _ => None,
        };
        let before = match &group {
            Some(group) => self.groups.insert(id, group.clone()),
            None => self.groups.remove(&id),
        };
        let shape = |g: &GroupRef| (g.vrf, g.policies.clone());
        if before.as_ref().map(shape) != group.as_ref().map(shape) {
            touched.objects.insert(key);
        }
        self.relimit(id, [before, group], touched);
    }

    /// Follows which groups the switch has meters for: in order of their ids, each whose meters still fit. Where all that
    /// local endpoints could take fit, nobody is looked at.
    fn ration(&mut self, state: &NodeState, touched: &mut Touched) {
        let limit = match self.metering {
            Metering::Enforced { limit } => limit as usize,
            // Refused for another reason.
            Metering::Missing => usize::MAX,
        };
        let (mut crowded_out, mut taken) = (BTreeSet::new(), 0);
        if self.plugged.len() > limit / 2 {
            let mut local: Vec<_> = self
                .hosted
                .iter()
                .filter_map(|((vrf, group), count)| Some((((*group)?, *vrf), *count)))
                .collect();
            local.sort_unstable();
            self.visits += local.len() as u64;
            for ((id, vrf), count) in local {
                let Some(Fragment::Group(group)) = state.get(&FragmentKey::Group(id)) else { continue };
                let meters = meters_of(group, vrf, count);
                if taken + meters > limit {
                    crowded_out.insert(id);
                } else {
                    taken += meters;
                }
            }
        }
        let differ: Vec<GroupId> = self.crowded_out.symmetric_difference(&crowded_out).copied().collect();
        self.crowded_out = crowded_out;
        for id in differ {
            self.update_group(state, id, touched);
        }
    }

    /// Local members of a group whose limits are others now, and where they are flooded to.
    fn relimit(&mut self, id: GroupId, group: [Option<GroupRef>; 2], touched: &mut Touched) {
        let [before, now] = group.each_ref().map(|g| g.as_ref().and_then(|g| Some((g.vrf, g.qos?))));
        if before == now {
            return;
        }
        let metered = |of: Option<(VrfId, Qos)>| of.and_then(|(vrf, qos)| qos.ingress.map(|_| vrf));
        let vrfs: BTreeSet<VrfId> = [before, now].into_iter().flatten().map(|(vrf, _)| vrf).collect();
        for vrf in vrfs {
            let mut looked_at = 0;
            for member in self.members_of(vrf, id).inspect(|_| looked_at += 1).filter(|m| m.port().is_some())
            {
                touched.limited.insert(member.uid);
                if metered(before) != metered(now) {
                    touched.floods.insert(member.vni);
                }
            }
            self.visits += looked_at;
        }
    }

    fn update_policies(
        &mut self,
        state: &NodeState,
        changed: &BTreeSet<FragmentKey>,
        touched: &mut Touched,
        shaken: &Shaken,
    ) {
        let all = (!shaken.vrfs.is_empty()).then(|| state.policies()).into_iter().flatten();
        let of_shaken = all.filter(|p| shaken.vrfs.contains(&p.vrf)).map(|p| p.id);
        let named = changed.iter().filter_map(|key| match key {
            FragmentKey::Policy(id) => Some(*id),
            _ => None,
        });
        for id in of_shaken.chain(named).collect::<BTreeSet<PolicyId>>() {
            self.visits += 1;
            let key = FragmentKey::Policy(id);
            self.refused.remove(&key);
            let vrf = match state.get(&key) {
                Some(Fragment::Policy(policy)) => match self.check_vrf(policy.vrf) {
                    Ok(()) => Some(policy.vrf),
                    Err(e) => {
                        self.refused.insert(key.clone(), e);
                        None
                    }
                },
                _ => None,
            };
            let before = match vrf {
                Some(vrf) => self.policies.insert(id, vrf),
                None => self.policies.remove(&id),
            };
            touched.rules.insert(id);
            if before != vrf {
                touched.objects.insert(key);
            }
        }
    }

    fn update_endpoints(&mut self, state: &NodeState, touched: &mut Touched, mut shaken: Shaken) {
        if shaken.all || !(shaken.nodes.is_empty() && shaken.vrfs.is_empty() && shaken.networks.is_empty()) {
            let concerned = state.endpoints().filter(|e| {
                shaken.all
                    || shaken.nodes.contains(&e.node)
                    || shaken.vrfs.contains(&e.vrf)
                    || shaken.networks.contains(&e.vni)
            });
            shaken.endpoints.extend(concerned.map(|e| e.uid));
            self.visits += state.endpoints().count() as u64;
        }
        self.visits += shaken.endpoints.len() as u64;
        // What each was before, for all that are judged again.
        let mut was: BTreeMap<EndpointUid, Option<Member>> = BTreeMap::new();
        for uid in &shaken.endpoints {
            self.update_endpoint(state, *uid, &mut was);
        }
        let mut shifted = BTreeSet::new();
        for (uid, was) in was {
            self.judge(uid);
            let now = self.member(uid).cloned();
            let forced = shaken.all || now.as_ref().is_some_and(|m| shaken.networks.contains(&m.vni));
            if was != now {
                self.moved(was.as_ref(), now.as_ref(), touched);
                self.shifted(was.as_ref(), now.as_ref(), touched, &mut shifted);
            }
            if was != now || forced {
                touched.members.insert(uid);
            }
        }
        for (vrf, vtep) in shifted {
            let before = touched.tunnels.len();
            touched.tunnels.extend(self.networks_of(vrf).map(|vni| (vni, vtep)));
            self.visits += (touched.tunnels.len() - before) as u64;
        }
    }

    /// Follows where a member is; `shifted` hears of tunnel addresses that a VRF's first member came to be behind, or its
    /// last one no longer is.
    fn shifted(
        &mut self,
        was: Option<&Member>,
        now: Option<&Member>,
        touched: &mut Touched,
        shifted: &mut BTreeSet<(VrfId, IpAddr)>,
    ) {
        let (was, now) = (was.and_then(|m| self.site(m)), now.and_then(|m| self.site(m)));
        if was == now {
            return;
        }
        let left = was.map(|site| (site, self.sites.leave(site)));
        let entered = now.map(|site| (site, self.sites.enter(site)));
        for (site, shift) in left.into_iter().chain(entered) {
            if shift.network {
                touched.floods.insert(site.vni);
            }
            if shift.vrf {
                shifted.insert((site.vrf, site.vtep));
            }
        }
    }

    /// Checks one endpoint for itself, and remembers whom its claims concern.
    fn update_endpoint(
        &mut self,
        state: &NodeState,
        uid: EndpointUid,
        was: &mut BTreeMap<EndpointUid, Option<Member>>,
    ) {
        let key = FragmentKey::Endpoint(uid);
        let (member, error) = match state.get(&key) {
            Some(Fragment::Endpoint(endpoint)) => match self.check_endpoint(endpoint) {
                Ok(member) => (Some(member), None),
                Err(e) => (None, Some(e)),
            },
            _ => (None, None),
        };
        was.entry(uid).or_insert_with(|| self.member(uid).cloned());
        let before = self.candidates.remove(&uid).map(|c| c.member);
        if before != member {
            let mut rivals = BTreeSet::new();
            if let Some(before) = &before {
                rivals.extend(self.claims.rivals(before));
                self.claims.remove(before);
            }
            if let Some(member) = &member {
                rivals.extend(self.claims.rivals(member));
                self.claims.add(member);
            }
            for rival in rivals {
                was.entry(rival).or_insert_with(|| self.member(rival).cloned());
            }
        }
        self.refused.remove(&key);
        self.refused.extend(error.map(|e| (key, e)));
        self.candidates.extend(member.map(|member| (uid, Candidate { member, fit: false })));
    }

    /// Leaves out whoever claims what another claims too.
    fn judge(&mut self, uid: EndpointUid) {
        let Some(candidate) = self.candidates.get_mut(&uid) else { return };
        let conflict = self.claims.conflict(&candidate.member);
        candidate.fit = conflict.is_none();
        let key = FragmentKey::Endpoint(uid);
        match conflict {
            Some(e) => drop(self.refused.insert(key, e)),
            None => drop(self.refused.remove(&key)),
        }
    }

    /// Follows a member that came, went or changed in the indexes.
    fn moved(&mut self, was: Option<&Member>, now: Option<&Member>, touched: &mut Touched) {
        let plugged = |m: Option<&Member>| m.and_then(|m| m.port().map(|port| (m.vni, m.uid, port)));
        if plugged(was) != plugged(now) {
            if let Some((vni, uid, _)) = plugged(was) {
                self.plugged.remove(&(vni, uid));
                touched.floods.insert(vni);
            }
            if let Some((vni, uid, _)) = plugged(now) {
                self.plugged.insert((vni, uid));
                touched.floods.insert(vni);
            }
        }
        let grouped = |m: Option<&Member>| m.and_then(|m| m.group.map(|group| (group, m.vrf, m.uid)));
        if grouped(was) != grouped(now) {
            let metered =
                |m: &&&Member| self.qos_of(m).is_some_and(|qos| m.port().is_some() && qos.ingress.is_some());
            touched.floods.extend(was.iter().chain(&now).filter(metered).map(|m| m.vni));
            let both = grouped(was).into_iter().chain(grouped(now));
            let unknown =
                |(group, vrf, _): &(GroupId, VrfId, _)| self.groups.get(group).is_none_or(|g| g.vrf != *vrf);
            touched.strangers.extend(both.filter(unknown).map(|(group, vrf, _)| (vrf, group)));
            if let Some(entry) = grouped(was) {
                self.grouped.remove(&entry);
            }
            self.grouped.extend(grouped(now));
        }
        self.moved_groups(was, now, touched);
        for member in was.iter().chain(&now) {
            touched.addresses.extend(member.addresses.iter().map(|a| (member.vrf, *a)));
        }
    }

    /// Follows what a member's connections are judged by.
    fn moved_groups(&mut self, was: Option<&Member>, now: Option<&Member>, touched: &mut Touched) {
        let hosted = |m: Option<&Member>| m.filter(|m| m.port().is_some()).map(|m| (m.vrf, m.group));
        if hosted(was) != hosted(now) {
            if let Some(group) = hosted(was)
                && let Some(count) = self.hosted.get_mut(&group)
            {
                *count -= 1;
                if *count == 0 {
                    self.hosted.remove(&group);
                    touched.hosted.insert(group);
                }
            }
            if let Some(group) = hosted(now) {
                let count = self.hosted.entry(group).or_default();
                *count += 1;
                if *count == 1 {
                    touched.hosted.insert(group);
                }
            }
        }
        if was.map(|m| &m.moves) != now.map(|m| &m.moves) {
            if let Some(member) = was {
                for (group, _) in member.moves.iter() {
                    self.moves.remove(&(group, member.uid));
                    touched.moves.insert(group);
                }
            }
            if let Some(member) = now {
                for (group, times) in member.moves.iter() {
                    self.moves.insert((group, member.uid), times);
                    touched.moves.insert(group);
                }
            }
        }
    }
}
