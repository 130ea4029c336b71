//! Random clusters, and policy as the manual states it, in plain code: the other opinion on what the flows do.
//!
//! Two VRFs with the same subnets, addresses and MACs, two networks each, endpoints on two nodes, groups, policies;
//! and now and then something missing.

use std::net::IpAddr;

use node_state::*;
use pipeline::{Local, Ports};
use proptest::prelude::*;
use types::*;

pub const VTEPS: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
pub const TUNNEL: u16 = 1000;

#[derive(Clone, Debug)]
pub struct World {
    pub state: NodeState,
}

/// A packet that opens a connection.
#[derive(Clone, Debug)]
pub struct Opening {
    pub protocol: u8,
    pub port: u16,
}

impl Opening {
    /// Type and code, of an ICMP message: queries of both families, and types nobody knows.
    pub fn icmp(&self) -> (u8, u8) {
        let kind = match (self.protocol, self.port % 3) {
            (58, 0) => 200,
            (58, _) => 128,
            (_, 0) => 13,
            (_, _) => 8,
        };
        (kind, (self.port % 2) as u8)
    }
}

fn name(i: usize) -> NodeName {
    format!("node-{}", i + 1).parse().unwrap()
}

pub fn vni(vrf: u64, network: u64) -> Vni {
    Vni::new(vrf * 100 + network).unwrap()
}

impl World {
    pub fn local(&self, node: usize) -> Local {
        Local { node: name(node), vtep: VTEPS[node].parse().unwrap() }
    }

    /// Port = uid: unique on every node.
    pub fn ports(&self) -> Ports {
        let endpoints = self.state.endpoints().map(|e| (e.uid, OfPort::new(e.uid.get()).unwrap())).collect();
        Ports { tunnel: Some(OfPort::new(TUNNEL.into()).unwrap()), endpoints }
    }

    pub fn node_of(&self, endpoint: &Endpoint) -> usize {
        usize::from(endpoint.node == name(1))
    }

    pub fn network(&self, endpoint: &Endpoint) -> &Network {
        self.state.networks().find(|n| n.vni == endpoint.vni).unwrap()
    }

    pub fn routed(&self, endpoint: &Endpoint, family: Family) -> bool {
        self.network(endpoint).subnets.iter().any(|s| s.cidr.family() == family && s.gateway.is_some())
    }

    /// What decides for `own` about a connection with `peer`: the verdict and the rule, 0 for the default.
    pub fn judge(
        &self,
        own: &Endpoint,
        direction: Direction,
        peer: IpAddr,
        packet: &Opening,
    ) -> (Verdict, u32) {
        let vrf = self.state.vrfs().find(|v| v.id == own.vrf).unwrap();
        let default = match vrf.default_action {
            DefaultAction::Allow => (Verdict::Allow, 0),
            DefaultAction::Deny => (Verdict::Deny, 0),
        };
        let Some(group) = own.group else { return default };
        let Some(Fragment::Group(group)) = self.state.get(&FragmentKey::Group(group)) else {
            return (Verdict::Deny, 0);
        };
        let mut best: Option<(RulePriority, Verdict, std::cmp::Reverse<u32>)> = None;
        for id in &group.policies {
            let Some(Fragment::Policy(policy)) = self.state.get(&FragmentKey::Policy(*id)) else {
                return (Verdict::Deny, 0);
            };
            if policy.rules.iter().any(|r| self.dangling(&r.peer)) {
                return (Verdict::Deny, 0);
            }
            for rule in policy.rules.iter().filter(|r| r.direction == direction) {
                if self.peer_matches(own.vrf, &rule.peer, peer)
                    && service_matches(&rule.service, peer, packet)
                {
                    let id = std::cmp::Reverse(RuleId::new(*id, rule.slot).get());
                    best = best.max(Some((rule.priority, rule.verdict, id)));
                }
            }
        }
        best.map_or(default, |(_, verdict, id)| (verdict, id.0))
    }

    fn dangling(&self, peer: &RulePeer) -> bool {
        matches!(peer, RulePeer::Network(vni) if self.state.get(&FragmentKey::Network(*vni)).is_none())
    }

    fn peer_matches(&self, vrf: VrfId, peer: &RulePeer, address: IpAddr) -> bool {
        match peer {
            RulePeer::Any => true,
            RulePeer::Cidr(block) => block.contains(address),
            RulePeer::Range(range) => range.contains(address),
            RulePeer::Network(vni) => self
                .state
                .networks()
                .any(|n| n.vni == *vni && n.subnets.iter().any(|s| s.cidr.contains(address))),
            RulePeer::Group(group) => self
                .state
                .endpoints()
                .any(|e| e.vrf == vrf && e.group == Some(*group) && e.addresses.contains(&address)),
        }
    }
}

fn service_matches(service: &RuleService, peer: IpAddr, packet: &Opening) -> bool {
    let RuleService::Of(services) = service else { return true };
    services.iter().any(|service| match service {
        Service::Protocol(IpProtocol::Icmp) => packet.protocol == if peer.is_ipv4() { 1 } else { 58 },
        Service::Protocol(IpProtocol::Other(n)) => packet.protocol == n.get(),
        Service::Protocol(p) => packet.protocol == number(*p),
        Service::Ports(p, ports) => {
            let listed = |r: &PortRange| r.first().get() <= packet.port && packet.port <= r.last().get();
            packet.protocol == number((*p).into()) && ports.ranges().iter().any(listed)
        }
        Service::Icmp(m) => packet.protocol == 1 && of_message(m, packet),
        Service::Icmpv6(m) => packet.protocol == 58 && m.is_none_or(|m| of_message(&m, packet)),
    })
}

fn of_message(message: &IcmpMessage, packet: &Opening) -> bool {
    let (kind, code) = packet.icmp();
    message.kind == kind && message.code.is_none_or(|c| c == code)
}

fn number(p: IpProtocol) -> u8 {
    match p {
        IpProtocol::Tcp => 6,
        IpProtocol::Udp => 17,
        IpProtocol::Sctp => 132,
        IpProtocol::Icmp | IpProtocol::Other(_) => panic!("{p} is looked at before"),
    }
}

fn peer(vrf: u64) -> impl Strategy<Value = RulePeer> {
    let cidrs = [
        "10.1.1.0/24",
        "10.1.1.2/31",
        "10.1.0.0/16",
        "0.0.0.0/0",
        "fd00:1::/64",
        "fd00:1::2/127",
        "10.1.2.3/32",
        "0.0.0.0/0 except 10.1.1.0/24",
        "10.1.0.0/16 except 10.1.1.2/31,10.1.1.3/32,10.1.2.0/24",
        "fd00::/16 except fd00:1::2/127",
        "::/0 except fd00::/8",
    ];
    let ranges = ["10.1.1.3-10.1.2.3", "0.0.0.0-255.255.255.255", "fd00:1::3-fd00:2::4", "10.1.1.2-10.1.1.2"];
    prop_oneof![
        2 => Just(RulePeer::Any),
        4 => (1u64..=3).prop_map(move |g| RulePeer::Group(GroupId::new(vrf * 10 + g).unwrap())),
        2 => (1u64..=2).prop_map(move |n| RulePeer::Network(vni(vrf, n))),
        4 => prop::sample::select(cidrs.to_vec()).prop_map(|c| RulePeer::Cidr(c.parse().unwrap())),
        2 => prop::sample::select(ranges.to_vec()).prop_map(|r| RulePeer::Range(r.parse().unwrap())),
        // A hundredth of all rules name what is not there.
        1 => prop::bool::weighted(0.1).prop_map(|gone| match gone {
            true => RulePeer::Network(Vni::new(999).unwrap()),
            false => RulePeer::Any,
        }),
    ]
}

fn service() -> impl Strategy<Value = RuleService> {
    let one = prop::sample::select(vec![
        "tcp",
        "udp",
        "sctp",
        "icmp",
        "icmpv6",
        "47",
        "tcp/80",
        "tcp/79-81,1000",
        "tcp/1-1000",
        "udp/53",
        "udp/81-443,53",
        "sctp/80,81,82",
        "icmp/8",
        "icmp/8/0",
        "icmp/8/1",
        "icmp/13",
        "icmpv6/128",
        "icmpv6/128/0",
        "icmpv6/200/1",
    ]);
    let one = one.prop_map(|s| s.parse::<Service>().unwrap());
    let some = prop::collection::vec(one, 1..4);
    prop_oneof![
        1 => Just(RuleService::Any),
        4 => some.prop_map(|s| RuleService::Of(s.try_into().unwrap())),
    ]
}

fn rule(vrf: u64) -> impl Strategy<Value = PolicyRule> {
    let direction = prop::sample::select(vec![Direction::Ingress, Direction::Egress]);
    let verdict = prop::sample::select(vec![Verdict::Allow, Verdict::Deny]);
    let priority = prop::sample::select(vec![1u64, 1, 2, 100]);
    (direction, priority, peer(vrf), service(), verdict).prop_map(
        |(direction, priority, peer, service, verdict)| PolicyRule {
            slot: RuleSlot::new(0).unwrap(),
            name: "r".parse().unwrap(),
            direction,
            priority: RulePriority::new(priority).unwrap(),
            peer,
            service,
            verdict,
        },
    )
}

fn network(vrf: u64, n: u64, gateway: bool) -> Network {
    let subnets =
        [("10.1.{}.0/24", "10.1.{}.1"), ("fd00:{}::/64", "fd00:{}::1")].map(|(cidr, gw)| NetworkSubnet {
            cidr: cidr.replace("{}", &n.to_string()).parse().unwrap(),
            gateway: gateway.then(|| gw.replace("{}", &n.to_string()).parse().unwrap()),
        });
    Network {
        vni: vni(vrf, n),
        vrf: VrfId::new(vrf).unwrap(),
        name: "n".parse().unwrap(),
        subnets: subnets.to_vec(),
    }
}

fn endpoint(vrf: u64, n: u64, host: u64, node: usize, group: u64) -> Endpoint {
    Endpoint {
        uid: EndpointUid::new(vrf * 100 + n * 10 + host).unwrap(),
        name: format!("e{n}{host}").parse().unwrap(),
        vrf: VrfId::new(vrf).unwrap(),
        vni: vni(vrf, n),
        group: (group > 0).then(|| GroupId::new(vrf * 10 + group).unwrap()),
        moves: GroupMoves::default(),
        mac: MacAddr::from_u32(0x0a01_0000 + (n as u32) * 256 + host as u32),
        addresses: vec![
            format!("10.1.{n}.{host}").parse().unwrap(),
            format!("fd00:{n}::{host}").parse().unwrap(),
        ],
        node: name(node),
    }
}

/// Rates and marks of a group; half of all groups have none.
fn qos() -> impl Strategy<Value = Option<Qos>> {
    let limit = || {
        let rate = prop::sample::select(vec!["10Mbps", "1Gbps"]).prop_map(|r| r.parse().unwrap());
        let burst = prop::option::of((2u64..100).prop_map(|n| Burst::new(n).unwrap()));
        prop::option::of((rate, burst).prop_map(|(rate, burst)| RateLimit { rate, burst }))
    };
    let dscp = prop::option::of((0u64..64).prop_map(|n| Dscp::new(n).unwrap()));
    let share = prop::sample::select(vec![RateShare::Endpoint, RateShare::Group]);
    let qos = (limit(), limit(), dscp, share);
    prop::option::of(qos.prop_map(|(egress, ingress, dscp, share)| Qos { egress, ingress, dscp, share }))
}

/// One VRF: networks, endpoints, groups, policies.
fn tenant(vrf: u64) -> impl Strategy<Value = Vec<Fragment>> {
    let endpoints = prop::collection::vec(((1u64..=2), (2u64..=5), 0usize..2, 0u64..=3), 1..7);
    let policies = prop::collection::vec(prop::collection::vec(rule(vrf), 0..6), 3);
    let attached = prop::collection::vec(prop::collection::btree_set(1u64..=3, 0..3), 3);
    let missing = (prop::bool::weighted(0.05), prop::bool::weighted(0.05));
    let settings = (any::<bool>(), any::<bool>(), missing, prop::collection::vec(qos(), 3));
    (endpoints, policies, attached, settings).prop_map(move |(endpoints, policies, attached, settings)| {
        let (deny, gateway, (no_group, no_policy), qos) = settings;
        let id = VrfId::new(vrf).unwrap();
        let default_action = if deny { DefaultAction::Deny } else { DefaultAction::Allow };
        let mut out = vec![Fragment::Vrf(Vrf { id, tenant: "t".parse().unwrap(), default_action })];
        out.push(Fragment::Network(network(vrf, 1, true)));
        out.push(Fragment::Network(network(vrf, 2, gateway)));
        out.extend(
            endpoints.into_iter().map(|(n, h, node, g)| Fragment::Endpoint(endpoint(vrf, n, h, node, g))),
        );
        for (i, mut rules) in policies.into_iter().enumerate() {
            for (slot, rule) in rules.iter_mut().enumerate() {
                rule.slot = RuleSlot::new(slot as u64).unwrap();
            }
            let policy = PolicyId::new(vrf * 10 + i as u64 + 1).unwrap();
            if !(no_policy && i == 0) {
                out.push(Fragment::Policy(Policy { id: policy, vrf: id, name: "p".parse().unwrap(), rules }));
            }
        }
        for (i, policies) in attached.into_iter().enumerate() {
            let policies = policies.into_iter().map(|p| PolicyId::new(vrf * 10 + p).unwrap()).collect();
            let group = GroupId::new(vrf * 10 + i as u64 + 1).unwrap();
            if !(no_group && i == 0) {
                out.push(Fragment::Group(Group {
                    id: group,
                    vrf: id,
                    name: "g".parse().unwrap(),
                    policies,
                    qos: qos[i],
                }));
            }
        }
        out
    })
}

/// Two tenants on two nodes.
pub fn world() -> impl Strategy<Value = World> {
    (tenant(1), tenant(2)).prop_map(|(a, b)| {
        let nodes = (0..2).map(|i| Fragment::Node(Node { name: name(i), vtep: VTEPS[i].parse().unwrap() }));
        World { state: a.into_iter().chain(b).chain(nodes).collect() }
    })
}
