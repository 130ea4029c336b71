//! Laws of rendering and planning, on random clusters.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use node_state::{Fragment, NodeState};
use pipeline::{Comparison, Cookie, FlowSet, Object, Owners, StaleConnections, Table, diff, render};
use proptest::prelude::*;
use support::fragments::{base, endpoint, policy, rendered, rule};
use support::world::{World, world};

fn flows(world: &World) -> FlowSet {
    render(&world.state, &world.local(0), &world.ports()).flows
}

proptest! {
    #![proptest_config(support::config(40))]

    #[test]
    fn a_plan_leads_where_it_should(a in world(), b in world()) {
        let _defects = support::sabotage();
        let (a, b) = (flows(&a), flows(&b));
        let mut switch = a.clone();
        let plan = diff(&a, &b);
        plan.apply(&mut switch);
        prop_assert_eq!(&switch, &b);
        prop_assert!(diff(&switch, &b).is_empty());
        prop_assert!(plan.len() <= a.len() + b.len());
        // Told one by one, in any order, some twice.
        let told: Vec<_> = a.to_flows().collect();
        let found = Comparison::of(told.iter().rev().chain(told.iter().take(9)).cloned(), &b);
        prop_assert_eq!(&found.plan, &plan);
        prop_assert_eq!(found.owners, Owners::of(&a));
        for key in &plan.delete {
            prop_assert!(b.get_packed(key).is_none(), "deleted a flow that is wanted");
        }
        for (key, entry) in &plan.modify {
            prop_assert_eq!(a.get_packed(key).unwrap().cookie, entry.cookie, "a modification cannot change a cookie");
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(world in world()) {
        let _defects = support::sabotage();
        let fragments: Vec<Fragment> = world.state.fragments().map(|(_, f)| f.clone()).collect();
        let reversed = World { state: fragments.into_iter().rev().collect::<NodeState>() };
        prop_assert_eq!(flows(&world), flows(&reversed));
    }
}

/// One more endpoint where the groups are known: its own flows, the network's flooding, and no rule.
#[test]
fn one_more_endpoint_is_a_handful_of_flows() {
    let _defects = support::sabotage();
    let mut fragments = base(&[7]);
    let peer = serde_json::json!({"group": 2});
    fragments.push(policy(7, vec![rule(0, "ingress", 10, peer, serde_json::json!("any"), "deny")]));
    fragments.extend([endpoint(2, Some(1)), endpoint(3, Some(2))]);
    let before = rendered(&fragments).flows;
    fragments.push(endpoint(4, Some(2)));
    let after = rendered(&fragments).flows;
    let plan = diff(&before, &after);
    assert!(plan.delete.is_empty(), "{:?}", plan.delete);
    assert!(plan.modify.iter().all(|(key, _)| key.table() == Table::Flood.number()), "{:?}", plan.modify);
    let policy_tables = Table::EgressTenant.number()..=Table::Verdict.number();
    assert!(!plan.add.iter().any(|(key, _)| policy_tables.contains(&key.table())));
    let in_table = |t: Table| plan.add.iter().filter(|(key, _)| key.table() == t.number()).count();
    assert_eq!((in_table(Table::SrcClass), in_table(Table::DstClass)), (2, 2), "one per address and map");
    assert!(plan.len() < 50, "{}", plan.len());
}

#[test]
fn foreign_flows_are_counted_and_left_alone() {
    let _defects = support::sabotage();
    let ours = rendered(&base(&[])).flows;
    let foreign = openflow::Flow::new(0, 1, openflow::Match::any()).cookie(0xbad);
    let found = Comparison::of(ours.to_flows().chain([foreign]), &ours);
    assert_eq!((found.foreign, found.ours), (1, ours.len()));
    assert!(found.plan.is_empty());
}

#[test]
fn a_flow_somebody_gave_a_timeout_is_written_anew() {
    let _defects = support::sabotage();
    let ours = rendered(&base(&[])).flows;
    let tampered = ours.to_flows().map(|f| openflow::Flow { idle_timeout: 10, ..f });
    let plan = Comparison::of(tampered, &ours).plan;
    assert_eq!((plan.add.len(), plan.delete.len(), plan.modify.len()), (ours.len(), 0, 0));
}

#[test]
fn a_changed_cookie_is_an_addition() {
    let _defects = support::sabotage();
    let ours = rendered(&base(&[])).flows;
    let mut old = ours.clone();
    let (key, mut entry) = ours.iter().next().unwrap();
    entry.cookie = Cookie::new(Object::Clause(1));
    old.insert(&key, &entry);
    let plan = diff(&old, &ours);
    assert_eq!((plan.add.len(), plan.modify.len()), (1, 0));
    assert_eq!(plan.add[0].0.unpack().unwrap(), key);
}

/// What must be forgotten when `after` follows `before`: VRF and address, as text.
fn stale(before: &[Fragment], after: &[Fragment]) -> Vec<String> {
    let owners = |fragments: &[Fragment]| Owners::of(&rendered(fragments).flows);
    let states = [before, after].map(|f| f.iter().cloned().collect::<NodeState>());
    let vrfs = states.iter().flat_map(NodeState::networks).map(|n| (n.vni, n.vrf)).collect();
    let stale = owners(after).stale_since(&owners(before), &vrfs);
    let mut followed = owners(before);
    let plan = diff(&rendered(before).flows, &rendered(after).flows);
    assert_eq!(followed.follow(&plan, &vrfs), stale, "following a plan is comparing");
    assert_eq!(followed, owners(after));
    let text = |s: &StaleConnections| match s.address {
        Some(address) => format!("{} {address}", s.vrf),
        None => format!("{} all", s.vrf),
    };
    stale.iter().map(text).collect()
}

/// Endpoint `uid` with the addresses of endpoint `host`.
fn endpoint_at(uid: u64, host: u32) -> Fragment {
    let Fragment::Endpoint(e) = endpoint(host, None) else { panic!("no endpoint") };
    Fragment::Endpoint(node_state::Endpoint { uid: types::EndpointUid::new(uid).unwrap(), ..e })
}

#[test]
fn connections_of_an_address_are_stale_when_its_owner_changes_and_only_then() {
    let _defects = support::sabotage();
    let with = |more: &[Fragment]| [base(&[]), more.to_vec()].concat();
    let (two, three) = (endpoint(2, None), endpoint(3, None));
    let before = with(&[two.clone(), three.clone()]);
    assert!(stale(&before, &before).is_empty());
    assert!(
        stale(&before, &with(&[endpoint(2, Some(1)), three.clone()])).is_empty(),
        "a new group, the same owner"
    );
    let both = ["1 10.1.1.3", "1 fd00:1::3"];
    assert_eq!(stale(&before, &with(std::slice::from_ref(&two))), both, "its owner left");
    assert_eq!(stale(&with(std::slice::from_ref(&two)), &before), both, "from nobody's to somebody's");
    assert_eq!(stale(&before, &with(&[two, endpoint_at(77, 3)])), both, "from one to another");
}

#[test]
fn nothing_tracked_survives_in_a_vrf_that_had_no_owner() {
    let _defects = support::sabotage();
    let with = [base(&[]), vec![endpoint(2, None)]].concat();
    assert_eq!(stale(&base(&[]), &with), ["1 all"]);
    assert_eq!(stale(&with, &base(&[])), ["1 all"], "nor in one that has none now");
    assert_eq!(stale(&with, &[]), ["1 all"], "nor in one that is not here any more");
}

#[test]
fn owners_are_read_back_from_a_switch() {
    let _defects = support::sabotage();
    let flows = rendered(&[base(&[]), vec![endpoint(2, None), endpoint(3, None)]].concat()).flows;
    assert_eq!(Comparison::of(flows.to_flows(), &FlowSet::new()).owners, Owners::of(&flows));
    assert_ne!(Owners::of(&flows), Owners::default());
}
