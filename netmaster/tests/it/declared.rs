//! Statuses the document lists are answered, all of them: a list that says too much is as useless as one that says too
//! little, which `bench` refuses with every answer of every test.
#![expect(clippy::panic, reason = "helpers of tests, which clippy does not see as tests")]

use std::collections::{BTreeMap, BTreeSet};

use netmaster::http::{MAX_BODY, WatchBounds};
use serde_json::{Value, json};
use store::intent::Depth;

use crate::bench::{Bench, KINDS, replica_with, route_of};

/// Which statuses each endpoint has answered.
struct Tally {
    bench: Bench,
    answered: BTreeMap<String, BTreeSet<u16>>,
}

impl Tally {
    #[track_caller]
    fn note(&mut self, method: &str, path: &str, status: u16, wanted: u16, body: &Value) {
        assert_eq!(status, wanted, "{method} {path}: {body}");
        let Some(route) = route_of(method, path) else { panic!("{method} {path} is nothing") };
        self.answered.entry(route.call.operation().into_owned()).or_default().insert(status);
    }

    async fn asks(&mut self, wanted: u16, request: &str, headers: &[(&str, &str)], body: impl ToString) {
        let (method, path) = request.split_once(' ').expect("METHOD PATH");
        let answer = self.bench.call(method, path, headers, Some(body.to_string())).await;
        self.note(method, path, answer.status, wanted, &answer.body);
    }

    /// What every collection answers.
    async fn collection(&mut self, path: &str, other: &str) {
        self.asks(200, &format!("GET {path}"), &[], "").await;
        self.asks(400, &format!("GET {path}?limit=0"), &[], "").await;
        self.asks(401, &format!("GET {path}"), &[("authorization", "")], "").await;
        if !other.is_empty() {
            self.asks(404, &format!("GET {other}"), &[], "").await;
        }
        self.asks(410, &format!("GET {path}?watch=true&resourceVersion=4000000000"), &[], "").await;
        let none = WatchBounds { watches: 0, ..WatchBounds::default() };
        let full = replica_with(&self.bench.store, Depth::default(), none).await;
        let replica = std::mem::replace(&mut self.bench.replica, full);
        self.asks(429, &format!("GET {path}?watch=true"), &[], "").await;
        self.bench.replica = replica;
    }

    /// What every object answers to who reads or deletes it. `used` is in use, `free` is not.
    async fn object(&mut self, used: &str, free: &str) {
        let missing = format!("{}/none", free.rsplit_once('/').expect("a path").0);
        self.asks(200, &format!("GET {free}"), &[], "").await;
        self.asks(304, &format!("GET {free}"), &[("if-none-match", "*")], "").await;
        self.asks(400, &format!("GET {free}"), &[("if-none-match", "7")], "").await;
        self.asks(401, &format!("GET {free}"), &[("authorization", "")], "").await;
        self.asks(404, &format!("GET {missing}"), &[], "").await;
        self.asks(400, &format!("DELETE {free}"), &[("if-match", "7")], "").await;
        self.asks(401, &format!("DELETE {free}"), &[("authorization", "")], "").await;
        self.asks(404, &format!("DELETE {missing}"), &[], "").await;
        if !used.is_empty() {
            self.asks(409, &format!("DELETE {used}"), &[], "").await;
        }
        self.asks(412, &format!("DELETE {free}"), &[("if-match", "\"1\"")], "").await;
        self.asks(204, &format!("DELETE {free}"), &[], "").await;
    }

    /// What every body is answered with that is none.
    async fn body(&mut self, request: &str, refused: &Value) {
        self.asks(400, request, &[], "{").await;
        self.asks(401, request, &[("authorization", "")], "{}").await;
        self.asks(413, request, &[], "x".repeat(MAX_BODY + 1)).await;
        self.asks(415, request, &[("content-type", "application/x-www-form-urlencoded")], "{}").await;
        self.asks(415, request, &[("content-type", "application/jsonp; charset=utf-8")], "{}").await;
        self.asks(422, request, &[], refused).await;
    }

    /// A noun that people write. `tenant` is the path it lies in, if it lies in one.
    async fn noun(&mut self, (tenant, noun): (&str, &str), used: &str, body: Value) {
        let place = |tenant: &str| {
            if tenant.is_empty() { "/api/v1".to_owned() } else { format!("/api/v1/tenants/{tenant}") }
        };
        let (path, other) = (format!("{}/{noun}", place(tenant)), format!("{}/{noun}", place("nobody")));
        let named = |name: &str, more: Value| {
            let mut body = body.clone();
            body["name"] = json!(name);
            if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
                body.extend(more.clone());
            }
            body
        };
        let foreign = named("x", json!({"kind": "node"}));
        self.collection(&path, if tenant.is_empty() { "" } else { &other }).await;
        let create = format!("POST {path}");
        self.body(&create, &foreign).await;
        self.asks(412, &create, &[], named("x", json!({"resourceVersion": "1"}))).await;
        self.asks(
            201,
            &create,
            &[("content-type", "application/json; charset=utf-8")],
            named("x", json!({})),
        )
        .await;
        self.asks(409, &create, &[], named("x", json!({}))).await;
        let replace = format!("PUT {path}/y");
        self.body(&replace, &named("y", json!({"kind": "node"}))).await;
        self.asks(412, &replace, &[("if-match", "*")], &body).await;
        self.asks(200, &format!("PUT {path}/x"), &[], &body).await;
        if !tenant.is_empty() {
            self.asks(404, &format!("POST {other}"), &[], named("x", json!({}))).await;
            self.asks(404, &format!("PUT {other}/x"), &[], &body).await;
        }
        let used = if used.is_empty() { String::new() } else { format!("{path}/{used}") };
        self.object(&used, &format!("{path}/x")).await;
        self.asks(201, &replace, &[], &body).await;
    }

    async fn nodes(&mut self) {
        self.collection("/api/v1/nodes", "").await;
        self.bench.join("n2", "198.18.0.2").await;
        for verb in ["cordon", "uncordon", "drain"] {
            let path = |node: &str| format!("POST /api/v1/nodes/{node}/{verb}");
            self.asks(200, &path("n2"), &[], "").await;
            self.asks(401, &path("n2"), &[("authorization", "")], "").await;
            self.asks(404, &path("n9"), &[], "").await;
            self.asks(422, &path("N9"), &[], "").await;
        }
        self.asks(200, "POST /api/v1/nodes/n3/join-token", &[], "").await;
        self.asks(401, "POST /api/v1/nodes/n3/join-token", &[("authorization", "")], "").await;
        self.asks(422, "POST /api/v1/nodes/N3/join-token", &[], "").await;
        self.asks(422, "DELETE /api/v1/nodes/N1", &[], "").await;
        self.object("/api/v1/nodes/n1", "/api/v1/nodes/n2").await;
    }

    async fn others(&mut self) {
        let apply = "POST /api/v1/apply";
        self.asks(200, apply, &[], json!({"documents": []})).await;
        self.body(
            apply,
            &json!({"documents": [{"kind": "group", "tenant": "blue", "name": "g", "network": "no"}]}),
        )
        .await;
        let stale = json!({"documents": [{"kind": "tenant", "name": "blue", "resourceVersion": "1"}]});
        self.asks(412, apply, &[], stale).await;
        let counters = |tenant: &str| format!("GET /api/v1/tenants/{tenant}/policies/guard/counters");
        self.asks(200, &counters("blue"), &[], "").await;
        self.asks(401, &counters("blue"), &[("authorization", "")], "").await;
        self.asks(404, &counters("nobody"), &[], "").await;
        self.asks(404, &counters("blue").replace("guard", "none"), &[], "").await;
        let explain = "POST /api/v1/tenants/blue/explain";
        let asked = json!({"from": "a", "to": "10.1.1.99", "traffic": "tcp/80"});
        self.asks(200, explain, &[], &asked).await;
        self.body(explain, &json!({"from": "nobody", "to": "a", "traffic": "tcp/80"})).await;
        self.asks(404, "POST /api/v1/tenants/nobody/explain", &[], &asked).await;
        self.asks(200, "GET /api/v1/status", &[], "").await;
        self.asks(401, "GET /api/v1/status", &[("authorization", "")], "").await;
        self.asks(200, "GET /api/v1/audit", &[], "").await;
        self.asks(401, "GET /api/v1/audit", &[("authorization", "")], "").await;
        for path in ["/api/v1/version", "/api/v1/openapi.json", "/livez", "/readyz"] {
            self.asks(200, &format!("GET {path}"), &[("authorization", "")], "").await;
        }
        self.asks(400, "GET /readyz?verbose=why", &[], "").await;
        self.asks(401, "GET /readyz?verbose", &[("authorization", "")], "").await;
    }
}

/// Statuses that are not answered here: a store that does not answer, a defect, and a transaction of few operations that
/// is larger than a store was told to take.
fn elsewhere(route: &api::Route) -> BTreeSet<u16> {
    let small = route.call.body().is_none() && route.statuses().contains(&413);
    [500, 503].into_iter().chain(small.then_some(413)).collect()
}

#[tokio::test]
async fn every_listed_status_is_answered() {
    let mut tally = Tally { bench: Bench::furnished(KINDS[0]).await, answered: BTreeMap::new() };
    tally.noun(("", "tenants"), "blue", json!({})).await;
    tally.noun(("blue", "networks"), "web", json!({"ipv4": {"subnet": "10.7.0.0/24"}})).await;
    tally.noun(("blue", "policies"), "guard", json!({"rules": []})).await;
    let rated = json!({"documents": [
        {"kind": "netprofile", "tenant": "blue", "name": "gold", "egress": {"rate": "20Mbps"}},
        {"kind": "group", "tenant": "blue", "name": "rated", "network": "web", "netProfile": "gold"}]});
    tally.asks(200, "POST /api/v1/apply", &[], rated).await;
    tally.noun(("blue", "netprofiles"), "gold", json!({"dscp": 46})).await;
    tally.noun(("blue", "groups"), "app", json!({"network": "web"})).await;
    tally.noun(("blue", "endpoints"), "", json!({"network": "web", "node": "n1"})).await;
    tally.others().await;
    tally.nodes().await;
    for route in api::v1::routes() {
        let answered = tally.answered.remove(&*route.call.operation()).unwrap_or_default();
        let missing: Vec<_> = route.statuses().difference(&elsewhere(&route)).copied().collect();
        let missing: Vec<_> = missing.into_iter().filter(|s| !answered.contains(s)).collect();
        assert!(missing.is_empty(), "{} never answers {missing:?}", route.call.operation());
    }
}
