//! What new objects are numbered with, and what a plan guards.

mod common;

use common::{apply, apply_with, cluster, store};
use model::{Guard, Kind, Number, Object, ObjectRef, Outcome, Plan, Taken, ViewEvent, plan_delete};
use proptest::prelude::*;
use serde_json::{Value, json};
use types::Name;

fn object(plan: &Plan) -> &Object {
    plan.steps()[0].after()
}

fn slots(plan: &Plan) -> Vec<(String, u16)> {
    match object(plan) {
        Object::Policy(p) => p.slots.iter().map(|(n, s)| (n.to_string(), s.get())).collect(),
        _ => Vec::new(),
    }
}

fn policy(names: &[&str]) -> Value {
    let rules: Vec<_> =
        names.iter().map(|n| json!({"name": n, "direction": "ingress", "action": "deny"})).collect();
    json!([{"kind": "policy", "tenant": "blue", "name": "guard", "rules": rules}])
}

#[test]
fn new_numbers_are_the_lowest_free_ones() {
    let view = cluster();
    let vrfs: Vec<_> = view.tenants.values().map(|t| t.vrf.get()).collect();
    assert_eq!(vrfs, [1, 2]);
    // 100 was asked for; the automatic ones start at 1.
    let vnis: Vec<_> = view.networks.values().map(|n| n.vni.get()).collect();
    assert_eq!(vnis, [2, 100, 1]);
    let cooling = Taken::from_iter([Number::Vrf(types::VrfId::new(3).unwrap())]);
    let plan = apply_with(&view, &cooling, json!([{"kind": "tenant", "name": "red"}])).unwrap();
    assert!(matches!(object(&plan), Object::Tenant(t) if t.vrf.get() == 4));
}

#[test]
fn automatic_numbers_leave_room_for_those_a_later_document_asks_for() {
    let plan = apply(
        &cluster(),
        json!([
            {"kind": "network", "tenant": "blue", "name": "x", "ipv4": {"subnet": "10.8.0.0/24"}},
            {"kind": "network", "tenant": "blue", "name": "y", "ipv4": {"subnet": "10.9.0.0/24"}, "vni": 3},
            {"kind": "endpoint", "tenant": "blue", "name": "e", "network": "x", "node": "n1"},
            {"kind": "endpoint", "tenant": "blue", "name": "f", "network": "x", "node": "n1", "ipv4": "10.8.0.1"},
        ]),
    )
    .unwrap();
    assert!(matches!(plan.steps()[0].after(), Object::Network(n) if n.vni.get() == 4));
    assert!(
        matches!(plan.steps()[2].after(), Object::Endpoint(e) if e.addresses[0].to_string() == "10.8.0.2")
    );
}

#[test]
fn endpoints_get_an_address_per_family_and_keep_it() {
    let mut view = cluster();
    let new = json!([{"kind": "endpoint", "tenant": "blue", "name": "b", "network": "web", "node": "n2", "ipv6": "fd00:1::9"}]);
    let plan = apply(&view, new.clone()).unwrap();
    store(&mut view, &plan);
    let Object::Endpoint(made) = object(&plan) else { panic!() };
    let addresses: Vec<_> = made.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.1.1.11", "fd00:1::9"]);
    assert_eq!(made.mac.to_string(), "0a:58:0a:01:01:0b");

    let again = apply(&view, new).unwrap();
    assert_eq!(again.steps()[0].outcome(), Outcome::Unchanged);
    // Joining a group afterwards changes neither number nor address.
    let grouped = json!([{"kind": "endpoint", "tenant": "blue", "name": "b", "network": "web", "node": "n2", "group": "app"}]);
    let plan = apply(&view, grouped).unwrap();
    assert_eq!(plan.steps()[0].outcome(), Outcome::Updated);
    assert!(
        matches!(object(&plan), Object::Endpoint(e) if e.uid == made.uid && e.addresses == made.addresses)
    );
}

#[test]
fn macs_of_one_network_differ_even_when_their_addresses_fold_alike() {
    let mut view = cluster();
    let (a, b): (std::net::IpAddr, std::net::IpAddr) =
        ("fd00:6::1".parse().unwrap(), "fd00:6::1:0:81".parse().unwrap());
    assert_eq!(model::endpoint_mac(&[a]), model::endpoint_mac(&[b]));
    for (name, address) in [("x", a), ("y", b)] {
        let plan = apply(
            &view,
            json!([{"kind": "endpoint", "tenant": "blue", "name": name, "network": "six", "node": "n1", "ipv6": address.to_string()}]),
        )
        .unwrap();
        let blue = Some(Name::new("blue").unwrap());
        assert!(plan.guards().contains(&Guard::Unchanged { kind: Kind::Endpoint, tenant: blue }));
        store(&mut view, &plan);
    }
    let macs: std::collections::BTreeSet<_> = view.endpoints.values().map(|e| e.mac).collect();
    assert_eq!(macs.len(), view.endpoints.len());
}

#[test]
fn rules_keep_their_slots() {
    let mut view = cluster();
    let plan = apply(&view, policy(&["r2", "new", "r1"])).unwrap();
    let expected = [("new".to_owned(), 2), ("r1".to_owned(), 0), ("r2".to_owned(), 1)];
    assert_eq!(slots(&plan), expected);
    store(&mut view, &plan);
    // The slot of a rule that goes is not given to the one that comes with the same change...
    let plan = apply(&view, policy(&["r2", "other", "new"])).unwrap();
    assert_eq!(slots(&plan), [("new".to_owned(), 2), ("other".to_owned(), 3), ("r2".to_owned(), 1)]);
    store(&mut view, &plan);
    // ... but to the next.
    let plan = apply(&view, policy(&["r2", "other", "new", "last"])).unwrap();
    assert_eq!(slots(&plan)[0], ("last".to_owned(), 0));
}

#[test]
fn a_full_policy_can_replace_its_rules() {
    let names = |from: usize| (from..from + 4096).map(|i| format!("r{i}")).collect::<Vec<_>>();
    let mut view = cluster();
    for from in [0, 10] {
        let names = names(from);
        let plan = apply(&view, policy(&names.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
        let distinct: std::collections::BTreeSet<_> = slots(&plan).into_iter().map(|(_, s)| s).collect();
        assert_eq!(distinct.len(), 4096);
        store(&mut view, &plan);
    }
}

#[test]
fn plans_guard_what_they_read() {
    let view = cluster();
    let plan = apply(
        &view,
        json!([{"kind": "group", "tenant": "blue", "name": "g", "network": "web", "policies": ["guard"]}]),
    );
    let guards: Vec<_> = plan.unwrap().guards().iter().map(|g| format!("{g:?}")).collect();
    assert_eq!(guards.len(), 3, "{guards:?}");
    let tenant = Some(Name::new("blue").unwrap());
    let network = apply(
        &view,
        json!([{"kind": "network", "tenant": "blue", "name": "n", "ipv4": {"subnet": "10.9.0.0/24"}}]),
    );
    assert!(
        network.unwrap().guards().contains(&Guard::Unchanged { kind: Kind::Network, tenant: tenant.clone() })
    );

    let removal = plan_delete(
        &view,
        &view.networks.values().next().map(|n| Object::Network(n.clone())).unwrap().object_ref(),
    );
    let kinds = [Kind::Policy, Kind::Group, Kind::Endpoint];
    let expected = kinds.map(|kind| Guard::Unchanged { kind, tenant: tenant.clone() });
    assert_eq!(removal.unwrap().guards(), &expected.into());
}

#[test]
fn many_references_are_guarded_as_a_range() {
    let mut view = cluster();
    let groups: Vec<_> = (0..20)
        .map(|i| json!({"kind": "group", "tenant": "blue", "name": format!("g{i}"), "network": "web"}))
        .collect();
    let plan = apply(&view, Value::Array(groups)).unwrap();
    store(&mut view, &plan);
    let rules: Vec<_> = (0..20)
        .map(|i| json!({"name": format!("r{i}"), "direction": "ingress", "peer": {"group": format!("g{i}")}, "action": "allow"}))
        .collect();
    let plan =
        apply(&view, json!([{"kind": "policy", "tenant": "blue", "name": "p", "rules": rules}])).unwrap();
    let tenant = Some(Name::new("blue").unwrap());
    assert!(plan.guards().contains(&Guard::Unchanged { kind: Kind::Group, tenant }));
    assert_eq!(plan.guards().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever order endpoints come and go in, no two of a tenant share an address, a number or a MAC.
    #[test]
    fn endpoints_never_share_addresses(steps in proptest::collection::vec((0_u8..12, any::<bool>(), any::<bool>()), 1..40)) {
        let mut view = cluster();
        for (n, create, six) in steps {
            let name = format!("p{n}");
            if create {
                let network = if six { "six" } else { "web" };
                let document = json!([{"kind": "endpoint", "tenant": "blue", "name": name, "network": network, "node": "n1"}]);
                if let Ok(plan) = apply(&view, document) {
                    store(&mut view, &plan);
                }
            } else {
                let endpoint = ObjectRef { kind: Kind::Endpoint, tenant: Some("blue".parse().unwrap()), name };
                view.apply(ViewEvent::Delete(endpoint));
            }
            let addresses: Vec<_> = view.endpoints.values().flat_map(|e| e.addresses.clone()).collect();
            let distinct: std::collections::BTreeSet<_> = addresses.iter().collect();
            prop_assert_eq!(addresses.len(), distinct.len());
            let macs: std::collections::BTreeSet<_> = view.endpoints.values().map(|e| e.mac).collect();
            prop_assert_eq!(macs.len(), view.endpoints.len());
        }
    }
}

#[test]
fn endpoint_remembers_the_groups_it_entered_and_left() {
    let mut view = cluster();
    let in_group = |group: Value| json!([{"kind": "endpoint", "tenant": "blue", "name": "a", "network": "web", "group": group, "node": "n1"}]);
    let other = json!([{"kind": "group", "tenant": "blue", "name": "other", "network": "web"}]);
    let plan = apply(&view, other).unwrap();
    store(&mut view, &plan);
    let numbers: Vec<_> = ["app", "other"]
        .map(|g| {
            let group = view
                .groups
                .values()
                .find(|stored| stored.spec.name.as_str() == g && stored.spec.tenant.as_str() == "blue");
            group.unwrap().id
        })
        .into();
    let mut after = |group: Value| -> Vec<_> {
        let plan = apply(&view, in_group(group)).unwrap();
        store(&mut view, &plan);
        let stored = view.endpoints.values().find(|e| e.spec.name.as_str() == "a").unwrap();
        stored
            .moves
            .iter()
            .map(|(group, times)| (numbers.iter().position(|n| *n == group).unwrap(), times))
            .collect()
    };
    assert_eq!(after(json!("app")), [], "it was made there");
    assert_eq!(after(json!("other")), [(0, 1), (1, 1)]);
    assert_eq!(after(json!("other")), [(0, 1), (1, 1)]);
    assert_eq!(after(json!(null)), [(0, 1), (1, 2)]);
    assert_eq!(after(json!("app")), [(0, 2), (1, 2)]);
}

#[test]
fn endpoint_goes_through_so_many_groups_and_no_more() {
    let mut view = cluster();
    let visit = |n: usize| {
        json!([
        {"kind": "group", "tenant": "blue", "name": format!("g{n}"), "network": "web"},
        {"kind": "endpoint", "tenant": "blue", "name": "a", "network": "web", "group": format!("g{n}"), "node": "n1"}])
    };
    for n in 1..types::GroupMoves::MAX {
        let plan = apply(&view, visit(n)).unwrap();
        store(&mut view, &plan);
    }
    let rejection = apply(&view, visit(99)).unwrap_err();
    assert_eq!(rejection.errors[0].field, "group");
    let reason = "an endpoint goes through 64 groups at most; delete the endpoint and create it anew";
    assert_eq!(rejection.errors[0].reason, reason);
}
