//! What becomes of an object is told to who watches it, and to nobody else; seldom, and not left out.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not see as tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use netmaster::feed::{NodeStatus, SessionStatus, Status};
use netmaster::http::WatchBounds;
use node_api::{EndpointState, EndpointStatus, Realized};
use node_state::FragmentKey;
use serde_json::{Value, json};
use types::{EndpointUid, NodeName};

use crate::bench::{Bench, KINDS, replica_reporting};
use crate::watch::{Event, watch};

/// A furnished bench whose node n1 reports what the test says.
struct Stage {
    bench: Bench,
    status: tokio::sync::watch::Sender<Status>,
}

impl Stage {
    /// Looks at statuses as soon as they change; says nothing else unless the test waits for hours.
    async fn new() -> Self {
        Self::with(WatchBounds {
            statuses: Duration::ZERO,
            heartbeat: Duration::from_secs(3600),
            ..WatchBounds::default()
        })
        .await
    }

    async fn with(bounds: WatchBounds) -> Self {
        let mut bench = Bench::furnished(KINDS[0]).await;
        let green = json!({"name": "g", "network": "web", "node": "n1"});
        assert_eq!(bench.post("/api/v1/tenants/green/endpoints", green).await.status, 201);
        let status = tokio::sync::watch::Sender::new(Status::default());
        bench.replica = replica_reporting(&bench.store, &status, bounds).await;
        Self { bench, status }
    }

    /// The node says of these endpoints, by tenant, that they are so.
    fn report(&self, said: &[(&str, EndpointState)]) {
        let snapshot = self.bench.replica.app.snapshot();
        let of = |tenant: &str| {
            let all = snapshot.view().endpoints.values();
            all.filter(|e| e.spec.tenant.as_str() == tenant).map(|e| e.uid).collect::<Vec<_>>()
        };
        let endpoints: BTreeMap<_, _> = said
            .iter()
            .flat_map(|(tenant, state)| of(tenant).into_iter().map(|uid| (uid, *state)))
            .map(|(uid, state)| (uid, EndpointStatus { state, reason: "as the test says".into() }))
            .collect();
        self.reports(endpoints, BTreeMap::new());
    }

    /// The node says this of endpoints, and cannot render these fragments.
    fn reports(
        &self,
        endpoints: BTreeMap<EndpointUid, EndpointStatus>,
        refused: BTreeMap<FragmentKey, String>,
    ) {
        let revision = self.bench.replica.app.snapshot().revision();
        let realized = Realized { revision, flows: 1, endpoints, warnings: Vec::new(), refused };
        let since = "2026-05-04T03:02:01Z".parse().unwrap();
        let line = NodeStatus {
            session: Some(SessionStatus { since, agent_version: "1".into(), sending: None }),
            realized_through: Some(revision),
            realized: Some(Arc::new(realized)),
            ..NodeStatus::default()
        };
        self.status.send_replace(Status::of([(NodeName::new("n1").unwrap(), line)]));
    }
}

#[tokio::test]
async fn what_a_node_cannot_enforce_is_told_where_it_was_asked_for() {
    let stage = Stage::new().await;
    let body = json!({"name": "b", "network": "web", "group": "app", "node": "n1"});
    assert_eq!(stage.bench.post("/api/v1/tenants/blue/endpoints", body).await.status, 201);
    let view = stage.bench.replica.app.snapshot().view().clone();
    let group =
        view.groups.values().find(|g| g.spec.tenant.as_str() == "blue" && g.spec.name.as_str() == "app");
    let endpoint = view.endpoints.values().find(|e| e.spec.name.as_str() == "b").unwrap();
    let refused = BTreeMap::from([
        (FragmentKey::Group(group.unwrap().id), "no meters".to_owned()),
        (FragmentKey::Endpoint(endpoint.uid), "group not known".to_owned()),
    ]);
    stage.reports(BTreeMap::new(), refused);
    let seen = |path: &str| {
        let path = format!("/api/v1/tenants/blue/{path}");
        let bench = &stage.bench;
        async move { bench.get(&path).await.body["status"]["refused"].clone() }
    };
    assert_eq!(seen("groups/app").await, "node n1: no meters");
    assert_eq!(seen("endpoints/b").await, "group not known");
    stage.reports(BTreeMap::new(), BTreeMap::new());
    assert_eq!((seen("groups/app").await, seen("endpoints/b").await), (Value::Null, Value::Null));
}

const BLUE: &str = "/api/v1/tenants/blue/endpoints?watch=true";

fn realization(event: &Event) -> (&str, &str) {
    (event.kind.as_str(), event.data["status"]["realization"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn endpoint_that_is_realized_is_told_and_so_is_its_node() {
    let stage = Stage::new().await;
    let mut endpoints = watch(&stage.bench, BLUE, None).await;
    let mut nodes = watch(&stage.bench, "/api/v1/nodes?watch=true", None).await;
    let added = endpoints.until("bookmark").await.remove(0);
    assert_eq!(realization(&added), ("added", "pending"));
    assert_eq!(nodes.until("bookmark").await[0].data["status"]["connected"], false);
    stage.report(&[("blue", EndpointState::Ready)]);
    let told = endpoints.next().await.unwrap();
    assert_eq!(realization(&told), ("status", "realized"));
    assert_eq!(told.data["resourceVersion"], added.data["resourceVersion"], "nobody changed it");
    let node = nodes.next().await.unwrap();
    assert_eq!((node.kind.as_str(), &node.data["status"]["connected"]), ("status", &json!(true)));
    stage.report(&[("blue", EndpointState::Failed)]);
    let failed = endpoints.next().await.unwrap();
    assert_eq!(realization(&failed), ("status", "refused"));
    assert_eq!(failed.data["status"]["refused"], "as the test says");
}

#[tokio::test]
async fn another_tenants_statuses_are_not_shown() {
    let stage = Stage::new().await;
    let mut blue = watch(&stage.bench, BLUE, None).await;
    let mut green = watch(&stage.bench, &BLUE.replace("blue", "green"), None).await;
    blue.until("bookmark").await;
    green.until("bookmark").await;
    stage.report(&[("green", EndpointState::Failed)]);
    let told = green.next().await.unwrap();
    assert_eq!((realization(&told), told.data["tenant"].as_str()), (("status", "refused"), Some("green")));
    // The next thing the other one sees is its own.
    stage.report(&[("green", EndpointState::Ready), ("blue", EndpointState::Ready)]);
    let told = blue.next().await.unwrap();
    assert_eq!((realization(&told), told.data["tenant"].as_str()), (("status", "realized"), Some("blue")));
}

#[tokio::test]
async fn many_changes_between_two_looks_are_one_event() {
    let stage = Stage::new().await;
    let mut reader = watch(&stage.bench, BLUE, None).await;
    reader.until("bookmark").await;
    for n in 0..1000 {
        let state = if n % 2 == 0 { EndpointState::Failed } else { EndpointState::Ready };
        stage.report(&[("blue", state)]);
    }
    assert_eq!(realization(&reader.next().await.unwrap()), ("status", "realized"));
    // And nothing after it: what comes next is somebody's change.
    let body = json!({"network": "web", "node": "n1"});
    assert_eq!(stage.bench.put("/api/v1/tenants/blue/endpoints/a", body).await.status, 200);
    assert_eq!(reader.next().await.unwrap().kind, "modified");
}

#[tokio::test]
async fn statuses_are_not_looked_at_more_often_than_allowed() {
    let hour = Duration::from_secs(3600);
    let bounds =
        WatchBounds { statuses: hour, heartbeat: Duration::from_millis(5), ..WatchBounds::default() };
    let stage = Stage::with(bounds).await;
    let mut reader = watch(&stage.bench, BLUE, None).await;
    reader.until("bookmark").await;
    stage.report(&[("blue", EndpointState::Failed)]);
    reader.until("status").await;
    stage.report(&[("blue", EndpointState::Ready)]);
    for _ in 0..20 {
        assert_eq!(reader.next().await.unwrap().kind, "bookmark", "the hour is not over");
    }
}

#[tokio::test]
async fn what_moves_on_by_itself_is_no_event() {
    let stage = Stage::new().await;
    let mut nodes = watch(&stage.bench, "/api/v1/nodes?watch=true", None).await;
    nodes.until("bookmark").await;
    stage.report(&[]);
    assert_eq!(nodes.next().await.unwrap().kind, "status");
    // Another revision realized, another number of flows: the node is as well as before.
    assert_eq!(stage.bench.put("/api/v1/tenants/red", json!({})).await.status, 201);
    stage.report(&[("blue", EndpointState::Ready)]);
    assert_eq!(stage.bench.post("/api/v1/nodes/n1/cordon", Value::Null).await.status, 200);
    assert_eq!(nodes.next().await.unwrap().kind, "modified");
}

#[tokio::test]
async fn who_comes_back_is_told_what_changed_meanwhile_and_nothing_else() {
    let stage = Stage::new().await;
    stage.report(&[("blue", EndpointState::Ready)]);
    let mut reader = watch(&stage.bench, BLUE, None).await;
    let last = reader.until("bookmark").await.pop().unwrap().id.unwrap();
    drop(reader);
    let mut reader = watch(&stage.bench, BLUE, Some(&last)).await;
    assert_eq!(reader.next().await.unwrap().id.as_deref(), Some(last.as_str()));
    stage.report(&[("blue", EndpointState::Failed)]);
    let told = reader.next().await.unwrap();
    assert_eq!(realization(&told), ("status", "refused"));
    let last = told.id.unwrap();
    drop(reader);

    stage.report(&[("blue", EndpointState::Ready)]);
    let mut reader = watch(&stage.bench, BLUE, Some(&last)).await;
    let begun = reader.until("status").await;
    assert_eq!(begun.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(), ["bookmark", "status"]);
    assert_eq!(realization(&begun[1]), ("status", "realized"));
    // Cut off before the status arrived, it would come again.
    let cut = begun[0].id.clone().unwrap();
    drop(reader);
    let mut reader = watch(&stage.bench, BLUE, Some(&cut)).await;
    assert_eq!(realization(reader.until("status").await.last().unwrap()), ("status", "realized"));

    // And who has listed, without a word of statuses, may ask for them.
    let list = stage.bench.get("/api/v1/tenants/blue/endpoints").await.body;
    let listed = api::v1::watch::after_list(list["resourceVersion"].as_str().unwrap());
    let mut reader = watch(&stage.bench, BLUE, Some(&listed)).await;
    assert_eq!(reader.until("status").await.pop().unwrap().data, list["items"][0]);
    let by_revision = format!("{BLUE}&resourceVersion={}", list["resourceVersion"].as_str().unwrap());
    let mut reader = watch(&stage.bench, &by_revision, None).await;
    reader.until("bookmark").await;
    stage.report(&[("blue", EndpointState::Failed)]);
    assert_eq!(
        realization(&reader.next().await.unwrap()),
        ("status", "refused"),
        "what changes from then on"
    );
}
