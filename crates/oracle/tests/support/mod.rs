//! Intent built by hand and at random, and the switches the product makes of it.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "test code")]

pub mod product;
pub mod random;

use std::net::IpAddr;

use model::*;
use oracle::audit::{Report, audit};
use oracle::fabric::{Fabric, Site};
use oracle::intent::Intent;
use types::*;

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn view(objects: impl IntoIterator<Item = Object>) -> IntentView {
    let mut view = IntentView::default();
    objects.into_iter().for_each(|o| view.apply(ViewEvent::Put(Box::new(o))));
    view
}

/// Audits these switches against this intent.
pub fn audited(view: &IntentView, sites: impl IntoIterator<Item = Site>) -> Report {
    let intent = Intent::new(view);
    audit(&intent, &Fabric::new(&intent, sites))
}

pub fn vtep(n: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, n as u8])
}

pub fn node_name(n: usize) -> NodeName {
    format!("node-{n}").parse().unwrap()
}

pub fn node(n: usize) -> Object {
    let spec = NodeSpec { name: node_name(n), vtep: vtep(n) };
    Object::Node(Node { spec, key_sha256: "00".repeat(32), cordoned: false, fencing_token: None })
}

pub fn tenant(tenant: &str, vrf: u64, default_action: DefaultAction) -> Object {
    let spec = TenantSpec { name: name(tenant), default_action };
    Object::Tenant(Tenant { spec, vrf: VrfId::new(vrf).unwrap() })
}

/// A network with these subnets; `Some(gateway)` makes `.1` or `::1` its gateway.
pub fn network(tenant: &str, network: &str, vni: u64, subnets: &[(&str, Option<&str>)]) -> Object {
    let subnet = |v4: bool| {
        let found = subnets.iter().find(|(cidr, _)| cidr.contains('.') == v4)?;
        let gateway = found.1.map(|g| g.parse().unwrap());
        Some(SubnetSpec { subnet: found.0.parse().unwrap(), gateway })
    };
    let (ipv4, ipv6) = (subnet(true), subnet(false));
    let spec = NetworkSpec { tenant: name(tenant), name: name(network), ipv4, ipv6, vni: None };
    Object::Network(Network { spec, vni: Vni::new(vni).unwrap() })
}

pub fn group(tenant: &str, group: &str, id: u64, network: &str, policies: &[&str]) -> Object {
    let policies = policies.iter().map(|p| name(p)).collect();
    let spec = GroupSpec {
        tenant: name(tenant),
        name: name(group),
        network: name(network),
        policies,
        net_profile: None,
    };
    Object::Group(Group { spec, id: GroupId::new(id).unwrap() })
}

/// A group whose endpoints have rates both ways and a mark, with the profile that says so.
pub fn limited(tenant: &str, group: Object) -> [Object; 2] {
    let Object::Group(mut group) = group else { panic!("{group:?}") };
    let limit = |rate: &str| Some(RateLimit { rate: rate.parse().unwrap(), burst: None });
    let spec = NetProfileSpec {
        tenant: name(tenant),
        name: name("limited"),
        egress: limit("20Mbps"),
        ingress: limit("10Mbps"),
        dscp: Some(Dscp::new(46).unwrap()),
        share: RateShare::Endpoint,
    };
    group.spec.net_profile = Some(name("limited"));
    [Object::NetProfile(NetProfile { spec }), Object::Group(group)]
}

/// `direction priority peer service action`, for example `ingress 10 group:web tcp/5432 allow`.
pub fn rule(id: &str, text: &str) -> RuleSpec {
    let [direction, priority, peer, service, action] = text.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    // Several services are joined by '+'.
    let named = service.split('+').map(|one| one.parse().unwrap());
    let services = (service != "any").then(|| named.collect::<Vec<types::Service>>().try_into().unwrap());
    let peer = match peer.split_once(':') {
        Some(("group", g)) => Peer::Group(name(g)),
        Some(("network", n)) => Peer::Network(name(n)),
        // `!` stands for " except ".
        Some(("cidr", c)) => Peer::Cidr(c.replace('!', " except ").parse().unwrap()),
        Some(("range", r)) => Peer::Range(r.parse().unwrap()),
        _ => Peer::Any,
    };
    RuleSpec {
        name: name(id),
        direction: if direction == "ingress" { Direction::Ingress } else { Direction::Egress },
        priority: RulePriority::new(priority.parse().unwrap()).unwrap(),
        peer,
        services,
        action: if action == "allow" { Verdict::Allow } else { Verdict::Deny },
    }
}

pub fn policy(tenant: &str, policy: &str, id: u64, rules: Vec<RuleSpec>) -> Object {
    let slots = (0..).zip(&rules).map(|(i, r)| (r.name.clone(), RuleSlot::new(i).unwrap())).collect();
    let spec = PolicySpec { tenant: name(tenant), name: name(policy), rules };
    Object::Policy(Policy { spec, id: PolicyId::new(id).unwrap(), slots })
}

pub struct Place<'a> {
    pub network: &'a str,
    pub group: Option<&'a str>,
    pub node: usize,
}

pub fn endpoint(tenant: &str, own: &str, uid: u64, place: &Place<'_>, addresses: &[&str]) -> Object {
    let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
    let spec = EndpointSpec {
        tenant: name(tenant),
        name: own.parse().unwrap(),
        network: name(place.network),
        group: place.group.map(name),
        node: node_name(place.node),
        ipv4: None,
        ipv6: None,
    };
    let uid = EndpointUid::new(uid).unwrap();
    Object::Endpoint(Endpoint {
        spec,
        uid,
        mac: endpoint_mac(&addresses).unwrap(),
        addresses,
        moves: GroupMoves::default(),
    })
}

/// Two tenants with the same addresses. Blue protects its databases, lets nobody but web out of front by TCP, and denies
/// what no rule decides; green has no policy. Databases have rates and a mark.
pub fn two_tenants() -> Vec<Object> {
    let mut objects = vec![
        node(1),
        node(2),
        tenant("blue", 1, DefaultAction::Allow),
        tenant("green", 2, DefaultAction::Allow),
        policy(
            "blue",
            "db-access",
            7,
            vec![
                rule("postgres", "ingress 10 group:web tcp/5432-5433 allow"),
                rule("no-other-tcp", "ingress 1 any tcp deny"),
                rule("no-ping-from-here", "ingress 20 cidr:10.1.2.0/24 icmp deny"),
            ],
        ),
        policy("blue", "web-out", 8, vec![rule("no-dns", "egress 5 network:back udp/53 deny")]),
    ];
    for (t, (owner, db, web)) in
        [("blue", &["db-access"][..], &["web-out"][..]), ("green", &[], &[])].into_iter().enumerate()
    {
        let t = t as u64;
        let own = |n: u64| t * 100 + n;
        let front = [("10.1.1.0/24", Some("10.1.1.1")), ("fd00:1:1::/64", Some("fd00:1:1::1"))];
        let back = [("10.1.2.0/24", Some("10.1.2.1")), ("fd00:1:2::/64", Some("fd00:1:2::1"))];
        objects.push(network(owner, "front", own(101), &front));
        objects.push(network(owner, "back", own(102), &back));
        objects.push(group(owner, "web", own(3), "front", web));
        objects.extend(limited(owner, group(owner, "db", own(4), "back", db)));
        let web = |node| Place { network: "front", group: Some("web"), node };
        let db = |node| Place { network: "back", group: Some("db"), node };
        objects.extend([
            endpoint(owner, "web-1", own(11), &web(1), &["10.1.1.11", "fd00:1:1::11"]),
            endpoint(owner, "web-2", own(12), &web(2), &["10.1.1.12", "fd00:1:1::12"]),
            endpoint(owner, "db-1", own(21), &db(2), &["10.1.2.11", "fd00:1:2::11"]),
            endpoint(owner, "db-2", own(22), &db(1), &["10.1.2.12", "fd00:1:2::12"]),
        ]);
    }
    objects
}

/// Two tenants on two nodes with this many endpoints, in four groups each, every one with a policy of two rules.
pub fn many(endpoints: usize) -> Vec<Object> {
    let mut objects = vec![node(1), node(2)];
    for t in 0..2_u64 {
        let owner = format!("t{t}");
        let own = |n: u64| t * 10_000 + n + 1;
        objects.push(tenant(&owner, t + 1, DefaultAction::Deny));
        let subnets = [("10.1.0.0/16", Some("10.1.0.1")), ("fd00:1::/64", Some("fd00:1::1"))];
        objects.push(network(&owner, "n", own(0), &subnets));
        for g in 0..4 {
            let peer = (g + 1) % 4;
            let rules = vec![
                rule("in", &format!("ingress 10 group:g{peer} tcp/80-90 allow")),
                rule("out", "egress 5 cidr:10.1.0.0/17 any allow"),
            ];
            objects.push(policy(&owner, &format!("p{g}"), own(g), rules));
            let attached = format!("p{g}");
            objects.push(group(&owner, &format!("g{g}"), own(g), "n", &[attached.as_str()]));
        }
        for e in 0..endpoints / 2 {
            let (high, low) = (e / 250, e % 250 + 2);
            let group = format!("g{}", e % 4);
            let place = Place { network: "n", group: Some(&group), node: e / 4 % 2 + 1 };
            let addresses = [format!("10.1.{high}.{low}"), format!("fd00:1::{high:x}:{low:x}")];
            let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
            objects.push(endpoint(&owner, &format!("e{e}"), own(e as u64), &place, &addresses));
        }
    }
    objects
}
