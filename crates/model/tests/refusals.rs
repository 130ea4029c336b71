//! Every refusal: field, value, reason. One row each; a row that is accepted, or refused otherwise, fails.

mod common;

use common::{apply, apply_with, cluster, store};
use model::{Number, ObjectRef, Taken, plan_delete};
use serde_json::{Value, json};
use types::VrfId;

/// Checks that exactly these fields are refused, in this order.
#[track_caller]
fn refused(documents: Value, expected: &[(&str, &str, &str)]) {
    let view = cluster();
    let rejection = apply(&view, documents.clone()).expect_err(&format!("accepted: {documents}"));
    let got: Vec<_> =
        rejection.errors.iter().map(|e| (e.field.as_str(), e.value.as_str(), e.reason.as_str())).collect();
    assert_eq!(got, expected, "{documents}");
}

fn merge(document: &mut Value, fields: Value) {
    if let (Value::Object(document), Value::Object(fields)) = (document, fields) {
        document.extend(fields);
    }
}

fn network(fields: Value) -> Value {
    let mut document = json!({"kind": "network", "tenant": "blue", "name": "new"});
    merge(&mut document, fields);
    json!([document])
}

#[test]
fn rejects_network_without_subnet_or_of_unknown_tenant() {
    refused(network(json!({})), &[("ipv4", "", "a network needs an ipv4 or an ipv6 subnet, or both")]);
    refused(
        json!([{"kind": "network", "tenant": "red", "name": "x", "ipv4": {"subnet": "10.9.0.0/24"}}]),
        &[("tenant", "red", "no such tenant")],
    );
}

#[test]
fn rejects_subnet_of_the_wrong_family() {
    refused(
        network(json!({"ipv4": {"subnet": "fd00:9::/64"}, "ipv6": {"subnet": "10.9.0.0/24"}})),
        &[
            ("ipv4.subnet", "fd00:9::/64", "must be an IPv4 subnet"),
            ("ipv6.subnet", "10.9.0.0/24", "must be an IPv6 subnet"),
        ],
    );
}

#[test]
fn rejects_gateway_no_host_can_have() {
    for (gateway, reason) in [
        ("10.9.1.1", "must lie in the subnet 10.9.0.0/24"),
        ("10.9.0.0", "is the network address of 10.9.0.0/24"),
        ("10.9.0.255", "is the broadcast address of 10.9.0.0/24"),
        ("fd00::1", "must be an IPv4 address"),
    ] {
        let documents = network(json!({"ipv4": {"subnet": "10.9.0.0/24", "gateway": gateway}}));
        refused(documents, &[("ipv4.gateway", gateway, reason)]);
    }
    let documents = network(json!({"ipv6": {"subnet": "fd00:9::/64", "gateway": "fd00:9::"}}));
    refused(documents, &[("ipv6.gateway", "fd00:9::", "is the network address of fd00:9::/64")]);
    let documents = network(json!({"ipv4": {"subnet": "10.9.0.5-10.9.0.5/24", "gateway": "10.9.0.5"}}));
    let reason = "is the only address of 10.9.0.5-10.9.0.5/24, none is left for endpoints";
    refused(documents, &[("ipv4.gateway", "10.9.0.5", reason)]);
}

#[test]
fn accepts_gateway_in_and_outside_the_range() {
    for gateway in ["10.9.0.1", "10.9.0.21"] {
        let ipv4 = json!({"subnet": "10.9.0.20-10.9.0.30/24", "gateway": gateway});
        apply(&cluster(), network(json!({ "ipv4": ipv4 }))).unwrap();
    }
}

#[test]
fn rejects_overlap_inside_a_tenant_only() {
    refused(
        network(json!({"ipv4": {"subnet": "10.1.0.0/16"}})),
        &[("ipv4.subnet", "10.1.0.0/16", "overlaps 10.1.1.0/24 of network web")],
    );
    refused(
        network(json!({"ipv6": {"subnet": "fd00:1::/80"}})),
        &[("ipv6.subnet", "fd00:1::/80", "overlaps fd00:1::/64 of network web")],
    );
    // The same prefix in another tenant is fine: `cluster` has 10.1.1.0/24 in blue and green.
    refused(
        json!([
            {"kind": "network", "tenant": "blue", "name": "x", "ipv4": {"subnet": "10.9.0.0/24"}},
            {"kind": "network", "tenant": "blue", "name": "y", "ipv4": {"subnet": "10.9.0.128/25"}},
        ]),
        &[("ipv4.subnet", "10.9.0.128/25", "overlaps 10.9.0.0/24 of network x")],
    );
}

#[test]
fn rejects_vni_in_use_without_naming_another_tenants_network() {
    refused(
        network(json!({"ipv4": {"subnet": "10.9.0.0/24"}, "vni": 100})),
        &[("vni", "100", "is another network's")],
    );
    let green = json!([{"kind": "network", "tenant": "green", "name": "x", "vni": 100, "ipv4": {"subnet": "10.9.0.0/24"}}]);
    refused(green, &[("vni", "100", "is in use in the cluster")]);
    let cooling = Taken::from_iter([Number::Vni(types::Vni::new(7).unwrap())]);
    let documents = network(json!({"ipv4": {"subnet": "10.9.0.0/24"}, "vni": 7}));
    let rejection = apply_with(&cluster(), &cooling, documents).unwrap_err();
    assert_eq!(rejection.errors[0].reason, "was freed a moment ago and is cooling down; try again later");
}

#[test]
fn rejects_changed_subnet_gateway_and_vni() {
    let web = json!([{"kind": "network", "tenant": "blue", "name": "web", "vni": 101,
        "ipv4": {"subnet": "10.1.1.0/24", "gateway": "10.1.1.1"}, "ipv6": {"subnet": "fd00:1::/64", "gateway": "fd00:1::1"}}]);
    const TAIL: &str = "and cannot be changed; delete the network and create it anew";
    refused(
        web,
        &[
            ("ipv4.subnet", "10.1.1.0/24", &format!("is \"10.1.1.10-10.1.1.12/24\" {TAIL}")),
            ("ipv6.gateway", "fd00:1::1", &format!("is \"\" {TAIL}")),
            ("vni", "101", &format!("is 100 {TAIL}")),
        ],
    );
}

#[test]
fn rejects_group_on_missing_or_changed_network_and_missing_policy() {
    refused(
        json!([{"kind": "group", "tenant": "green", "name": "g", "network": "six", "policies": ["guard"]}]),
        &[
            ("network", "six", "no such network in tenant green"),
            ("policies[0]", "guard", "no such policy in tenant green"),
        ],
    );
    let reason = "is \"web\" and cannot be changed; delete the group and create it anew";
    refused(
        json!([{"kind": "group", "tenant": "blue", "name": "app", "network": "six"}]),
        &[("network", "six", reason)],
    );
}

#[test]
fn rejects_rule_referencing_other_tenant() {
    let policy = json!([{"kind": "policy", "tenant": "blue", "name": "p", "rules": [
        {"name": "a", "direction": "ingress", "peer": {"group": "hidden"}, "action": "allow"},
        {"name": "b", "direction": "egress", "peer": {"network": "nope"}, "action": "allow"},
    ]}]);
    refused(
        policy,
        &[
            ("rules[0].peer.group", "hidden", "no such group in tenant blue"),
            ("rules[1].peer.network", "nope", "no such network in tenant blue"),
        ],
    );
}

#[test]
fn rejects_rules_with_equal_names() {
    let policy = json!([{"kind": "policy", "tenant": "blue", "name": "p", "rules": [
        {"name": "a", "direction": "ingress", "action": "allow"},
        {"name": "a", "direction": "ingress", "action": "allow"},
    ]}]);
    refused(policy, &[("rules[1].name", "a", "is another rule's of this policy")]);
}

#[test]
fn rejects_the_4097th_rule() {
    let rules = |n: usize| {
        let rules: Vec<Value> = (0..n)
            .map(|i| json!({"name": format!("r{i}"), "direction": "ingress", "action": "deny"}))
            .collect();
        json!([{"kind": "policy", "tenant": "blue", "name": "p", "rules": rules}])
    };
    refused(rules(4097), &[("rules", "4097 rules", "a policy has 4096 rules at most; split it")]);
    apply(&cluster(), rules(4096)).unwrap();
}

fn endpoint(fields: Value) -> Value {
    let mut document =
        json!({"kind": "endpoint", "tenant": "blue", "name": "new", "network": "web", "node": "n1"});
    merge(&mut document, fields);
    json!([document])
}

#[test]
fn rejects_endpoint_with_missing_or_disagreeing_references() {
    refused(
        endpoint(json!({"network": "nope", "node": "n9", "group": "hidden"})),
        &[
            ("network", "nope", "no such network in tenant blue"),
            ("node", "n9", "no such node"),
            ("group", "hidden", "no such group in tenant blue"),
        ],
    );
    refused(
        endpoint(json!({"network": "six", "group": "app"})),
        &[("group", "app", "the group is on network web, the endpoint on six")],
    );
}

#[test]
fn rejects_wanted_addresses_that_cannot_be_had() {
    const RANGE: &str = "endpoints of this network have addresses of 10.1.1.10-10.1.1.12/24";
    for (ipv4, reason) in [
        ("10.1.1.13", RANGE),
        ("10.1.1.1", RANGE),
        ("10.2.0.1", RANGE),
        ("10.1.1.10", "is another endpoint's"),
        ("fd00:1::5", "must be an IPv4 address"),
    ] {
        refused(endpoint(json!({"ipv4": ipv4})), &[("ipv4", ipv4, reason)]);
    }
    refused(
        endpoint(json!({"network": "six", "ipv4": "10.1.1.11"})),
        &[("ipv4", "10.1.1.11", "network six has no IPv4 subnet")],
    );
    refused(
        json!([{"kind": "endpoint", "tenant": "green", "name": "e", "network": "web", "node": "n1", "ipv4": "10.1.1.1"}]),
        &[("ipv4", "10.1.1.1", "is the network's gateway")],
    );
}

#[test]
fn rejects_cooling_addresses_and_a_full_range() {
    let view = cluster();
    let vrf: VrfId = view.tenants.values().next().unwrap().vrf;
    let address = |a: &str| Number::Address(vrf, a.parse().unwrap());
    let cooling = Taken::from_iter([address("10.1.1.11")]);
    let rejection = apply_with(&view, &cooling, endpoint(json!({"ipv4": "10.1.1.11"}))).unwrap_err();
    assert_eq!(rejection.errors[0].reason, "was freed a moment ago and is cooling down; try again later");

    let cooling = Taken::from_iter([address("10.1.1.11"), address("10.1.1.12")]);
    let rejection = apply_with(&view, &cooling, endpoint(json!({}))).unwrap_err();
    assert_eq!(rejection.errors[0].field, "ipv4");
    assert_eq!(
        rejection.errors[0].reason,
        "every address of 10.1.1.10-10.1.1.12/24 is taken or cooling down"
    );
}

#[test]
fn rejects_moving_an_endpoint() {
    const FIXED: &str = "cannot be changed; delete the endpoint and create it anew";
    let moved = json!([{"kind": "endpoint", "tenant": "blue", "name": "a", "network": "six", "node": "n2", "ipv4": "10.1.1.11"}]);
    refused(moved, &[("network", "six", FIXED), ("node", "n2", FIXED), ("ipv4", "10.1.1.11", FIXED)]);
    // Its own address, in the field of the other family.
    let crossed = json!([{"kind": "endpoint", "tenant": "blue", "name": "a", "network": "web", "node": "n1", "ipv4": "fd00:1::1"}]);
    refused(crossed, &[("ipv4", "fd00:1::1", FIXED)]);
}

#[test]
fn rejects_declared_nodes_and_twin_vteps() {
    refused(
        json!([{"kind": "node", "name": "n9", "vtep": "198.18.0.9"}, {"kind": "node", "name": "n1", "vtep": "198.18.0.9"}]),
        &[
            ("name", "n9", "no such node; a node comes to be by joining (netctl node join-token)"),
            ("vtep", "198.18.0.9", "is 198.18.0.1 and cannot be declared; the node says it when it joins"),
        ],
    );
    for (vtep, reason) in [
        ("198.18.0.2", "is the tunnel endpoint of node n2"),
        ("127.0.0.1", "must be a unicast address other nodes can reach"),
        ("::ffff:198.18.0.1", "is an IPv4 address and must be written as one"),
        ("ff02::1", "must be a unicast address other nodes can reach"),
        ("fe80::1", "must not be link-local: it has no scope on other nodes"),
    ] {
        let spec = serde_json::from_value(json!({"name": "n3", "vtep": vtep})).unwrap();
        let mut uid = || types::EndpointUid::MAX;
        let supply = model::Supply { taken: &Taken::default(), uid: &mut uid };
        let rejection = model::plan_node(&cluster(), supply, spec, String::new()).unwrap_err();
        assert_eq!(
            (rejection.errors[0].field.as_str(), rejection.errors[0].reason.as_str()),
            ("vtep", reason)
        );
    }
}

#[test]
fn rejects_all_documents_when_one_is_wrong_and_names_every_error() {
    refused(
        json!([
            {"kind": "endpoint", "tenant": "blue", "name": "e", "network": "new", "node": "n9"},
            {"kind": "network", "tenant": "blue", "name": "new", "ipv4": {"subnet": "10.1.1.0/25"}},
            {"kind": "tenant", "name": "red"},
            {"kind": "tenant", "name": "red"},
        ]),
        &[
            ("node", "n9", "no such node"),
            ("ipv4.subnet", "10.1.1.0/25", "overlaps 10.1.1.0/24 of network web"),
            ("name", "red", "is in this request more than once"),
        ],
    );
}

#[test]
fn refuses_to_delete_what_is_in_use_and_lists_the_users() {
    let view = cluster();
    for (object, users) in [
        (json!({"kind": "tenant", "name": "green"}), "network green/web, group green/hidden"),
        (
            json!({"kind": "tenant", "name": "blue"}),
            "network blue/six, network blue/web, policy blue/guard, group blue/app, endpoint blue/a",
        ),
        (json!({"kind": "network", "tenant": "blue", "name": "web"}), "group blue/app, endpoint blue/a"),
        (json!({"kind": "group", "tenant": "blue", "name": "app"}), "policy blue/guard, endpoint blue/a"),
        (json!({"kind": "policy", "tenant": "blue", "name": "guard"}), "group blue/app"),
        (json!({"kind": "node", "name": "n1"}), "endpoint blue/a"),
    ] {
        let object: ObjectRef = serde_json::from_value(object).unwrap();
        let error = plan_delete(&view, &object).unwrap_err().to_string();
        assert_eq!(error, format!("{object} is in use by {users}"));
    }
    for object in [
        json!({"kind": "endpoint", "tenant": "blue", "name": "a"}),
        json!({"kind": "group", "tenant": "green", "name": "hidden"}),
        json!({"kind": "network", "tenant": "blue", "name": "six"}),
        json!({"kind": "node", "name": "n2"}),
    ] {
        let object: ObjectRef = serde_json::from_value(object).unwrap();
        assert_eq!(plan_delete(&view, &object).unwrap().object().object_ref(), object);
    }
    let missing: ObjectRef = serde_json::from_value(json!({"kind": "tenant", "name": "red"})).unwrap();
    assert_eq!(plan_delete(&view, &missing).unwrap_err().to_string(), "no such object: tenant red");
}

#[test]
fn a_network_named_by_a_rule_is_in_use() {
    let mut view = cluster();
    let plan = apply(
        &view,
        json!([{"kind": "policy", "tenant": "blue", "name": "p",
            "rules": [{"name": "a", "direction": "egress", "peer": {"network": "six"}, "action": "deny"}]}]),
    )
    .unwrap();
    store(&mut view, &plan);
    let six: ObjectRef =
        serde_json::from_value(json!({"kind": "network", "tenant": "blue", "name": "six"})).unwrap();
    assert_eq!(
        plan_delete(&view, &six).unwrap_err().to_string(),
        "network blue/six is in use by policy blue/p"
    );
}
