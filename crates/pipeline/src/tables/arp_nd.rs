//! ArpNd and NdReply: the switch answers for gateways and for every known endpoint of the network.
//!
//! Nothing of ARP or neighbour discovery ever reaches another endpoint or the tunnel: no flooding, and nothing to
//! poison. A question nobody knows the answer to drops. An endpoint is never answered about its *own* address (that
//! would fail its duplicate address detection); about anybody else's it is, probes included (RFC 5227, RFC 4862).
//!
//! Open vSwitch cannot turn a solicitation into an advertisement in one flow, because the fields of an advertisement may
//! be set only where `icmp6_type=136` is matched: hence the second table. These packets are upcalls.
//!
//! Gateways also answer pings, before conntrack and policy: a gateway is no endpoint and reveals nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use node_state::Network;
use openflow::{Action, Field, Match, Port, SubField};
use types::{MacAddr, Vni};

use super::{Flows, GATEWAY_MAC, from_kind, go, icmp6, in_network, ip_dst, load};
use crate::cookie::Object;
use crate::fields::{self, SourceKind};
use crate::table::Table;
use crate::view::Member;

/// An endpoint's questions about itself.
const SELF: u16 = 210;
/// Answers.
const ANSWER: u16 = 200;
/// Discovery that was not answered ends here.
const REST: u16 = 100;

/// A network's gateways.
pub(crate) fn network(network: &Network, flows: &mut Flows) {
    for gateway in network.subnets.iter().filter_map(|s| s.gateway) {
        let object = Object::Network(network.vni);
        answer(flows, object, network.vni, GATEWAY_MAC, gateway, Role::Gateway);
        echo(flows, network.vni, gateway);
    }
}

/// An endpoint, local or not.
pub(crate) fn endpoint(member: &Member, flows: &mut Flows) {
    for target in neighbour_addresses(member) {
        let object = Object::Endpoint(member.uid);
        answer(flows, object, member.vni, member.mac, target, Role::Endpoint);
        if let Some(port) = member.port() {
            let matches = question(target).with(Field::InPort, port.get());
            flows.add(Table::ArpNd, SELF, object, matches, Vec::new());
        }
    }
}

/// Flows that are everybody's.
pub(crate) fn fixed(flows: &mut Flows) {
    flows.add(Table::ArpNd, REST, Object::Pipeline, Match::arp(), Vec::new());
    // Nobody snoops multicast listeners or advertises routers, so these end here as well.
    for kind in (icmp6::MLD_QUERY..=icmp6::REDIRECT).chain([icmp6::MLD_REPORT_V2]) {
        let matches = Match::icmp6().with(Field::Icmpv6Type, kind);
        flows.add(Table::ArpNd, REST, Object::Pipeline, matches, Vec::new());
    }
    nd_reply(flows);
}

/// Whom an answer is about: only routers set the R flag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Gateway,
    Endpoint,
}

/// Addresses others may resolve: its own, and with IPv6 the link-local one made of its MAC.
fn neighbour_addresses(member: &Member) -> impl Iterator<Item = IpAddr> + '_ {
    let link_local = member.addresses.iter().any(IpAddr::is_ipv6).then(|| member.mac.link_local());
    member.addresses.iter().copied().chain(link_local.map(IpAddr::V6))
}

/// An ARP request or a neighbour solicitation for an address.
fn question(target: IpAddr) -> Match {
    match target {
        IpAddr::V4(a) => Match::arp().with(Field::ArpOp, 1u16).with(Field::ArpTpa, a),
        IpAddr::V6(a) => Match::icmp6()
            .with(Field::Icmpv6Type, icmp6::NEIGHBOUR_SOLICITATION)
            .with(Field::Icmpv6Code, 0u8)
            .with(Field::NdTarget, a),
    }
}

fn answer(flows: &mut Flows, object: Object, vni: Vni, mac: MacAddr, target: IpAddr, role: Role) {
    let matches = in_network(from_kind(question(target), SourceKind::Endpoint), vni);
    let actions = match target {
        IpAddr::V4(a) => arp_reply(mac, a),
        IpAddr::V6(_) => nd_first_half(mac, role),
    };
    flows.add(Table::ArpNd, ANSWER, object, matches, actions);
}

fn arp_reply(mac: MacAddr, address: Ipv4Addr) -> Vec<Action> {
    vec![
        Action::move_bits(Field::EthSrc, Field::EthDst),
        Action::set_field(Field::EthSrc, mac),
        Action::load(Field::ArpOp, 2u16),
        Action::move_bits(Field::ArpSha, Field::ArpTha),
        Action::move_bits(Field::ArpSpa, Field::ArpTpa),
        Action::set_field(Field::ArpSha, mac),
        Action::set_field(Field::ArpSpa, address),
        Action::Output(Port::IN_PORT),
    ]
}

const MAC_LOW: SubField = SubField::new(Field::EthSrc, 0, 32);
const MAC_HIGH: SubField = SubField::new(Field::EthSrc, 32, 16);

/// Makes it an advertisement from `mac`; NdReply needs to know whom to answer and whether a router does.
fn nd_first_half(mac: MacAddr, role: Role) -> Vec<Action> {
    vec![
        Action::move_bits(MAC_LOW, fields::ND_REQUESTER_LOW),
        Action::move_bits(MAC_HIGH, fields::ND_REQUESTER_HIGH),
        load(fields::ND_ROUTER, u8::from(role == Role::Gateway)),
        Action::set_field(Field::EthSrc, mac),
        Action::set_field(Field::Icmpv6Type, icmp6::NEIGHBOUR_ADVERTISEMENT),
        Action::set_field(Field::Icmpv6Code, 0u8),
        go(Table::NdReply),
    ]
}

/// Flags of a neighbour advertisement, RFC 4861 section 4.4.
const ROUTER: u32 = 1 << 31;
const SOLICITED: u32 = 1 << 30;
const OVERRIDE: u32 = 1 << 29;
/// Option "target link-layer address", RFC 4861 section 4.6.1.
const TARGET_LINK_LAYER: u8 = 2;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// RFC 2464 section 7.
const ALL_NODES_MAC: MacAddr = MacAddr::new([0x33, 0x33, 0, 0, 0, 1]);

/// To whoever asked; to all nodes and unsolicited when the question came from :: (RFC 4861 section 7.2.4).
fn nd_reply(flows: &mut Flows) {
    let advertisement =
        Match::icmp6().with(Field::Icmpv6Type, icmp6::NEIGHBOUR_ADVERTISEMENT).with(Field::Icmpv6Code, 0u8);
    for (router, flag) in [(0u8, 0), (1u8, ROUTER)] {
        let base = advertisement.clone().bits(fields::ND_ROUTER, router);
        let to_all = base.clone().with(Field::Ipv6Src, Ipv6Addr::UNSPECIFIED);
        let unicast = [
            Action::move_bits(Field::Ipv6Src, Field::Ipv6Dst),
            Action::move_bits(fields::ND_REQUESTER_LOW, SubField::new(Field::EthDst, 0, 32)),
            Action::move_bits(fields::ND_REQUESTER_HIGH, SubField::new(Field::EthDst, 32, 16)),
        ];
        let multicast =
            [Action::set_field(Field::Ipv6Dst, ALL_NODES), Action::set_field(Field::EthDst, ALL_NODES_MAC)];
        let mut add = |priority, matches, flags: u32, addressing: &[Action]| {
            let mut actions = vec![
                Action::set_field(Field::NdReserved, flags),
                Action::set_field(Field::NdOptionsType, TARGET_LINK_LAYER),
                Action::move_bits(Field::EthSrc, Field::NdTll),
            ];
            actions.extend_from_slice(addressing);
            actions.push(Action::move_bits(Field::NdTarget, Field::Ipv6Src));
            actions.push(Action::Output(Port::IN_PORT));
            flows.add(Table::NdReply, priority, Object::Pipeline, matches, actions);
        };
        add(100, base, flag | SOLICITED | OVERRIDE, &unicast);
        add(200, to_all, flag | OVERRIDE, &multicast);
    }
}

/// A gateway answers pings of its own network.
fn echo(flows: &mut Flows, vni: Vni, gateway: IpAddr) {
    let request = match gateway {
        IpAddr::V4(_) => (Field::IpProto, 1u8, Field::Icmpv4Type, 8u8, Field::Icmpv4Code),
        IpAddr::V6(_) => (Field::IpProto, 58u8, Field::Icmpv6Type, icmp6::ECHO_REQUEST, Field::Icmpv6Code),
    };
    let (proto, number, kind, value, code) = request;
    let matches = ip_dst(gateway).with(proto, number).with(kind, value).with(code, 0u8);
    let matches = in_network(from_kind(matches.with(Field::EthDst, GATEWAY_MAC), SourceKind::Endpoint), vni);
    let (src, dst, reply) = match gateway {
        IpAddr::V4(_) => (Field::Ipv4Src, Field::Ipv4Dst, 0u8),
        IpAddr::V6(_) => (Field::Ipv6Src, Field::Ipv6Dst, icmp6::ECHO_REPLY),
    };
    let actions = vec![
        Action::move_bits(src, dst),
        Action::set_field(src, gateway),
        Action::move_bits(Field::EthSrc, Field::EthDst),
        Action::set_field(Field::EthSrc, GATEWAY_MAC),
        Action::set_field(kind, reply),
        Action::set_field(Field::NwTtl, 64u8),
        Action::Output(Port::IN_PORT),
    ];
    flows.add(Table::ArpNd, ANSWER, Object::Network(vni), matches, actions);
}
