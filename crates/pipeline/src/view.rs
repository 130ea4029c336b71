//! A node's state, indexed and checked: what rendering may rely on.
//!
//! # Invariants
//! * Every [`Member`] has its VRF and network here, its addresses lie in the network, and no other member of the VRF
//!   has one of them; no other member of the network has its MAC. Two that claim the same are *both* left out: which
//!   one is right cannot be told here, and either could be the thief.
//! * A member is local with a port nobody else has, or remote with a tunnel address of our family, or local without a
//!   port yet.
//!
//! # Failure
//! What is left out is listed with the reason; its port gets no flows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use node_state::{Endpoint, FragmentKey, Group, Network, NodeState, Policy, Vrf};
use types::{EndpointUid, GroupId, MacAddr, NodeName, OfPort, PolicyId, Vni, VrfId};

use crate::error::RenderError;
use crate::render::{Local, Ports};
use crate::tables::GATEWAY_MAC;

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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) network: &'a Network,
    pub(crate) place: Place,
}

impl Member<'_> {
    /// The local port.
    pub(crate) fn port(&self) -> Option<OfPort> {
        match self.place {
            Place::Local(port) => Some(port),
            Place::Unplugged | Place::Remote(_) => None,
        }
    }
}

/// The indexed state.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) local: &'a Local,
    pub(crate) tunnel: Option<OfPort>,
    pub(crate) vrfs: BTreeMap<VrfId, &'a Vrf>,
    pub(crate) networks: BTreeMap<Vni, &'a Network>,
    pub(crate) members: BTreeMap<EndpointUid, Member<'a>>,
    pub(crate) groups: BTreeMap<GroupId, &'a Group>,
    pub(crate) policies: BTreeMap<PolicyId, &'a Policy>,
    vteps: BTreeMap<&'a NodeName, IpAddr>,
}

impl<'a> View<'a> {
    /// Indexes and checks.
    pub(crate) fn new(state: &'a NodeState, local: &'a Local, ports: &Ports, refused: &mut Refused) -> Self {
        let mut view = Self {
            local,
            tunnel: ports.tunnel,
            vrfs: state.vrfs().map(|v| (v.id, v)).collect(),
            networks: BTreeMap::new(),
            members: BTreeMap::new(),
            groups: BTreeMap::new(),
            policies: BTreeMap::new(),
            vteps: state.nodes().map(|n| (&n.name, n.vtep)).collect(),
        };
        for network in state.networks() {
            match view.check_network(network) {
                Ok(()) => drop(view.networks.insert(network.vni, network)),
                Err(e) => drop(refused.insert(FragmentKey::Network(network.vni), e)),
            }
        }
        for group in state.groups() {
            match view.check_vrf(group.vrf) {
                Ok(()) => drop(view.groups.insert(group.id, group)),
                Err(e) => drop(refused.insert(FragmentKey::Group(group.id), e)),
            }
        }
        for policy in state.policies() {
            match view.check_vrf(policy.vrf) {
                Ok(()) => drop(view.policies.insert(policy.id, policy)),
                Err(e) => drop(refused.insert(FragmentKey::Policy(policy.id), e)),
            }
        }
        for endpoint in state.endpoints() {
            match view.check_endpoint(endpoint, ports) {
                Ok(member) => drop(view.members.insert(endpoint.uid, member)),
                Err(e) => drop(refused.insert(FragmentKey::Endpoint(endpoint.uid), e)),
            }
        }
        view.drop_conflicts(refused);
        view
    }

    fn check_vrf(&self, vrf: VrfId) -> Result<(), RenderError> {
        if self.vrfs.contains_key(&vrf) { Ok(()) } else { Err(RenderError::MissingVrf { vrf }) }
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

    fn check_endpoint(&self, endpoint: &'a Endpoint, ports: &Ports) -> Result<Member<'a>, RenderError> {
        let vni = endpoint.vni;
        self.check_vrf(endpoint.vrf)?;
        let network = *self.networks.get(&vni).ok_or(RenderError::MissingNetwork { vni })?;
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
        Ok(Member { endpoint, network, place: self.place(endpoint, ports)? })
    }

    fn place(&self, endpoint: &Endpoint, ports: &Ports) -> Result<Place, RenderError> {
        if endpoint.node == self.local.node {
            return match ports.endpoints.get(&endpoint.uid) {
                Some(&port) if Some(port) == ports.tunnel => Err(RenderError::PortConflict { port }),
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

    /// Leaves out every member that claims what another claims too.
    fn drop_conflicts(&mut self, refused: &mut Refused) {
        let mut addresses: BTreeMap<(VrfId, IpAddr), EndpointUid> = BTreeMap::new();
        let mut macs: BTreeMap<(Vni, MacAddr), EndpointUid> = BTreeMap::new();
        let mut ports: BTreeMap<OfPort, EndpointUid> = BTreeMap::new();
        let mut conflicts: Vec<(EndpointUid, RenderError)> = Vec::new();
        for (&uid, member) in &self.members {
            let e = member.endpoint;
            for &address in &e.addresses {
                if let Some(other) = addresses.insert((e.vrf, address), uid).filter(|other| *other != uid) {
                    conflicts.push((uid, RenderError::AddressConflict { address, other }));
                    conflicts.push((other, RenderError::AddressConflict { address, other: uid }));
                }
            }
            if let Some(other) = macs.insert((e.vni, e.mac), uid) {
                conflicts.push((uid, RenderError::MacConflict { mac: e.mac, other }));
                conflicts.push((other, RenderError::MacConflict { mac: e.mac, other: uid }));
            }
            if let Some(port) = member.port()
                && let Some(other) = ports.insert(port, uid)
            {
                conflicts.extend([uid, other].map(|uid| (uid, RenderError::PortConflict { port })));
            }
        }
        for (uid, error) in conflicts {
            self.members.remove(&uid);
            refused.entry(FragmentKey::Endpoint(uid)).or_insert(error);
        }
    }

    /// Tunnel addresses of peer nodes among `nodes`: known, not ourselves, of our family.
    pub(crate) fn peers(&self, nodes: &BTreeSet<NodeName>) -> BTreeSet<IpAddr> {
        let others = nodes.iter().filter(|name| **name != self.local.node);
        others
            .filter_map(|name| self.vteps.get(name).copied())
            .filter(|vtep| *vtep != self.local.vtep && vtep.is_ipv4() == self.local.vtep.is_ipv4())
            .collect()
    }

    /// Members with a local port.
    pub(crate) fn locals(&self) -> impl Iterator<Item = (&Member<'a>, OfPort)> {
        self.members.values().filter_map(|m| m.port().map(|port| (m, port)))
    }
}
