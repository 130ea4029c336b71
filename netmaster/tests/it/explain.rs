//! What `explain` says of connections, and to whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use netmaster::feed::{NodeStatus, Status};
use netmaster::http::WatchBounds;
use node_api::Realized;
use node_state::FragmentKey;
use serde_json::{Value, json};

use crate::bench::{Bench, KINDS, replica_reporting};

/// Two endpoints of group app, whose policy denies what comes in but web traffic from the group.
async fn bench() -> Bench {
    let bench = Bench::furnished(KINDS[0]).await;
    let documents = json!({"documents": [
        {"kind": "policy", "tenant": "blue", "name": "guard", "rules": [
            {"name": "deny", "direction": "ingress", "action": "deny", "priority": 1},
            {"name": "web", "direction": "ingress", "action": "allow", "priority": 10, "peer": {"group": "app"},
             "protocol": "tcp", "port": 443}]},
        {"kind": "endpoint", "tenant": "blue", "name": "b", "network": "web", "group": "app", "node": "n1"},
        {"kind": "endpoint", "tenant": "green", "name": "a", "network": "web", "node": "n1"},
    ]});
    let applied = bench.post("/api/v1/apply", documents).await;
    assert_eq!(applied.status, 200, "{applied:?}");
    bench
}

async fn explain(bench: &Bench, tenant: &str, body: Value) -> (u16, Value) {
    let answer = bench.post(&format!("/api/v1/tenants/{tenant}/explain"), body).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn the_rule_that_decides_is_named_with_those_that_do_not() {
    let bench = bench().await;
    let (_, allowed) = explain(&bench, "blue", json!({"from": "a", "to": "b", "traffic": "tcp/443"})).await;
    assert_eq!(allowed["verdict"], "allow", "{allowed}");
    let ingress = &allowed["ends"][1];
    assert_eq!((&ingress["direction"], &ingress["endpoint"]), (&json!("ingress"), &json!("b")));
    assert_eq!(ingress["reason"], "rule blue/guard/web");
    let outcomes = ["rule", "outcome"].map(|k| [&ingress["rules"][0][k], &ingress["rules"][1][k]]);
    assert_eq!(json!(outcomes), json!([["web", "deny"], ["decided", "overruled"]]));
    let (_, denied) = explain(&bench, "blue", json!({"from": "a", "to": "b", "traffic": "tcp/80"})).await;
    assert_eq!(denied["verdict"], "deny");
    assert_eq!(denied["reason"], "delivered to nobody: denied at the destination by rule blue/guard/deny");
    let asked = json!({"from": "a", "to": "b", "traffic": "tcp/443", "family": "v6"});
    let (_, v6) = explain(&bench, "blue", asked).await;
    assert!(v6["to"].as_str().is_some_and(|to| to.starts_with("fd00:1::")), "{v6}");
    assert_eq!(denied["warnings"], json!(["node n1 is not connected: its switch does what it last knew"]));
}

/// What a node cannot render it denies, whatever the rules say.
#[tokio::test]
async fn what_the_node_cannot_enforce_is_denied() {
    let mut bench = bench().await;
    let status = tokio::sync::watch::Sender::new(Status::default());
    bench.replica = replica_reporting(&bench.store, &status, WatchBounds::default()).await;
    let view = bench.replica.app.snapshot().view().clone();
    let (tenant, web, app, b) = ("blue", "web", "app", "b");
    let of = |t: &types::Name, n: &str, name: &str| t.as_str() == tenant && n == name;
    let network = view.networks.values().find(|n| of(&n.spec.tenant, n.spec.name.as_str(), web)).unwrap();
    let group = view.groups.values().find(|g| of(&g.spec.tenant, g.spec.name.as_str(), app)).unwrap();
    let guard = view.policies.values().find(|p| of(&p.spec.tenant, p.spec.name.as_str(), "guard")).unwrap();
    let endpoint = view.endpoints.values().find(|e| of(&e.spec.tenant, e.spec.name.as_str(), b)).unwrap();
    for (key, object) in [
        (FragmentKey::Network(network.vni), "network blue/web"),
        (FragmentKey::Group(group.id), "group blue/app"),
        (FragmentKey::Policy(guard.id), "policy blue/guard"),
        (FragmentKey::Endpoint(endpoint.uid), "endpoint blue/b"),
    ] {
        let realized = Realized {
            revision: bench.replica.app.snapshot().revision(),
            flows: 1,
            endpoints: BTreeMap::new(),
            warnings: Vec::new(),
            refused: BTreeMap::from([(key, "as the test says".to_owned())]),
        };
        let line = NodeStatus { realized: Some(Arc::new(realized)), ..NodeStatus::default() };
        status.send_replace(Status::of([("n1".parse().unwrap(), line)]));
        let asked = json!({"from": "a", "to": "b", "traffic": "tcp/443"});
        let (_, denied) = explain(&bench, tenant, asked).await;
        assert_eq!(denied["verdict"], "deny", "{object}: {denied}");
        let reason = denied["reason"].as_str().unwrap();
        let why = format!("{object} cannot be enforced, so it denies: node n1: as the test says");
        assert!(reason.ends_with(&why), "{reason}");
    }
    status.send_replace(Status::default());
    let (_, allowed) = explain(&bench, tenant, json!({"from": "a", "to": "b", "traffic": "tcp/443"})).await;
    assert_eq!(allowed["verdict"], "allow", "{allowed}");
}

#[tokio::test]
async fn who_is_in_another_tenant_does_not_exist() {
    let bench = bench().await;
    let (_, own) = explain(&bench, "blue", json!({"from": "a", "to": "b", "traffic": "icmp"})).await;
    let address = own["from"].clone();
    // Both tenants have an endpoint of this name, and one with this address; asked in green, blue's are not meant.
    let (_, green) = explain(&bench, "green", json!({"from": "a", "to": address, "traffic": "icmp"})).await;
    let text = green.to_string();
    assert!(!text.contains("blue") && !text.contains("guard"), "{text}");
    let (status, refused) =
        explain(&bench, "green", json!({"from": "a", "to": "b", "traffic": "icmp"})).await;
    assert_eq!((status, &refused["errors"][0]["field"]), (422, &json!("/to")), "{refused}");
    assert_eq!(refused["errors"][0]["reason"], "no endpoint of the tenant");
}

#[tokio::test]
async fn switches_are_asked_on_request_and_who_cannot_be_asked_is_named() {
    let bench = bench().await;
    let (_, plain) = explain(&bench, "blue", json!({"from": "a", "to": "b", "traffic": "icmp"})).await;
    assert_eq!(plain["switches"], Value::Null);
    let asked = json!({"from": "a", "to": "b", "traffic": "icmp", "switches": true});
    let (status, answer) = explain(&bench, "blue", asked).await;
    let switches = &answer["switches"];
    assert_eq!((status, &switches["agreement"]), (200, &json!("unknown")), "{answer}");
    assert_eq!(switches["nodes"][0]["node"], "n1");
    assert_eq!(switches["nodes"][0]["outcome"], "unseen", "{answer}");
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused_by_its_field() {
    let bench = bench().await;
    for (body, status, field) in [
        (json!({"from": "10.1.1.200", "to": "b", "traffic": "tcp/1"}), 422, "/from"),
        (json!({"from": "a", "to": "10.1.1.1", "traffic": "tcp/1", "family": "v6"}), 422, "/family"),
        (json!({"from": "a", "to": "b", "traffic": "tcp"}), 400, "/traffic"),
        (json!({"from": "a", "to": "b", "traffic": "tcp/1", "family": "ipv4"}), 400, "/family"),
        (json!({"from": "A B", "to": "b", "traffic": "tcp/1"}), 400, "/from"),
    ] {
        let (answered, refused) = explain(&bench, "blue", body).await;
        assert_eq!((answered, &refused["errors"][0]["field"]), (status, &json!(field)), "{refused}");
    }
}
