//! Multicast and broadcast: to everybody else of the network, whatever policy says; but nobody hears an endpoint whose
//! policy cannot be enforced.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::Endpoint;
use openflow::Field;
use types::{Family, MacAddr, NodeName};

use super::frames::opening;
use super::{Audit, Claim, Intended, Question, id};
use crate::fabric::{Labels, Seat};
use crate::intent::{Service, address_of, rules};
use crate::switch::Tracked;

pub(super) fn ask_all(audit: &mut Audit<'_>) {
    for from in audit.plugged() {
        for (group, mac) in groups(audit, from) {
            send(audit, from, group, mac);
        }
    }
}

/// Group addresses with their MAC addresses: RFC 1112 section 6.4, RFC 2464 section 7.
fn groups(audit: &Audit<'_>, from: &Endpoint) -> Vec<(IpAddr, MacAddr)> {
    let broadcast = MacAddr::new([0xff; 6]);
    let subnets = audit.intent.network(from).into_iter().flat_map(|n| n.spec.subnets());
    let directed =
        subnets.filter(|(f, _)| *f == Family::V4).map(|(_, s)| (s.subnet.cidr().last(), broadcast));
    let mut groups = vec![
        (IpAddr::from([224, 0, 0, 251]), MacAddr::new([1, 0, 0x5e, 0, 0, 0xfb])),
        (IpAddr::from([255, 255, 255, 255]), broadcast),
        (IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, 0xfb]), MacAddr::new([0x33, 0x33, 0, 0, 0, 0xfb])),
    ];
    groups.extend(directed);
    groups
}

fn send(audit: &mut Audit<'_>, from: &Endpoint, group: IpAddr, mac: MacAddr) {
    let Some(source) = address_of(from, Family::of(group)) else { return };
    let Some(seat) = audit.fabric.seat(from) else { return };
    let heard = rules::policies(audit.intent, from).is_ok();
    let others =
        audit.seats.iter().filter(|(_, e)| heard && e.uid != from.uid && audit.intent.is_neighbour(from, e));
    let seats: BTreeSet<Seat> = others.map(|(seat, _)| seat.clone()).collect();
    let view = audit.intent.view();
    let placed = view.endpoints.values().filter(|e| heard && audit.intent.is_neighbour(from, e));
    let hosts = placed.map(|e| e.spec.node.clone());
    let beyond: BTreeSet<NodeName> = hosts.filter(|node| audit.fabric.site(node).is_none()).collect();
    let packet = opening((from.mac, mac), (source, group), Service::Udp(5353));
    let mut ask = |what: &str, mac, seats: &BTreeSet<Seat>, beyond: &BTreeSet<NodeName>, text: &str| {
        let question = Question {
            claim: Claim::Multicast,
            from: id(from),
            to: group.to_string(),
            what: what.to_owned(),
            node: seat.0.clone(),
            packet: packet.clone().with(Field::InPort, seat.1).with(Field::EthDst, mac),
            tracked: Tracked::New,
            labels: Labels::new(),
        };
        audit.ask_that(&question, Intended { text, rules: &[], seats, beyond });
    };
    let intended = if heard {
        "delivered to everybody else in the network"
    } else {
        "delivered to nobody: a policy of the sender's group is refused, or names what does not exist"
    };
    ask("a packet to a group", mac, &seats, &beyond, intended);
    let half = "delivered to nobody: the address is a group's, the MAC address is not";
    ask("a packet to a group, at one MAC address", from.mac, &BTreeSet::new(), &BTreeSet::new(), half);
}
