//! Discovery: the switch answers for gateways and endpoints of the asker's network, with the truth; nobody else hears it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::Endpoint;
use openflow::Field;
use types::{Family, MacAddr};

use super::classes::representatives;
use super::frames::{arp, solicitation};
use super::{Audit, Claim, Intended, Question, id};
use crate::fabric::Labels;
use crate::intent::{GATEWAY_MAC, address_of};
use crate::packet::Packet;
use crate::switch::Tracked;

const BROADCAST: MacAddr = MacAddr::new([0xff; 6]);

pub(super) fn ask_all(audit: &mut Audit<'_>) {
    let all = audit.plugged();
    let chosen = representatives(audit.intent, &all);
    for asker in &chosen {
        // Everybody of the network is asked for once, by one who stands for others.
        let neighbours = all.iter().filter(|o| audit.intent.is_neighbour(asker, o));
        let mut known: BTreeMap<IpAddr, MacAddr> = BTreeMap::new();
        known.extend(neighbours.flat_map(|o| o.addresses.iter().map(|a| (*a, o.mac))));
        known.extend(audit.intent.gateways(asker).map(|a| (a, GATEWAY_MAC)));
        let strangers = chosen.iter().filter(|o| !audit.intent.is_neighbour(asker, o));
        let strangers: Vec<IpAddr> = strangers.flat_map(|o| o.addresses.iter().copied()).collect();
        known.retain(|a, _| !asker.addresses.contains(a));
        for target in strangers.into_iter().filter(|a| !known.contains_key(a)) {
            look_for(audit, asker, target, None);
        }
        for (target, mac) in known {
            look_for(audit, asker, target, Some(mac));
        }
        for own in asker.addresses.clone() {
            look_for(audit, asker, own, None);
        }
    }
    for asker in &all {
        for gateway in audit.intent.gateways(asker).collect::<Vec<_>>() {
            look_for(audit, asker, gateway, Some(GATEWAY_MAC));
        }
    }
}

fn look_for(audit: &mut Audit<'_>, asker: &Endpoint, target: IpAddr, owner: Option<MacAddr>) {
    let Some(own) = address_of(asker, Family::of(target)) else { return };
    let Some(seat) = audit.fabric.seat(asker) else { return };
    let packet = match target {
        IpAddr::V4(_) => arp(1, (asker.mac, BROADCAST), (asker.mac, own), target),
        IpAddr::V6(_) => solicitation(asker.mac, own, target),
    };
    let question = Question {
        claim: Claim::Neighbours,
        from: id(asker),
        to: target.to_string(),
        what: "who has this address".to_owned(),
        node: seat.0.clone(),
        packet: packet.with(Field::InPort, seat.1),
        tracked: Tracked::New,
        labels: Labels::new(),
    };
    let intended = match owner {
        Some(mac) => format!("answered: {target} is at {mac}"),
        None => format!("not answered: {target} is nobody else's in this network"),
    };
    let seats: BTreeSet<_> = owner.map(|_| seat).into_iter().collect();
    let must = Intended { text: &intended, rules: &[], seats: &seats, beyond: &BTreeSet::new() };
    let Some(journey) = audit.ask_that(&question, must) else { return };
    let (Some(mac), Some(answer)) = (owner, journey.arrivals.first()) else { return };
    if !is_answer(&answer.packet, asker, target, mac) {
        audit.object(&question, must, "answered with something else".to_owned(), &journey);
    }
}

fn is_answer(answer: &Packet, asker: &Endpoint, target: IpAddr, mac: MacAddr) -> bool {
    let is = |field, value: u128| answer.get(field) == value;
    let number = |mac: MacAddr| openflow::FieldValue::from(mac).0;
    let address = openflow::FieldValue::from(target).0;
    let told = match target {
        IpAddr::V4(_) => is(Field::ArpOp, 2) && is(Field::ArpSha, number(mac)) && is(Field::ArpSpa, address),
        IpAddr::V6(_) => {
            is(Field::Icmpv6Type, 136) && is(Field::NdTll, number(mac)) && is(Field::NdTarget, address)
        }
    };
    told && is(Field::EthDst, number(asker.mac))
}
