//! Renders a whole state at once: a [`Renderer`] that sees everything as new.

use std::collections::BTreeMap;
use std::net::IpAddr;

use node_state::NodeState;
use types::{EndpointUid, NodeName, OfPort};

use crate::error::RenderError;
use crate::flow_set::FlowSet;
use crate::meters::MeterSet;
use crate::renderer::Renderer;
use crate::table::Table;

/// The ports the agent has put into the bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// The flow-based tunnel port (`remote_ip=flow,key=flow`); none: nothing leaves the node.
    pub tunnel: Option<OfPort>,
    /// Port of each plugged local endpoint.
    pub endpoints: BTreeMap<EndpointUid, OfPort>,
}

/// Who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Our name.
    pub node: NodeName,
    /// Our tunnel endpoint address (RFC 7348 VTEP).
    pub vtep: IpAddr,
}

/// What rendering gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The flows.
    pub flows: FlowSet,
    /// The meters they name.
    pub meters: MeterSet,
    /// Objects that are denied instead of enforced as written.
    pub refused: BTreeMap<node_state::FragmentKey, RenderError>,
    /// Tables that match IP addresses and need `Flow_Table.prefixes=ip_dst,ipv6_dst,ipv6_src`.
    pub prefix_tables: Vec<u8>,
}

/// Renders what this node must enforce. Equal inputs give equal results.
pub fn render(state: &NodeState, local: &Local, ports: &Ports) -> Rendered {
    let mut renderer = Renderer::new(local.clone());
    let all = state.fragments().map(|(key, _)| key.clone()).collect();
    renderer.update(state, &all, ports);
    let refused = renderer.refused();
    let meters = renderer.meters().clone();
    Rendered { flows: renderer.into_flows(), meters, refused, prefix_tables: prefix_tables() }
}

/// Tables that match IP addresses and need `Flow_Table.prefixes=ip_dst,ipv6_dst,ipv6_src`.
pub fn prefix_tables() -> Vec<u8> {
    Table::ALL.into_iter().filter(|t| t.matches_addresses()).map(Table::number).collect()
}
