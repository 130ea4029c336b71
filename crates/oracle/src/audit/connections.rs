//! New connections between endpoints and to addresses nobody has; then the packets of those that are allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::Endpoint;
use openflow::Field;
use types::{Family, MacAddr, Name, VrfId};

use super::classes::{representatives, services, strangers};
use super::frames::{ACK, SOURCE_PORT, answering, error, opening};
use super::{Audit, Claim, Intended, Question, id};
use crate::fabric::{Journey, Labels, Seat};
use crate::intent::{Answer, GATEWAY_MAC, Nothing, Service, address_of};
use crate::packet::Packet;
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
        let (mut followed, mut refused) = (false, false);
        for service in services(audit.intent, [from, to], family) {
            let answer = audit.intent.ask(from, target, service);
            let labels = connection(audit, from, Some(to), (mac, target), service, &answer);
            let ways = Ways { from: (from, source), to: (to, target), mac, service };
            match (&answer, labels) {
                (Answer::Delivered { .. }, Some(labels)) if !std::mem::replace(&mut followed, true) => {
                    follow(audit, &ways, &labels);
                }
                (Answer::Nothing(Nothing::Denied { .. }), _) if !std::mem::replace(&mut refused, true) => {
                    cut(audit, &ways);
                }
                _ => {}
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

/// Asks for one connection; the labels it was committed with, if all of it is as it must be.
pub(super) fn connection(
    audit: &mut Audit<'_>,
    from: &Endpoint,
    to: Option<&Endpoint>,
    (mac, target): (MacAddr, IpAddr),
    service: Service,
    answer: &Answer,
) -> Option<Labels> {
    let name = to.map_or_else(|| target.to_string(), |to| format!("{} ({target})", id(to)));
    let question = question(audit, from, name, (mac, target), service)?;
    let intended = answer.to_string();
    let seats: BTreeSet<Seat> = match answer {
        Answer::Delivered { .. } => to.and_then(|to| audit.fabric.seat(to)).into_iter().collect(),
        Answer::GatewayEcho => audit.fabric.seat(from).into_iter().collect(),
        Answer::Nothing(_) => BTreeSet::new(),
    };
    let rules = answer.rules();
    let must = Intended { text: &intended, rules: &rules, seats: &seats, beyond: &BTreeSet::new() };
    let journey = audit.ask_that(&question, must)?;
    let Answer::Delivered { .. } = answer else { return Some(Labels::new()) };
    let vrf = audit.intent.tenant(from).map(|t| t.vrf);
    let wrong = to.zip(vrf).and_then(|(to, vrf)| wrong_delivery(&question, to, vrf, &journey));
    let right = wrong.is_none();
    wrong.into_iter().for_each(|seen| audit.object(&question, must, seen, &journey));
    right.then(|| journey.labels())
}

pub(super) fn question(
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
    Some(Question {
        claim: Claim::Policy,
        from: id(from),
        to,
        what,
        node,
        packet,
        tracked: Tracked::New,
        labels: Labels::new(),
    })
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

/// Both ways of a connection.
struct Ways<'a> {
    from: (&'a Endpoint, IpAddr),
    to: (&'a Endpoint, IpAddr),
    /// What it is sent to.
    mac: MacAddr,
    service: Service,
}

impl Ways<'_> {
    /// What comes after the packet that opened it.
    fn forth(&self) -> Packet {
        let ((from, source), (_, target)) = (self.from, self.to);
        let packet = opening((from.mac, self.mac), (source, target), self.service);
        if packet.get(Field::TcpFlags) == 0 { packet } else { packet.with(Field::TcpFlags, ACK) }
    }

    fn macs_back(&self) -> (MacAddr, MacAddr) {
        (self.to.0.mac, if self.mac == GATEWAY_MAC { GATEWAY_MAC } else { self.from.0.mac })
    }

    fn back(&self) -> Packet {
        answering(self.macs_back(), (self.to.1, self.from.1), self.service)
    }

    /// An error about the connection, from whom it was opened to.
    fn complaint(&self) -> Packet {
        opening(self.macs_back(), (self.to.1, self.from.1), error(Family::of(self.from.1)))
    }

    /// Sends one packet of it, this way or the other.
    fn ask(
        &self,
        audit: &mut Audit<'_>,
        packet: Packet,
        (tracked, labels): (Tracked, &Labels),
        is_back: bool,
        intended: &str,
        arrives: bool,
    ) {
        let ((from, _), (to, _)) = if is_back { (self.to, self.from) } else { (self.from, self.to) };
        let (Some((node, port)), Some(there)) = (audit.fabric.seat(from), audit.fabric.seat(to)) else {
            return;
        };
        let age = if labels.is_empty() && tracked != Tracked::New { "earlier connection's " } else { "" };
        let question = Question {
            claim: Claim::Connection,
            from: id(from),
            to: id(to),
            what: format!("{age}{tracked:?} packet, {}", self.service),
            node,
            packet: packet.with(Field::InPort, port),
            tracked,
            labels: labels.clone(),
        };
        audit.ask(&question, intended, &arrives.then_some(there).into_iter().collect());
    }
}

/// What belongs to an allowed connection passes, both ways, whenever it began; what belongs to none does not, whatever
/// policy says.
fn follow(audit: &mut Audit<'_>, ways: &Ways<'_>, labels: &Labels) {
    let earlier = Labels::new();
    for labels in [labels, &earlier] {
        let forth = "delivered: the connection was allowed";
        ways.ask(audit, ways.forth(), (Tracked::Established, labels), false, forth, true);
        let back = "delivered: a reply of an allowed connection";
        ways.ask(audit, ways.back(), (Tracked::Reply, labels), true, back, true);
    }
    let error = "delivered: an error about an allowed connection";
    ways.ask(audit, ways.complaint(), (Tracked::RelatedReply, labels), true, error, true);
    let invalid = "delivered to nobody: it belongs to no connection";
    ways.ask(audit, ways.forth(), (Tracked::Invalid, labels), false, invalid, false);
    let middle = Ways { service: Service::Tcp(SOURCE_PORT), from: ways.from, to: ways.to, mac: ways.mac };
    let no_syn = "delivered to nobody: a TCP connection begins with a SYN";
    middle.ask(audit, middle.forth(), (Tracked::New, &earlier), false, no_syn, false);
}

/// A connection that began when it was allowed, and is not any more, is cut.
fn cut(audit: &mut Audit<'_>, ways: &Ways<'_>) {
    let earlier = Labels::new();
    let intended = "delivered to nobody: the connection is not allowed any more";
    for (packet, tracked, is_back) in [
        (ways.forth(), Tracked::Established, false),
        (ways.back(), Tracked::Reply, true),
        (ways.complaint(), Tracked::RelatedReply, true),
    ] {
        ways.ask(audit, packet, (tracked, &earlier), is_back, intended, false);
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
