//! The lies of IPv6 neighbour discovery (RFC 4861), plain and hidden where a guard might not look (RFC 7113).

use std::net::Ipv6Addr;

use super::cast::{ALL_NODES, Cast, STRANGER};
use crate::frame::odd::{Extension, behind, icmpv6_message, nd_option, protocol};
use crate::frame::{End, Mac};
use crate::suites::intruder::{Batch, GATEWAY_MAC, at};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
/// Options: source and target link-layer address, prefix information, nonce (which has the mark).
const SOURCE: u8 = 1;
const TARGET: u8 = 2;
const PREFIX: u8 = 3;
const NONCE: u8 = 14;
const NO_MARK: [u8; 12] = [0; 12];
/// Flags of an advertisement: router, solicited, override.
const FLAGS: [u8; 4] = [0xe0, 0, 0, 0];

pub(super) fn lies(cast: &Cast, batch: &mut Batch) {
    advertisements(cast, batch);
    solicitations(cast, batch);
    routers(cast, batch);
    hidden(cast, batch);
}

/// "This address is at this MAC."
fn advertisement(from: End, to: End, address: Ipv6Addr, mac: Mac, mark: &[u8]) -> Vec<u8> {
    icmpv6_message(
        from,
        to,
        ADVERTISEMENT,
        0,
        &[&FLAGS, &address.octets(), &nd_option(TARGET, &mac), &nd_option(NONCE, mark)],
    )
}

fn send(from: End, to: End, message: &[u8]) -> Vec<u8> {
    behind(from, to, &[], protocol::ICMPV6, message)
}

fn advertisements(cast: &Cast, batch: &mut Batch) {
    let me = &cast.me;
    let link_local = at(me.mac, me.link_local().into());
    let claimed = [
        ("the gateway", cast.gateway.1),
        ("a neighbour here", cast.local.v6),
        ("a neighbour there", cast.remote.v6),
        ("a neighbour's link-local address", cast.remote.link_local()),
        ("nobody", Ipv6Addr::new(0xfd00, 1, 1, 0, 0, 0, 0, 0x77)),
    ];
    for (who, address) in claimed {
        for (to_whom, to) in [("all", ALL_NODES), ("a neighbour", cast.local.six())] {
            for (from_whom, from) in [
                ("itself", me.six()),
                ("its link-local address", link_local),
                ("there", at(me.mac, address.into())),
            ] {
                batch.one(format!("advertisement of {who} from {from_whom} to {to_whom}"), |m| {
                    send(from, to, &advertisement(from, to, address, me.mac, m))
                });
            }
        }
    }
    for (who, mac) in [("the gateway", GATEWAY_MAC), ("a neighbour", cast.remote.mac), ("nobody", STRANGER)] {
        batch.one(format!("advertisement of itself at the MAC of {who}"), |m| {
            send(me.six(), ALL_NODES, &advertisement(me.six(), ALL_NODES, me.v6, mac, m))
        });
    }
    // True, but told to others unasked: the switch answers for everyone, nobody else does.
    batch.one("advertisement of itself", |m| {
        send(me.six(), ALL_NODES, &advertisement(me.six(), ALL_NODES, me.v6, me.mac, m))
    });
}

fn solicitations(cast: &Cast, batch: &mut Batch) {
    let me = &cast.me;
    let mut ask = |name: &str, from: End, to: End, source: Mac| {
        batch.one(format!("solicitation {name}"), |m| {
            let parts: [&[u8]; 4] =
                [&[0; 4], &cast.gateway.1.octets(), &nd_option(SOURCE, &source), &nd_option(NONCE, m)];
            send(from, to, &icmpv6_message(from, to, SOLICITATION, 0, &parts))
        });
    };
    for (to_whom, to) in [("all", ALL_NODES), ("a neighbour", cast.local.six())] {
        for (who, address) in [
            ("a neighbour", cast.remote.v6),
            ("a neighbour's link-local address", cast.local.link_local()),
            ("the gateway", cast.gateway.1),
        ] {
            ask(&format!("as {who} to {to_whom}"), at(me.mac, address.into()), to, me.mac);
        }
        for (who, mac) in [("a neighbour", cast.remote.mac), ("the gateway", GATEWAY_MAC)] {
            ask(&format!("with the MAC of {who} inside to {to_whom}"), me.six(), to, mac);
            ask(&format!("from the MAC of {who} to {to_whom}"), at(mac, me.v6.into()), to, me.mac);
        }
        // Detection has no source and must name none (RFC 4861 section 4.3).
        ask(
            &format!("without source but a MAC to {to_whom}"),
            at(me.mac, Ipv6Addr::UNSPECIFIED.into()),
            to,
            me.mac,
        );
    }
}

/// Router advertisements, redirects, and what else only routers say.
fn routers(cast: &Cast, batch: &mut Batch) {
    let me = &cast.me;
    let link_local = at(me.mac, me.link_local().into());
    let gateway = at(me.mac, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into());
    for (who, from) in [("itself", me.six()), ("its link-local address", link_local), ("a router", gateway)] {
        for (to_whom, to) in [("all", ALL_NODES), ("a neighbour", cast.local.six())] {
            batch.one(format!("router advertisement from {who} to {to_whom}"), |m| {
                send(from, to, &router_advertisement(from, to, m))
            });
            batch.one(format!("redirect from {who} to {to_whom}"), |m| {
                let victim = cast.remote.v6.octets();
                let parts: [&[u8]; 5] = [
                    &[0; 4],
                    &me.link_local().octets(),
                    &victim,
                    &nd_option(TARGET, &me.mac),
                    &nd_option(NONCE, m),
                ];
                send(from, to, &icmpv6_message(from, to, REDIRECT, 0, &parts))
            });
            batch.one(
                format!("router solicitation from {who} with a MAC of somebody else to {to_whom}"),
                |m| {
                    let parts: [&[u8]; 3] = [&[0; 4], &nd_option(SOURCE, &STRANGER), &nd_option(NONCE, m)];
                    send(from, to, &icmpv6_message(from, to, ROUTER_SOLICITATION, 0, &parts))
                },
            );
            batch.one(format!("multicast listener query from {who} to {to_whom}"), |m| {
                let parts: [&[u8]; 2] = [&[0; 20], m];
                let message = icmpv6_message(from, to, 130, 0, &parts);
                behind(from, to, &[Extension::HopByHop], protocol::ICMPV6, &message)
            });
        }
    }
}

fn router_advertisement(from: End, to: End, mark: &[u8]) -> Vec<u8> {
    let prefix =
        [&[64, 0xc0, 0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0][..], &[0x20, 1, 0xd, 0xb8], &[0; 12]].concat();
    let parts: [&[u8]; 4] = [
        &[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0],
        &nd_option(SOURCE, &from.mac),
        &nd_option(PREFIX, &prefix),
        &nd_option(NONCE, mark),
    ];
    icmpv6_message(from, to, ROUTER_ADVERTISEMENT, 0, &parts)
}

/// The same lies from its own address, hidden behind headers and in fragments.
fn hidden(cast: &Cast, batch: &mut Batch) {
    use Extension::{DestinationOptions, Fragment, HopByHop, Routing};
    let me = &cast.me;
    let from = me.six();
    let lie = |to: End, m: &[u8]| advertisement(from, to, cast.gateway.1, me.mac, m);
    for (to_whom, to) in [("all", ALL_NODES), ("a neighbour", cast.local.six())] {
        let chains: [(&str, &[Extension]); 6] = [
            ("hop-by-hop options", &[HopByHop]),
            ("destination options", &[DestinationOptions(8)]),
            ("a routing header", &[Routing(4)]),
            ("an atomic fragment header", &[Fragment(0, false, 3)]),
            ("many headers", &[HopByHop, DestinationOptions(8), Routing(2), DestinationOptions(64)]),
            ("a fragment header and options", &[Fragment(0, false, 4), DestinationOptions(1200)]),
        ];
        for (name, chain) in chains {
            batch.one(format!("advertisement behind {name} to {to_whom}"), |m| {
                behind(from, to, chain, protocol::ICMPV6, &lie(to, m))
            });
            batch.one(format!("router advertisement behind {name} to {to_whom}"), |m| {
                behind(from, to, chain, protocol::ICMPV6, &router_advertisement(from, to, m))
            });
        }
        in_fragments(cast, batch, to_whom, to);
        batch.one(format!("advertisement with its option twice to {to_whom}"), |m| {
            let option = nd_option(TARGET, &me.mac);
            let parts: [&[u8]; 5] =
                [&FLAGS, &cast.gateway.1.octets(), &option, &option, &nd_option(NONCE, m)];
            send(from, to, &icmpv6_message(from, to, ADVERTISEMENT, 0, &parts))
        });
        batch.one(format!("advertisement with an option of no length to {to_whom}"), |m| {
            let parts: [&[u8]; 4] = [&FLAGS, &cast.gateway.1.octets(), &[2, 0], m];
            send(from, to, &icmpv6_message(from, to, ADVERTISEMENT, 0, &parts))
        });
        for code in [1, 255] {
            batch.one(format!("advertisement of code {code} to {to_whom}"), |m| {
                let parts: [&[u8]; 3] = [&FLAGS, &cast.gateway.1.octets(), &nd_option(NONCE, m)];
                send(from, to, &icmpv6_message(from, to, ADVERTISEMENT, code, &parts))
            });
        }
    }
}

/// RFC 7112: first fragments that end before the message begins, so that nobody sees what it is. The mark is in the
/// first: without it the rest is nobody's message, and cannot be told from the rest of an honest packet.
fn in_fragments(cast: &Cast, batch: &mut Batch, to_whom: &str, to: End) {
    use Extension::{DestinationOptions, Fragment};
    let me = &cast.me;
    let from = me.six();
    for (what, router) in [("advertisement", false), ("router advertisement", true)] {
        let lie = |m: &[u8]| match router {
            true => router_advertisement(from, to, m),
            false => advertisement(from, to, cast.gateway.1, me.mac, m),
        };
        // 1,240 bytes: a switch that reassembles takes no first fragment of less than 1,280.
        let options = DestinationOptions(1240);
        batch.add(format!("{what} in the second fragment to {to_whom}"), |m| {
            let mut first = behind(from, to, &[Fragment(0, true, 11), options], protocol::ICMPV6, &[]);
            mark_padding(&mut first, m);
            vec![first, behind(from, to, &[Fragment(1240, false, 11)], 60, &lie(&NO_MARK))]
        });
        batch.add(format!("{what} behind options cut by a fragment to {to_whom}"), |m| {
            let whole =
                crate::frame::odd::chain(&[DestinationOptions(1400)], protocol::ICMPV6, &lie(&NO_MARK)).1;
            let part = |range: std::ops::Range<usize>, more| {
                let offset = u16::try_from(range.start).unwrap_or_default();
                behind(from, to, &[Fragment(offset, more, 12)], 60, &whole[range])
            };
            let mut first = part(0..1240, true);
            mark_padding(&mut first, m);
            vec![first, part(1240..whole.len(), false)]
        });
        batch.add(format!("{what} cut by a fragment to {to_whom}"), |m| {
            let whole = lie(&NO_MARK);
            let mut first = behind(from, to, &[Fragment(0, true, 13)], protocol::ICMPV6, &whole[..16]);
            first.extend(m);
            vec![first, behind(from, to, &[Fragment(16, false, 13)], protocol::ICMPV6, &whole[16..])]
        });
    }
}

/// Puts the mark into padding that ends a frame.
fn mark_padding(frame: &mut [u8], mark: &[u8]) {
    if let Some(at) = frame.len().checked_sub(mark.len()) {
        frame[at..].copy_from_slice(mark);
    }
}
