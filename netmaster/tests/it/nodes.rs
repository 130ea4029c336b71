//! What nodes do with intent: join, make and remove their endpoints.

use model::EndpointSpec;
use netmaster::feed::NodeIntent;
use netmaster::pki;
use node_api::{ErrorCode, Incarnation};
use serde_json::{Value, json};

use crate::bench::{Bench, KINDS, attach, caller, clock};

fn endpoint(name: &str, more: Value) -> EndpointSpec {
    let mut document = json!({"tenant": "blue", "name": name, "network": "web", "node": "n1"});
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    serde_json::from_value(document).expect("spec")
}

#[tokio::test]
async fn an_endpoint_is_made_once_and_removed_once() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        let app: &dyn NodeIntent = &bench.replica.app;
        let (n1, spec) = (caller("n1"), endpoint("b", json!({})));
        let (made, revision) = attach(app, spec.clone()).await.unwrap();
        assert_eq!(made.addresses.len(), 2);
        let (again, later) = attach(app, spec.clone()).await.unwrap();
        assert_eq!((&again, later >= revision), (&made, true));
        let other = attach(app, endpoint("b", json!({"ipv4": "10.1.1.12"}))).await.unwrap_err();
        assert_eq!(other.code, ErrorCode::Conflict, "{other}");

        let delete = async || app.delete_endpoint(&n1, &spec.tenant, &spec.name, Incarnation::Any).await;
        let first = delete().await.unwrap().revision;
        assert!(first > later);
        assert!(delete().await.unwrap().revision >= first);
    }
}

#[tokio::test]
async fn a_late_deletion_leaves_the_next_endpoint_of_its_name_alone() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        bench.join("n2", "198.18.0.2").await;
        let app: &dyn NodeIntent = &bench.replica.app;
        let (n1, n2, spec) = (caller("n1"), caller("n2"), endpoint("b", json!({})));
        let delete =
            async |caller, which| app.delete_endpoint(caller, &spec.tenant, &spec.name, which).await.unwrap();
        let first = attach(app, spec.clone()).await.unwrap().0.uid;
        assert_eq!(delete(&n1, Incarnation::Numbered(first)).await.left, None);
        let second = attach(app, spec.clone()).await.unwrap().0.uid;
        assert_ne!(first, second);
        // As a connection that was cut delivers it.
        assert_eq!(delete(&n1, Incarnation::Numbered(first)).await.left, Some(second), "{kind:?}");
        assert_eq!(delete(&n1, Incarnation::Unknown).await.left, Some(second), "{kind:?}");
        // Another node hears nothing of it, and can do nothing to it.
        assert_eq!(delete(&n2, Incarnation::Unknown).await.left, None);
        assert_eq!(delete(&n2, Incarnation::Numbered(first)).await.left, None);
        let meant = Incarnation::Numbered(second);
        let stranger = app.delete_endpoint(&n2, &spec.tenant, &spec.name, meant).await.unwrap_err();
        assert_eq!(stranger.code, ErrorCode::NotYourNode);
        let found = attach(app, spec.clone()).await.unwrap().0.uid;
        assert_eq!(found, second, "{kind:?}: it is still there");
        assert_eq!(delete(&n1, meant).await.left, None);
        assert_eq!(delete(&n1, Incarnation::Unknown).await.left, None);
    }
}

#[tokio::test]
async fn a_node_does_not_change_what_people_said_of_an_endpoint() {
    let bench = Bench::furnished(KINDS[0]).await;
    let group = json!({"name": "quarantine", "network": "web"});
    assert_eq!(bench.post("/api/v1/tenants/blue/groups", group).await.status, 201);
    let path = "/api/v1/tenants/blue/endpoints/a";
    let moved = bench
        .put(path, json!({"network": "web", "node": "n1", "group": "quarantine", "ipv4": "10.1.1.10"}))
        .await;
    assert_eq!(moved.status, 200, "{moved:?}");
    let app: &dyn NodeIntent = &bench.replica.app;
    // The agent plugs it in again and says what it said the first time, or nothing.
    let again = attach(app, endpoint("a", json!({"group": "app"}))).await.unwrap_err();
    assert_eq!(again.code, ErrorCode::Conflict, "{again}");
    assert!(again.text.contains("group \"app\": the endpoint exists with another one"), "{again}");
    let (kept, _) = attach(app, endpoint("a", json!({}))).await.unwrap();
    assert_eq!(kept.spec.group.map(|g| g.to_string()).as_deref(), Some("quarantine"));
    assert_eq!(bench.get(path).await.body["resourceVersion"], moved.body["resourceVersion"]);
}

#[tokio::test]
async fn a_node_cannot_touch_another_nodes_endpoint() {
    let bench = Bench::furnished(KINDS[0]).await;
    bench.join("n2", "198.18.0.2").await;
    let app: &dyn NodeIntent = &bench.replica.app;
    let taken = attach(app, endpoint("a", json!({"node": "n2"}))).await.unwrap_err();
    assert_eq!(taken.code, ErrorCode::NotYourNode);
    let spec = endpoint("a", json!({}));
    let removed =
        app.delete_endpoint(&caller("n2"), &spec.tenant, &spec.name, Incarnation::Any).await.unwrap_err();
    assert_eq!(removed.code, ErrorCode::NotYourNode);
    assert_eq!(bench.get("/api/v1/tenants/blue/endpoints/a").await.status, 200);
}

#[tokio::test]
async fn refusals_have_codes_agents_decide_by() {
    let bench = Bench::furnished(KINDS[0]).await;
    let app: &dyn NodeIntent = &bench.replica.app;
    let code = async |spec| attach(app, spec).await.err().map(|e| e.code);
    assert_eq!(code(endpoint("b", json!({}))).await, None);
    assert_eq!(code(endpoint("c", json!({}))).await, None);
    assert_eq!(code(endpoint("d", json!({}))).await, Some(ErrorCode::Exhausted));
    assert_eq!(code(endpoint("d", json!({"ipv4": "10.9.9.9"}))).await, Some(ErrorCode::Invalid));
    assert_eq!(code(endpoint("d", json!({"network": "nope"}))).await, Some(ErrorCode::Invalid));
}

#[tokio::test]
async fn a_join_token_admits_its_node_once() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        let file = bench.post("/api/v1/nodes/n2/join-token", Value::Null).await;
        assert_eq!((file.status, file.body["server"].as_str()), (200, Some("m.example:9998")), "{file:?}");
        let token = file.body["token"].as_str().unwrap();
        let n2 = caller("n2");
        let claim = async || pki::claim(bench.store.as_ref(), token, &n2.node, clock().now()).await;
        let (first, second) = (claim().await.unwrap(), claim().await.unwrap());
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let csr = pki::ValidCsr::parse(&csr).unwrap();
        let spec: model::NodeSpec =
            serde_json::from_value(json!({"name": "n2", "vtep": "198.18.0.2"})).unwrap();

        let app: &dyn NodeIntent = &bench.replica.app;
        app.admit_node(&n2, spec.clone(), csr.key_hash(), first).await.unwrap();
        assert_eq!(bench.get("/api/v1/nodes/n2").await.body["vtep"], "198.18.0.2");
        let used = app.admit_node(&n2, spec, csr.key_hash(), second).await.unwrap_err();
        assert_eq!(used.code, ErrorCode::TokenInvalid, "{used}");
        assert!(claim().await.is_err());
        let twin = serde_json::from_value(json!({"name": "n3", "vtep": "198.18.0.2"})).unwrap();
        let twin =
            bench.replica.app.put_node(&crate::bench::actor(), twin, String::new(), Default::default()).await;
        assert!(twin.unwrap_err().to_string().contains("is the tunnel endpoint of node n2"));
    }
}
