//! L3Forward, L2Forward, Flood, Output: where an allowed packet goes.
//!
//! Routing is asymmetric: the source's node rewrites MACs, lowers the TTL and puts the packet into the destination's
//! network; from the tunnel nothing is routed and nothing goes back to a tunnel (split horizon).
//!
//! A local delivery needs the destination MAC *and* the destination address to name the same endpoint: otherwise a
//! sender could use one victim's MAC with another's address and be judged by the wrong policy.

use std::net::IpAddr;

use node_state::Network;
use openflow::{Action, Field, Match, Port, SubField};
use types::{Family, OfPort, Vni};

use super::{FAMILIES, Flows, GATEWAY_MAC, any_of, from_kind, go, in_network, in_vrf, ip_dst, load, qos};
use crate::cookie::Object;
use crate::fields::{self, SourceKind};
use crate::sabotage::sabotaged;
use crate::table::Table;
use crate::view::{Member, Place, View};

/// An endpoint, local or not.
pub(crate) fn endpoint(view: &View, member: &Member, flows: &mut Flows) {
    match (member.place, view.tunnel) {
        (Place::Local(port), _) => l2_local(member, port, flows),
        (Place::Remote(vtep), Some(tunnel)) => l2_remote(member, vtep, tunnel, flows),
        (Place::Remote(_), None) | (Place::Unplugged, _) => {}
    }
    if let Some(net) = view.networks.get(&member.vni).filter(|_| member.place != Place::Unplugged) {
        l3_endpoint(net, member, flows);
    }
}

fn has_gateway(network: &Network, family: Family) -> bool {
    network.subnets.iter().any(|s| s.cidr.family() == family && s.gateway.is_some())
}

fn to_gateway(matches: Match) -> Match {
    matches.with(Field::EthDst, GATEWAY_MAC)
}

/// Flows that are everybody's: packets for the gateway's MAC that nobody routes, the way into the tunnel.
pub(crate) fn fixed(view: &View, flows: &mut Flows) {
    let mut add = |priority, matches| {
        flows.add(Table::L3Forward, priority, Object::Pipeline, to_gateway(matches), Vec::new());
    };
    add(200, from_kind(Match::any(), SourceKind::Tunnel));
    add(50, Match::any());
    if let Some(tunnel) = view.tunnel {
        output_tunnel(view, tunnel, flows);
    }
}

/// Only networks with a gateway take part in routing, on both sides.
pub(crate) fn network(network: &Network, flows: &mut Flows) {
    for family in FAMILIES.into_iter().filter(|f| !has_gateway(network, *f)) {
        let matches = to_gateway(in_network(any_of(family), network.vni));
        flows.add(Table::L3Forward, 200, Object::Network(network.vni), matches, Vec::new());
    }
}

fn l3_endpoint(network: &Network, member: &Member, flows: &mut Flows) {
    for &address in member.addresses.iter().filter(|a| has_gateway(network, Family::of(**a))) {
        let matches = to_gateway(in_vrf(ip_dst(address), member.vrf));
        let actions = vec![
            Action::set_field(Field::EthSrc, GATEWAY_MAC),
            Action::set_field(Field::EthDst, member.mac),
            Action::DecTtl,
            load(fields::VNI, member.vni.get()),
            go(Table::L2Forward),
        ];
        flows.add(Table::L3Forward, 100, Object::Endpoint(member.uid), matches, actions);
    }
}

fn l2_local(member: &Member, port: OfPort, flows: &mut Flows) {
    let e = member;
    let matches = Match::any().with(Field::EthDst, e.mac).bits(fields::DESTINATION_PORT, port.get());
    let actions = vec![load(fields::OUTPUT_PORT, port.get()), go(Table::ConntrackCommit)];
    flows.add(Table::L2Forward, 100, Object::Endpoint(e.uid), in_network(matches, e.vni), actions);
}

/// The address must not be a local endpoint's, the same guard as for local delivery.
fn l2_remote(member: &Member, vtep: IpAddr, tunnel: OfPort, flows: &mut Flows) {
    let e = member;
    let matches = Match::any().with(Field::EthDst, e.mac).bits(fields::DESTINATION_PORT, 0u16);
    let matches = from_kind(in_network(matches, e.vni), SourceKind::Endpoint);
    let destination = match vtep {
        IpAddr::V4(a) => load(fields::TUNNEL_DESTINATION_V4, u32::from(a)),
        IpAddr::V6(a) => load(fields::TUNNEL_DESTINATION_V6, u128::from(a)),
    };
    let actions = vec![load(fields::OUTPUT_PORT, tunnel.get()), destination, go(Table::ConntrackCommit)];
    flows.add(Table::L2Forward, 100, Object::Endpoint(e.uid), matches, actions);
}

/// So many destinations stand in one flow: 40 bytes each at most, where a flow has 64 KiB. With more than that, parts of
/// the list are flows of their own, which the first one goes through.
const FLOOD_AT_ONCE: usize = 1000;

/// To the network's local ports (the switch leaves out the input port), and from an endpoint also to member nodes.
pub(crate) fn flood(view: &View, vni: Vni, flows: &mut Flows) {
    if !view.networks.contains_key(&vni) {
        return;
    }
    let mut to_locals = Vec::new();
    let mut metered = Vec::new();
    for (member, port) in view.plugged_in(vni) {
        match view.qos_of(member).and_then(|qos| qos.ingress) {
            Some(_) => metered.push(qos::copy_to(port)),
            None => to_locals.push(vec![Action::output(Port::from(port.get()))]),
        }
    }
    // Packets that are copied for a meter go through conntrack, which takes IP only; nothing else is flooded.
    let bases = if metered.is_empty() { vec![Match::any()] } else { FAMILIES.map(any_of).to_vec() };
    let mut to_all = to_locals.clone();
    if let Some(tunnel) = view.tunnel {
        // What the first one sets, the others keep.
        let mut header = Some(Action::set_field(Field::TunId, vni.get()));
        for vtep in view.sites_of(vni) {
            let field = tunnel_destination(vtep.is_ipv4()).1.field();
            let send = [Action::set_field(field, vtep), Action::output(Port::from(tunnel.get()))];
            to_all.push(header.take().into_iter().chain(send).collect());
        }
    }
    for base in &bases {
        for (kind, destinations) in [(SourceKind::Endpoint, &to_all), (SourceKind::Tunnel, &to_locals)] {
            let destinations = destinations.iter().chain(&metered).cloned().collect();
            flood_from(from_kind(in_network(base.clone(), vni), kind), vni, destinations, flows);
        }
    }
}

/// What a kind of source floods in a network.
fn flood_from(from: Match, vni: Vni, destinations: Vec<Vec<Action>>, flows: &mut Flows) {
    let object = Object::Network(vni);
    let from = || from.clone();
    // Defect: the list stands in one flow, however long it is.
    if destinations.len() <= FLOOD_AT_ONCE || sabotaged!("one-flood-flow") {
        return flows.add(Table::Flood, 100, object, from(), destinations.concat());
    }
    let mut actions = Vec::new();
    for (part, chunk) in (1u16..).zip(destinations.chunks(FLOOD_AT_ONCE)) {
        actions.extend([load(fields::FLOOD_PART, part), go(Table::Flood)]);
        let matches = from().bits(fields::FLOOD_PART, part);
        flows.add(Table::Flood, 200, object, matches, chunk.concat());
    }
    flows.add(Table::Flood, 100, object, from(), actions);
}

/// The register that holds a tunnel destination and the field it goes to.
const fn tunnel_destination(ipv4: bool) -> (SubField, SubField) {
    if ipv4 {
        (fields::TUNNEL_DESTINATION_V4, SubField::whole(Field::TunDst))
    } else {
        (fields::TUNNEL_DESTINATION_V6, SubField::whole(Field::TunIpv6Dst))
    }
}

fn output_tunnel(view: &View, tunnel: OfPort, flows: &mut Flows) {
    let (register, field) = tunnel_destination(view.local.vtep.is_ipv4());
    let actions = vec![
        Action::move_bits(fields::VNI, SubField::new(Field::TunId, 0, 24)),
        Action::move_bits(register, field),
        Action::output(Port::from(tunnel.get())),
    ];
    let matches = Match::any().bits(fields::OUTPUT_PORT, u32::from(tunnel.get()));
    flows.add(Table::Output, 100, Object::Pipeline, matches, actions);
}
