//! SrcClass and DstClass: (VRF, address) to class.
//!
//! A source must be a known endpoint's address: a miss is class `unknown` and drops, so that an endpoint not yet known
//! here cannot slip past a group's deny. And it must come from where this endpoint is, its port or its node's tunnel
//! address: a node speaks for its own endpoints only, however many VRFs it is in. A destination may be any prefix.

use std::collections::BTreeMap;
use std::net::IpAddr;

use openflow::{Action, Field, Match};
use types::{Family, IpCidr};

use super::{Flows, from_kind, go, in_vrf, ip_dst_in, ip_src, load};
use crate::classes::Classes;
use crate::cookie::Object;
use crate::fields::{self, SourceKind};
use crate::sabotage::sabotaged;
use crate::table::Table;
use crate::view::{Place, View};

const HOST: u16 = 100;
/// Longest prefix wins: this plus the prefix length.
const PREFIX: u16 = 100;
/// What goes to group addresses, and errors about allowed connections, has a known source now and needs no destination
/// class.
const KNOWN_IS_ENOUGH: u16 = 1000;

pub(crate) fn flows(view: &View<'_>, classes: &Classes, flows: &mut Flows) {
    let addresses = view.members.values().map(|m| (m.endpoint.vrf, &m.endpoint.addresses, m.place));
    let places: BTreeMap<_, Place> =
        addresses.flat_map(|(vrf, all, place)| all.iter().map(move |a| ((vrf, *a), place))).collect();
    for ((vrf, address), class) in &classes.hosts {
        let place = places.get(&(*vrf, *address));
        let Some(matches) = place.and_then(|p| from_place(in_vrf(ip_src(*address), *vrf), *p)) else {
            continue;
        };
        let actions = vec![load(fields::SOURCE_CLASS, class.get()), go(Table::DstClass)];
        flows.add(Table::SrcClass, HOST, Object::Class(*class), matches, actions);
    }
    for ((vrf, (addr, len)), class) in &classes.prefixes {
        let cidr = IpCidr::containing(*addr, *len);
        let matches = in_vrf(ip_dst_in(cidr), *vrf);
        let actions = vec![load(fields::DESTINATION_CLASS, class.get()), after_classes(cidr.family())];
        flows.add(Table::DstClass, PREFIX + u16::from(*len), Object::Class(*class), matches, actions);
    }
    for (bit, next) in [(fields::GROUP_ADDRESS, Table::Flood), (fields::RELATED, Table::L3Forward)] {
        let matches = Match::any().bits(bit, 1u8);
        flows.add(Table::DstClass, KNOWN_IS_ENOUGH, Object::Pipeline, matches, vec![go(next)]);
    }
}

/// From where an endpoint's packets come; from one that has no port yet, none do.
fn from_place(matches: Match, place: Place) -> Option<Match> {
    match place {
        // Defect: a source need only be known, wherever it speaks from.
        _ if sabotaged!("any-node-speaks") => Some(matches),
        Place::Local(port) => Some(matches.bits(fields::SOURCE_PORT, port.get())),
        // Defect: whoever can reach the VTEP may inject packets.
        Place::Remote(_) if sabotaged!("any-tunnel-source") => Some(from_kind(matches, SourceKind::Tunnel)),
        Place::Remote(IpAddr::V4(vtep)) => Some(matches.with(Field::TunSrc, vtep)),
        Place::Remote(IpAddr::V6(vtep)) => Some(matches.with(Field::TunIpv6Src, vtep)),
        Place::Unplugged => None,
    }
}

fn after_classes(family: Family) -> Action {
    // Defect: IPv6 connections are not judged at all.
    if family == Family::V6 && sabotaged!("one-family-only") {
        go(Table::Verdict)
    } else {
        go(Table::EgressTenant)
    }
}
