//! A node's state, indexed and checked: what rendering may rely on. Kept between changes.
//!
//! # Invariants
//! * Every [`Member`] has its VRF and network here, its addresses lie in the network, and no other member of the VRF
//!   has one of them; no other member of the network has its MAC. Two that claim the same are *both* left out: which
//!   one is right cannot be told here, and either could be the thief.
//! * A member is local with a port nobody else has, or remote with a tunnel address of our family, or local without a
//!   port yet.
//! * What the view says follows from the present state alone, never from how it came about.
//!
//! # Failure
//! What is left out is listed with the reason; its port gets no flows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use node_state::{Endpoint, FragmentKey, Group, Network, Qos};
use types::{
    DefaultAction, EndpointUid, GroupId, GroupMoves, MacAddr, NodeName, OfPort, PolicyId, Vni, VrfId,
};

use crate::dense::Dense;
use crate::error::RenderError;
use crate::meters::Metering;
use crate::render::Local;
use crate::tables::GATEWAY_MAC;

mod claims;
mod sites;
mod update;

use claims::Claims;
use sites::{Site, Sites};
pub(crate) use update::Touched;

/// Objects that are not enforced as written, and why.
pub(crate) type Refused = BTreeMap<FragmentKey, RenderError>;

/// Where an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Here, on this port.
    Local(OfPort),
    /// Here, port not there yet.
    Unplugged,
    /// Behind this tunnel endpoint.
    Remote(IpAddr),
}

/// An endpoint that is rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) uid: EndpointUid,
    pub(crate) vrf: VrfId,
    pub(crate) vni: Vni,
    pub(crate) group: Option<GroupId>,
    pub(crate) mac: MacAddr,
    pub(crate) addresses: Box<[IpAddr]>,
    pub(crate) place: Place,
    pub(crate) moves: GroupMoves,
}

impl Member {
    /// The local port.
    pub(crate) fn port(&self) -> Option<OfPort> {
        match self.place {
            Place::Local(port) => Some(port),
            Place::Unplugged | Place::Remote(_) => None,
        }
    }
}

/// A group that can have members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupRef {
    pub(crate) vrf: VrfId,
    pub(crate) policies: BTreeSet<PolicyId>,
    pub(crate) qos: Option<Qos>,
}

/// An endpoint that passes the checks that concern it alone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    member: Member,
    /// Whether nobody else claims what it claims.
    fit: bool,
}

/// The indexed state.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) local: Local,
    pub(crate) tunnel: Option<OfPort>,
    /// VRFs that are here, and what happens to connections no rule decides.
    pub(crate) vrfs: BTreeMap<VrfId, DefaultAction>,
    /// Networks that are rendered.
    pub(crate) networks: BTreeMap<Vni, Network>,
    pub(crate) groups: BTreeMap<GroupId, GroupRef>,
    /// VRF of each policy that is in a known one.
    pub(crate) policies: BTreeMap<PolicyId, VrfId>,
    /// What fails a check of its own, or a claim.
    pub(crate) refused: Refused,
    vteps: BTreeMap<NodeName, IpAddr>,
    ports: BTreeMap<EndpointUid, OfPort>,
    candidates: BTreeMap<EndpointUid, Candidate>,
    claims: Claims,
    sites: Sites,
    /// Members with a local port, by network.
    plugged: BTreeSet<(Vni, EndpointUid)>,
    /// Members of each group they name, whether it is there or not.
    grouped: BTreeSet<(GroupId, VrfId, EndpointUid)>,
    /// Members with a local port, by group: how many.
    hosted: BTreeMap<(VrfId, Option<GroupId>), usize>,
    /// Members that entered or left a group since they exist, and how often.
    moves: BTreeMap<(GroupId, EndpointUid), u32>,
    /// Networks that are rendered, by VRF.
    networks_in: BTreeSet<(VrfId, Vni)>,
    metering: Metering,
    /// What the switch does with meters is another thing than groups were checked with.
    metering_changed: bool,
    /// Groups whose meters the switch has no room for.
    crowded_out: BTreeSet<GroupId>,
    visits: u64,
}

impl View {
    /// A view of nothing.
    pub(crate) fn new(local: Local) -> Self {
        Self {
            local,
            tunnel: None,
            vrfs: BTreeMap::new(),
            networks: BTreeMap::new(),
            groups: BTreeMap::new(),
            policies: BTreeMap::new(),
            refused: Refused::new(),
            vteps: BTreeMap::new(),
            ports: BTreeMap::new(),
            candidates: BTreeMap::new(),
            claims: Claims::default(),
            sites: Sites::default(),
            plugged: BTreeSet::new(),
            grouped: BTreeSet::new(),
            hosted: BTreeMap::new(),
            moves: BTreeMap::new(),
            networks_in: BTreeSet::new(),
            metering: Metering::default(),
            metering_changed: false,
            crowded_out: BTreeSet::new(),
            visits: 0,
        }
    }

    /// Gives back the room that was left when it grew.
    pub(crate) fn make_dense(&mut self) {
        self.candidates.make_dense();
        self.claims.make_dense();
        self.grouped.make_dense();
    }

    /// The member of this number.
    pub(crate) fn member(&self, uid: EndpointUid) -> Option<&Member> {
        self.candidates.get(&uid).filter(|c| c.fit).map(|c| &c.member)
    }

    /// The member that has an address.
    pub(crate) fn member_at(&self, vrf: VrfId, address: IpAddr) -> Option<&Member> {
        self.claims.of_address(vrf, address).find_map(|uid| self.member(uid))
    }

    /// What the switch does with meters.
    pub(crate) fn set_metering(&mut self, metering: Metering) {
        self.metering_changed |= self.metering != metering;
        self.metering = metering;
    }

    /// Limits and marks of a member's traffic.
    pub(crate) fn qos_of(&self, member: &Member) -> Option<&Qos> {
        let group = self.groups.get(&member.group?)?;
        group.qos.as_ref().filter(|_| group.vrf == member.vrf)
    }

    /// Members with a local port in a network.
    pub(crate) fn plugged_in(&self, vni: Vni) -> impl Iterator<Item = (&Member, OfPort)> {
        let range = (vni, EndpointUid::MIN)..=(vni, EndpointUid::MAX);
        let members = self.plugged.range(range).filter_map(|(_, uid)| self.member(*uid));
        members.filter_map(|m| m.port().map(|port| (m, port)))
    }

    /// Members that name a group.
    pub(crate) fn members_of(&self, vrf: VrfId, group: GroupId) -> impl Iterator<Item = &Member> {
        let range = (group, vrf, EndpointUid::MIN)..=(group, vrf, EndpointUid::MAX);
        self.grouped.range(range).filter_map(|(_, _, uid)| self.member(*uid))
    }

    /// Whether members of a group, or of a VRF that are in none, have a local port.
    pub(crate) fn hosts(&self, vrf: VrfId, group: Option<GroupId>) -> bool {
        self.hosted.contains_key(&(vrf, group))
    }

    /// Groups of a VRF that have members with a local port; `None` stands for those that are in none.
    pub(crate) fn hosted_in(&self, vrf: VrfId) -> impl Iterator<Item = Option<GroupId>> + '_ {
        self.hosted.range((vrf, None)..=(vrf, Some(GroupId::MAX))).map(|((_, group), _)| *group)
    }

    /// Members that entered or left a group since they exist, and how often.
    pub(crate) fn moves_of(&self, group: GroupId) -> impl Iterator<Item = (EndpointUid, u32)> + '_ {
        let range = (group, EndpointUid::MIN)..=(group, EndpointUid::MAX);
        self.moves.range(range).map(|((_, uid), times)| (*uid, *times))
    }

    /// VRFs whose members name a group.
    pub(crate) fn vrfs_naming(&self, group: GroupId) -> impl Iterator<Item = VrfId> + '_ {
        let mut from = Some(VrfId::MIN);
        std::iter::from_fn(move || {
            let range = (group, from?, EndpointUid::MIN)..=(group, VrfId::MAX, EndpointUid::MAX);
            let (_, vrf, _) = self.grouped.range(range).next()?;
            from = VrfId::new(u64::from(vrf.get()) + 1).ok();
            Some(*vrf)
        })
    }

    /// How many endpoints, networks and other objects were looked at in all: the work done.
    pub(crate) fn visits(&self) -> u64 {
        self.visits
    }

    /// Whether members of a VRF are behind this tunnel address.
    pub(crate) fn is_site(&self, vrf: VrfId, vtep: IpAddr) -> bool {
        self.sites.hosts(vrf, vtep)
    }

    /// Tunnel addresses that members of a network are behind.
    pub(crate) fn sites_of(&self, vni: Vni) -> impl Iterator<Item = IpAddr> + '_ {
        self.sites.of_network(vni)
    }

    fn check_vrf(&self, vrf: VrfId) -> Result<(), RenderError> {
        if self.vrfs.contains_key(&vrf) { Ok(()) } else { Err(RenderError::MissingVrf { vrf }) }
    }

    fn check_group(&self, group: &Group) -> Result<(), RenderError> {
        self.check_vrf(group.vrf)?;
        match (&group.qos, self.metering) {
            (Some(qos), Metering::Missing) if qos.egress.is_some() || qos.ingress.is_some() => {
                Err(RenderError::RateNotEnforced)
            }
            (_, Metering::Enforced { limit }) if self.crowded_out.contains(&group.id) => {
                Err(RenderError::TooManyMeters { limit })
            }
            _ => Ok(()),
        }
    }

    fn check_network(&self, network: &Network) -> Result<(), RenderError> {
        self.check_vrf(network.vrf)?;
        for subnet in &network.subnets {
            if let Some(gateway) = subnet.gateway.filter(|g| !subnet.cidr.contains(*g)) {
                return Err(RenderError::GatewayOutsideSubnet { gateway });
            }
        }
        Ok(())
    }

    fn check_endpoint(&self, endpoint: &Endpoint) -> Result<Member, RenderError> {
        let vni = endpoint.vni;
        self.check_vrf(endpoint.vrf)?;
        let network = &self.networks.get(&vni).ok_or(RenderError::MissingNetwork { vni })?;
        if network.vrf != endpoint.vrf {
            return Err(RenderError::NetworkOfOtherVrf { vni });
        }
        if endpoint.mac.is_group() || endpoint.mac == GATEWAY_MAC {
            return Err(RenderError::ReservedMac { mac: endpoint.mac });
        }
        for &address in &endpoint.addresses {
            let subnet = network.subnets.iter().find(|s| s.cidr.contains(address));
            let subnet = subnet.ok_or(RenderError::AddressOutsideNetwork { address, vni })?;
            if subnet.gateway == Some(address) {
                return Err(RenderError::GatewayAddress { address });
            }
        }
        Ok(Member {
            uid: endpoint.uid,
            vrf: endpoint.vrf,
            vni,
            group: endpoint.group,
            mac: endpoint.mac,
            addresses: endpoint.addresses.clone().into(),
            place: self.place(endpoint)?,
            moves: endpoint.moves.clone(),
        })
    }

    fn place(&self, endpoint: &Endpoint) -> Result<Place, RenderError> {
        if endpoint.node == self.local.node {
            return match self.ports.get(&endpoint.uid) {
                Some(&port) if Some(port) == self.tunnel => Err(RenderError::PortConflict { port }),
                Some(&port) => Ok(Place::Local(port)),
                None => Ok(Place::Unplugged),
            };
        }
        let node = endpoint.node.clone();
        match self.vteps.get(&endpoint.node) {
            None => Err(RenderError::MissingNode { node }),
            Some(&vtep) if vtep.is_ipv4() != self.local.vtep.is_ipv4() => {
                Err(RenderError::VtepFamily { node, vtep })
            }
            Some(&vtep) => Ok(Place::Remote(vtep)),
        }
    }

    /// Where a remote member is. Another node with our own tunnel address is none that could be told from us.
    fn site(&self, member: &Member) -> Option<Site> {
        match member.place {
            Place::Remote(vtep) if vtep != self.local.vtep => {
                Some(Site { vrf: member.vrf, vni: member.vni, vtep })
            }
            Place::Remote(_) | Place::Local(_) | Place::Unplugged => None,
        }
    }
}
