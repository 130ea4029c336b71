//! Senders that are not who they say they are: endpoints, and nodes at the other end of a tunnel.
//!
//! Every lie is told as a new connection and as part of an established one: who is lying is not heard in either case.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::Endpoint;
use openflow::Field;
use types::{Family, MacAddr, NodeName};

use super::classes::representatives;
use super::frames::{SOURCE_PORT, advertisement, arp, opening};
use super::{Audit, Claim, Question, id};
use crate::fabric::{Labels, Site};
use crate::intent::{GATEWAY_MAC, Service, address_of};
use crate::packet::Packet;
use crate::switch::Tracked;

const NOBODYS_MAC: MacAddr = MacAddr::new([0x0a, 0x58, 0xff, 0xff, 0xff, 0xfe]);
const NOBODYS_NODE: [u8; 4] = [203, 0, 113, 99];
/// A VNI nobody has: the largest.
const NOBODYS_VNI: u32 = 0x00ff_fffe;
const UDP: Service = Service::Udp(SOURCE_PORT);

pub(super) fn ask_all(audit: &mut Audit<'_>) {
    let all = audit.plugged();
    let chosen = representatives(audit.intent, &all);
    for liar in &all {
        for victim in victims(&chosen, liar) {
            for family in Family::ALL {
                if let Some(ends) = address_of(liar, family).zip(address_of(victim, family)) {
                    endpoint(audit, liar, victim, ends, &chosen);
                }
            }
        }
    }
    for victim in &chosen {
        for family in Family::ALL {
            if let Some(target) = address_of(victim, family) {
                tunnels(audit, victim, target, nobody(family), &chosen);
            }
        }
    }
}

/// An address nobody has: of the documentation ranges, RFC 5737 and RFC 3849.
fn nobody(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([203, 0, 113, 7]),
        Family::V6 => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]),
    }
}

/// One on the same node and one on another, if there are.
fn victims<'a>(chosen: &[&'a Endpoint], liar: &Endpoint) -> Vec<&'a Endpoint> {
    let others = || chosen.iter().copied().filter(|o| o.spec.tenant == liar.spec.tenant && o.uid != liar.uid);
    let near = others().find(|o| o.spec.node == liar.spec.node);
    let far = others().find(|o| o.spec.node != liar.spec.node);
    near.into_iter().chain(far).collect()
}

fn endpoint(
    audit: &mut Audit<'_>,
    liar: &Endpoint,
    victim: &Endpoint,
    (own, target): (IpAddr, IpAddr),
    chosen: &[&Endpoint],
) {
    let family = Family::of(own);
    let mac = if audit.intent.is_neighbour(liar, victim) { victim.mac } else { GATEWAY_MAC };
    let honest = opening((liar.mac, mac), (own, target), UDP);
    let seat = audit.fabric.seat(liar);
    let labels = seat.map(|(node, port)| audit.opened(&node, honest.clone().with(Field::InPort, port)));
    let labels = labels.unwrap_or_default();
    let source = if family == Family::V4 { Field::Ipv4Src } else { Field::Ipv6Src };
    let mut lies: Vec<(String, Packet)> = Vec::new();
    for other in [victim.mac, NOBODYS_MAC] {
        lies.push((format!("with {other} as its MAC address"), honest.clone().with(Field::EthSrc, other)));
    }
    let others = chosen.iter().filter(|o| o.spec.tenant == liar.spec.tenant && o.uid != liar.uid);
    for other in others.filter_map(|o| address_of(o, family)).chain([nobody(family)]) {
        lies.push((format!("with {other} as its address"), honest.clone().with(source, other)));
    }
    lies.push(("with a VLAN tag".to_owned(), honest.clone().with(Field::VlanVid, 0x1007u16)));
    lies.extend(hidden(&honest, family));
    for kind in routers(family) {
        let packet = opening((liar.mac, mac), (own, target), Service::Icmp { kind, code: 0 });
        lies.push((format!("as a router, ICMP type {kind}"), packet));
    }
    lies.extend(foreign_frames(liar, victim, own, target));
    for (what, packet) in lies {
        for tracked in [Tracked::New, Tracked::Established] {
            tell(audit, (liar, victim), &what, packet.clone(), tracked, &labels);
        }
    }
}

/// Packets that hide what they are: RFC 7112, RFC 6335 section 6.
fn hidden(honest: &Packet, family: Family) -> Vec<(String, Packet)> {
    let first = honest.clone().with(Field::IpFrag, 1u8).with(Field::UdpSrc, 0u8).with(Field::UdpDst, 0u8);
    let mut lies = vec![("as a first fragment without ports".to_owned(), first)];
    if family == Family::V6 {
        lies.push((
            "with a header chain that ends nowhere".to_owned(),
            honest.clone().with(Field::IpProto, 0u8),
        ));
    }
    lies
}

/// Messages of routers: redirects and advertisements.
const fn routers(family: Family) -> [u8; 2] {
    match family {
        Family::V4 => [5, 9],
        Family::V6 => [137, 134],
    }
}

/// Frames that are neither IP nor discovery about oneself.
fn foreign_frames(liar: &Endpoint, victim: &Endpoint, own: IpAddr, target: IpAddr) -> Vec<(String, Packet)> {
    let mut frames = Vec::new();
    for kind in [0x88b5_u16, 0x8847, 0x8035, 0x88cc] {
        let frame = Packet::default().with(Field::EthSrc, liar.mac).with(Field::EthDst, victim.mac);
        frames.push((format!("a frame of type {kind:#06x}"), frame.with(Field::EthType, kind)));
    }
    let ends = (liar.mac, victim.mac);
    match own {
        IpAddr::V4(_) => frames.extend([
            ("ARP about the other's address".to_owned(), arp(2, ends, (liar.mac, target), own)),
            ("ARP with the other's MAC address".to_owned(), arp(2, ends, (victim.mac, own), target)),
        ]),
        IpAddr::V6(_) => frames.push((
            "neighbour advertisement of the other's address".to_owned(),
            advertisement(liar.mac, own, target),
        )),
    }
    frames
}

fn tell(
    audit: &mut Audit<'_>,
    (liar, victim): (&Endpoint, &Endpoint),
    what: &str,
    packet: Packet,
    tracked: Tracked,
    labels: &Labels,
) {
    let Some((node, port)) = audit.fabric.seat(liar) else { return };
    let question = Question {
        claim: Claim::Spoofing,
        from: id(liar),
        to: id(victim),
        what: format!("{tracked:?} packet {what}"),
        node,
        packet: packet.with(Field::InPort, port),
        tracked,
        labels: labels.clone(),
    };
    audit.ask(&question, "delivered to nobody: the sender is not who it says", &BTreeSet::new());
}

/// A packet that comes to a victim's node out of the tunnel.
fn tunnels(audit: &mut Audit<'_>, victim: &Endpoint, target: IpAddr, stranger: IpAddr, chosen: &[&Endpoint]) {
    let Some(site) = audit.fabric.site(&victim.spec.node) else { return };
    let Some(vni) = audit.intent.network(victim).map(|n| n.vni) else { return };
    let own = audit.fabric.vtep(&site.node);
    let nodes: Vec<_> =
        audit.intent.view().nodes.values().map(|n| (n.spec.name.clone(), n.spec.vtep)).collect();
    let known = chosen.iter().filter(|e| e.spec.tenant == victim.spec.tenant && e.uid != victim.uid);
    let sources: Vec<_> =
        known.filter_map(|e| Some((address_of(e, Family::of(target))?, Some(&e.spec.node)))).collect();
    let vtep_of = |home: &Option<&NodeName>| home.and_then(|home| audit.fabric.vtep(home));
    let open = |(source, home): &(IpAddr, Option<&NodeName>)| {
        let honest = opening((NOBODYS_MAC, victim.mac), (*source, target), UDP).with(Field::TunId, vni.get());
        let packet = audit.fabric.out_of_tunnel(site, &honest, vtep_of(home)?)?;
        Some(audit.opened(&site.node, packet)).filter(|labels| !labels.is_empty())
    };
    let labels = sources.iter().find_map(open).unwrap_or_default();
    let mut lies = Vec::new();
    for (source, home) in sources.iter().copied().chain([(stranger, None)]) {
        lies.push((source, IpAddr::from(NOBODYS_NODE), vni.get(), "from an address that is no node's", true));
        for (node, vtep) in &nodes {
            if Some(*vtep) == own {
                lies.push((source, *vtep, vni.get(), "from the node's own tunnel address", true));
            } else if Some(node) != home {
                lies.push((source, *vtep, vni.get(), "from a node that does not host its sender", false));
            } else {
                lies.push((source, *vtep, NOBODYS_VNI, "in a network nobody has", true));
            }
        }
    }
    for (source, vtep, vni, what, even_established) in lies {
        let honest = opening((NOBODYS_MAC, victim.mac), (source, target), UDP).with(Field::TunId, vni);
        let Some(packet) = audit.fabric.out_of_tunnel(site, &honest, vtep) else { continue };
        let states =
            [(Tracked::New, true), (Tracked::Related, true), (Tracked::Established, even_established)];
        for (tracked, _) in states.into_iter().filter(|(_, asked)| *asked) {
            out_of_tunnel(
                audit,
                site,
                victim,
                (source, vtep),
                what,
                related(&packet, tracked),
                (tracked, &labels),
            );
        }
    }
    to_gateway(audit, site, victim, target, vni.get(), &labels);
}

/// What is related to a connection is an ICMP error.
fn related(packet: &Packet, tracked: Tracked) -> Packet {
    if tracked != Tracked::Related {
        return packet.clone();
    }
    let packet = packet.clone().with(Field::UdpSrc, 0u8).with(Field::UdpDst, 0u8);
    if packet.get(Field::EthType) == 0x0800 {
        packet.with(Field::IpProto, 1u8).with(Field::Icmpv4Type, 3u8).with(Field::Icmpv4Code, 3u8)
    } else {
        packet.with(Field::IpProto, 58u8).with(Field::Icmpv6Type, 1u8).with(Field::Icmpv6Code, 4u8)
    }
}

fn out_of_tunnel(
    audit: &mut Audit<'_>,
    site: &Site,
    victim: &Endpoint,
    (source, vtep): (IpAddr, IpAddr),
    what: &str,
    packet: Packet,
    (tracked, labels): (Tracked, &Labels),
) {
    let question = Question {
        claim: Claim::Spoofing,
        from: format!("{source} through the tunnel from {vtep}"),
        to: id(victim),
        what: format!("{tracked:?} packet {what}"),
        node: site.node.clone(),
        packet,
        tracked,
        labels: labels.clone(),
    };
    audit.ask(&question, "delivered to nobody: it does not come from where its sender is", &BTreeSet::new());
}

/// Routing is done where a packet starts: none goes to a gateway through a tunnel.
fn to_gateway(
    audit: &mut Audit<'_>,
    site: &Site,
    victim: &Endpoint,
    target: IpAddr,
    vni: u32,
    labels: &Labels,
) {
    let far = audit.seats.values().find(|e| e.spec.tenant == victim.spec.tenant && e.spec.node != site.node);
    let Some(far) = far.copied() else { return };
    let Some((source, vtep)) = address_of(far, Family::of(target)).zip(audit.fabric.vtep(&far.spec.node))
    else {
        return;
    };
    let honest = opening((NOBODYS_MAC, GATEWAY_MAC), (source, target), UDP).with(Field::TunId, vni);
    let Some(packet) = audit.fabric.out_of_tunnel(site, &honest, vtep) else { return };
    for tracked in [Tracked::New, Tracked::Established] {
        let what = "for the gateway's MAC address";
        out_of_tunnel(audit, site, victim, (source, vtep), what, packet.clone(), (tracked, labels));
    }
}
