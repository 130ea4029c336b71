//! What a check costs does not depend on how much there is.

mod common;

use common::{apply, cluster, store};
use model::{IntentView, Kind, ObjectRef, plan_delete};
use serde_json::{Value, json};

/// A cluster with so many more objects of every kind, in the tenant that is written to and in another.
fn crowded(count: usize) -> IntentView {
    let mut view = cluster();
    let room = json!([
        {"kind": "network", "tenant": "blue", "name": "wide", "ipv4": {"subnet": "11.0.0.0/8"}},
        {"kind": "network", "tenant": "blue", "name": "other", "ipv4": {"subnet": "12.0.0.0/8"}},
        {"kind": "group", "tenant": "blue", "name": "idle", "network": "other"},
    ]);
    let plan = apply(&view, room).expect("there is room");
    store(&mut view, &plan);
    for n in 0..count {
        let subnet = format!("172.{}.{}.0/24", 16 + n / 256, n % 256);
        let documents = json!([
            {"kind": "tenant", "name": format!("t{n}")},
            {"kind": "network", "tenant": "blue", "name": format!("n{n}"), "ipv4": {"subnet": subnet}},
            {"kind": "policy", "tenant": "blue", "name": format!("p{n}")},
            {"kind": "group", "tenant": "blue", "name": format!("g{n}"), "network": "wide"},
            {"kind": "endpoint", "tenant": "blue", "name": format!("e{n}"), "network": "wide", "group": format!("g{n}"), "node": "n1"},
        ]);
        let plan = apply(&view, documents).expect("fits");
        store(&mut view, &plan);
    }
    view
}

fn looks(view: &IntentView, document: Value) -> usize {
    apply(view, json!([document])).expect("passes").looks()
}

#[test]
fn a_write_looks_at_what_it_is_about_however_much_there_is() {
    let (few, many) = (crowded(10), crowded(2_000));
    for document in [
        json!({"kind": "tenant", "name": "new"}),
        json!({"kind": "network", "tenant": "blue", "name": "new", "ipv4": {"subnet": "10.200.0.0/24"}}),
        json!({"kind": "network", "tenant": "blue", "name": "new", "ipv4": {"subnet": "10.200.0.0/24"}, "vni": 99999}),
        json!({"kind": "policy", "tenant": "blue", "name": "new"}),
        json!({"kind": "group", "tenant": "blue", "name": "new", "network": "wide", "policies": ["p3"]}),
        json!({"kind": "endpoint", "tenant": "blue", "name": "new", "network": "wide", "group": "g3", "node": "n1"}),
        json!({"kind": "endpoint", "tenant": "blue", "name": "new", "network": "wide", "node": "n1", "ipv4": "11.9.9.9"}),
        json!({"kind": "endpoint", "tenant": "blue", "name": "e3", "network": "wide", "group": "g4", "node": "n1"}),
    ] {
        let (less, more) = (looks(&few, document.clone()), looks(&many, document.clone()));
        assert_eq!(less, more, "{document}");
        assert!((1..=16).contains(&less), "{less} looks for {document}");
    }
}

#[test]
fn a_delete_of_what_nobody_uses_looks_at_nothing_else() {
    let object = |kind, tenant: &str, name: &str| ObjectRef {
        kind,
        tenant: Some(tenant.parse().unwrap()),
        name: name.into(),
    };
    let tenant = ObjectRef { kind: Kind::Tenant, tenant: None, name: "t3".into() };
    let node = ObjectRef { kind: Kind::Node, tenant: None, name: "n2".into() };
    let (few, many) = (crowded(10), crowded(2_000));
    for object in [
        object(Kind::Network, "blue", "n3"),
        object(Kind::Policy, "blue", "p3"),
        object(Kind::Group, "blue", "idle"),
        object(Kind::Endpoint, "blue", "e3"),
        tenant,
        node,
    ] {
        let looks = |view| plan_delete(view, &object).unwrap().looks();
        assert_eq!((looks(&few), looks(&many)), (2, 2), "{object}");
    }
}

/// Numbers that cool down between those in use are passed over in one step: both are one run.
#[test]
fn freed_numbers_among_those_in_use_cost_nothing() {
    let view = crowded(2_000);
    let document =
        json!({"kind": "endpoint", "tenant": "blue", "name": "new", "network": "wide", "node": "n1"});
    let plain = looks(&view, document.clone());
    let mut holes = view.clone();
    let vrf = view.tenants[&"blue".parse().unwrap()].vrf;
    let mut taken = model::Taken::default();
    for n in 0..2_000 {
        let name = format!("e{n}");
        let endpoint = view.endpoints[&("blue".parse().unwrap(), name.parse().unwrap())].clone();
        taken.insert(model::Number::Address(vrf, endpoint.addresses[0]));
        if n % 2 == 0 {
            holes.apply(model::ViewEvent::Delete(ObjectRef {
                kind: Kind::Endpoint,
                tenant: Some("blue".parse().unwrap()),
                name,
            }));
        }
    }
    let plan = common::apply_with(&holes, &taken, json!([document])).unwrap();
    assert!(plan.looks() <= plain + 1, "{} looks, {plain} without holes", plan.looks());
}
