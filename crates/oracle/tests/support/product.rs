//! What the product makes of intent: compiled, rendered on every node, and read back from text as from a real switch.

use std::collections::BTreeMap;

use model::IntentView;
use node_state::{Fragment, NodeState};
use openflow::Flow;
use oracle::fabric::Site;
use oracle::switch::Switch;
use types::{EndpointUid, NodeName, OfPort};

pub const TUNNEL: u32 = 1000;

/// The flows of every node, and which endpoint has which port there.
pub type Tables = BTreeMap<NodeName, (BTreeMap<EndpointUid, u32>, Vec<Flow>)>;

pub fn tables(view: &IntentView) -> Tables {
    let compiled = compile::compile(view);
    assert!(compiled.refused().iter().next().is_none(), "{:?}", compiled.refused());
    let node = |node: &model::Node| {
        let name = node.spec.name.clone();
        let keys = compiled.node(&name);
        let fragments =
            keys.keys().map(|key| Fragment::decode(key, &compiled.fragments()[key].bytes).unwrap());
        let state: NodeState = fragments.collect();
        let local = view.endpoints.values().filter(|e| e.spec.node == name);
        // Ports are numbers of their own on every node.
        let ports: BTreeMap<EndpointUid, u32> = local.map(|e| e.uid).zip(1..).collect();
        let given = pipeline::Ports {
            tunnel: OfPort::new(TUNNEL.into()).ok(),
            endpoints: ports.iter().map(|(uid, port)| (*uid, OfPort::new((*port).into()).unwrap())).collect(),
        };
        let local = pipeline::Local { node: name.clone(), vtep: node.spec.vtep };
        let rendered = pipeline::render(&state, &local, &given);
        assert!(rendered.refused.is_empty(), "{:?}", rendered.refused);
        (name, (ports, rendered.flows.to_flows().collect()))
    };
    view.nodes.values().map(node).collect()
}

pub fn sites(tables: &Tables) -> Vec<Site> {
    let site = |(node, (ports, flows)): (&NodeName, &(BTreeMap<EndpointUid, u32>, Vec<Flow>))| {
        let dump: String = flows.iter().map(|f| format!("{f}\n")).collect();
        let switch = Switch::read(&dump).unwrap_or_else(|e| panic!("{e}"));
        Site { node: node.clone(), tunnel: Some(TUNNEL), ports: ports.clone(), switch }
    };
    tables.iter().map(site).collect()
}
