//! A node's state of a wanted number of flows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use netplugin::ports::allocate::TUNNEL;
use node_state::{Endpoint, Fragment, Network, NetworkSubnet, Node, NodeState, Vrf};
use pipeline::{FlowSet, Local, Ports, render};
use types::{DefaultAction, EndpointUid, GroupMoves, MacAddr, NodeName, OfPort, Vni, VrfId};

/// Endpoints on the node itself; all others are elsewhere.
pub const LOCAL: u32 = 10;

/// A node with a few local endpoints and many remote ones, dual-stack, in one network.
pub struct Scene {
    pub state: NodeState,
    pub local: Local,
    pub ports: Ports,
}

impl Scene {
    /// The scene whose flows come closest to `size` from above.
    pub fn with_flows(size: usize) -> Result<Self> {
        let (one, two) = (Self::new(100)?.render().len(), Self::new(200)?.render().len());
        let per_endpoint = (two - one) / 100;
        let fixed = one - per_endpoint * 100;
        Self::new(u32::try_from(size.saturating_sub(fixed).div_ceil(per_endpoint.max(1)))?)
    }

    fn new(endpoints: u32) -> Result<Self> {
        let [here, there]: [NodeName; 2] = ["node-1".parse()?, "node-2".parse()?];
        let (vrf, vni) = (VrfId::new(1)?, Vni::new(101)?);
        let v4 = NetworkSubnet { cidr: "10.0.0.0/8".parse()?, gateway: Some(IpAddr::from([10, 0, 0, 1])) };
        let v6 = NetworkSubnet { cidr: "fd00::/64".parse()?, gateway: Some("fd00::1".parse()?) };
        let mut state = NodeState::default();
        state.insert(Fragment::Node(Node { name: there, vtep: IpAddr::from([192, 0, 2, 2]) }));
        state.insert(Fragment::Vrf(Vrf {
            id: vrf,
            tenant: "bench".parse()?,
            default_action: DefaultAction::Allow,
        }));
        let name = "bench".parse()?;
        state.insert(Fragment::Network(Network { vni, vrf, name, subnets: vec![v4, v6] }));
        let mut ports = Ports { tunnel: Some(TUNNEL), ..Ports::default() };
        for n in 0..endpoints {
            state.insert(endpoint(n)?);
            if n < LOCAL {
                ports.endpoints.insert(uid(n)?, OfPort::new(u64::from(n) + 1)?);
            }
        }
        let local = Local { node: here, vtep: IpAddr::from([192, 0, 2, 1]) };
        Ok(Self { state, local, ports })
    }

    /// All its flows.
    pub fn render(&self) -> FlowSet {
        render(&self.state, &self.local, &self.ports).flows
    }
}

/// The number of an endpoint.
pub fn uid(n: u32) -> Result<EndpointUid> {
    Ok(EndpointUid::new(u64::from(n) + 1)?)
}

/// An endpoint: one of the first [`LOCAL`] is on the node, every other one is remote.
pub fn endpoint(n: u32) -> Result<Fragment> {
    let v4 = Ipv4Addr::from(0x0a00_0100 + n);
    let v6 = Ipv6Addr::from((0xfd00_u128 << 112) + 0x200 + u128::from(n));
    Ok(Fragment::Endpoint(Endpoint {
        uid: uid(n)?,
        name: format!("e{n}").parse()?,
        vrf: VrfId::new(1)?,
        vni: Vni::new(101)?,
        group: None,
        moves: GroupMoves::default(),
        mac: MacAddr::from_u32(u32::from(v4)),
        addresses: vec![v4.into(), v6.into()],
        node: if n < LOCAL { "node-1" } else { "node-2" }.parse()?,
    }))
}
