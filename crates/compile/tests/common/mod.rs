//! Views from JSON and from strategies.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::panic)]

pub mod plainly;

use std::net::IpAddr;

use model::*;
use types::*;

/// A view as the golden files write it: stored objects by noun.
#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct ViewFile {
    pub revision: Revision,
    pub nodes: Vec<Node>,
    pub tenants: Vec<Tenant>,
    pub networks: Vec<Network>,
    pub policies: Vec<Policy>,
    #[serde(default)]
    pub netprofiles: Vec<NetProfile>,
    pub groups: Vec<Group>,
    pub endpoints: Vec<Endpoint>,
}

impl ViewFile {
    pub fn objects(self) -> Vec<Object> {
        let nodes = self.nodes.into_iter().map(Object::Node);
        let tenants = self.tenants.into_iter().map(Object::Tenant);
        let networks = self.networks.into_iter().map(Object::Network);
        let policies = self.policies.into_iter().map(Object::Policy);
        let profiles = self.netprofiles.into_iter().map(Object::NetProfile);
        let groups = self.groups.into_iter().map(Object::Group);
        let endpoints = self.endpoints.into_iter().map(Object::Endpoint);
        nodes
            .chain(tenants)
            .chain(networks)
            .chain(policies)
            .chain(profiles)
            .chain(groups)
            .chain(endpoints)
            .collect()
    }
}

pub fn view_of(revision: Revision, objects: impl IntoIterator<Item = Object>) -> IntentView {
    let mut view = IntentView::default();
    objects.into_iter().for_each(|o| view.apply(ViewEvent::Put(Box::new(o))));
    view.revision = revision;
    view
}

pub fn name(s: impl ToString) -> Name {
    Name::new(s.to_string()).unwrap()
}

pub fn node_name(n: usize) -> NodeName {
    NodeName::new(format!("node-{n}")).unwrap()
}

pub fn node(n: usize) -> Object {
    let vtep = IpAddr::from([192, 0, 2, u8::try_from(n).unwrap()]);
    Object::Node(Node {
        spec: NodeSpec { name: node_name(n), vtep },
        key_sha256: "00".repeat(32),
        cordoned: false,
        fencing_token: None,
    })
}

pub fn tenant(t: usize) -> Object {
    let spec = TenantSpec { name: name(format!("t{t}")), default_action: DefaultAction::Allow };
    Object::Tenant(Tenant { spec, vrf: VrfId::new(t as u64 + 1).unwrap() })
}

/// Network `w` of tenant `t`; the same subnets in every tenant.
pub fn network(t: usize, w: usize) -> Object {
    let subnet = |s: String, gateway: String| SubnetSpec {
        subnet: s.parse().unwrap(),
        gateway: Some(gateway.parse().unwrap()),
    };
    let spec = NetworkSpec {
        tenant: name(format!("t{t}")),
        name: name(format!("w{w}")),
        ipv4: Some(subnet(format!("10.0.{w}.0/24"), format!("10.0.{w}.1"))),
        ipv6: Some(subnet(format!("fd00:{w}::/64"), format!("fd00:{w}::1"))),
        vni: None,
    };
    Object::Network(Network { spec, vni: vni(t, w) })
}

pub fn vni(t: usize, w: usize) -> Vni {
    Vni::new((t * 100 + w + 1) as u64).unwrap()
}

/// Policy `p` of tenant `t`, allowing TCP 80 from `peer`.
pub fn policy(t: usize, p: usize, peer: Peer) -> Object {
    let rule = RuleSpec {
        name: name("r"),
        direction: Direction::Ingress,
        priority: RulePriority::MIN,
        peer,
        services: Some("tcp/80".parse::<Service>().unwrap().into()),
        action: Verdict::Allow,
    };
    let spec = PolicySpec { tenant: name(format!("t{t}")), name: name(format!("p{p}")), rules: vec![rule] };
    let slots = [(name("r"), RuleSlot::MIN)].into();
    Object::Policy(Policy { spec, id: PolicyId::new((t * 100 + p + 1) as u64).unwrap(), slots })
}

/// Group `g` of tenant `t` on network `g`, with these policies.
pub fn group(t: usize, g: usize, policies: &[usize]) -> Object {
    let policies = policies.iter().map(|p| name(format!("p{p}"))).collect();
    let spec = GroupSpec {
        tenant: name(format!("t{t}")),
        name: name(format!("g{g}")),
        network: name(format!("w{g}")),
        policies,
        net_profile: None,
    };
    Object::Group(Group { spec, id: GroupId::new((t * 100 + g + 1) as u64).unwrap() })
}

/// Network profile `p` of tenant `t`, with this rate.
pub fn netprofile(t: usize, p: usize, mbps: usize) -> Object {
    let limit = RateLimit { rate: format!("{mbps}Mbps").parse().unwrap(), burst: None };
    Object::NetProfile(NetProfile {
        spec: NetProfileSpec {
            tenant: name(format!("t{t}")),
            name: name(format!("q{p}")),
            egress: Some(limit),
            ingress: None,
            dscp: None,
            share: RateShare::Endpoint,
        },
    })
}

/// Endpoint `e` on network `w` of tenant `t`, on node `n`.
pub fn endpoint(t: usize, w: usize, e: usize, n: usize, group: bool) -> Object {
    let host = e + 2;
    let addresses: Vec<IpAddr> =
        vec![format!("10.0.{w}.{host}").parse().unwrap(), format!("fd00:{w}::{host:x}").parse().unwrap()];
    let spec = EndpointSpec {
        tenant: name(format!("t{t}")),
        name: EndpointName::new(format!("e{e}.w{w}")).unwrap(),
        network: name(format!("w{w}")),
        group: group.then(|| name(format!("g{w}"))),
        node: node_name(n),
        ipv4: None,
        ipv6: None,
    };
    let uid = EndpointUid::new((t * 10_000 + w * 1000 + e + 1) as u64).unwrap();
    Object::Endpoint(Endpoint {
        spec,
        uid,
        mac: endpoint_mac(&addresses).unwrap(),
        addresses,
        moves: GroupMoves::default(),
    })
}

/// Nodes, and tenants that each have networks with a group and a policy.
pub fn fabric_of(nodes: usize, tenants: usize, networks: usize) -> Vec<Object> {
    let mut objects: Vec<Object> = (0..nodes).map(node).collect();
    for t in 0..tenants {
        objects.push(tenant(t));
        for w in 0..networks {
            objects.push(network(t, w));
            objects.push(policy(t, w, Peer::Group(name(format!("g{}", (w + 1) % networks)))));
            objects.push(group(t, w, &[w]));
        }
    }
    objects
}
