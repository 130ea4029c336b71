//! The same frames with honest values: they arrive, so the captures that see no lie would have seen one.

use types::Family;

use super::cast::Cast;
use crate::frame::odd::{self, Extension, protocol};
use crate::suites::intruder::{Batch, PORT, Seen, at, udp};

/// Honest packets, each with the place where it must turn up.
pub(super) struct Honest {
    batch: Batch,
    at: Vec<String>,
}

impl Honest {
    pub(super) fn new(cast: &Cast, first: usize) -> Self {
        let mut honest = Self { batch: Batch::starting_at(first), at: Vec::new() };
        for family in [Family::V4, Family::V6] {
            honest.packets(cast, family);
            honest.fragments(cast, family);
        }
        honest.extensions(cast);
        honest
    }

    pub(super) fn frames(&self) -> Vec<Vec<u8>> {
        self.batch.frames()
    }

    pub(super) fn end(&self) -> usize {
        self.batch.end()
    }

    /// Those that did not turn up where they should.
    pub(super) fn missing(&self, seen: &Seen) -> Vec<String> {
        (0..self.batch.len()).filter_map(|n| self.batch.missing_one(seen, &self.at[n], n)).collect()
    }

    fn add(&mut self, name: String, place: &str, make: impl FnOnce(&[u8]) -> Vec<Vec<u8>>) {
        self.batch.add(name, |m| make(m));
        self.at.push(place.to_owned());
    }

    fn packets(&mut self, cast: &Cast, family: Family) {
        let own = cast.own(family);
        for (where_to, to, place) in cast.destinations(family) {
            self.add(format!("{family:?} UDP to {where_to}"), place, |m| {
                vec![crate::frame::udp(own, to, PORT, m)]
            });
        }
        for (where_to, to, place) in cast.destinations(family).into_iter().take(3) {
            self.add(format!("{family:?} ping to {where_to}"), place, |m| {
                let (number, message) = odd::echo_request(own, to, m);
                vec![odd::packet(own, to, number, &message)]
            });
            self.add(format!("{family:?} unknown protocol to {where_to}"), place, |m| {
                vec![odd::packet(own, to, protocol::EXPERIMENT, m)]
            });
        }
        let (_, neighbour, place) = cast.destinations(family)[0];
        self.add(format!("{family:?} TCP"), place, |m| vec![crate::frame::tcp_syn(own, neighbour, 80, m)]);
        let tunnel = if family == Family::V4 { protocol::IPV4 } else { protocol::IPV6 };
        self.add(format!("{family:?} in itself"), place, |m| {
            let inner = odd::udp_packet(own, neighbour, 9, PORT, m);
            vec![odd::packet(own, neighbour, tunnel, &inner)]
        });
    }

    /// The last fragment has the mark. Userspace conntrack takes no first fragment of less than 1,200 or 1,280 bytes.
    fn fragments(&mut self, cast: &Cast, family: Family) {
        let own = cast.own(family);
        for (id, (where_to, to, place)) in (100..).zip(cast.destinations(family)) {
            self.add(format!("{family:?} fragments to {where_to}"), place, |m| {
                let message = odd::datagram(own, to, PORT, &[&[0; 2600], m].concat());
                odd::fragments(own, to, id, protocol::UDP, &message, &[1280, 2560])
            });
        }
    }

    fn extensions(&mut self, cast: &Cast) {
        use Extension::{DestinationOptions, Fragment, HopByHop};
        let own = cast.own(Family::V6);
        let chains: [(&str, &[Extension]); 4] = [
            ("hop-by-hop options", &[HopByHop]),
            ("destination options", &[DestinationOptions(16)]),
            ("an atomic fragment header", &[Fragment(0, false, 77)]),
            ("three headers", &[HopByHop, DestinationOptions(8), DestinationOptions(24)]),
        ];
        for (where_to, to, place) in cast.destinations(Family::V6) {
            for (name, chain) in chains {
                self.add(format!("{name} to {where_to}"), place, |m| {
                    vec![odd::behind(own, to, chain, protocol::UDP, &odd::datagram(own, to, PORT, m))]
                });
            }
        }
    }
}

/// The honest frame that is sent around every lie.
pub(super) fn companion(cast: &Cast, mark: &[u8; 12]) -> Vec<u8> {
    udp(at(cast.me.mac, cast.me.v4.into()), cast.local.four(), mark)
}
