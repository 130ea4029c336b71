//! Where rules stand: levels, sub-priorities, shared clauses, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::collections::BTreeMap;

use node_state::FragmentKey;
use openflow::{Action, Field};
use pipeline::{Cookie, Object, RenderError, Rendered, Table};
use proptest::prelude::*;
use serde_json::json;
use support::fragments::{base, endpoint, fragment, policy, rendered, rule};
use types::PolicyId;

/// Priority of each rule's decision, by slot, of the only policy.
fn priorities(rendered: &Rendered, table: Table) -> BTreeMap<u16, u16> {
    let here = rendered.flows.iter().filter(|(key, _)| key.table == table.number());
    let decisions = here.filter(|(_, e)| !e.actions.iter().any(|a| matches!(a, Action::Conjunction { .. })));
    decisions
        .filter_map(|(key, entry)| match entry.cookie.object() {
            Some(Object::Rule(id)) => Some((id.slot().get(), key.priority)),
            _ => None,
        })
        .collect()
}

fn with_rules(rules: Vec<serde_json::Value>) -> Rendered {
    let mut fragments = base(&[7]);
    fragments.extend([endpoint(2, Some(1)), endpoint(3, Some(2)), policy(7, rules)]);
    rendered(&fragments)
}

#[test]
fn deny_stands_above_allow_and_both_below_the_next_priority() {
    let rendered = with_rules(vec![
        rule(0, "ingress", 10, json!("any"), json!("any"), "allow"),
        rule(1, "ingress", 10, json!({"group": 2}), json!("any"), "deny"),
        rule(2, "ingress", 11, json!({"group": 2}), json!("any"), "allow"),
    ]);
    let at = priorities(&rendered, Table::IngressTenant);
    assert!(at[&0] < at[&1] && at[&1] < at[&2], "{at:?}");
}

#[test]
fn overlapping_rules_stand_apart_the_smaller_id_higher() {
    let rendered = with_rules(vec![
        rule(0, "egress", 10, json!({"cidr": "10.0.0.0/8"}), json!("any"), "allow"),
        rule(1, "egress", 10, json!({"cidr": "10.1.0.0/16"}), json!("any"), "allow"),
        rule(2, "egress", 10, json!({"network": 101}), json!({"of": ["tcp"]}), "allow"),
        rule(3, "egress", 10, json!({"group": 2}), json!({"of": ["tcp/80"]}), "allow"),
    ]);
    let at = priorities(&rendered, Table::EgressTenant);
    assert!(at[&0] > at[&1] && at[&1] > at[&2] && at[&2] > at[&3], "{at:?}");
}

#[test]
fn rules_that_cannot_overlap_share_a_priority() {
    let tcp = |ports: &str| json!({"of": [format!("tcp/{ports}")]});
    let rendered = with_rules(vec![
        rule(0, "egress", 10, json!("any"), tcp("1-79"), "allow"),
        rule(1, "egress", 10, json!("any"), tcp("80"), "allow"),
        rule(2, "egress", 10, json!("any"), json!({"of": ["udp"]}), "allow"),
        rule(3, "egress", 10, json!({"cidr": "10.1.1.0/25"}), json!({"of": ["icmp"]}), "allow"),
        rule(4, "egress", 10, json!({"cidr": "fd00::/16"}), json!({"of": ["icmp"]}), "allow"),
    ]);
    let at = priorities(&rendered, Table::EgressTenant);
    assert_eq!(at.len(), 5);
    assert!(at.values().all(|p| *p == at[&0]), "{at:?}");
}

#[test]
fn an_endpoint_coming_or_going_moves_no_rule() {
    let rules = vec![
        rule(0, "egress", 10, json!({"group": 2}), json!("any"), "allow"),
        rule(1, "egress", 10, json!({"cidr": "10.1.1.4/30"}), json!("any"), "allow"),
    ];
    let mut fragments = base(&[7]);
    fragments.extend([endpoint(2, Some(1)), endpoint(3, Some(2)), endpoint(6, None), policy(7, rules)]);
    let before = rendered(&fragments);
    // Of group 2 *and* in the prefix: the two rules overlap for the first time.
    fragments.push(endpoint(5, Some(2)));
    let after = rendered(&fragments);
    assert_eq!(priorities(&before, Table::EgressTenant), priorities(&after, Table::EgressTenant));
}

/// Whether connections of endpoint 2 are denied as a whole, both ways.
fn denied(rendered: &Rendered) -> bool {
    let in_table = |table: Table| {
        rendered.flows.iter().any(|(key, entry)| {
            key.table == table.number() && matches!(entry.cookie.object(), Some(Object::DeniedGroup(_)))
        })
    };
    in_table(Table::EgressTenant) && in_table(Table::IngressTenant)
}

#[test]
fn a_policy_without_room_is_refused_and_its_group_denied() {
    let wide = |n| (0..n).map(|i| rule(i, "egress", 10, json!("any"), json!("any"), "allow")).collect();
    let fits = with_rules(wide(300));
    assert!(fits.refused.is_empty() && !denied(&fits));
    let full = with_rules(wide(301));
    let why = &full.refused[&FragmentKey::Policy(PolicyId::new(7).unwrap())];
    assert!(matches!(why, RenderError::TooManyOverlaps { limit: 300, .. }), "{why}");
    assert!(denied(&full));
    assert!(priorities(&full, Table::EgressTenant).is_empty(), "no rule of a refused policy is in force");
}

#[test]
fn a_flow_never_holds_more_conjunctions_than_a_message_carries() {
    let ports = |n: usize| {
        let one = |i: usize| {
            let ports = json!({"of": [format!("udp/{}", i + 1)]});
            rule(i, "egress", 10, json!("any"), ports, "deny")
        };
        (0..n).map(one).collect()
    };
    let full = with_rules(ports(4001));
    let why = &full.refused[&FragmentKey::Policy(PolicyId::new(7).unwrap())];
    assert!(matches!(why, RenderError::TooManySharers { limit: 4000 }), "{why}");
    assert!(denied(&full));
}

#[test]
fn rules_share_the_clause_that_is_the_same() {
    let tcp = |ports: &str| json!({"of": [format!("tcp/{ports}")]});
    let rendered = with_rules(vec![
        rule(0, "ingress", 10, json!("any"), tcp("80"), "allow"),
        rule(1, "ingress", 10, json!("any"), tcp("443"), "allow"),
    ]);
    let first_clauses = |actions: &[Action]| {
        actions.iter().all(|a| matches!(a, Action::Conjunction { clause: 1, n_clauses: 2, .. }))
    };
    let two = rendered.flows.iter().filter(|(_, e)| e.actions.len() == 2);
    let shared: Vec<_> = two.filter(|(_, e)| first_clauses(&e.actions)).collect();
    // The group's addresses of both families are one class.
    assert_eq!(shared.len(), 1, "{shared:?}");
    assert!(matches!(shared[0].1.cookie.object(), Some(Object::Clause(_))));
    assert!(shared[0].1.cookie.explain().contains("conjunction ids"));
}

/// Else one tenant's many rules would have another tenant's policy refused.
#[test]
fn tenants_share_no_clause() {
    let other_tenant = [
        json!({"vrf": {"id": 2, "tenant": "u", "default_action": "allow"}}),
        json!({"network": {"vni": 201, "vrf": 2, "name": "n",
            "subnets": [{"cidr": "10.1.1.0/24", "gateway": null}]}}),
        json!({"group": {"id": 21, "vrf": 2, "name": "web", "policies": [9]}}),
        json!({"endpoint": {"uid": 2002, "name": "e", "vrf": 2, "vni": 201, "group": 21,
            "mac": "0a:58:0a:01:00:02", "node": "a", "addresses": ["10.1.1.2"]}}),
        json!({"policy": {"id": 9, "vrf": 2, "name": "p", "rules": [
            rule(0, "egress", 10, json!("any"), json!({"of": ["tcp"]}), "deny")]}}),
    ];
    let rules = vec![rule(0, "egress", 10, json!("any"), json!({"of": ["tcp"]}), "deny")];
    let mut fragments = base(&[7]);
    fragments.extend([endpoint(2, Some(1)), policy(7, rules)]);
    fragments.extend(other_tenant.map(fragment));
    let rendered = rendered(&fragments);
    assert!(rendered.refused.is_empty(), "{:?}", rendered.refused);
    for (key, entry) in rendered.flows.iter() {
        let conjunctions = entry.actions.iter().filter(|a| matches!(a, Action::Conjunction { .. }));
        assert!(conjunctions.count() <= 1, "{key:?}");
    }
}

#[test]
fn a_rule_about_nobody_decides_nothing() {
    let rendered = with_rules(vec![rule(0, "egress", 10, json!({"group": 9}), json!("any"), "deny")]);
    let deciding = Table::EgressTenant.number()..=Table::IngressDefault.number();
    let of_rules = rendered.flows.iter().filter(|(_, e)| matches!(e.cookie.object(), Some(Object::Rule(_))));
    assert_eq!(of_rules.filter(|(key, _)| deciding.contains(&key.table)).count(), 0);
    assert!(rendered.refused.is_empty());
}

#[test]
fn every_flow_names_its_object() {
    let rendered = with_rules(vec![rule(0, "egress", 10, json!({"group": 2}), json!("any"), "deny")]);
    for (key, entry) in rendered.flows.iter() {
        assert!(entry.cookie.object().is_some(), "{key:?}");
        assert!(key.matches.check().is_ok(), "{key:?}");
    }
    assert!(!Cookie::from_bits(1).is_ours());
}

proptest! {
    /// The masks of a port range match its ports and no other, in both families.
    #[test]
    fn a_port_range_matches_its_ports_alone(a in 1u16.., b in 1u16.., tries in prop::collection::vec(any::<u16>(), 50)) {
        let (first, last) = (a.min(b), a.max(b));
        let service = json!({"of": [format!("sctp/{first}-{last}")]});
        let rendered = with_rules(vec![rule(0, "egress", 10, json!("any"), service, "deny")]);
        for eth_type in [0x0800u128, 0x86dd] {
            let masks: Vec<_> = rendered.flows.iter()
                .filter(|(key, _)| key.table == Table::EgressTenant.number())
                .filter(|(key, _)| key.matches.exact(Field::EthType) == Some(eth_type))
                .filter_map(|(key, _)| key.matches.get(Field::SctpDst).or(Some(openflow::Masked { value: 0, mask: 0 })))
                .collect();
            let edges = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
            for port in tries.iter().copied().chain(edges) {
                let hit = masks.iter().any(|m| u128::from(port) & m.mask == m.value);
                prop_assert_eq!(hit, (first..=last).contains(&port), "{}", port);
            }
        }
    }
}
