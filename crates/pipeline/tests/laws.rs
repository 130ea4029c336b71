//! Laws of rendering and planning, on random clusters.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use node_state::{Fragment, NodeState};
use pipeline::{Cookie, FlowSet, Installed, Object, Table, diff, render};
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
        for key in &plan.delete {
            prop_assert!(b.get(key).is_none(), "deleted a flow that is wanted");
        }
        for (key, entry) in &plan.modify {
            prop_assert_eq!(a.get(key).unwrap().cookie, entry.cookie, "a modification cannot change a cookie");
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
    assert!(plan.modify.iter().all(|(key, _)| key.table == Table::Flood.number()), "{:?}", plan.modify);
    let policy_tables = Table::EgressTenant.number()..=Table::Verdict.number();
    assert!(!plan.add.iter().any(|(key, _)| policy_tables.contains(&key.table)));
    let in_table = |t: Table| plan.add.iter().filter(|(key, _)| key.table == t.number()).count();
    assert_eq!((in_table(Table::SrcClass), in_table(Table::DstClass)), (2, 2), "one per address and map");
    assert!(plan.len() < 50, "{}", plan.len());
}

#[test]
fn foreign_flows_are_counted_and_left_alone() {
    let _defects = support::sabotage();
    let ours = rendered(&base(&[])).flows;
    let foreign = openflow::Flow::new(0, 1, openflow::Match::any()).cookie(0xbad);
    let installed = Installed::from_dump(ours.to_flows().chain([foreign]));
    assert_eq!(installed.foreign, 1);
    assert!(diff(&installed.flows, &ours).is_empty());
}

#[test]
fn a_flow_somebody_gave_a_timeout_is_written_anew() {
    let _defects = support::sabotage();
    let ours = rendered(&base(&[])).flows;
    let tampered = ours.to_flows().map(|f| openflow::Flow { idle_timeout: 10, ..f });
    let plan = diff(&Installed::from_dump(tampered).flows, &ours);
    assert_eq!((plan.add.len(), plan.delete.len(), plan.modify.len()), (ours.len(), 0, 0));
}

#[test]
fn a_changed_cookie_is_an_addition() {
    let _defects = support::sabotage();
    let ours = rendered(&base(&[])).flows;
    let mut old = ours.clone();
    let (key, mut entry) = ours.iter().map(|(k, e)| (k.clone(), e.clone())).next().unwrap();
    entry.cookie = Cookie::new(Object::Clause(1));
    old.insert(key.clone(), entry);
    let plan = diff(&old, &ours);
    assert_eq!((plan.add.len(), plan.modify.len()), (1, 0));
    assert_eq!(plan.add[0].0, key);
}
