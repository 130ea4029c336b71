//! What rules are said to have done, against what was sent: random clusters, random connections, both families.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::collections::BTreeMap;

use openflow::{Counters, Field, Flow, FlowStats, Match};
use pipeline::{Cookie, Object, Table, all_counting_flows, counting_flows, rule_counts};
use proptest::prelude::*;
use support::cluster::{Cluster, ESTABLISHED, NEW, REPLY, Shot, answer, packet, pick, shot};
use support::evaluator::BYTES;
use support::world::{World, world};
use types::{Direction, Family, PolicyId, RuleCount, RuleId, RuleSlot, Verdict};

type Counts = BTreeMap<RuleId, RuleCount>;

/// So many packets counted for a rule; the default has no number.
fn expect(counts: &mut Counts, rule: u32, connections: u64, packets: u64) {
    if let Some(id) = RuleId::from_bits(rule) {
        *counts.entry(id).or_default() += RuleCount { connections, packets, bytes: packets * BYTES };
    }
}

/// Opens one connection and lets it live, if it may; adds what each node must have counted.
fn connect(world: &World, cluster: &Cluster, shot: &Shot, expected: &mut [Counts; 2]) {
    let endpoints: Vec<_> = world.state.endpoints().collect();
    let (src, dst) = (*pick(&endpoints, shot.src), *pick(&endpoints, shot.dst));
    let (family, number) = if shot.v6 { (Family::V6, 1) } else { (Family::V4, 0) };
    let neighbour = src.vni == dst.vni;
    let routed = world.routed(src, family) && world.routed(dst, family);
    if src.vrf != dst.vrf || src.uid == dst.uid || !(neighbour || routed) {
        return;
    }
    let (from, to) = (src.addresses[number], dst.addresses[number]);
    let mac = if neighbour { dst.mac } else { pipeline::GATEWAY_MAC };
    let (here, there) = (world.node_of(src), world.node_of(dst));
    let opening = packet(src, from, mac, to, &shot.opening)
        .with(Field::TcpSrc, 40000u16)
        .with(Field::UdpSrc, 40000u16)
        .with(Field::SctpSrc, 40000u16);
    let (ports, committed) = cluster.pass(here, opening.clone(), NEW, [0; 2]);

    let (egress, egress_rule) = world.judge(src, Direction::Egress, to, &shot.opening);
    let (ingress, ingress_rule) = world.judge(dst, Direction::Ingress, from, &shot.opening);
    match (egress, ingress) {
        (Verdict::Deny, _) => expect(&mut expected[here], egress_rule, 0, 1),
        (Verdict::Allow, Verdict::Deny) => {
            // Where both ends are here, nothing leaves the source.
            expect(&mut expected[here], egress_rule, u64::from(here != there), u64::from(here != there));
            expect(&mut expected[there], ingress_rule, 0, 1);
        }
        (Verdict::Allow, Verdict::Allow) => {
            assert_eq!(ports.len(), 1, "{shot:?}");
            let labels = committed.map(Option::unwrap_or_default);
            // Once more before anybody answers, then an answer, then more of it.
            cluster.pass(here, opening.clone(), NEW, labels);
            cluster.pass(there, answer(&opening, src, dst, mac), REPLY, labels);
            let more = opening.with(Field::TcpFlags, 0x10u8);
            cluster.pass(here, more.clone(), ESTABLISHED, labels);
            cluster.pass(here, more, ESTABLISHED, labels);
            expect(&mut expected[here], egress_rule, 1, 5);
            expect(&mut expected[there], ingress_rule, 1, 5);
        }
    }
}

proptest! {
    #![proptest_config(support::config(100))]

    #[test]
    fn each_packet_counts_for_the_rules_that_judged_its_connection(
        world in world(),
        shots in prop::collection::vec(shot(), 60),
    ) {
        let _defects = support::sabotage();
        let cluster = Cluster::new(&world);
        let mut expected = [Counts::new(), Counts::new()];
        for shot in &shots {
            connect(&world, &cluster, shot, &mut expected);
        }
        for (node, expected) in cluster.nodes.iter().zip(expected) {
            let mut counts = rule_counts(node.stats());
            counts.retain(|_, count| *count != RuleCount::default());
            let mut expected = expected;
            expected.retain(|_, count| *count != RuleCount::default());
            prop_assert_eq!(counts, expected);
        }
    }
}

/// A changed rule, its groups and peers, and rules beside it, leave the flows that count a rule as they are.
#[test]
fn counting_outlives_what_changes_around_a_rule() {
    let _defects = support::sabotage();
    use serde_json::json;
    use support::fragments::{base, endpoint, policy, rendered, rule};
    let of = |peer: serde_json::Value, priority: u32, more: bool| {
        let mut rules = vec![rule(0, "ingress", priority, peer, json!({"of": ["tcp"]}), "deny")];
        rules.push(rule(1, "egress", priority, json!("any"), json!("any"), "allow"));
        if more {
            rules.push(rule(2, "ingress", priority, json!("any"), json!({"of": ["tcp"]}), "deny"));
        }
        let mut fragments = base(&[7]);
        fragments.extend([policy(7, rules), endpoint(2, Some(1)), endpoint(3, Some(2))]);
        let counting = [Table::Verdict, Table::EgressCount, Table::IngressCount].map(Table::number);
        let mine = [0, 1].map(|slot| {
            let id = RuleId::new(PolicyId::new(7).unwrap(), RuleSlot::new(slot).unwrap());
            Cookie::new(Object::Rule(id))
        });
        let flows = rendered(&fragments).flows;
        let found = flows.iter().filter(|(key, e)| counting.contains(&key.table) && mine.contains(&e.cookie));
        found.collect::<Vec<_>>()
    };
    let before = of(json!({"group": 2}), 10, false);
    assert_eq!(before.len(), 3, "one for what is denied, two for what is allowed");
    for (peer, priority, more) in
        [(json!("any"), 10, false), (json!({"group": 9}), 10, false), (json!({"group": 2}), 20, true)]
    {
        assert_eq!(of(peer, priority, more), before);
    }
}

/// A switch is asked for the flows of one policy, and those are all that count for it.
#[test]
fn the_flows_asked_for_are_those_of_the_policy() {
    let (mine, next) = (PolicyId::new(7).unwrap(), PolicyId::new(8).unwrap());
    let asked = counting_flows(mine);
    for (policy, is_asked) in [(mine, true), (next, false)] {
        for slot in [RuleSlot::MIN, RuleSlot::MAX] {
            let cookie = Cookie::new(Object::Rule(RuleId::new(policy, slot)));
            assert!(all_counting_flows().iter().all(|a| cookie.get() & a.mask == a.cookie.get()));
            assert!(
                asked.iter().all(|a| (cookie.get() & a.mask == a.cookie.get()) == is_asked),
                "{cookie:?}"
            );
        }
    }
    let clause = Cookie::new(Object::Clause(1 << 40));
    assert!(all_counting_flows().iter().all(|a| clause.get() & a.mask != a.cookie.get()));
    let stats = |cookie: Cookie, table: Table| FlowStats {
        flow: Flow::new(table.number(), 100, Match::any()).cookie(cookie.get()),
        counters: Counters { packets: 1, bytes: 60, ..Counters::default() },
    };
    let rule = Cookie::new(Object::Rule(RuleId::new(mine, RuleSlot::MIN)));
    let others = [
        stats(rule, Table::EgressTenant),
        stats(Cookie::new(Object::Pipeline), Table::Verdict),
        stats(Cookie::from_bits(rule.get() ^ 1 << 63), Table::Verdict),
    ];
    assert!(rule_counts(others).is_empty(), "a foreign flow, a miss and a clause count nothing");
}
