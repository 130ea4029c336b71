//! SrcClass and DstClass: (VRF, address) to class.
//!
//! A source must be a known endpoint's address: a miss is class `unknown` and drops, so that an endpoint not yet known
//! here cannot slip past a group's deny. And it must come from where this endpoint is, its port or its node's tunnel
//! address: a node speaks for its own endpoints only, however many VRFs it is in. A destination may be any prefix.

use std::net::IpAddr;

use openflow::{Action, Field, Match};
use types::{Family, IpCidr, VrfId};

use super::{Flows, from_kind, go, in_vrf, ip_dst_in, ip_src, load};
use crate::classes::{Classes, Prefix, host_prefix};
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

/// A prefix: as a destination when its class is not that of the next shorter one, as a source when it is an endpoint's
/// address.
pub(crate) fn prefix(view: &View, classes: &Classes, vrf: VrfId, prefix: Prefix, flows: &mut Flows) {
    let (address, len) = prefix;
    if let Some(class) = classes.listed(vrf, prefix) {
        let cidr = IpCidr::containing(address, len);
        let matches = in_vrf(ip_dst_in(cidr), vrf);
        let actions = vec![load(fields::DESTINATION_CLASS, class.get()), after_classes(cidr.family())];
        flows.add(Table::DstClass, PREFIX + u16::from(len), Object::Class(class), matches, actions);
    }
    let Some(class) = classes.class(vrf, prefix).filter(|_| prefix == host_prefix(address)) else { return };
    let place = view.member_at(vrf, address).map(|m| m.place);
    if let Some(matches) = place.and_then(|p| from_place(in_vrf(ip_src(address), vrf), p)) {
        let actions = vec![load(fields::SOURCE_CLASS, class.get()), go(Table::DstClass)];
        flows.add(Table::SrcClass, HOST, Object::Class(class), matches, actions);
    }
}

/// Flows that are everybody's.
pub(crate) fn fixed(flows: &mut Flows) {
    for (bit, next) in [(fields::GROUP_ADDRESS, Table::Flood), (fields::RELATED, Table::EgressCount)] {
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
    if family == Family::V6 && sabotaged!("one-family-only") { go(Table::Verdict) } else { go(Table::Turn) }
}
