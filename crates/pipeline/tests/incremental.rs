//! Incremental rendering: equal to rendering from scratch after any history, and work proportional to the change.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use node_state::{Fragment, FragmentKey, NodeState};
use openflow::Meter;
use pipeline::{FlowSet, Local, MeterPlan, Metering, Ports, Renderer, Table, diff, render};
use proptest::prelude::*;
use serde_json::json;
use support::fragments::{base, endpoint, fragment, policy, rule};
use support::world::{TUNNEL, World, world};
use types::{EndpointUid, NodeName, OfPort};

/// What a history is made of.
#[derive(Clone, Debug)]
enum Step {
    /// Everything of another world, this share of it (in 16ths): fragments are replaced, others of the kind removed.
    Towards(World, Vec<bool>),
    /// A fragment goes.
    Remove(prop::sample::Index),
    /// A fragment of a kind is tampered with so that it refers elsewhere, or claims what another has.
    Tamper(prop::sample::Index, u8),
    /// A port comes, goes or changes its number.
    Port(prop::sample::Index, u16),
    /// The tunnel port comes or goes.
    Tunnel(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (world(), prop::collection::vec(any::<bool>(), 64)).prop_map(|(w, take)| Step::Towards(w, take)),
        4 => any::<prop::sample::Index>().prop_map(Step::Remove),
        6 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(i, how)| Step::Tamper(i, how)),
        3 => (any::<prop::sample::Index>(), 0u16..4).prop_map(|(i, n)| Step::Port(i, n)),
        1 => any::<bool>().prop_map(Step::Tunnel),
    ]
}

/// A state with its ports, and what changed since it was last rendered.
struct History {
    state: NodeState,
    ports: Ports,
    changed: BTreeSet<FragmentKey>,
}

impl History {
    fn insert(&mut self, fragment: Fragment) {
        self.changed.insert(fragment.key());
        self.state.insert(fragment);
    }

    fn key(&self, index: &prop::sample::Index) -> Option<FragmentKey> {
        let keys: Vec<FragmentKey> = self.state.fragments().map(|(key, _)| key.clone()).collect();
        (!keys.is_empty()).then(|| index.get(&keys).clone())
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Towards(world, take) => {
                let keys: Vec<FragmentKey> = self.state.fragments().map(|(key, _)| key.clone()).collect();
                let gone = keys.into_iter().filter(|key| world.state.get(key).is_none()).zip(take);
                for (key, _) in gone.filter(|(_, take)| **take) {
                    self.state.remove(&key);
                    self.changed.insert(key);
                }
                for ((_, fragment), _) in world.state.fragments().zip(take).filter(|(_, take)| **take) {
                    self.insert(fragment.clone());
                }
            }
            Step::Remove(index) => {
                let Some(key) = self.key(index) else { return };
                self.state.remove(&key);
                self.changed.insert(key);
            }
            Step::Tamper(index, how) => {
                let fragment = self.key(index).and_then(|key| self.state.get(&key).cloned());
                let Some(fragment) = fragment else { return };
                let mut value = serde_json::to_value(&fragment).unwrap();
                tamper(&mut value, *how);
                if let Ok(fragment) = serde_json::from_value(value) {
                    self.insert(fragment);
                }
            }
            Step::Port(index, number) => {
                let uids: Vec<EndpointUid> = self.state.endpoints().map(|e| e.uid).collect();
                if uids.is_empty() {
                    return;
                }
                let uid = *index.get(&uids);
                match OfPort::new(u64::from(*number)) {
                    Ok(port) => drop(self.ports.endpoints.insert(uid, port)),
                    Err(_) => drop(self.ports.endpoints.remove(&uid)),
                }
            }
            Step::Tunnel(there) => {
                self.ports.tunnel = there.then(|| OfPort::new(TUNNEL.into()).unwrap());
            }
        }
    }
}

/// Another value in one field of a fragment: a borrowed address, MAC, group or VRF, another node, fewer references.
fn tamper(value: &mut serde_json::Value, how: u8) {
    let (kind, object) = value.as_object_mut().unwrap().iter_mut().next().unwrap();
    let pick = u32::from(how / 8);
    match (kind.as_str(), how % 8) {
        ("endpoint", 0) => object["mac"] = json!("0a:58:00:00:01:02"),
        ("endpoint", 1) => object["addresses"] = json!([format!("10.1.1.{}", 2 + pick % 4)]),
        ("endpoint", 2) => object["group"] = json!(11 + pick % 4),
        ("endpoint", 3) => object["group"] = json!(null),
        ("endpoint", 4) => object["node"] = json!(["node-1", "node-2", "node-9"][pick as usize % 3]),
        ("endpoint", 5) => object["vrf"] = json!(1 + pick % 3),
        ("endpoint", 7) => object["moves"] = json!({(11 + pick % 3).to_string(): 1 + pick / 4}),
        ("endpoint", 6) => object["vni"] = json!(101 + pick % 3),
        ("network", 0 | 1) => object["subnets"][0]["cidr"] = json!(format!("10.1.{}.0/24", 1 + pick % 3)),
        ("network", 2 | 3) => object["subnets"][1]["gateway"] = json!(null),
        ("network", _) => object["vrf"] = json!(1 + pick % 3),
        ("vrf", _) => object["default_action"] = json!("deny"),
        ("group", 0) => object["vrf"] = json!(1 + pick % 3),
        ("group", 1) => object["qos"] = json!(null),
        ("group", 2 | 3) => {
            let share = ["endpoint", "group"][pick as usize % 2];
            object["qos"] =
                json!({"egress": {"rate": "5Mbps"}, "ingress": {"rate": "7Mbps"}, "share": share});
        }
        ("group", _) => object["policies"] = json!([11 + pick % 4]),
        ("policy", 0) => object["vrf"] = json!(1 + pick % 3),
        ("policy", 1 | 2) => object["rules"] = json!([]),
        ("node", _) => object["vtep"] = json!(["192.0.2.2", "192.0.2.3", "fd00::2"][pick as usize % 3]),
        _ => {}
    }
}

/// Does to meters what a switch does, which refuses to add what is there and to change or delete what is not.
fn change(meters: &mut BTreeMap<u32, Meter>, plan: &MeterPlan) {
    for meter in &plan.add {
        assert!(meters.insert(meter.id, meter.clone()).is_none(), "{meter} is there");
    }
    for meter in &plan.modify {
        assert!(
            meters.insert(meter.id, meter.clone()).is_some_and(|old| old != *meter),
            "{meter} is as it was"
        );
    }
    for id in &plan.delete {
        assert!(meters.remove(id).is_some(), "{id} is not there");
    }
}

fn local() -> Local {
    Local { node: "node-1".parse().unwrap(), vtep: "192.0.2.1".parse().unwrap() }
}

/// For so many meters the switch has room; mostly for all.
fn limit() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(u32::MAX), 1 => 0..6u32]
}

proptest! {
    #![proptest_config(support::config(60))]

    #[test]
    fn any_history_ends_where_rendering_from_scratch_begins(
        first in world(),
        steps in prop::collection::vec((step(), any::<bool>(), limit()), 1..14),
    ) {
        let _defects = support::sabotage();
        let mut kept = Renderer::new(local());
        let mut history = History { ports: first.ports(), state: NodeState::default(), changed: BTreeSet::new() };
        first.state.fragments().for_each(|(_, f)| history.insert(f.clone()));
        let mut switch = FlowSet::new();
        let mut meters: BTreeMap<u32, Meter> = BTreeMap::new();
        for (step, look, limit) in steps {
            history.take(&step);
            let metering = Metering::Enforced { limit };
            kept.set_metering(metering);
            // Several changes may come at once.
            if !look {
                continue;
            }
            let changed = std::mem::take(&mut history.changed);
            let plan = kept.update(&history.state, &changed, &history.ports);
            plan.apply(&mut switch);
            change(&mut meters, &plan.meters);
            let mut scratch = Renderer::new(local());
            scratch.set_metering(metering);
            let all = history.state.fragments().map(|(key, _)| key.clone()).collect();
            scratch.update(&history.state, &all, &history.ports);
            let flows = scratch.flows();
            prop_assert!(switch == *flows, "{:?}", diff(&switch, flows));
            prop_assert!(kept.flows() == flows, "the plan leads elsewhere");
            prop_assert_eq!(kept.meters(), scratch.meters());
            prop_assert!(kept.meters().len() <= limit as usize, "more meters than there is room for");
            let meters: Vec<Meter> = meters.values().cloned().collect();
            prop_assert_eq!(&meters, &scratch.meters().meters().collect::<Vec<_>>());
            prop_assert!(scratch.meters().plan(&meters).is_empty());
            prop_assert_eq!(kept.refused().into_keys().collect::<Vec<_>>(), scratch.refused().into_keys().collect::<Vec<_>>());
        }
    }
}

/// A node with many endpoints, ten of them here, a policy between two groups.
struct Crowd {
    state: NodeState,
    ports: Ports,
    renderer: Renderer,
}

fn crowd(endpoints: u32) -> Crowd {
    let mut state: NodeState = base(&[7]).into_iter().collect();
    let peer = json!({"group": 2});
    state.insert(policy(7, vec![rule(0, "ingress", 10, peer, json!({"of": ["tcp"]}), "deny")]));
    state.insert(fragment(json!({"node": {"name": "b", "vtep": "192.0.2.2"}})));
    state.insert(fragment(json!({"vrf": {"id": 1, "tenant": "t", "default_action": "allow"}})));
    state.insert(fragment(json!({"network": {"vni": 101, "vrf": 1, "name": "n", "subnets": [
        {"cidr": "10.0.0.0/8", "gateway": "10.255.255.1"}, {"cidr": "fd00:1::/64", "gateway": "fd00:1::ff:1"}]}})));
    let mut ports = Ports { tunnel: Some(OfPort::new(TUNNEL.into()).unwrap()), ..Ports::default() };
    for host in 1..=endpoints {
        let here = host <= 10;
        state.insert(member(host, here, 1 + host % 2));
        if here {
            ports.endpoints.insert(EndpointUid::new(host.into()).unwrap(), OfPort::new(host.into()).unwrap());
        }
    }
    let all = state.fragments().map(|(key, _)| key.clone()).collect();
    let mut renderer =
        Renderer::new(Local { node: "a".parse().unwrap(), vtep: "192.0.2.1".parse().unwrap() });
    renderer.update(&state, &all, &ports);
    Crowd { state, ports, renderer }
}

fn member(host: u32, here: bool, group: u32) -> Fragment {
    let Fragment::Endpoint(mut e) = endpoint(2, Some(group)) else { panic!("no endpoint") };
    e.uid = EndpointUid::new(host.into()).unwrap();
    e.mac = types::MacAddr::from_u32(0x0a01_0000 + host);
    e.addresses = vec![
        std::net::Ipv4Addr::from(0x0a00_0000 + host).into(),
        std::net::Ipv6Addr::from((0xfd00_0001_u128 << 96) + u128::from(host)).into(),
    ];
    let node: NodeName = if here { "a" } else { "b" }.parse().unwrap();
    Fragment::Endpoint(node_state::Endpoint { node, ..e })
}

impl Crowd {
    /// Flows rendered and changed for one more change.
    fn cost(&mut self, fragment: Fragment) -> (u64, usize) {
        let before = self.renderer.rendered();
        let key = fragment.key();
        self.state.insert(fragment);
        let plan = self.renderer.update(&self.state, &BTreeSet::from([key]), &self.ports);
        (self.renderer.rendered() - before, plan.len())
    }
}

#[test]
fn one_change_among_many_endpoints_renders_what_it_touches_and_no_more() {
    let _defects = support::sabotage();
    let mut costs = Vec::new();
    for endpoints in [100, 2000] {
        let mut crowd = crowd(endpoints);
        let flows = crowd.renderer.flows().len() as u64;
        assert!(crowd.renderer.rendered() < flows + flows / 10, "each flow is rendered about once at first");
        let one_more = crowd.cost(member(endpoints + 1, false, 1));
        // Its answers to ARP and ND (3), its routes (2), its MAC (1), its classes (2 in each map).
        assert_eq!(one_more, (10, 10), "{endpoints} endpoints");
        assert_eq!(crowd.cost(member(endpoints + 1, false, 1)), (0, 0), "nothing new");
        let regrouped = crowd.cost(member(endpoints + 1, false, 2));
        assert!(regrouped.0 <= 12 && regrouped.1 == 4, "{regrouped:?}");
        let peer = json!({"group": 2});
        let rules = vec![rule(0, "ingress", 10, peer, json!({"of": ["udp"]}), "deny")];
        let (rendered, changed) = crowd.cost(policy(7, rules));
        // The rule, and what its group is judged by: 8, of which the match of 4 says the generation.
        assert!(rendered <= 18 && changed <= 22, "{rendered} {changed}");
        let Fragment::Endpoint(e) = member(endpoints + 1, false, 2) else { panic!("no endpoint") };
        let moves = e.moves.clone().moved(types::GroupId::new(2).ok(), None).unwrap();
        let left = crowd.cost(Fragment::Endpoint(node_state::Endpoint { group: None, moves, ..e }));
        // Its classes (4), and what group 1, which names the one it left, is judged by (8).
        assert!(left.0 <= 20 && left.1 <= 16, "{left:?}");
        costs.push((one_more, regrouped, rendered, changed, left));
    }
    assert_eq!(costs[0], costs[1], "the same work, however many are there");
}

#[test]
fn a_new_prefix_in_policy_costs_the_prefixes_inside_it() {
    let _defects = support::sabotage();
    let mut crowd = crowd(1000);
    let named =
        |cidr: &str| policy(7, vec![rule(0, "ingress", 10, json!({"cidr": cidr}), json!("any"), "deny")]);
    crowd.cost(named("10.9.0.0/16"));
    let before = crowd.renderer.flows().clone();
    // Hosts 8 to 15.
    let (rendered, changed) = crowd.cost(named("10.0.0.8/29"));
    let plan = diff(&before, crowd.renderer.flows());
    assert_eq!(plan.len(), changed);
    assert!(rendered < 60, "8 hosts inside, {rendered} flows rendered");
    let sources =
        plan.modify.iter().chain(&plan.add).filter(|(key, _)| key.table() == Table::SrcClass.number());
    assert_eq!(sources.count(), 8);
}

/// Flows that believe, or flood to, this tunnel address.
fn sites(crowd: &Crowd, table: Table, vtep: &str) -> usize {
    let flows = crowd.renderer.flows().to_string();
    let of_table = format!("table={},", table.number());
    flows.lines().filter(|l| l.starts_with(&of_table) && l.contains(vtep)).count()
}

/// An endpoint on node "c", with another address.
fn further(host: u32, address: Option<&str>) -> Fragment {
    let Fragment::Endpoint(mut e) = member(host, false, 1) else { panic!("no endpoint") };
    e.node = "c".parse().unwrap();
    e.addresses.extend(address.map(|a| a.parse::<std::net::IpAddr>().unwrap()));
    Fragment::Endpoint(e)
}

#[test]
fn node_is_believed_and_flooded_to_while_it_hosts_an_endpoint_that_is_rendered() {
    let _defects = support::sabotage();
    let seen = |crowd: &Crowd| {
        (sites(crowd, Table::Classifier, "192.0.2.3"), sites(crowd, Table::Flood, "192.0.2.3"))
    };
    let mut costs = Vec::new();
    for endpoints in [100, 2000] {
        let mut crowd = crowd(endpoints);
        crowd.state.insert(fragment(
            json!({"network": {"vni": 102, "vrf": 1, "name": "m", "subnets": [{"cidr": "172.16.0.0/24", "gateway": null}]}}),
        ));
        crowd.cost(crowd.state.get(&FragmentKey::Network(types::Vni::new(102).unwrap())).unwrap().clone());
        assert_eq!(
            (sites(&crowd, Table::Classifier, "192.0.2.2"), sites(&crowd, Table::Flood, "192.0.2.2")),
            (2, 1)
        );
        crowd.cost(fragment(json!({"node": {"name": "c", "vtep": "192.0.2.3"}})));
        assert_eq!(seen(&crowd), (0, 0), "a node that hosts nothing");
        crowd.cost(further(endpoints + 1, Some("198.51.100.1")));
        assert_eq!(seen(&crowd), (0, 0), "nor does a refused endpoint make it a host");
        crowd.cost(further(endpoints + 1, None));
        assert_eq!(seen(&crowd), (2, 1), "believed in both networks of the VRF, flooded to in its own");
        let another = crowd.cost(further(endpoints + 2, None));
        assert_eq!(seen(&crowd), (2, 1));
        for gone in [endpoints + 1, endpoints + 2] {
            assert_eq!(seen(&crowd), (2, 1));
            let key = FragmentKey::Endpoint(EndpointUid::new(gone.into()).unwrap());
            crowd.state.remove(&key);
            crowd.renderer.update(&crowd.state, &BTreeSet::from([key]), &crowd.ports);
        }
        assert_eq!(seen(&crowd), (0, 0), "the last one is gone");
        let first = crowd.cost(further(endpoints + 1, None));
        assert_eq!(first.0 - another.0, 4, "two tunnel flows, and flooding in its network");
        costs.push((first, another));
    }
    assert_eq!(costs[0], costs[1], "the same work, however many are there");
}

/// The same key: first the flow two clauses share, then the decision itself, then shared again.
#[test]
fn a_rule_that_loses_a_clause_keeps_its_decision() {
    let _defects = support::sabotage();
    let mut crowd = crowd(20);
    let to = |peer: serde_json::Value| policy(7, vec![rule(0, "ingress", 10, peer, json!("any"), "deny")]);
    for peer in [json!({"group": 2}), json!("any"), json!({"group": 2}), json!("any")] {
        crowd.cost(to(peer));
        let local = Local { node: "a".parse().unwrap(), vtep: "192.0.2.1".parse().unwrap() };
        let scratch = render(&crowd.state, &local, &crowd.ports).flows;
        assert!(*crowd.renderer.flows() == scratch, "{:?}", diff(crowd.renderer.flows(), &scratch));
    }
}

/// The whole address space as a set, in a VRF that goes.
#[test]
fn a_vrf_that_goes_takes_the_widest_set_with_it() {
    let _defects = support::sabotage();
    let mut crowd = crowd(10);
    let wide = json!({"cidr": "0.0.0.0/0"});
    crowd.cost(policy(7, vec![rule(0, "egress", 10, wide, json!("any"), "deny")]));
    let vrf = FragmentKey::Vrf(types::VrfId::new(1).unwrap());
    crowd.state.remove(&vrf);
    crowd.renderer.update(&crowd.state, &BTreeSet::from([vrf]), &crowd.ports);
    let local = Local { node: "a".parse().unwrap(), vtep: "192.0.2.1".parse().unwrap() };
    let scratch = render(&crowd.state, &local, &crowd.ports).flows;
    assert!(*crowd.renderer.flows() == scratch, "{:?}", diff(crowd.renderer.flows(), &scratch));
}

/// Which policies are refused while they come, grow and shrink is as if they had come together.
#[test]
fn room_in_a_level_is_given_as_if_all_rules_had_come_together() {
    let _defects = support::sabotage();
    let wide = |id: u32, rules: usize, deny: &str| {
        let one = |slot| rule(slot, "egress", 10, json!("any"), json!("any"), deny);
        policy(id, (0..rules).map(one).collect())
    };
    let mut crowd = crowd(10);
    let group = |policies: &[u32]| {
        fragment(json!({"group": {"id": 1, "vrf": 1, "name": "web", "policies": policies}}))
    };
    let local = Local { node: "a".parse().unwrap(), vtep: "192.0.2.1".parse().unwrap() };
    let mut refused = Vec::new();
    for change in [
        wide(8, 200, "allow"),
        wide(9, 90, "allow"),
        wide(10, 90, "allow"),
        group(&[8, 9, 10]),
        group(&[8, 9]),
        group(&[8, 9, 10]),
        wide(8, 120, "allow"),
        wide(9, 200, "allow"),
        wide(9, 200, "deny"),
        wide(7, 200, "allow"),
        group(&[7, 8, 9, 10]),
        member(3, true, 2),
        group(&[]),
    ] {
        crowd.cost(change);
        let scratch = render(&crowd.state, &local, &crowd.ports);
        assert!(
            *crowd.renderer.flows() == scratch.flows,
            "{:?}",
            diff(crowd.renderer.flows(), &scratch.flows)
        );
        assert_eq!(crowd.renderer.refused(), scratch.refused);
        refused.push(scratch.refused.len());
    }
    assert!(refused.contains(&0) && refused.iter().any(|n| *n > 0), "{refused:?}");
}

/// A VRF with so many groups, each with a policy of its own of four rules about its neighbours, and two endpoints.
fn village(groups: u32) -> Crowd {
    let mut state: NodeState = base(&[]).into_iter().collect();
    for n in 1..=groups {
        let neighbour = |k: u32| json!({"group": 100 + (n + k) % groups});
        let rules =
            (0..4).map(|k| rule(k, "ingress", 10, neighbour(k as u32), json!({"of": ["tcp"]}), "deny"));
        state.insert(policy(100 + n, rules.collect()));
        state.insert(fragment(
            json!({"group": {"id": 100 + n, "vrf": 1, "name": format!("g{n}"), "policies": [100 + n]}}),
        ));
    }
    for host in 1..=groups * 2 {
        state.insert(member(host, host <= 10, 101 + host % groups));
    }
    state.insert(fragment(json!({"network": {"vni": 101, "vrf": 1, "name": "n", "subnets": [
        {"cidr": "10.0.0.0/8", "gateway": null}, {"cidr": "fd00:1::/64", "gateway": null}]}})));
    state.insert(fragment(json!({"node": {"name": "c", "vtep": "192.0.2.3"}})));
    let ports = Ports { tunnel: Some(OfPort::new(TUNNEL.into()).unwrap()), ..Ports::default() };
    let all = state.fragments().map(|(key, _)| key.clone()).collect();
    let local = Local { node: "a".parse().unwrap(), vtep: "192.0.2.1".parse().unwrap() };
    let mut renderer = Renderer::new(local);
    renderer.update(&state, &all, &ports);
    Crowd { state, ports, renderer }
}

/// Objects and rules looked at, flows rendered, for each of these changes.
fn costs(village: &mut Crowd, changes: &[Fragment]) -> Vec<(u64, u64)> {
    let one = |change: &Fragment| {
        let before = village.renderer.visited();
        let (rendered, _) = village.cost(change.clone());
        (village.renderer.visited() - before, rendered)
    };
    changes.iter().map(one).collect()
}

#[test]
fn a_change_of_policy_or_endpoint_looks_at_what_it_concerns_and_no_more() {
    let _defects = support::sabotage();
    let udp = json!({"of": ["udp"]});
    let changes = [
        // Another service in one rule of a policy, one rule less, a policy detached and attached again.
        policy(105, vec![rule(0, "ingress", 10, json!({"group": 107}), udp.clone(), "deny")]),
        policy(105, vec![]),
        fragment(json!({"group": {"id": 106, "vrf": 1, "name": "g6", "policies": []}})),
        fragment(json!({"group": {"id": 106, "vrf": 1, "name": "g6", "policies": [106]}})),
        // The first policy of a group, with its first rule.
        fragment(json!({"group": {"id": 900, "vrf": 1, "name": "new", "policies": [900]}})),
        policy(900, vec![rule(0, "egress", 10, json!("any"), udp, "deny")]),
        // A remote endpoint: its group, its node, itself; the first one of a group.
        member(17, false, 103),
        member(17, true, 103),
        member(17, false, 103),
        member(9001, false, 104),
        member(9002, false, 900),
        // The first one on a further node, and a group nobody knows.
        further(9004, None),
        member(9003, false, 7777),
    ];
    let (small, large) = (costs(&mut village(20), &changes), costs(&mut village(200), &changes));
    assert_eq!(small, large, "the same work, however many there are");
    assert!(small.iter().all(|(visits, rendered)| *visits < 60 && *rendered < 60), "{small:?}");
}
