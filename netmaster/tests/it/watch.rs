//! Watches: nothing left out, nothing twice, nothing of others, and bounded.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, which clippy does not see as tests"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use http::Request;
use netmaster::http::WatchBounds;
use proptest::prelude::*;
use serde_json::{Value, json};
use store::intent::Depth;
use test_support::wait_for;
use tower::ServiceExt;

use crate::bench::{Bench, KINDS, Kind, STORES, replica_with};

const PATIENCE: Duration = Duration::from_secs(20);
const POLICIES: &str = "/api/v1/tenants/blue/policies";

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub kind: String,
    pub id: Option<String>,
    pub data: Value,
}

/// A watch as a client reads it.
pub struct Reader {
    stream: BodyDataStream,
    text: String,
}

enum Opened {
    Watch(Reader),
    Refused(u16, Value),
}

async fn open(router: &Router, token: &str, path: &str, last: Option<&str>) -> Opened {
    let mut request = Request::get(path).header("authorization", format!("Bearer {token}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let request = request.body(Body::empty()).expect("request");
    let response = router.clone().oneshot(request).await.expect("infallible");
    let status = response.status().as_u16();
    if status != 200 {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("body");
        return Opened::Refused(status, serde_json::from_slice(&bytes).expect("json"));
    }
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Opened::Watch(Reader { stream: response.into_body().into_data_stream(), text: String::new() })
}

pub async fn watch(bench: &Bench, path: &str, last: Option<&str>) -> Reader {
    match open(&bench.replica.router, &bench.token, path, last).await {
        Opened::Watch(reader) => reader,
        Opened::Refused(status, problem) => panic!("{status} {problem}"),
    }
}

impl Reader {
    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
                };
                let read = Event {
                    kind: field("event").expect("event"),
                    id: field("id"),
                    data: serde_json::from_str(&field("data").expect("data")).expect("json"),
                };
                self.text = rest.to_owned();
                return Some(read);
            }
            let bytes = self.stream.next().await?.expect("infallible");
            self.text.push_str(std::str::from_utf8(&bytes).expect("utf-8"));
        }
    }

    pub async fn until(&mut self, kind: &str) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            let last = event.kind == kind;
            events.push(event);
            if last {
                return events;
            }
        }
        panic!("ended before {kind}: {events:?}");
    }
}

/// The part of an id that says where in history it is.
fn place(event: &Event) -> Option<&str> {
    event.id.as_deref().map(|id| id.split('~').next().unwrap_or_default())
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|e| e.kind.as_str()).collect()
}

fn policy(name: &str, port: u16) -> Value {
    let rule = json!({"name": "r", "direction": "ingress", "protocol": "tcp", "port": port.to_string(), "action": "deny"});
    json!({"kind": "policy", "tenant": "blue", "name": name, "rules": [rule]})
}

#[tokio::test]
async fn changes_arrive_whole_and_in_order() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let list = bench.get(POLICIES).await.body;
        let from = list["resourceVersion"].as_str().unwrap();
        let mut reader = watch(&bench, &format!("{POLICIES}?watch=true&resourceVersion={from}"), None).await;
        let hello = reader.next().await.unwrap();
        assert_eq!((hello.kind.as_str(), hello.id.is_some()), ("bookmark", true));

        let created = bench.post(POLICIES, policy("n", 1)).await.body;
        let added = reader.next().await.unwrap();
        assert_eq!((added.kind.as_str(), &added.data), ("added", &created), "{kind:?}");
        assert_eq!(place(&added), created["resourceVersion"].as_str());
        let replaced = bench.put(&format!("{POLICIES}/n"), policy("n", 2)).await.body;
        assert_eq!(reader.next().await.unwrap().data, replaced);
        assert_eq!(bench.delete(&format!("{POLICIES}/n")).await.status, 204);
        let deleted = reader.next().await.unwrap();
        assert_eq!((deleted.kind.as_str(), &deleted.data["rules"]), ("deleted", &replaced["rules"]));
        assert_eq!(deleted.data["resourceVersion"].as_str(), place(&deleted), "{kind:?}");
    }
}

#[tokio::test]
async fn without_a_revision_it_begins_with_what_exists() {
    let bench = Bench::furnished(KINDS[1]).await;
    let many: Vec<Value> = (0..250).map(|n| policy(&format!("n{n:03}"), n + 1)).collect();
    for some in many.chunks(50) {
        assert_eq!(bench.post("/api/v1/apply", json!({"documents": some})).await.status, 200);
    }
    let list = bench.get(POLICIES).await.body;
    let mut reader = watch(&bench, &format!("{POLICIES}?watch=true"), None).await;
    let events = reader.until("bookmark").await;
    assert_eq!(events.last().and_then(place), list["resourceVersion"].as_str());
    let objects: Vec<Value> = events[..events.len() - 1].iter().map(|e| e.data.clone()).collect();
    assert_eq!(Value::Array(objects), list["items"]);
    assert!(events.iter().rev().skip(1).all(|e| e.kind == "added" && e.id.is_none()));
}

#[tokio::test]
async fn another_tenants_or_nouns_changes_are_not_shown() {
    let bench = Bench::furnished(KINDS[0]).await;
    let mut reader = watch(&bench, &format!("{POLICIES}?watch=true"), None).await;
    reader.until("bookmark").await;
    let mut others = policy("secret", 7);
    others["tenant"] = json!("green");
    let group = json!({"kind": "group", "tenant": "blue", "name": "g", "network": "web"});
    let documents = json!({"documents": [others, group, policy("mine", 8)]});
    assert_eq!(bench.post("/api/v1/apply", documents).await.status, 200);
    let event = reader.next().await.unwrap();
    assert_eq!(event.data["name"], "mine");
    // It is the only event of its revision here, so its place is after all of it.
    assert!(!event.id.unwrap().contains('/'));
}

#[tokio::test]
async fn slow_reader_finds_its_place_gone_and_is_told() {
    let mut bench = Bench::furnished(KINDS[0]).await;
    let shallow = Depth { revisions: 3, ..Depth::default() };
    bench.replica = replica_with(&bench.store, shallow, WatchBounds::default()).await;
    let mut reader = watch(&bench, &format!("{POLICIES}?watch=true"), None).await;
    reader.until("bookmark").await;
    for n in 0..100 {
        assert_eq!(bench.put(&format!("{POLICIES}/n"), policy("n", n + 1)).await.status / 100, 2);
    }
    let events = reader.until("gone").await;
    assert_eq!(events.last().unwrap().data["code"], "gone");
    assert!(events.len() <= 64, "{}", events.len());
    assert_eq!(reader.next().await, None);
    // Taken up again: still gone, as a problem.
    let first = format!("{POLICIES}?watch=true&resourceVersion=1");
    let Opened::Refused(410, problem) = open(&bench.replica.router, &bench.token, &first, None).await else {
        panic!("not gone");
    };
    assert_eq!(problem["code"], "gone");
}

#[tokio::test]
async fn revision_of_another_history_is_gone() {
    let bench = Bench::furnished(KINDS[0]).await;
    let path = format!("{POLICIES}?watch=true&resourceVersion=4000000000");
    assert!(matches!(open(&bench.replica.router, &bench.token, &path, None).await, Opened::Refused(410, _)));
}

#[tokio::test]
async fn restarted_replica_goes_on_where_the_old_one_was() {
    for kind in STORES {
        let mut bench = Bench::furnished(kind).await;
        let mut reader = watch(&bench, &format!("{POLICIES}?watch=true"), None).await;
        let place = reader.until("bookmark").await.pop().unwrap().id;
        let created = bench.post(POLICIES, policy("meanwhile", 1)).await.body;
        bench.replica = bench.another().await;
        let mut reader = watch(&bench, &format!("{POLICIES}?watch=true"), place.as_deref()).await;
        let events = reader.until("added").await;
        assert_eq!(events.last().unwrap().data, created, "{kind:?}");
    }
}

#[tokio::test]
async fn watches_are_bounded_in_number_and_places_are_given_back() {
    let mut bench = Bench::furnished(KINDS[0]).await;
    bench.replica =
        replica_with(&bench.store, Depth::default(), WatchBounds { watches: 2, ..WatchBounds::default() })
            .await;
    let path = format!("{POLICIES}?watch=true");
    let held = (watch(&bench, &path, None).await, watch(&bench, &path, None).await);
    let Opened::Refused(429, problem) = open(&bench.replica.router, &bench.token, &path, None).await else {
        panic!("a third one");
    };
    assert_eq!(problem["code"], "too_many_watches");
    drop(held.0);
    watch(&bench, &path, None).await;
}

#[tokio::test]
async fn watch_needs_a_credential_and_a_tenant() {
    let bench = Bench::furnished(KINDS[0]).await;
    let router = &bench.replica.router;
    let path = format!("{POLICIES}?watch=true");
    assert!(matches!(open(router, "bootstrap.00", &path, None).await, Opened::Refused(401, _)));
    let path = "/api/v1/tenants/red/networks?watch=true";
    assert!(matches!(open(router, &bench.token, path, None).await, Opened::Refused(404, _)));
}

fn quick() -> WatchBounds {
    WatchBounds { heartbeat: Duration::from_millis(20), ..WatchBounds::default() }
}

#[tokio::test]
async fn idle_watch_has_bookmarks_and_ends_with_its_credential() {
    let mut bench = Bench::furnished(KINDS[0]).await;
    bench.replica = replica_with(&bench.store, Depth::default(), quick()).await;
    let mut reader = watch(&bench, "/api/v1/tenants?watch=true", None).await;
    let first = reader.until("bookmark").await.pop().unwrap();
    let second = reader.next().await.unwrap();
    assert_eq!((second.kind.as_str(), second.id), ("bookmark", first.id));
    let tokens = store::list_all(bench.store.as_ref(), &store::Prefix::admin_tokens()).await.unwrap().0;
    let txn = tokens.into_iter().fold(store::Txn::new(), |txn, kv| txn.delete(kv.key));
    let _ = bench.store.txn(txn).await.unwrap();
    let events = reader.until("error").await;
    assert_eq!(events.last().unwrap().data["code"], "unauthorized");
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn watch_that_always_has_something_to_read_ends_with_its_credential_too() {
    let mut bench = Bench::furnished(KINDS[0]).await;
    let always = WatchBounds { heartbeat: Duration::from_nanos(1), ..WatchBounds::default() };
    bench.replica = replica_with(&bench.store, Depth::default(), always).await;
    let place = bench.get("/api/v1/tenants").await.body["resourceVersion"].as_str().unwrap().to_owned();
    for n in 0..5 {
        assert_eq!(bench.put(&format!("/api/v1/tenants/t{n}"), json!({})).await.status, 201);
    }
    let path = "/api/v1/tenants?watch=true";
    let mut reader = watch(&bench, path, Some(&place)).await;
    assert_eq!(reader.next().await.unwrap().kind, "added");
    let tokens = store::list_all(bench.store.as_ref(), &store::Prefix::admin_tokens()).await.unwrap().0;
    let txn = tokens.into_iter().fold(store::Txn::new(), |txn, kv| txn.delete(kv.key));
    let _ = bench.store.txn(txn).await.unwrap();
    let refused = wait_for("the revocation", PATIENCE, || async {
        let status = bench.get("/api/v1/tenants").await.status;
        if status == 401 { Ok(()) } else { Err(status.to_string()) }
    });
    refused.await.unwrap();
    assert_eq!(reader.next().await.unwrap().data["code"], "unauthorized");
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn watch_of_a_tenant_ends_with_the_tenant() {
    let mut bench = Bench::new(KINDS[0]).await;
    bench.replica = replica_with(&bench.store, Depth::default(), quick()).await;
    assert_eq!(bench.put("/api/v1/tenants/red", json!({})).await.status, 201);
    let mut reader = watch(&bench, "/api/v1/tenants/red/groups?watch=true", None).await;
    reader.until("bookmark").await;
    assert_eq!(bench.delete("/api/v1/tenants/red").await.status, 204);
    assert_eq!(reader.until("error").await.last().unwrap().data["code"], "not_found");
}

#[tokio::test]
async fn bookmark_moves_on_with_what_others_write() {
    let bench = Bench::furnished(KINDS[0]).await;
    assert_eq!(bench.put("/api/v1/tenants/red", json!({})).await.status, 201);
    let mut reader = watch(&bench, &format!("{POLICIES}?watch=true&resourceVersion=2"), None).await;
    let events = reader.until("bookmark").await;
    assert_eq!(kinds(&events), ["added", "bookmark"]);
    let now = bench.get("/api/v1/tenants/red").await.body["resourceVersion"].clone();
    assert_eq!(events[1].data["resourceVersion"], now);
}

/// What a client that reconnects again and again knows in the end, and how often it was told each change.
struct Tally {
    known: BTreeMap<String, Value>,
    changes: BTreeMap<(u64, String), usize>,
    last: u64,
}

impl Tally {
    fn take(&mut self, event: &Event) {
        let name = event.data["name"].as_str().map(str::to_owned);
        let Some(name) = name.filter(|_| event.kind != "bookmark") else { return };
        if event.kind == "status" {
            // Only what is known can have another status, at the version it is known at.
            let known = self.known.insert(name, event.data.clone()).expect("a status of what is known");
            assert_eq!(known["resourceVersion"], event.data["resourceVersion"]);
            return;
        }
        let revision: u64 = event.data["resourceVersion"].as_str().unwrap().parse().unwrap();
        assert!(revision >= self.last, "out of order");
        self.last = revision;
        *self.changes.entry((revision, name.clone())).or_default() += 1;
        let before = match event.kind.as_str() {
            "deleted" => self.known.remove(&name),
            _ => self.known.insert(name, event.data.clone()),
        };
        assert_eq!(before.is_none(), event.kind == "added", "{event:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Policies to write (with a port) or delete, in one request.
    Apply(Vec<(u8, u8)>),
    Delete(u8),
    /// Reads so many events, then the connection is lost.
    Read(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => prop::collection::vec((0..6_u8, 0..40_u8), 1..5).prop_map(Step::Apply),
        1 => (0..6_u8).prop_map(Step::Delete),
        2 => (0..5_usize).prop_map(Step::Read),
    ];
    prop::collection::vec(step, 1..40)
}

async fn follow(kind: Kind, steps: Vec<Step>) {
    let bench = Bench::furnished(kind).await;
    let list = bench.get(POLICIES).await.body;
    let known = list["items"].as_array().unwrap().iter();
    let known = known.map(|o| (o["name"].as_str().unwrap().to_owned(), o.clone())).collect();
    let mut tally = Tally { known, changes: BTreeMap::new(), last: 0 };
    let mut last = list["resourceVersion"].as_str().unwrap().to_owned();
    let path = format!("{POLICIES}?watch=true");
    for step in steps {
        match step {
            Step::Apply(some) => {
                let some: BTreeMap<u8, u8> = some.into_iter().collect();
                let documents: Vec<Value> = some
                    .iter()
                    .map(|(name, third)| policy(&format!("n{name}"), u16::from(*third) + 1))
                    .collect();
                let answer = bench.post("/api/v1/apply", json!({"documents": documents})).await;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
            Step::Delete(name) => {
                bench.delete(&format!("{POLICIES}/n{name}")).await;
            }
            Step::Read(count) => {
                let mut reader = watch(&bench, &path, Some(&last)).await;
                for _ in 0..count {
                    let event = reader.next().await.unwrap();
                    tally.take(&event);
                    last = event.id.clone().unwrap_or(last);
                    if event.kind == "bookmark" {
                        break;
                    }
                }
            }
        }
    }
    let end = bench.get(POLICIES).await.body;
    let mut reader = watch(&bench, &path, Some(&last)).await;
    let wanted: u64 = end["resourceVersion"].as_str().unwrap().parse().unwrap();
    let mut reached = false;
    while !reached {
        let event = reader.next().await.unwrap();
        tally.take(&event);
        let whole = place(&event).filter(|id| !id.contains('/'));
        reached = whole.is_some_and(|id| id.parse::<u64>().unwrap() >= wanted);
    }
    let known: Vec<Value> = tally.known.into_values().collect();
    assert_eq!(Value::Array(known), end["items"]);
    assert!(tally.changes.values().all(|times| *times == 1), "{:?}", tally.changes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_happens_nothing_is_left_out_and_nothing_comes_twice(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(follow(Kind::Memory, steps));
    }
}

#[tokio::test]
async fn the_same_on_stores_that_last() {
    let step = |n: u8| match n % 4 {
        0 => Step::Apply(vec![(n % 6, n), ((n + 1) % 6, n), ((n + 2) % 6, n)]),
        1 => Step::Read(usize::from(n % 3)),
        2 => Step::Delete(n % 6),
        _ => Step::Read(2),
    };
    for kind in [Kind::Sqlite, Kind::Etcd] {
        follow(kind, (0..36).map(step).collect()).await;
    }
}
