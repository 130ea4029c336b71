//! Short spellings for fragments in tests.

use node_state::{Fragment, NodeState};
use pipeline::{Local, Ports, Rendered, render};
use serde_json::{Value, json};
use types::{EndpointUid, OfPort};

pub fn fragment(value: Value) -> Fragment {
    serde_json::from_value(value).unwrap()
}

/// VRF 1 with network 101 (10.1.1.0/24, fd00:1::/64), group 1 "web" with these policies, group 2 "db" without.
pub fn base(policies: &[u32]) -> Vec<Fragment> {
    [
        json!({"node": {"name": "a", "vtep": "192.0.2.1"}}),
        json!({"vrf": {"id": 1, "tenant": "t", "default_action": "allow"}}),
        json!({"network": {"vni": 101, "vrf": 1, "name": "n", "subnets": [
            {"cidr": "10.1.1.0/24", "gateway": "10.1.1.1"}, {"cidr": "fd00:1::/64", "gateway": "fd00:1::1"}]}}),
        json!({"group": {"id": 1, "vrf": 1, "name": "web", "policies": policies}}),
        json!({"group": {"id": 2, "vrf": 1, "name": "db", "policies": []}}),
    ]
    .map(fragment)
    .to_vec()
}

/// Endpoint `host` of network 101 in a group; its port has the same number.
pub fn endpoint(host: u32, group: Option<u32>) -> Fragment {
    fragment(
        json!({"endpoint": {"uid": host, "name": format!("e{host}"), "vrf": 1, "vni": 101, "group": group,
        "mac": types::MacAddr::from_u32(0x0a01_0000 + host).to_string(), "node": "a",
        "addresses": [format!("10.1.1.{host}"), format!("fd00:1::{host:x}")]}}),
    )
}

pub fn policy(id: u32, rules: Vec<Value>) -> Fragment {
    fragment(json!({"policy": {"id": id, "vrf": 1, "name": "p", "rules": rules}}))
}

pub fn rule(
    slot: usize,
    direction: &str,
    priority: u32,
    peer: Value,
    service: Value,
    verdict: &str,
) -> Value {
    json!({"slot": slot, "name": format!("r{slot}"), "direction": direction, "priority": priority, "peer": peer,
        "service": service, "verdict": verdict})
}

/// Rendered on node "a", every endpoint plugged.
pub fn rendered(fragments: &[Fragment]) -> Rendered {
    let state: NodeState = fragments.iter().cloned().collect();
    let local = Local { node: "a".parse().unwrap(), vtep: "192.0.2.1".parse().unwrap() };
    let port = |uid: EndpointUid| (uid, OfPort::new(uid.get()).unwrap());
    let endpoints = state.endpoints().map(|e| port(e.uid)).collect();
    render(&state, &local, &Ports { tunnel: None, endpoints })
}
