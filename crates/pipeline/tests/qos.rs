//! Rates: every packet of an endpoint that has one goes through its meter, whoever it is for and wherever it comes from.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::collections::BTreeSet;

use node_state::{Endpoint, Fragment, FragmentKey, NodeState};
use openflow::{Field, Meter};
use pipeline::{Local, MeterId, Metering, Ports, RenderError, Renderer};
use serde_json::{Value, json};
use support::evaluator::{Evaluator, Outcome, Packet};
use support::fragments::{base, endpoint, fragment, rendered};
use types::{Direction, GroupId, MacAddr, OfPort};

const NEW: u128 = 0x21;

fn group(id: u32, qos: Value) -> Fragment {
    fragment(json!({"group": {"id": id, "vrf": 1, "name": "g", "policies": [], "qos": qos}}))
}

/// Endpoints 2 and 3 in group 1, 4 in group 2, 5 in none.
fn node(one: Value, two: Value) -> Vec<Fragment> {
    let mut all = base(&[]);
    all.extend([endpoint(2, Some(1)), endpoint(3, Some(1)), endpoint(4, Some(2)), endpoint(5, None)]);
    all.extend([group(1, one), group(2, two)]);
    all
}

fn of(host: u32) -> Endpoint {
    let Fragment::Endpoint(e) = endpoint(host, None) else { panic!("no endpoint") };
    e
}

/// A datagram; to a group address when nobody is named.
fn datagram(from: u32, to: Option<u32>) -> Packet {
    let (mac, address) = match to {
        Some(host) => (of(host).mac, of(host).addresses[0]),
        None => (MacAddr::new([1, 0, 0x5e, 0, 0, 0xfb]), "224.0.0.251".parse().unwrap()),
    };
    Packet::default()
        .with(Field::InPort, from)
        .with(Field::EthSrc, of(from).mac)
        .with(Field::EthDst, mac)
        .with(Field::EthType, 0x0800u16)
        .with(Field::IpProto, 17u8)
        .with(Field::NwTtl, 64u8)
        .with(Field::UdpDst, 53u16)
        .with(Field::Ipv4Src, of(from).addresses[0])
        .with(Field::Ipv4Dst, address)
}

fn send(all: &[Fragment], from: u32, to: Option<u32>) -> Outcome {
    Evaluator::new(&rendered(all).flows).run(datagram(from, to), (NEW, 0))
}

fn ports(outcome: &Outcome) -> BTreeSet<u32> {
    outcome.sent.iter().map(|(port, _)| *port).collect()
}

fn own(direction: Direction, port: u64) -> u32 {
    MeterId::endpoint(direction, OfPort::new(port).unwrap()).get()
}

fn shared(direction: Direction, group: u64) -> u32 {
    MeterId::group(direction, GroupId::new(group).unwrap()).get()
}

fn both(share: &str) -> Value {
    json!({"egress": {"rate": "10Mbps"}, "ingress": {"rate": "20Mbps", "burst": 100}, "share": share})
}

#[test]
fn each_endpoint_has_its_rates_for_itself() {
    let _defects = support::sabotage();
    let all = node(both("endpoint"), json!(null));
    let outcome = send(&all, 2, Some(3));
    assert_eq!(outcome.metered, [own(Direction::Egress, 2), own(Direction::Ingress, 3)]);
    assert_eq!(ports(&outcome), BTreeSet::from([3]));
    assert_eq!(send(&all, 4, Some(3)).metered, [own(Direction::Ingress, 3)]);
    assert_eq!(send(&all, 3, Some(5)).metered, [own(Direction::Egress, 3)]);
    assert_eq!(send(&all, 4, Some(5)).metered, [0; 0]);
    let meters: Vec<Meter> = rendered(&all).meters.meters().collect();
    let kbps = |direction, port, rate, burst| Meter::kbps(own(direction, port), rate, burst);
    let expected = [
        kbps(Direction::Egress, 2, 10_000, 10_000),
        kbps(Direction::Egress, 3, 10_000, 10_000),
        kbps(Direction::Ingress, 2, 20_000, 800),
        kbps(Direction::Ingress, 3, 20_000, 800),
    ];
    assert_eq!(meters, expected, "a burst is one second of the rate unless it is given");
}

#[test]
fn a_group_shares_its_rates_on_a_node() {
    let _defects = support::sabotage();
    let all = node(both("group"), json!(null));
    let outcome = send(&all, 2, Some(3));
    assert_eq!(outcome.metered, [shared(Direction::Egress, 1), shared(Direction::Ingress, 1)]);
    assert_eq!(rendered(&all).meters.len(), 2);
}

#[test]
fn what_is_flooded_is_metered_for_each_receiver_alone() {
    let _defects = support::sabotage();
    let all = node(both("endpoint"), both("endpoint"));
    let outcome = send(&all, 2, None);
    assert_eq!(ports(&outcome), BTreeSet::from([3, 4, 5]));
    let [sent, received @ ..] = outcome.metered.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(*sent, own(Direction::Egress, 2));
    assert_eq!(received, [own(Direction::Ingress, 3), own(Direction::Ingress, 4)], "its own is not for it");
}

#[test]
fn marks_are_written_into_ip_packets() {
    let _defects = support::sabotage();
    let all = node(json!({"dscp": 46, "share": "endpoint"}), json!(null));
    let outcome = send(&all, 2, Some(5));
    assert_eq!((outcome.sent.len(), outcome.sent[0].1.get(Field::IpDscp)), (1, 46));
    assert_eq!(send(&all, 4, Some(5)).sent[0].1.get(Field::IpDscp), 0, "another group's are left alone");
    assert!(rendered(&all).meters.is_empty());
}

/// A rate that is another changes a meter and no flow; one that comes or goes, both.
#[test]
fn another_rate_touches_no_flow() {
    let _defects = support::sabotage();
    let mut state: NodeState = node(both("endpoint"), json!(null)).into_iter().collect();
    let port = |uid: types::EndpointUid| (uid, OfPort::new(uid.get()).unwrap());
    let ports = Ports { tunnel: None, endpoints: state.endpoints().map(|e| port(e.uid)).collect() };
    let mut renderer =
        Renderer::new(Local { node: "a".parse().unwrap(), vtep: "192.0.2.1".parse().unwrap() });
    let all = state.fragments().map(|(key, _)| key.clone()).collect();
    let plan = renderer.update(&state, &all, &ports);
    assert_eq!((plan.meters.add.len(), plan.meters.len()), (4, 4));
    let key = FragmentKey::Group(GroupId::new(1).unwrap());
    let mut step = |renderer: &mut Renderer, qos| {
        state.insert(group(1, qos));
        renderer.update(&state, &BTreeSet::from([key.clone()]), &ports)
    };
    let faster = json!({"egress": {"rate": "11Mbps"}, "ingress": {"rate": "20Mbps", "burst": 100}, "share": "endpoint"});
    let plan = step(&mut renderer, faster);
    assert_eq!((plan.flow_count(), plan.meters.modify.len(), plan.meters.len()), (0, 2, 2));
    let plan = step(&mut renderer, both("group"));
    assert_eq!((plan.meters.add.len(), plan.meters.delete.len()), (2, 4));
    // What cannot be enforced denies, and is told.
    renderer.set_metering(Metering::Missing);
    let plan = step(&mut renderer, both("group"));
    assert_eq!(plan.meters.delete.len(), 2);
    assert_eq!(renderer.refused().get(&key), Some(&RenderError::RateNotEnforced));
    let outcome = Evaluator::new(renderer.flows()).run(datagram(2, Some(3)), (NEW, 0));
    assert!(outcome.sent.is_empty(), "a group whose rate is not kept sends nothing");
    step(&mut renderer, json!({"dscp": 10, "share": "endpoint"}));
    assert!(renderer.refused().is_empty(), "marks need no meter");
    step(&mut renderer, json!(null));
    renderer.set_metering(Metering::default());
    assert!(renderer.meters().is_empty());
}

/// Groups 1 and 2 take two meters for each of their endpoints: 4 and 2.
#[test]
fn groups_whose_meters_do_not_fit_are_refused_and_the_others_are_not() {
    let _defects = support::sabotage();
    let state: NodeState = node(both("endpoint"), both("endpoint")).into_iter().collect();
    let port = |uid: types::EndpointUid| (uid, OfPort::new(uid.get()).unwrap());
    let ports = Ports { tunnel: None, endpoints: state.endpoints().map(|e| port(e.uid)).collect() };
    let all: BTreeSet<FragmentKey> = state.fragments().map(|(key, _)| key.clone()).collect();
    let mut renderer =
        Renderer::new(Local { node: "a".parse().unwrap(), vtep: "192.0.2.1".parse().unwrap() });
    for (limit, out, meters) in
        [(6, vec![], 6), (5, vec![2], 4), (4, vec![2], 4), (3, vec![1], 2), (1, vec![1, 2], 0)]
    {
        renderer.set_metering(Metering::Enforced { limit });
        renderer.update(&state, &all, &ports);
        let out: Vec<FragmentKey> =
            out.into_iter().map(|id| FragmentKey::Group(GroupId::new(id).unwrap())).collect();
        let mut refused = renderer.refused();
        refused.retain(|key, _| matches!(key, FragmentKey::Group(_)));
        assert!(refused.values().all(|e| *e == RenderError::TooManyMeters { limit }), "{limit}");
        assert_eq!(refused.into_keys().collect::<Vec<_>>(), out, "{limit}");
        assert_eq!(renderer.meters().len(), meters, "{limit}");
    }
    let sent = Evaluator::new(renderer.flows()).run(datagram(2, Some(5)), (NEW, 0)).sent;
    assert!(sent.is_empty(), "a group whose rate is not kept sends nothing");
}

#[test]
fn foreign_meters_are_left_alone() {
    let _defects = support::sabotage();
    let wanted = rendered(&node(both("group"), json!(null))).meters;
    let foreign = [1, 0x5d00_0001, MeterId::PROBE.get(), 0x6300_0000];
    let mut installed: Vec<Meter> = foreign.map(|id| Meter::kbps(id, 1, 1)).to_vec();
    installed.extend([
        Meter::kbps(shared(Direction::Egress, 1), 1, 1),
        Meter::kbps(own(Direction::Ingress, 9), 1, 1),
    ]);
    let plan = wanted.plan(&installed);
    let ids = |meters: &[Meter]| meters.iter().map(|m| m.id).collect::<Vec<_>>();
    assert_eq!(ids(&plan.add), [shared(Direction::Ingress, 1)]);
    assert_eq!(ids(&plan.modify), [shared(Direction::Egress, 1)]);
    assert_eq!(plan.delete, [own(Direction::Ingress, 9)]);
}
