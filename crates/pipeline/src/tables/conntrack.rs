//! ConntrackZone, LocalDst, Decide, ConntrackCommit (and `state`, `turn`): the stateful frame around policy.
//!
//! The zone is the VRF, so equal addresses of two tenants are two connections. There is one recirculation per packet:
//! `ct(table=LocalDst)`. The commit at the end tracks without one.
//!
//! Group addresses (multicast, broadcast) go round conntrack and policy: a connection needs one peer. They still need a
//! known source (SrcClass) and reach only their network (Flood). A group MAC with a unicast address, or the reverse,
//! drops: receivers would disagree about what it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use node_state::Network;
use openflow::{Action, Commit, Ct, Field, Match, Zone};
use types::{MacAddr, OfPort};

use super::{FAMILIES, Flows, any_of, go, in_network, in_vrf, ip_dst, load};
use crate::cookie::Object;
use crate::fields;
use crate::sabotage::sabotaged;
use crate::table::Table;
use crate::view::Member;

/// Group frames to group addresses.
const GROUP: u16 = 200;
/// Half a group address: drop.
const HALF_GROUP: u16 = 150;
const UNICAST: u16 = 100;

const BROADCAST_MAC: MacAddr = MacAddr::new([0xff; 6]);
const GROUP_BIT: MacAddr = MacAddr::new([1, 0, 0, 0, 0, 0]);

/// Flows that are everybody's.
pub(crate) fn fixed(flows: &mut Flows) {
    conntrack_zone(flows);
    decide(flows);
    commit(flows);
}

/// A local endpoint's addresses.
pub(crate) fn endpoint(member: &Member, port: OfPort, flows: &mut Flows) {
    for &address in &member.addresses {
        let matches = in_vrf(ip_dst(address), member.vrf);
        let mut actions = vec![load(fields::DESTINATION_PORT, port.get())];
        actions.extend(member.group.map(|group| load(fields::RECEIVER_GROUP, group.get())));
        actions.push(go(Table::SenderState));
        flows.add(Table::LocalDst, 100, Object::Endpoint(member.uid), matches, actions);
    }
}

/// A network's directed broadcast.
pub(crate) fn network(network: &Network, flows: &mut Flows) {
    for last in network.subnets.iter().map(|s| s.cidr.last()).filter(IpAddr::is_ipv4) {
        let directed = in_network(ip_dst(last), network.vni);
        let mut add = |priority, matches, actions| {
            flows.add(Table::ConntrackZone, priority, Object::Network(network.vni), matches, actions);
        };
        add(GROUP, directed.clone().with(Field::EthDst, BROADCAST_MAC), to_group());
        add(HALF_GROUP, directed, Vec::new());
    }
}

fn to_group() -> Vec<Action> {
    vec![load(fields::GROUP_ADDRESS, 1u8), go(Table::SrcClass)]
}

fn conntrack_zone(flows: &mut Flows) {
    let mut add = |priority, object, matches, actions| {
        flows.add(Table::ConntrackZone, priority, object, matches, actions);
    };
    let multicast4 = Match::ip().prefix(Field::Ipv4Dst, Ipv4Addr::new(224, 0, 0, 0), 4);
    let multicast6 = Match::ipv6().prefix(Field::Ipv6Dst, Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8);
    let broadcast4 = Match::ip().with(Field::Ipv4Dst, Ipv4Addr::BROADCAST);
    for (address, mac, mask) in [
        // RFC 1112 section 6.4, RFC 2464 section 7.
        (multicast4, MacAddr::new([1, 0, 0x5e, 0, 0, 0]), MacAddr::new([0xff, 0xff, 0xff, 0x80, 0, 0])),
        (multicast6, MacAddr::new([0x33, 0x33, 0, 0, 0, 0]), MacAddr::new([0xff, 0xff, 0, 0, 0, 0])),
        (broadcast4, BROADCAST_MAC, BROADCAST_MAC),
    ] {
        add(GROUP, Object::Pipeline, address.clone().masked(Field::EthDst, mac, mask), to_group());
        add(HALF_GROUP, Object::Pipeline, address, Vec::new());
    }
    let group_mac = Match::any().masked(Field::EthDst, GROUP_BIT, GROUP_BIT);
    add(HALF_GROUP, Object::Pipeline, group_mac, Vec::new());
    for family in FAMILIES {
        let track =
            Ct { zone: Zone::Sub(fields::VRF), table: Some(Table::LocalDst.number()), ..Ct::default() };
        add(UNICAST, Object::Pipeline, any_of(family), vec![Action::ct(track)]);
    }
}

/// Bits of `ct_state`, ovs-fields(7) "Connection Tracking Fields".
pub(super) const NEW: u32 = 0x01;
const ESTABLISHED: u32 = 0x02;
const RELATED: u32 = 0x04;
pub(super) const REPLY: u32 = 0x08;
const INVALID: u32 = 0x10;
const TRACKED: u32 = 0x20;

/// Bits of `tcp_flags`, RFC 9293 section 3.1.
const FIN: u16 = 0x01;
const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const ACK: u16 = 0x10;

pub(super) fn state(matches: Match, set: u32, clear: u32) -> Match {
    matches.masked(Field::CtState, set | TRACKED, set | clear | TRACKED)
}

/// Nothing is left to be judged at either side.
fn settled(matches: Match) -> Match {
    matches.bits(fields::EVALUATE_SOURCE, 0u8).bits(fields::EVALUATE_DESTINATION, 0u8)
}

/// Nothing untracked passes. A TCP connection begins with a SYN and nothing else (RFC 9293 section 3.5): conntrack
/// would pick one up in the middle, and a packet of a connection we never allowed must not open it.
fn decide(flows: &mut Flows) {
    // ICMP errors about a connection that was allowed (RFC 1122 section 3.2.2, RFC 4443 section 2.4) pass without
    // policy, but only known endpoints send any. One about a connection that has to be judged again waits until a packet
    // of the connection itself was: it shows nothing that rules could match.
    for icmp in [Match::icmp(), Match::icmp6()] {
        // Defect: anybody may send an error.
        let next = if sabotaged!("errors-from-anyone") { Table::EgressCount } else { Table::SrcClass };
        let actions = vec![load(fields::RELATED, 1u8), go(next)];
        flows.add(Table::Decide, 150, Object::Pipeline, settled(state(icmp, RELATED, NEW)), actions);
    }
    let mut add = |priority, matches, next: Option<Table>| {
        flows.add(Table::Decide, priority, Object::Pipeline, matches, next.map(go).into_iter().collect());
    };
    add(200, state(Match::any(), INVALID, 0), None);
    add(140, settled(state(Match::any(), ESTABLISHED, NEW)), Some(Table::EgressCount));
    add(130, state(Match::any(), ESTABLISHED | REPLY, NEW), Some(Table::DstClass));
    add(125, state(Match::any(), ESTABLISHED, NEW | REPLY), Some(Table::SrcClass));
    for tcp in [Match::tcp(), Match::tcp6()] {
        let opening = tcp.clone().masked(Field::TcpFlags, SYN, SYN | ACK | RST | FIN);
        add(120, state(opening, NEW, 0), Some(Table::SrcClass));
        add(110, state(tcp, NEW, 0), None);
    }
    add(100, state(Match::any(), NEW, 0), Some(Table::SrcClass));
}

/// Writes into the connection's label which rules allowed it and by which generation, for each side that was judged
/// now; what the other side was judged by stays.
fn commit(flows: &mut Flows) {
    let source = [
        Action::move_bits(fields::EGRESS_RULE, fields::LABEL_EGRESS_RULE),
        Action::move_bits(fields::SOURCE_GENERATION, fields::LABEL_SOURCE_GENERATION),
    ];
    let destination = [
        Action::move_bits(fields::INGRESS_RULE, fields::LABEL_INGRESS_RULE),
        Action::move_bits(fields::DESTINATION_GENERATION, fields::LABEL_DESTINATION_GENERATION),
    ];
    let sides =
        [(1u8, 0u8, source.to_vec()), (0, 1, destination.to_vec()), (1, 1, [source, destination].concat())];
    for (judged_source, judged_destination, label) in sides {
        for family in FAMILIES {
            let ct = Ct {
                commit: Commit::Yes,
                zone: Zone::Sub(fields::VRF),
                exec: label.clone(),
                ..Ct::default()
            };
            let matches = any_of(family)
                .bits(fields::EVALUATE_SOURCE, judged_source)
                .bits(fields::EVALUATE_DESTINATION, judged_destination);
            let actions = vec![Action::ct(ct), go(Table::Output)];
            flows.add(Table::ConntrackCommit, 100, Object::Pipeline, matches, actions);
        }
    }
}
