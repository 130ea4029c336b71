//! Turn, and its other half in Verdict: a reply is judged as what opened its connection.
//!
//! Rules speak of the connection: the class of its source, the class and the port of its destination. A reply shows the
//! port where the source port is, and its classes the wrong way round. So a reply that has to be judged again comes here
//! from DstClass twice. First the class it found, of where the reply goes, is kept as that of the source, and the address
//! the reply comes from is looked up in its place. Then the port it comes from, or the query it answers, stands in place
//! of its own. What was replaced is put back: the address here, the rest in Verdict. All of that happens while the switch
//! translates the packet; what leaves it is unchanged.
//!
//! Where a reply comes from is not checked against SrcClass, as it is not for any packet of an established connection.

use openflow::{Action, Field, Match, SubField};

use super::conntrack::{REPLY, state};
use super::{Flows, go, icmp4, icmp6, load};
use crate::cookie::Object;
use crate::fields;
use crate::sabotage::sabotaged;
use crate::table::Table;

/// What was turned once has its own address back.
const AGAIN: u16 = 200;
const FIRST: u16 = 100;

/// Flows that are everybody's.
pub(crate) fn fixed(flows: &mut Flows) {
    // Defect: a reply is judged as if it opened a connection.
    if sabotaged!("unturned-replies") {
        return;
    }
    for (base, source, destination, kept) in [
        (Match::ip(), Field::Ipv4Src, Field::Ipv4Dst, fields::TURN_ADDRESS_V4),
        (Match::ipv6(), Field::Ipv6Src, Field::Ipv6Dst, fields::TURN_ADDRESS_V6),
    ] {
        let destination = SubField::whole(destination);
        let look_up = vec![
            Action::move_bits(fields::DESTINATION_CLASS, fields::SOURCE_CLASS),
            Action::move_bits(destination, kept),
            Action::move_bits(SubField::whole(source), destination),
            load(fields::TURNED, 1u8),
            go(Table::DstClass),
        ];
        let reply = state(base.clone(), REPLY, 0).bits(fields::TURNED, 0u8);
        flows.add(Table::Turn, FIRST, Object::Pipeline, reply, look_up);
        again(flows, AGAIN, base, vec![Action::move_bits(kept, destination)]);
    }
    for (bases, source, destination) in [
        ([Match::tcp(), Match::tcp6()], Field::TcpSrc, Field::TcpDst),
        ([Match::udp(), Match::udp6()], Field::UdpSrc, Field::UdpDst),
        ([Match::sctp(), Match::sctp6()], Field::SctpSrc, Field::SctpDst),
    ] {
        for base in bases {
            ports(flows, base, source, destination);
        }
    }
    for (query, answer) in icmp4::ANSWERED {
        message(flows, Match::icmp(), Field::Icmpv4Type, (query, answer));
    }
    message(flows, Match::icmp6(), Field::Icmpv6Type, (icmp6::ECHO_REQUEST, icmp6::ECHO_REPLY));
}

/// The second time: the address is its own again, then whatever else.
fn again(flows: &mut Flows, priority: u16, matches: Match, mut actions: Vec<Action>) {
    actions.push(go(Table::EgressTenant));
    flows.add(Table::Turn, priority, Object::Pipeline, matches.bits(fields::TURNED, 1u8), actions);
}

fn own_address(ipv4: bool) -> Action {
    let (kept, field) = if ipv4 {
        (fields::TURN_ADDRESS_V4, Field::Ipv4Dst)
    } else {
        (fields::TURN_ADDRESS_V6, Field::Ipv6Dst)
    };
    Action::move_bits(kept, SubField::whole(field))
}

fn is_ipv4(matches: &Match) -> bool {
    matches.exact(Field::EthType) == Some(0x0800)
}

fn ports(flows: &mut Flows, base: Match, source: Field, destination: Field) {
    let destination = SubField::whole(destination);
    let actions = vec![
        own_address(is_ipv4(&base)),
        Action::move_bits(destination, fields::TURN_PORT),
        Action::move_bits(SubField::whole(source), destination),
    ];
    again(flows, AGAIN + 1, base.clone(), actions);
    let back = vec![Action::move_bits(fields::TURN_PORT, destination), go(Table::EgressCount)];
    flows.add(Table::Verdict, 100, Object::Pipeline, base.bits(fields::TURNED, 1u8), back);
}

/// An answer is judged as its query, and goes on as an answer.
fn message(flows: &mut Flows, base: Match, kind: Field, (query, answer): (u8, u8)) {
    let actions = vec![own_address(is_ipv4(&base)), Action::set_field(kind, query)];
    again(flows, AGAIN + 1, base.clone().with(kind, answer), actions);
    let back = vec![Action::set_field(kind, answer), go(Table::EgressCount)];
    let turned = base.with(kind, query).bits(fields::TURNED, 1u8);
    flows.add(Table::Verdict, 100, Object::Pipeline, turned, back);
}
