//! SrcClass and DstClass: (VRF, address) to class.
//!
//! A source must be a known endpoint's address: a miss is class `unknown` and drops, so that an endpoint not yet known
//! here cannot slip past a group's deny. A destination may be any prefix.

use openflow::{Action, Match};
use types::{Family, IpCidr};

use super::{Flows, go, in_vrf, ip_dst_in, ip_src, load};
use crate::classes::Classes;
use crate::cookie::Object;
use crate::fields;
use crate::sabotage::sabotaged;
use crate::table::Table;

const HOST: u16 = 100;
/// Longest prefix wins: this plus the prefix length.
const PREFIX: u16 = 100;
/// Group addresses have a known source now and need no destination class.
const GROUP: u16 = 1000;

pub(crate) fn flows(classes: &Classes, flows: &mut Flows) {
    for ((vrf, address), class) in &classes.hosts {
        let matches = in_vrf(ip_src(*address), *vrf);
        let actions = vec![load(fields::SOURCE_CLASS, class.get()), go(Table::DstClass)];
        flows.add(Table::SrcClass, HOST, Object::Class(*class), matches, actions);
    }
    for ((vrf, (addr, len)), class) in &classes.prefixes {
        let cidr = IpCidr::containing(*addr, *len);
        let matches = in_vrf(ip_dst_in(cidr), *vrf);
        let actions = vec![load(fields::DESTINATION_CLASS, class.get()), after_classes(cidr.family())];
        flows.add(Table::DstClass, PREFIX + u16::from(*len), Object::Class(*class), matches, actions);
    }
    let group = Match::any().bits(fields::GROUP_ADDRESS, 1u8);
    flows.add(Table::DstClass, GROUP, Object::Pipeline, group, vec![go(Table::Flood)]);
}

fn after_classes(family: Family) -> Action {
    // Defect: IPv6 connections are not judged at all.
    if family == Family::V6 && sabotaged!("one-family-only") {
        go(Table::Verdict)
    } else {
        go(Table::EgressTenant)
    }
}
