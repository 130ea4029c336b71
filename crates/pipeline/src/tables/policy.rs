//! EgressTenant to Verdict: rules as conjunctive matches over classes and services (ovs-fields(7), "Conjunctive Match").
//!
//! A rule is up to three clauses: whom it applies to, the peer, the service. A clause that is "any" is left out; a rule
//! of one clause is plain flows. The conjunction id is the rule id. Flows that satisfy clauses of several rules are one
//! flow with several conjunction actions. Overlap is `rules`' business.
//!
//! Egress is judged only for local sources, ingress only for local destinations: each node answers for its own.

use std::collections::{BTreeMap, BTreeSet};

use node_state::{RulePeer, RuleService};
use openflow::{Action, Field, FlowKey, Match, PackedKey, SubField};
use sha2::{Digest, Sha256};
use types::{
    DefaultAction, Direction, GroupId, IcmpMessage, IpProtocol, PortProtocol, RuleId, Service, Verdict, VrfId,
};

use super::{Flows, go, in_vrf, load};
use crate::classes::{AddressSet, ClassId, Classes};
use crate::cookie::{Cookie, Object};
use crate::fields;
use crate::flow_set::{FlowEntry, PackedEntry};
use crate::rules::{Spec, peer_set};
use crate::sabotage::sabotaged;
use crate::table::Table;
use crate::view::View;

/// Conjunction actions one flow may hold: 16 bytes each, and a flow mod is 64 KiB (4,000 accepted, 4,200 refused by
/// Open vSwitch 3.1).
pub(crate) const MAX_SHARERS: usize = 4000;
/// The other end of the connection judges, or this one did by what holds now.
const NOT_TO_JUDGE: u16 = 65_500;
/// Groups that are denied because their policy is refused; above all rules.
const DENIED: u16 = 65_000;

/// One direction's tables and registers.
struct Side {
    table: Table,
    default: Table,
    next: Table,
    applied_class: SubField,
    peer_class: SubField,
    evaluate: SubField,
    rule: SubField,
}

const EGRESS: Side = Side {
    table: Table::EgressTenant,
    default: Table::EgressDefault,
    next: Table::IngressTenant,
    applied_class: fields::SOURCE_CLASS,
    peer_class: fields::DESTINATION_CLASS,
    evaluate: fields::EVALUATE_SOURCE,
    rule: fields::EGRESS_RULE,
};
const INGRESS: Side = Side {
    table: Table::IngressTenant,
    default: Table::IngressDefault,
    next: Table::Verdict,
    applied_class: fields::DESTINATION_CLASS,
    peer_class: fields::SOURCE_CLASS,
    evaluate: fields::EVALUATE_DESTINATION,
    rule: fields::INGRESS_RULE,
};

impl Side {
    const fn of(direction: Direction) -> &'static Self {
        match direction {
            Direction::Egress => &EGRESS,
            Direction::Ingress => &INGRESS,
        }
    }

    /// What a verdict does: on to the next judge, or to Verdict marked as denied.
    fn verdict(&self, verdict: Verdict) -> Vec<Action> {
        match verdict {
            Verdict::Allow => vec![go(self.next)],
            Verdict::Deny => vec![load(fields::DENY, 1u8), go(Table::Verdict)],
        }
    }
}

/// Flows that are everybody's.
pub(crate) fn fixed(flows: &mut Flows) {
    for side in [&EGRESS, &INGRESS] {
        let judged = Match::any().bits(side.evaluate, 0u8);
        flows.add(side.table, NOT_TO_JUDGE, Object::Pipeline, judged, vec![go(side.next)]);
    }
    if sabotaged!("no-ingress-tables") {
        // Defect: whatever the source's node let out comes in.
        flows.add(Table::IngressTenant, u16::MAX, Object::Pipeline, Match::any(), vec![go(Table::Verdict)]);
    }
    let deny = Match::any().bits(fields::DENY, 1u8);
    flows.add(Table::Verdict, 200, Object::Pipeline, deny, Vec::new());
}

/// What a VRF does with connections no rule decides.
pub(crate) fn vrf(view: &View, vrf: VrfId, flows: &mut Flows) {
    let Some(default_action) = view.vrfs.get(&vrf) else { return };
    let verdict = match default_action {
        DefaultAction::Allow => Verdict::Allow,
        DefaultAction::Deny => Verdict::Deny,
    };
    for side in [&EGRESS, &INGRESS] {
        let matches = in_vrf(Match::any(), vrf);
        flows.add(side.default, 100, Object::Vrf(vrf), matches, side.verdict(verdict));
    }
}

/// A group whose endpoints are denied. They send no multicast either: DstClass knows their class by then.
pub(crate) fn denied(classes: &Classes, vrf: VrfId, group: GroupId, flows: &mut Flows) {
    let object = Object::DeniedGroup(group);
    for class in classes.of(vrf, AddressSet::Group(group)) {
        for side in [&EGRESS, &INGRESS] {
            let matches = Match::any().bits(side.applied_class, class.get());
            flows.add(side.table, DENIED, object, matches, side.verdict(Verdict::Deny));
        }
        let matches = Match::any().bits(fields::GROUP_ADDRESS, 1u8).bits(fields::SOURCE_CLASS, class.get());
        flows.add(Table::DstClass, 1001, object, matches, Vec::new());
    }
}

/// A rule's part in flows that it may share with others: which clause of how many it has there.
pub(crate) type Shares = BTreeMap<PackedKey, (u8, u8)>;

/// One rule: its decision into `flows`; what is returned are its clauses. A rule whose group or peer has no address now
/// can match nothing and has no flow.
pub(crate) fn rule(classes: &Classes, id: RuleId, spec: &Spec, priority: u16, flows: &mut Flows) -> Shares {
    let (side, vrf) = (Side::of(spec.direction), spec.vrf);
    let by_class = |bits: SubField, classes: &BTreeSet<ClassId>| -> Vec<Match> {
        classes.iter().map(|class| Match::any().bits(bits, class.get())).collect()
    };
    let applied = spec.groups.iter().flat_map(|g| classes.of(vrf, AddressSet::Group(*g))).collect();
    let mut clauses = vec![by_class(side.applied_class, &applied)];
    if spec.peer != RulePeer::Any {
        let peers = peer_set(&spec.peer).into_iter().flat_map(|set| classes.of(vrf, set)).collect();
        clauses.push(by_class(side.peer_class, &peers));
    }
    if spec.service != RuleService::Any {
        // With the VRF, or one tenant's rules would fill a flow that another tenant's rules need (MAX_SHARERS).
        let services = service_matches(&spec.service).into_iter();
        clauses.push(services.map(|m| in_vrf(m, vrf)).collect());
    }
    let mut shares = Shares::new();
    // Defect: nobody asks the rules of who opens the connection.
    let unasked = spec.direction == Direction::Egress && sabotaged!("one-direction-only");
    if unasked || clauses.iter().any(Vec::is_empty) {
        return shares;
    }

    let object = Object::Rule(id);
    let mut decision = vec![load(side.rule, id.get())];
    decision.extend(side.verdict(spec.verdict));
    let n_clauses = clauses.len() as u8;
    if n_clauses == 1 {
        for matches in clauses.into_iter().flatten() {
            flows.add(side.table, priority, object, matches, decision.clone());
        }
        return shares;
    }
    let decided = Match::any().with(Field::ConjId, id.get());
    flows.add(side.table, priority, object, decided, decision);
    for (clause, alternatives) in (1..).zip(clauses) {
        for matches in alternatives {
            let key = FlowKey { table: side.table.number(), priority, matches };
            shares.extend(PackedKey::new(&key).ok().map(|key| (key, (clause, n_clauses))));
        }
    }
    shares
}

/// A flow that satisfies clauses of these rules.
pub(crate) fn shared(key: &PackedKey, members: &BTreeMap<RuleId, (u8, u8)>) -> PackedEntry {
    let mut ids = members.keys();
    let object = match (ids.next(), ids.next()) {
        (Some(only), None) => Object::Rule(*only),
        _ => Object::Clause(hash(key)),
    };
    let actions = members.iter().map(|(id, (k, n))| Action::conjunction(id.get(), *k, *n)).collect();
    let cookie = Cookie::new(object);
    // There are never more than MAX_SHARERS.
    PackedEntry::new(&FlowEntry { cookie, actions }).unwrap_or_else(|_| PackedEntry::drops(cookie))
}

/// What a rule's services match, in the families they are of.
fn service_matches(service: &RuleService) -> Vec<Match> {
    match service {
        RuleService::Any => vec![Match::any()],
        RuleService::Of(services) => services.iter().flat_map(one_service).collect(),
    }
}

fn one_service(service: &Service) -> Vec<Match> {
    let message = |base: Match, kind: Field, code: Field, message: &IcmpMessage| {
        let base = base.with(kind, message.kind);
        message.code.into_iter().fold(base, |m, n| m.with(code, n))
    };
    match service {
        Service::Protocol(protocol) => protocol_matches(*protocol).into(),
        Service::Ports(protocol, ports) => {
            let (field, masks) = (port_field(*protocol), ports.to_masks());
            let with_ports = |m: Match| masks.iter().map(move |(v, mask)| m.clone().masked(field, *v, *mask));
            protocol_matches((*protocol).into()).into_iter().flat_map(with_ports).collect()
        }
        Service::Icmp(m) => vec![message(Match::icmp(), Field::Icmpv4Type, Field::Icmpv4Code, m)],
        Service::Icmpv6(None) => vec![Match::icmp6()],
        Service::Icmpv6(Some(m)) => vec![message(Match::icmp6(), Field::Icmpv6Type, Field::Icmpv6Code, m)],
    }
}

const fn port_field(protocol: PortProtocol) -> Field {
    match protocol {
        PortProtocol::Tcp => Field::TcpDst,
        PortProtocol::Udp => Field::UdpDst,
        PortProtocol::Sctp => Field::SctpDst,
    }
}

/// A protocol in IPv4 and IPv6.
fn protocol_matches(protocol: IpProtocol) -> [Match; 2] {
    match protocol {
        IpProtocol::Tcp => [Match::tcp(), Match::tcp6()],
        IpProtocol::Udp => [Match::udp(), Match::udp6()],
        IpProtocol::Sctp => [Match::sctp(), Match::sctp6()],
        IpProtocol::Icmp => [Match::icmp(), Match::icmp6()],
        IpProtocol::Other(n) => [Match::ip(), Match::ipv6()].map(|m| m.with(Field::IpProto, n.get())),
    }
}

/// Names a shared clause flow by its key, so that rules coming and going do not rename it.
fn hash(key: &PackedKey) -> u64 {
    let text = key.unpack().map(|key| openflow::Flow::new(key.table, key.priority, key.matches).to_string());
    let digest = Sha256::digest(text.unwrap_or_default().as_bytes());
    digest.iter().take(6).fold(0, |n, byte| n << 8 | u64::from(*byte))
}
