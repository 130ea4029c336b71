//! Every refusal's problem body, as golden JSON. `BLESS=1` writes it.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::bench::{Bench, KINDS, Kind};

struct Case {
    what: &'static str,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: String,
}

fn case(what: &'static str, request: &'static str, body: impl ToString) -> Case {
    let (method, path) = request.split_once(' ').expect("METHOD PATH");
    Case { what, method, path, headers: &[], body: body.to_string() }
}

fn cases() -> Vec<Case> {
    let mut no_token = case("no credential", "GET /api/v1/tenants", "");
    no_token.headers = &[("authorization", "")];
    let mut wrong_token = case("wrong credential", "GET /api/v1/nope", "");
    wrong_token.headers = &[("authorization", "Bearer bootstrap.00")];
    let mut stale = case("stale version", "DELETE /api/v1/tenants/default", "");
    stale.headers = &[("if-match", "\"999999\"")];
    let many: Vec<Value> = (0..100).map(|i| json!({"kind": "tenant", "name": format!("t{i}")})).collect();
    vec![
        no_token,
        wrong_token,
        stale,
        case("unknown path", "GET /api/v1/nope", ""),
        case("method that is not possible", "DELETE /api/v1/tenants", ""),
        case("not JSON", "POST /api/v1/tenants", "{\"name\": "),
        case(
            "unknown field",
            "POST /api/v1/tenants/blue/policies",
            "{\"name\": \"p\",\n \"rules\": [{\"nmae\": 1}]}",
        ),
        case(
            "unknown field in a document",
            "POST /api/v1/apply",
            json!({"documents": [{"kind": "tenant", "name": "x", "vrf": 7}]}),
        ),
        case(
            "malformed value",
            "POST /api/v1/tenants/blue/networks",
            json!({"name": "n", "ipv4": {"subnet": "10.0.0.1/24"}}),
        ),
        case("name missing", "POST /api/v1/tenants", "{}"),
        case("name against path", "PUT /api/v1/tenants/blue", json!({"name": "green"})),
        case("name that cannot be", "PUT /api/v1/tenants/Blue", "{}"),
        case("no such object", "GET /api/v1/tenants/blue/networks/nope", ""),
        case(
            "no such tenant",
            "POST /api/v1/tenants/red/networks",
            json!({"name": "n", "ipv4": {"subnet": "10.0.0.0/24"}}),
        ),
        case("tenant that cannot be", "GET /api/v1/tenants/RED/networks", ""),
        case("exists", "POST /api/v1/tenants", json!({"name": "blue"})),
        case("in use", "DELETE /api/v1/tenants/blue", ""),
        case(
            "overlap",
            "POST /api/v1/tenants/blue/networks",
            json!({"name": "n", "ipv4": {"subnet": "10.1.0.0/16", "gateway": "10.2.0.1"}}),
        ),
        case(
            "another tenant's group",
            "POST /api/v1/tenants/blue/policies",
            json!({"name": "p", "rules": [
            {"name": "r", "direction": "ingress", "peer": {"group": "hidden"}, "action": "allow"}]}),
        ),
        case(
            "another tenant's network",
            "POST /api/v1/tenants/green/groups",
            json!({"name": "g", "network": "db"}),
        ),
        case(
            "immutable field",
            "PUT /api/v1/tenants/blue/networks/web",
            json!({"ipv4": {"subnet": "10.1.1.0/24"}}),
        ),
        case(
            "address in use",
            "POST /api/v1/tenants/blue/endpoints",
            json!({"name": "e", "network": "web", "node": "n1", "ipv4": "10.1.1.10"}),
        ),
        case("too large to be one transaction", "POST /api/v1/apply", json!({"documents": many})),
        case("join token for a name that cannot be", "POST /api/v1/nodes/N_1/join-token", ""),
    ]
}

async fn answers(kind: Kind) -> Value {
    let bench = Bench::furnished(kind).await;
    let mut out = Vec::new();
    for case in cases() {
        let mut answer = bench.call(case.method, case.path, case.headers, Some(case.body.clone())).await;
        let id = answer.body["requestId"].take();
        assert_eq!(id.as_str(), answer.headers["x-request-id"].to_str().ok(), "{}", case.what);
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{}", case.what);
        assert_eq!(answer.body["status"], answer.status);
        let body = answer.body.as_object_mut().expect("an object");
        body.remove("requestId");
        out.push(
            json!({"what": case.what, "request": format!("{} {}", case.method, case.path), "answer": body}),
        );
    }
    Value::Array(out)
}

#[tokio::test]
async fn every_refusal_has_its_problem_body() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/problems.json");
    for kind in KINDS {
        let text = format!("{:#}\n", answers(kind).await);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            text == golden,
            "{kind:?} answers differ from {}: run ./dev bless and read the difference",
            file.display()
        );
    }
}

#[tokio::test]
async fn refused_requests_change_nothing() {
    let bench = Bench::furnished(KINDS[1]).await;
    let before = bench.store.health().await.unwrap().revision;
    for case in cases() {
        let _ = bench.call(case.method, case.path, case.headers, Some(case.body.clone())).await;
    }
    assert_eq!(bench.store.health().await.unwrap().revision, before);
}

#[tokio::test]
async fn long_bodies_are_cut_off() {
    let bench = Bench::new(KINDS[0]).await;
    let body = "x".repeat(netmaster::http::MAX_BODY + 1);
    let answer = bench.call("POST", "/api/v1/apply", &[], Some(body)).await;
    assert_eq!((answer.status, answer.body["code"].as_str()), (413, Some("body_too_large")));
}

#[tokio::test]
async fn who_sent_a_body_that_was_not_read_is_told_that_the_connection_ends() {
    let bench = Bench::new(KINDS[0]).await;
    let ends = async |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let answer = bench.call(method, path, headers, Some(body.to_owned())).await;
        answer.headers.get("connection").map(|v| v.to_str().unwrap().to_owned())
    };
    let nobody = [("authorization", "")];
    assert_eq!(ends("POST", "/api/v1/tenants", &nobody, "{}").await.as_deref(), Some("close"));
    assert_eq!(ends("PATCH", "/api/v1/tenants", &[], "{}").await.as_deref(), Some("close"));
    // Read to its end, or none: the connection goes on.
    assert_eq!(ends("POST", "/api/v1/tenants", &[], "{}").await, None);
    assert_eq!(ends("POST", "/api/v1/tenants", &[("content-type", "text/plain")], "{}").await, None);
    assert_eq!(ends("GET", "/api/v1/tenants", &nobody, "").await, None);
}
