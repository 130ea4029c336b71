//! The lies about who sends: addresses, discovery, tags, fragments, extension headers, other protocols, tunnels.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use types::Family;

use super::cast::{ALL_NODES, Cast, STRANGER, multicast, of};
use crate::frame::odd::{self, Arp, Extension, protocol};
use crate::frame::{BROADCAST, End, Mac, ethernet, ethertype, vxlan};
use crate::suites::intruder::{Batch, GATEWAY_MAC, PORT, at, udp};

/// From where UDP of [`udp`] comes.
const HONEST_PORT: u16 = 40_000;
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// All of them.
pub(super) fn all(cast: &Cast) -> Batch {
    let mut batch = Batch::starting_at(0);
    addresses(cast, &mut batch);
    kinds_of_packets(cast, &mut batch);
    arp(cast, &mut batch);
    super::discovery::lies(cast, &mut batch);
    routers(cast, &mut batch);
    tags(cast, &mut batch);
    fragments(cast, &mut batch);
    extensions(cast, &mut batch);
    other_protocols(cast, &mut batch);
    tunnels(cast, &mut batch);
    batch
}

/// Somebody else's MAC, somebody else's address, both; to everyone.
fn addresses(cast: &Cast, batch: &mut Batch) {
    for family in FAMILIES {
        let own = cast.own(family);
        for (to, destination, _) in cast.destinations(family) {
            for (who, mac) in cast.macs() {
                batch.one(format!("{family:?} from the MAC of {who} to {to}"), |m| {
                    udp(at(mac, own.ip), destination, m)
                });
            }
            for (who, ip) in cast.addresses(family) {
                batch.one(format!("{family:?} from the address of {who} to {to}"), |m| {
                    udp(at(own.mac, ip), destination, m)
                });
            }
            for neighbour in [&cast.local, &cast.remote] {
                let lie = of(neighbour, family);
                batch.one(format!("{family:?} as {} altogether to {to}", neighbour.id), |m| {
                    udp(lie, destination, m)
                });
            }
        }
    }
}

/// The same lie in other protocols, and one told to another tenant.
fn kinds_of_packets(cast: &Cast, batch: &mut Batch) {
    for family in FAMILIES {
        let lie = at(cast.me.mac, of(&cast.local, family).ip);
        let to = of(&cast.remote, family);
        batch.one(format!("{family:?} TCP as a neighbour"), |m| crate::frame::tcp_syn(lie, to, 80, m));
        batch.one(format!("{family:?} ping as a neighbour"), |m| {
            let (number, message) = odd::echo_request(lie, to, m);
            odd::packet(lie, to, number, &message)
        });
        batch.one(format!("{family:?} ping of the gateway as a neighbour"), |m| {
            let gateway = if family == Family::V4 { cast.gateway.0.into() } else { cast.gateway.1.into() };
            let gateway = at(GATEWAY_MAC, gateway);
            let (number, message) = odd::echo_request(lie, gateway, m);
            odd::packet(lie, gateway, number, &message)
        });
        batch.one(format!("{family:?} unknown protocol as a neighbour"), |m| {
            odd::packet(lie, to, protocol::EXPERIMENT, m)
        });
        // Honest about itself, but to an address that only the other tenant has.
        let foreign = of(&cast.foreign, family);
        let own = cast.own(family);
        for (how, mac) in [("its MAC", foreign.mac), ("the gateway's MAC", GATEWAY_MAC)] {
            batch.one(format!("{family:?} to another tenant's endpoint by {how}"), |m| {
                udp(own, at(mac, foreign.ip), m)
            });
        }
        // One victim's MAC with another's address; a group's MAC with somebody's address.
        for (how, mac) in [("a neighbour's", cast.local.mac), ("a group's", multicast(family).mac)] {
            batch.one(format!("{family:?} to one address by {how} MAC"), |m| udp(own, at(mac, to.ip), m));
        }
    }
}

fn arp(cast: &Cast, batch: &mut Batch) {
    let (me, gateway) = (&cast.me, cast.gateway.0);
    let mut add = |name: &str, source: Mac, to: Mac, arp: Arp| {
        batch.one(format!("ARP {name}"), |m| arp.frame(source, to, m));
    };
    let victim = (cast.local.mac, cast.local.v4);
    let (request, reply) = (1, 2);
    for (who, ip) in
        [("the gateway", gateway), ("a neighbour", cast.remote.v4), ("nobody", Ipv4Addr::new(10, 1, 1, 77))]
    {
        let claim = |operation, target| Arp { operation, sender: (me.mac, ip), target };
        add(&format!("reply: {who} is here, to a neighbour"), me.mac, cast.local.mac, claim(reply, victim));
        add(&format!("reply: {who} is here, to all"), me.mac, BROADCAST, claim(reply, victim));
        add(
            &format!("gratuitous request: {who} is here"),
            me.mac,
            BROADCAST,
            claim(request, (BROADCAST, ip)),
        );
        add(&format!("gratuitous reply: {who} is here"), me.mac, BROADCAST, claim(reply, (BROADCAST, ip)));
        add(
            &format!("question as {who} about a neighbour"),
            me.mac,
            BROADCAST,
            claim(request, ([0; 6], cast.local.v4)),
        );
        add(
            &format!("question as {who} about the gateway"),
            me.mac,
            BROADCAST,
            claim(request, ([0; 6], gateway)),
        );
    }
    for (who, mac) in [("the gateway", GATEWAY_MAC), ("a neighbour", cast.remote.mac), ("nobody", STRANGER)] {
        let claim = |operation| Arp { operation, sender: (mac, me.v4), target: ([0; 6], gateway) };
        add(&format!("question with the MAC of {who} inside"), me.mac, BROADCAST, claim(request));
        add(&format!("question from the MAC of {who}"), mac, BROADCAST, claim(request));
        add(&format!("reply with the MAC of {who} inside"), me.mac, cast.local.mac, claim(reply));
        let probe =
            Arp { operation: request, sender: (mac, Ipv4Addr::UNSPECIFIED), target: ([0; 6], gateway) };
        add(&format!("probe with the MAC of {who} inside"), me.mac, BROADCAST, probe);
    }
    for (who, ip) in [("a neighbour", cast.local.v4), ("the gateway", gateway)] {
        let strange = Arp { operation: 4, sender: (me.mac, ip), target: (me.mac, ip) };
        batch
            .one(format!("reverse ARP as {who}"), |m| ethernet(me.mac, BROADCAST, 0x8035, &strange.bytes(m)));
        let high = Arp { operation: 0x0102, ..strange };
        batch.one(format!("ARP of an unknown operation as {who}"), |m| high.frame(me.mac, BROADCAST, m));
        let reply = Arp { operation: 2, ..strange };
        batch.one(format!("ARP behind LLC and SNAP as {who}"), |m| {
            odd::llc(me.mac, BROADCAST, &odd::snap(ethertype::ARP), &reply.bytes(m))
        });
    }
}

/// What only routers say in IPv4: "go there by me" (RFC 792), "I am a router" (RFC 1256). Redirects are about packets
/// of a connection there is (the honest frames around the lies make it), so conntrack calls them related.
fn routers(cast: &Cast, batch: &mut Batch) {
    let me = &cast.me;
    let by_me = me.v4.octets();
    let redirect = |code: u8| [5, code, 0, 0, by_me[0], by_me[1], by_me[2], by_me[3]];
    let sender = [("itself", me.four()), ("the gateway", at(me.mac, cast.gateway.0.into()))];
    for (who, from) in sender {
        for code in 0..4 {
            batch.one(format!("redirect of code {code} from {who}"), |m| {
                let about = odd::udp_packet(cast.local.four(), me.four(), PORT, HONEST_PORT, m);
                odd::icmp(from, cast.local.four(), redirect(code), &about)
            });
        }
        let hosts = at([1, 0, 0x5e, 0, 0, 1], Ipv4Addr::new(224, 0, 0, 1).into());
        let all = at(BROADCAST, Ipv4Addr::BROADCAST.into());
        for (to_whom, to) in [("all hosts", hosts), ("everyone", all), ("a neighbour", cast.local.four())] {
            // One address of two words, good for half an hour, the most preferred.
            let entry = [&by_me[..], &[0x7f, 0xff, 0xff, 0xff]].concat();
            batch.one(format!("router advertisement from {who} to {to_whom}"), |m| {
                odd::icmp(from, to, [9, 0, 0, 0, 1, 2, 7, 8], &[&entry[..], m].concat())
            });
        }
    }
}

/// Makes a frame of a mark.
type Make<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// Tagged frames of every inner kind, honest ones too: an endpoint has no VLANs.
fn tags(cast: &Cast, batch: &mut Batch) {
    let me = &cast.me;
    let tags: [(&str, &[(u16, u16)]); 8] = [
        ("tag 802.1Q", &[(0x8100, 5)]),
        ("priority tag", &[(0x8100, 0)]),
        ("priority tag of class 7", &[(0x8100, 0xe000)]),
        ("tag 802.1Q 4095", &[(0x8100, 4095)]),
        ("tag 802.1ad", &[(0x88a8, 5)]),
        ("priority tag 802.1ad", &[(0x88a8, 0)]),
        ("tags 802.1ad and 802.1Q", &[(0x8100, 6), (0x88a8, 5)]),
        ("tag of the old kind", &[(0x9100, 5)]),
    ];
    let lie4 = at(me.mac, cast.remote.v4.into());
    let arp = Arp { operation: 1, sender: (me.mac, me.v4), target: ([0; 6], cast.gateway.0) };
    let arp_lie =
        Arp { operation: 2, sender: (me.mac, cast.gateway.0), target: (cast.local.mac, cast.local.v4) };
    let solicit = |m: &[u8]| {
        let parts: [&[u8]; 4] =
            [&[0; 4], &cast.local.v6.octets(), &odd::nd_option(1, &me.mac), &odd::nd_option(14, m)];
        let message = odd::icmpv6_message(me.six(), ALL_NODES, 135, 0, &parts);
        odd::behind(me.six(), ALL_NODES, &[], protocol::ICMPV6, &message)
    };
    for (name, stack) in tags {
        let inner: [(&str, Make<'_>); 8] = [
            ("honest IPv4", &|m| crate::frame::udp(me.four(), cast.local.four(), PORT, m)),
            ("honest IPv6", &|m| crate::frame::udp(me.six(), cast.local.six(), PORT, m)),
            ("honest multicast", &|m| crate::frame::udp(me.four(), multicast(Family::V4), PORT, m)),
            ("IPv4 as a neighbour", &|m| crate::frame::udp(lie4, cast.local.four(), PORT, m)),
            ("an ARP question", &|m| arp.frame(me.mac, BROADCAST, m)),
            ("an ARP lie", &|m| arp_lie.frame(me.mac, cast.local.mac, m)),
            ("a neighbour solicitation", &solicit),
            ("no protocol we know", &|m| ethernet(me.mac, BROADCAST, ethertype::EXPERIMENT, m)),
        ];
        for (what, make) in inner {
            let tag_all =
                |frame: Vec<u8>| stack.iter().fold(frame, |f, (kind, tci)| odd::tag(&f, *kind, *tci));
            batch.one(format!("{what} with {name}"), |m| tag_all(make(m)));
        }
    }
}

/// Fragments with somebody else's address; each part has the mark.
fn fragments(cast: &Cast, batch: &mut Batch) {
    let me = &cast.me;
    for family in FAMILIES {
        let own = cast.own(family);
        let lie = at(me.mac, of(&cast.remote, family).ip);
        for (where_to, to, _) in cast.destinations(family) {
            let part = |m: &[u8], from: End, id: u16, place: (u16, bool)| {
                let message = odd::datagram(from, to, PORT, &[m, &[0; 1220], m].concat());
                let head = place.0 == 0;
                let bytes = if head { &message[..1240] } else { &message[8..] };
                odd::fragment(from, to, id, protocol::UDP, place, &bytes[..bytes.len() / 8 * 8])
            };
            let name = |what: &str| format!("{family:?} {what} to {where_to}");
            batch.one(name("first fragment as a neighbour"), |m| part(m, lie, 1, (0, true)));
            batch.one(name("later fragment as a neighbour"), |m| part(m, lie, 2, (1240, false)));
            batch.add(name("fragments as a neighbour"), |m| {
                vec![part(m, lie, 3, (0, true)), part(m, lie, 3, (1240, false))]
            });
            // The honest part begins without the mark: it must not arrive alone either, but that is not the point.
            batch.add(name("honest first, later fragment as a neighbour"), |m| {
                vec![part(&[0; 12], own, 4, (0, true)), part(m, lie, 4, (1240, false))]
            });
            batch.add(name("overlapping fragments as a neighbour"), |m| {
                vec![part(m, lie, 5, (0, true)), part(m, lie, 5, (1232, true)), part(m, lie, 5, (8, false))]
            });
            batch.one(name("tiny first fragment as a neighbour"), |m| {
                odd::fragment(lie, to, 6, protocol::UDP, (0, true), &m[..8])
            });
        }
    }
}

/// Whatever stands between the IPv6 header and the datagram, the source must be its own.
fn extensions(cast: &Cast, batch: &mut Batch) {
    use Extension::{Authentication, DestinationOptions, Fragment, HopByHop, Routing};
    let lie = at(cast.me.mac, cast.remote.v6.into());
    let chains: [(&str, &[Extension]); 12] = [
        ("hop-by-hop options", &[HopByHop]),
        ("destination options", &[DestinationOptions(8)]),
        ("long destination options", &[DestinationOptions(1200)]),
        ("a routing header of type 0", &[Routing(0)]),
        ("a routing header of type 4", &[Routing(4)]),
        ("an atomic fragment header", &[Fragment(0, false, 9)]),
        ("a first fragment header", &[Fragment(0, true, 9)]),
        ("a later fragment header", &[Fragment(1280, false, 9)]),
        ("an authentication header", &[Authentication]),
        ("four headers", &[HopByHop, DestinationOptions(16), Routing(2), DestinationOptions(8)]),
        ("a fragment header in the middle", &[HopByHop, Fragment(0, false, 8), DestinationOptions(8)]),
        ("headers in no allowed order", &[DestinationOptions(8), HopByHop, Routing(0), HopByHop]),
    ];
    for (where_to, to, _) in cast.destinations(Family::V6) {
        for (name, chain) in chains {
            batch.one(format!("{name} as a neighbour to {where_to}"), |m| {
                odd::behind(lie, to, chain, protocol::UDP, &odd::datagram(lie, to, PORT, m))
            });
        }
        for (name, upper) in [("no next header", protocol::NONE), ("a header nobody knows", 139)] {
            batch
                .one(format!("{name} as a neighbour to {where_to}"), |m| odd::behind(lie, to, &[], upper, m));
        }
        batch.one(format!("a header cut off as a neighbour to {where_to}"), |m| {
            odd::behind(lie, to, &[], 60, &[&[17, 40, 1, 4, 0, 0, 0, 0][..], m].concat())
        });
    }
}

fn other_protocols(cast: &Cast, batch: &mut Batch) {
    let mac = cast.me.mac;
    let kinds: [(&str, u16); 15] = [
        ("LLDP", 0x88cc),
        ("MPLS", 0x8847),
        ("MPLS multicast", 0x8848),
        ("PPPoE discovery", 0x8863),
        ("PPPoE session", 0x8864),
        ("IPX", 0x8137),
        ("EAPOL", 0x888e),
        ("802.1ah", 0x88e7),
        ("slow protocols", 0x8809),
        ("MACsec", 0x88e5),
        ("TRILL", 0x22f3),
        ("FCoE", 0x8906),
        ("network service header", 0x894f),
        ("bridged Ethernet", 0x6558),
        ("experimental protocol", 0x88b5),
    ];
    let bridge_group = [0x01, 0x80, 0xc2, 0, 0, 0];
    let to = [
        ("a neighbour", cast.local.mac),
        ("all", BROADCAST),
        ("bridges", bridge_group),
        ("the gateway", GATEWAY_MAC),
    ];
    for (where_to, destination) in to {
        for (name, kind) in kinds {
            // Behind four bytes (an MPLS label, bottom of stack) an honest packet: nobody may look that deep.
            batch.one(format!("{name} to {where_to}"), |m| {
                let inner = odd::udp_packet(cast.me.four(), cast.local.four(), 9, PORT, m);
                ethernet(mac, destination, kind, &[&[0, 1, 1, 64][..], &inner].concat())
            });
        }
        batch.one(format!("spanning tree to {where_to}"), |m| {
            odd::llc(mac, destination, &[0x42, 0x42, 3], &[&[0; 35][..], m].concat())
        });
        batch.one(format!("LLC of no protocol to {where_to}"), |m| {
            odd::llc(mac, destination, &[0xf0, 0xf0, 3], m)
        });
        batch
            .one(format!("raw 802.3 IPX to {where_to}"), |m| odd::llc(mac, destination, &[0xff, 0xff, 0], m));
    }
    for (name, source) in [("a neighbour", cast.remote.v4), ("nobody", Ipv4Addr::new(10, 1, 1, 77))] {
        batch.one(format!("IPv4 behind LLC and SNAP as {name}"), |m| {
            let packet = odd::udp_packet(at(mac, source.into()), cast.local.four(), 9, PORT, m);
            odd::llc(mac, cast.local.mac, &odd::snap(ethertype::IPV4), &packet)
        });
        batch.one(format!("IPv4 with a wrong length as {name}"), |m| {
            let mut frame = udp(at(mac, source.into()), cast.local.four(), m);
            frame[16..18].copy_from_slice(&2000_u16.to_be_bytes());
            frame
        });
    }
    // The EtherType of one family, the packet of the other.
    batch.one("IPv6 under the EtherType of IPv4", |m| {
        let packet = odd::udp_packet(cast.me.six(), cast.local.six(), 9, PORT, m);
        ethernet(mac, cast.local.mac, ethertype::IPV4, &packet)
    });
}

/// Packets in packets, where the outer one lies or goes where nobody may.
fn tunnels(cast: &Cast, batch: &mut Batch) {
    let me = &cast.me;
    let inside = |m: &[u8]| odd::udp_packet(cast.remote.four(), cast.local.four(), 9, PORT, m);
    let outer_lie = at(me.mac, cast.remote.v4.into());
    let foreign = at(GATEWAY_MAC, cast.foreign.v4.into());
    for (name, from, to) in [
        ("as a neighbour", outer_lie, cast.local.four()),
        ("to another tenant", me.four(), foreign),
        ("to the node", me.four(), at(GATEWAY_MAC, cast.vtep.ip)),
    ] {
        batch.one(format!("IP in IP {name}"), |m| odd::packet(from, to, protocol::IPV4, &inside(m)));
        batch.one(format!("IPv6 in IP {name}"), |m| {
            let inner = odd::udp_packet(cast.remote.six(), cast.local.six(), 9, PORT, m);
            odd::packet(from, to, protocol::IPV6, &inner)
        });
        batch.one(format!("GRE {name}"), |m| {
            odd::packet(from, to, protocol::GRE, &[&[0, 0, 8, 0][..], &inside(m)].concat())
        });
    }
    vxlan_to_nodes(cast, batch, "by the MAC of the gateway", GATEWAY_MAC);
    vxlan_to_nodes(cast, batch, "by the MAC of its node's underlay", cast.vtep.mac);
    vxlan_to_nodes(cast, batch, "by the MAC of the other node's underlay", cast.far_vtep.mac);
}

/// VXLAN to either node's tunnel address, with the frame of another network inside, as itself and as a node.
fn vxlan_to_nodes(cast: &Cast, batch: &mut Batch, how: &str, mac: Mac) {
    for vni in 1..=4 {
        for (where_to, vtep) in [("its node", cast.vtep), ("the other node", cast.far_vtep)] {
            for (who, source) in [("itself", cast.me.four().ip), ("the other node", cast.far_vtep.ip)] {
                batch.one(format!("VXLAN {vni} to {where_to} {how} as {who}"), |m| {
                    let inner = udp(cast.foreign.four(), cast.local.four(), m);
                    let from = at(cast.me.mac, source);
                    crate::frame::udp(from, at(mac, vtep.ip), 4789, &vxlan(vni, &inner))
                });
            }
        }
    }
}

/// What would reach the node itself, if its own stack saw the frames.
pub(super) fn to_the_host(cast: &Cast, first: usize) -> Batch {
    let mut batch = Batch::starting_at(first);
    let me = &cast.me;
    let near = |last| at(me.mac, Ipv4Addr::new(192, 0, 2, last).into());
    let [a, b, c, _] = cast.master.octets();
    let managed = at(me.mac, Ipv4Addr::new(a, b, c, cast.master.octets()[3] + 40).into());
    let targets = [
        ("its tunnel address", cast.vtep.ip),
        ("its management address", cast.management.into()),
        ("netmaster", cast.master.into()),
        ("its loopback", Ipv4Addr::LOCALHOST.into()),
    ];
    for (what, ip) in targets {
        for (who, from) in
            [("itself", me.four()), ("a host of the underlay", near(99)), ("a host of management", managed)]
        {
            for (by, mac) in [("the node's MAC", cast.host_mac), ("the gateway's MAC", GATEWAY_MAC)] {
                let to = at(mac, ip);
                batch.one(format!("UDP to {what} by {by} as {who}"), |m| udp(from, to, m));
                batch.one(format!("TCP to {what} by {by} as {who}"), |m| {
                    crate::frame::tcp_syn(from, to, 22, m)
                });
                batch.one(format!("ping to {what} by {by} as {who}"), |m| {
                    let (number, message) = odd::echo_request(from, to, m);
                    odd::packet(from, to, number, &message)
                });
            }
        }
        if let IpAddr::V4(ip) = ip {
            let question = Arp { operation: 1, sender: (me.mac, me.v4), target: ([0; 6], ip) };
            batch.one(format!("ARP question for {what}"), |m| question.frame(me.mac, BROADCAST, m));
            batch.one(format!("ARP question for {what} to the node's MAC"), |m| {
                question.frame(me.mac, cast.host_mac, m)
            });
        }
    }
    vxlan_to_nodes(cast, &mut batch, "by the node's MAC", cast.host_mac);
    batch.one("IPv6 to all routers by the node's MAC", |m| {
        let routers = at(cast.host_mac, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2).into());
        udp(me.six(), routers, m)
    });
    batch
}
