//! What moves a generation and what does not: the promise that exactly the connections a change may concern are judged
//! again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::collections::BTreeMap;

use node_state::Fragment;
use serde_json::{Value, json};
use support::fragments::{base, endpoint, fragment, policy, rendered, rule};
use support::generations::generation;

/// The generations of groups web (1, with a policy that names db), db (2, with one that names nobody) and of nobody's.
fn generations(fragments: &[Fragment]) -> [u32; 3] {
    let flows = rendered(fragments).flows;
    [2, 3, 4].map(|host| {
        let found = fragments.iter().find_map(|f| match f {
            Fragment::Endpoint(e) if e.uid.get() == host => Some(generation(&flows, e)),
            _ => None,
        });
        found.unwrap()
    })
}

fn from_group(group: u32, action: &str) -> Fragment {
    let services = json!({"of": ["tcp/80"]});
    policy(7, vec![rule(0, "ingress", 10, json!({"group": group}), services, action)])
}

fn start() -> Vec<Fragment> {
    let mut all = base(&[7]);
    all.extend([endpoint(2, Some(1)), endpoint(3, Some(2)), endpoint(4, None), from_group(2, "allow")]);
    all
}

fn with(changes: impl IntoIterator<Item = Fragment>) -> Vec<Fragment> {
    let all = start().into_iter().chain(changes);
    all.map(|f| (f.key(), f)).collect::<BTreeMap<_, _>>().into_values().collect()
}

fn changed(fragment_of: Fragment, field: &str, value: Value) -> Fragment {
    let mut text = serde_json::to_value(&fragment_of).unwrap();
    let (_, object) = text.as_object_mut().unwrap().iter_mut().next().unwrap();
    object[field] = value;
    fragment(text)
}

/// Which of the three are others after these changes.
fn moved(changes: impl IntoIterator<Item = Fragment>) -> [bool; 3] {
    let (before, after) = (generations(&start()), generations(&with(changes)));
    assert!(!before.contains(&0) && !after.contains(&0), "a generation is never 0");
    [0, 1, 2].map(|i| before[i] != after[i])
}

const NONE: [bool; 3] = [false; 3];
const WEB: [bool; 3] = [true, false, false];

#[test]
fn whoever_comes_or_goes_moves_none() {
    let _defects = support::sabotage();
    assert_eq!(moved([endpoint(5, Some(2)), endpoint(6, Some(1)), endpoint(7, None)]), NONE);
    let remote = changed(endpoint(8, Some(2)), "node", json!("b"));
    assert_eq!(moved([fragment(json!({"node": {"name": "b", "vtep": "192.0.2.2"}})), remote]), NONE);
    let group = json!({"group": {"id": 3, "vrf": 1, "name": "cache", "policies": []}});
    assert_eq!(moved([fragment(group), endpoint(9, Some(3))]), NONE);
}

#[test]
fn whoever_leaves_or_enters_a_group_moves_those_that_name_it() {
    let _defects = support::sabotage();
    let gone = |moves: Value| changed(endpoint(5, None), "moves", moves);
    assert_eq!(moved([gone(json!({"2": 1}))]), WEB);
    assert_eq!(moved([gone(json!({"1": 1}))]), NONE, "nobody names web");
    let entered = changed(endpoint(5, Some(2)), "moves", json!({"2": 1}));
    assert_eq!(moved([entered.clone()]), WEB, "it may be denied now");
    // There and back again is not as if nothing had been.
    let back = changed(endpoint(5, Some(2)), "moves", json!({"2": 2}));
    assert_ne!(generations(&with([entered])), generations(&with([back])));
}

#[test]
fn rules_move_those_they_apply_to() {
    let _defects = support::sabotage();
    assert_eq!(moved([from_group(2, "deny")]), WEB);
    assert_eq!(moved([from_group(1, "allow")]), WEB);
    let renamed = vec![json!({"slot": 0, "name": "other", "direction": "ingress", "priority": 10,
        "peer": {"group": 2}, "service": {"of": ["tcp/80"]}, "verdict": "allow"})];
    assert_eq!(moved([policy(7, renamed)]), NONE, "a name decides nothing");
    assert_eq!(moved([policy(8, vec![])]), NONE, "not attached");
    let attached = json!({"group": {"id": 2, "vrf": 1, "name": "db", "policies": [7]}});
    assert_eq!(moved([fragment(attached)]), [false, true, false]);
    let refused = json!({"group": {"id": 2, "vrf": 1, "name": "db", "policies": [99]}});
    assert_eq!(moved([fragment(refused)]), [false, true, false], "denied");
    let closed = json!({"vrf": {"id": 1, "tenant": "t", "default_action": "deny"}});
    assert_eq!(moved([fragment(closed)]), [true; 3]);
}

#[test]
fn network_of_other_prefixes_moves_those_that_name_it() {
    let _defects = support::sabotage();
    let network = |cidr: &str| {
        fragment(
            json!({"network": {"vni": 102, "vrf": 1, "name": "m", "subnets": [{"cidr": cidr, "gateway": null}]}}),
        )
    };
    let named = || policy(7, vec![rule(0, "ingress", 10, json!({"network": 102}), json!("any"), "allow")]);
    let before = generations(&with([network("10.2.0.0/24"), named()]));
    let after = generations(&with([network("10.3.0.0/24"), named()]));
    assert_eq!([0, 1, 2].map(|i| before[i] != after[i]), WEB);
}
