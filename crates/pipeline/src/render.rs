//! Puts the pieces together: checks, classes, tables.

use std::collections::BTreeMap;
use std::net::IpAddr;

use node_state::NodeState;
use types::{EndpointUid, NodeName, OfPort};

use crate::classes::Classes;
use crate::cookie::Object;
use crate::error::RenderError;
use crate::flow_set::FlowSet;
use crate::rules::Attachments;
use crate::table::Table;
use crate::tables::{self, Flows};
use crate::view::{Refused, View};

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
    /// Objects that are denied instead of enforced as written.
    pub refused: BTreeMap<node_state::FragmentKey, RenderError>,
    /// Tables that match IP addresses and need `Flow_Table.prefixes=ip_dst,ipv6_dst,ipv6_src`.
    pub prefix_tables: Vec<u8>,
}

/// Renders what this node must enforce. Equal inputs give equal results.
pub fn render(state: &NodeState, local: &Local, ports: &Ports) -> Rendered {
    let mut refused = Refused::new();
    let view = View::new(state, local, ports, &mut refused);
    let mut attachments = Attachments::new(&view, &mut refused);
    // Refusing a policy denies groups and makes room for others, so start over; each turn refuses one policy.
    let (classes, policy) = loop {
        let classes = Classes::build(&view, &attachments.named_sets(&view));
        let flows = attachments.rules(&view).and_then(|rules| tables::policy::rule_flows(&classes, &rules));
        match flows {
            Ok(flows) => break (classes, flows),
            Err((id, error)) => attachments.refuse(&view, id, error, &mut refused),
        }
    };

    let mut flows = Flows::default();
    for table in Table::ALL {
        flows.add(table, 0, Object::Pipeline, openflow::Match::any(), tables::miss(table));
    }
    tables::classifier::flows(&view, &mut flows);
    tables::spoof_guard::flows(&view, &mut flows);
    tables::arp_nd::flows(&view, &mut flows);
    tables::conntrack::flows(&view, &mut flows);
    tables::class::flows(&view, &classes, &mut flows);
    flows.extend(policy);
    tables::policy::flows(&view, &classes, &attachments.denied, &mut flows);
    tables::forward::flows(&view, &mut flows);

    let prefix_tables = Table::ALL.into_iter().filter(|t| t.matches_addresses()).map(Table::number).collect();
    Rendered { flows: flows.into_set(), refused, prefix_tables }
}
