//! New connections between endpoints and to addresses nobody has; then the packets of those that are allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::Endpoint;
use openflow::Field;
use types::{Family, MacAddr, Name, VrfId};

use super::classes::{representatives, services, strangers};
use super::frames::{ACK, SOURCE_PORT, error, opening};
use super::{Audit, Claim, Intended, Question, id};
use crate::fabric::{Journey, Seat};
use crate::intent::{Answer, GATEWAY_MAC, Service, address_of};
use crate::switch::Tracked;

pub(super) fn ask_all(audit: &mut Audit<'_>) {
    let all = audit.plugged();
    let chosen = representatives(audit.intent, &all);
    let mut by_tenant: BTreeMap<&Name, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in &chosen {
        by_tenant.entry(&endpoint.spec.tenant).or_default().push(endpoint);
    }
    let mut asked = BTreeSet::new();
    for own in &all {
        for other in by_tenant.get(&own.spec.tenant).into_iter().flatten().filter(|o| o.uid != own.uid) {
            for (from, to) in [(*own, *other), (*other, *own)] {
                if asked.insert((from.uid, to.uid)) {
                    pair(audit, from, to);
                }
            }
        }
    }
    for from in &chosen {
        to_strangers(audit, from);
        to_gateways(audit, from);
    }
}

fn pair(audit: &mut Audit<'_>, from: &Endpoint, to: &Endpoint) {
    for family in Family::ALL {
        let Some((source, target)) = address_of(from, family).zip(address_of(to, family)) else { continue };
        let neighbour = audit.intent.is_neighbour(from, to);
        let mac = if neighbour { to.mac } else { GATEWAY_MAC };
        let mut followed = false;
        for service in services(audit.intent, [from, to], family) {
            let answer = audit.intent.ask(from, target, service);
            let delivered = connection(audit, from, Some(to), (mac, target), service, &answer);
            if let Answer::Delivered { .. } = answer
                && delivered
                && !std::mem::replace(&mut followed, true)
            {
                follow(audit, (from, source), (to, target), mac, service);
            }
            if neighbour && audit.intent.is_routed(from, family) {
                connection(audit, from, Some(to), (GATEWAY_MAC, target), service, &answer);
            }
        }
        // The right address at the wrong door.
        let wrong = if neighbour { None } else { Some(to.mac) };
        if let Some(mac) = wrong {
            let nobody = "delivered to nobody: the MAC address is not in the sender's network";
            let question = question(audit, from, id(to), (mac, target), Service::Udp(SOURCE_PORT));
            question.and_then(|q| audit.ask(&q, nobody, &BTreeSet::new()));
        }
    }
}

/// Asks for one connection, and whether all of it is as it must be.
fn connection(
    audit: &mut Audit<'_>,
    from: &Endpoint,
    to: Option<&Endpoint>,
    (mac, target): (MacAddr, IpAddr),
    service: Service,
    answer: &Answer,
) -> bool {
    let name = to.map_or_else(|| target.to_string(), |to| format!("{} ({target})", id(to)));
    let Some(question) = question(audit, from, name, (mac, target), service) else { return false };
    let intended = answer.to_string();
    let seats: BTreeSet<Seat> = match answer {
        Answer::Delivered { .. } => to.and_then(|to| audit.fabric.seat(to)).into_iter().collect(),
        Answer::GatewayEcho => audit.fabric.seat(from).into_iter().collect(),
        Answer::Nothing(_) => BTreeSet::new(),
    };
    let rules = answer.rules();
    let must = Intended { text: &intended, rules: &rules, seats: &seats, beyond: &BTreeSet::new() };
    let Some(journey) = audit.ask_that(&question, must) else { return false };
    let Answer::Delivered { .. } = answer else { return true };
    let vrf = audit.intent.tenant(from).map(|t| t.vrf);
    let wrong = to.zip(vrf).and_then(|(to, vrf)| wrong_delivery(&question, to, vrf, &journey));
    let right = wrong.is_none();
    wrong.into_iter().for_each(|seen| audit.object(&question, must, seen, &journey));
    right
}

fn question(
    audit: &Audit<'_>,
    from: &Endpoint,
    to: String,
    (mac, target): (MacAddr, IpAddr),
    service: Service,
) -> Option<Question> {
    let source = address_of(from, Family::of(target))?;
    let (node, port) = audit.fabric.seat(from)?;
    let packet = opening((from.mac, mac), (source, target), service).with(Field::InPort, port);
    let what = format!("{service} from {source} to MAC address {mac}");
    Some(Question { claim: Claim::Policy, from: id(from), to, what, node, packet, tracked: Tracked::New })
}

/// What arrives must be what was sent, for the one who gets it; every switch must have looked the connection up, and
/// committed it, in the tenant's own zone.
fn wrong_delivery(question: &Question, to: &Endpoint, vrf: VrfId, journey: &Journey) -> Option<String> {
    let zone = vrf.get();
    for (node, walk) in &journey.visits {
        if walk.looked_up != [zone] {
            return Some(format!(
                "{node} tracks the connection in zones {:?}, not in {zone}",
                walk.looked_up
            ));
        }
        let committed: Vec<u16> = walk.committed.iter().map(|(zone, _)| *zone).collect();
        if committed != [zone] {
            return Some(format!("{node} commits the connection in zones {committed:?}, not in {zone}"));
        }
    }
    let arrived = &journey.arrivals.first()?.packet;
    if arrived.get(Field::EthDst) != number(to.mac) {
        return Some("delivered with another MAC address than the endpoint's".to_owned());
    }
    let kept = [
        Field::EthType,
        Field::VlanVid,
        Field::Ipv4Src,
        Field::Ipv4Dst,
        Field::Ipv6Src,
        Field::Ipv6Dst,
        Field::IpProto,
        Field::TcpDst,
        Field::UdpDst,
        Field::SctpDst,
    ];
    let changed = kept.iter().find(|f| arrived.get(**f) != question.packet.get(**f));
    changed.map(|field| format!("delivered with another {}", field.name()))
}

fn number(mac: MacAddr) -> u128 {
    openflow::FieldValue::from(mac).0
}

/// What belongs to an allowed connection passes, both ways; what belongs to none does not, whatever policy says.
fn follow(
    audit: &mut Audit<'_>,
    (from, source): (&Endpoint, IpAddr),
    (to, target): (&Endpoint, IpAddr),
    mac: MacAddr,
    service: Service,
) {
    let (Some(there), Some(here)) = (audit.fabric.seat(to), audit.fabric.seat(from)) else { return };
    let family = Family::of(source);
    let back_mac = if mac == GATEWAY_MAC { GATEWAY_MAC } else { from.mac };
    let forth = |tracked, service| {
        let packet = opening((from.mac, mac), (source, target), service).with(Field::InPort, here.1);
        (packet, tracked, from, to, here.clone())
    };
    let back = |tracked, service| {
        let packet = opening((to.mac, back_mac), (target, source), service).with(Field::InPort, there.1);
        (packet, tracked, to, from, there.clone())
    };
    let middle = forth(Tracked::New, Service::Tcp(SOURCE_PORT));
    let middle = (middle.0.with(Field::TcpFlags, ACK), middle.1, middle.2, middle.3, middle.4);
    let (to_there, to_here) = (BTreeSet::from([there.clone()]), BTreeSet::from([here.clone()]));
    for ((packet, tracked, from, to, seat), seats, intended) in [
        (forth(Tracked::Established, service), to_there.clone(), "delivered: the connection was allowed"),
        (back(Tracked::Reply, service), to_here.clone(), "delivered: a reply of an allowed connection"),
        (back(Tracked::Related, error(family)), to_here, "delivered: an error about an allowed connection"),
        (
            forth(Tracked::Invalid, service),
            BTreeSet::new(),
            "delivered to nobody: it belongs to no connection",
        ),
        (middle, BTreeSet::new(), "delivered to nobody: a TCP connection begins with a SYN"),
    ] {
        let what = format!("{tracked:?} packet, {service}");
        let (from, to) = (id(from), id(to));
        let question = Question { claim: Claim::Connection, from, to, what, node: seat.0, packet, tracked };
        audit.ask(&question, intended, &seats);
    }
}

fn to_strangers(audit: &mut Audit<'_>, from: &Endpoint) {
    for target in strangers(audit.intent, &from.spec.tenant) {
        for service in [Service::Tcp(80), Service::echo_request(Family::of(target))] {
            let answer = audit.intent.ask(from, target, service);
            connection(audit, from, None, (GATEWAY_MAC, target), service, &answer);
        }
    }
}

fn to_gateways(audit: &mut Audit<'_>, from: &Endpoint) {
    let gateways: Vec<IpAddr> = audit.intent.gateways(from).collect();
    for target in gateways {
        for service in [Service::echo_request(Family::of(target)), Service::Tcp(80), Service::Udp(53)] {
            let answer = audit.intent.ask(from, target, service);
            connection(audit, from, None, (GATEWAY_MAC, target), service, &answer);
        }
    }
}
