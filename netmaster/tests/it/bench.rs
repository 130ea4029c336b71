//! A netmaster without sockets.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use model::EndpointSpec;
use netmaster::app::{Actor, App, Reports, Subject};
use netmaster::audit::Auditor;
use netmaster::auth::{Auth, first_start};
use netmaster::clock::Clock;
use netmaster::feed::{Caller, Changes, Feed, FeedConfig, IntentRefusal, NodeIntent};
use netmaster::http::{Api, WatchBounds, Watches, router};
use netmaster::pki::Ca;
use serde_json::{Value, json};
use store::Store;
use tempfile::TempDir;
use tower::ServiceExt;
use types::{NodeName, Revision};

/// One replica: use cases and API over a store.
pub struct Replica {
    pub app: App,
    pub router: Router,
}

/// A new store and its first replica.
pub struct Bench {
    pub store: Arc<dyn Store>,
    pub replica: Replica,
    pub token: String,
    pub dir: TempDir,
    etcd: Option<test_support::Etcd>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
}

/// The kinds of store a test runs over.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Memory,
    Sqlite,
    Etcd,
}

/// Those without a server of their own, for what does not depend on the store.
pub const KINDS: [Kind; 2] = [Kind::Memory, Kind::Sqlite];
/// All, for what the store decides.
pub const STORES: [Kind; 3] = [Kind::Memory, Kind::Sqlite, Kind::Etcd];

pub fn clock() -> Clock {
    Clock::new(|| "2026-05-04T03:02:01Z".parse().expect("time"))
}

pub async fn replica(store: &Arc<dyn Store>) -> Replica {
    replica_with(store, store::intent::Depth::default(), WatchBounds::default()).await
}

/// A replica that remembers so much, and takes so many watches.
pub async fn replica_with(
    store: &Arc<dyn Store>,
    depth: store::intent::Depth,
    watches: WatchBounds,
) -> Replica {
    build(store, depth, watches, None).await
}

/// A replica whose nodes report what the test says.
pub async fn replica_reporting(
    store: &Arc<dyn Store>,
    status: &tokio::sync::watch::Sender<netmaster::feed::Status>,
    watches: WatchBounds,
) -> Replica {
    build(store, store::intent::Depth::default(), watches, Some(status.subscribe())).await
}

async fn build(
    store: &Arc<dyn Store>,
    depth: store::intent::Depth,
    watches: WatchBounds,
    status: Option<tokio::sync::watch::Receiver<netmaster::feed::Status>>,
) -> Replica {
    let (informer, follow) = store::intent::start(store.clone()).await.expect("intent");
    tokio::spawn(follow);
    let (history, follow) = store::intent::history(store.clone(), depth).await.expect("history");
    tokio::spawn(follow);
    let app = App::new(store.clone(), informer, clock());
    let ca = Arc::new(Ca::load_or_create(store.as_ref(), clock().now()).await.expect("ca"));
    let feed = Feed::start(FeedConfig {
        changes: Changes::of(app.deltas()),
        store: store.clone(),
        intent: Arc::new(app.clone()),
        ca: ca.clone(),
        clock: clock(),
    });
    let reports = Reports { status: status.unwrap_or_else(|| feed.status()), compiled: feed.snapshots() };
    let auditor = Auditor::new(reports.clone(), feed.questions(), clock(), Arc::default());
    let auth = Auth::new(app.clone());
    let watches = Watches::new(history, watches);
    let api = Api {
        app: app.clone(),
        reports,
        questions: feed.questions(),
        auditor,
        metrics: Arc::default(),
        auth,
        watches,
        ca,
        node_server: "m.example:9998".into(),
    };
    Replica { app, router: router(api) }
}

fn config(url: &str, prefix: &str) -> store::EtcdConfig {
    store::EtcdConfig::new([url], types::Name::new(prefix).expect("name"))
}

async fn connect(url: &str, prefix: &str) -> Arc<dyn Store> {
    store::etcd(config(url, prefix)).await.expect("etcd store")
}

impl Bench {
    pub async fn new(kind: Kind) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let etcd = matches!(kind, Kind::Etcd).then(|| test_support::Etcd::start().expect("etcd"));
        let store = match kind {
            Kind::Etcd => connect(etcd.as_ref().map(|e| e.url()).unwrap_or_default(), "it").await,
            Kind::Memory => store::memory().expect("store"),
            Kind::Sqlite => store::sqlite(&dir.path().join("netmaster.db")).await.expect("store"),
        };
        let file = dir.path().join("admin.token");
        assert!(first_start(store.as_ref(), &file, &clock()).await.expect("first start"));
        let token = std::fs::read_to_string(file).expect("token").trim().to_owned();
        let replica = replica(&store).await;
        Self { store, replica, token, dir, etcd }
    }

    /// Another replica: over etcd, with a connection of its own.
    pub async fn another(&self) -> Replica {
        replica(&self.client().await).await
    }

    /// Another client of the store: over etcd, with a connection of its own.
    pub async fn client(&self) -> Arc<dyn Store> {
        match &self.etcd {
            Some(etcd) => connect(etcd.url(), "it").await,
            None => self.store.clone(),
        }
    }

    /// How to reach the bench's etcd.
    pub fn etcd_config(&self, prefix: &str) -> store::EtcdConfig {
        config(self.etcd.as_ref().expect("a bench on etcd").url(), prefix)
    }

    /// Another cluster's store on the same etcd.
    pub async fn neighbour(&self) -> Arc<dyn Store> {
        store::etcd(self.etcd_config("neighbour")).await.expect("etcd store")
    }

    /// Tenants blue and green, networks, a group with a policy, a node, an endpoint.
    pub async fn furnished(kind: Kind) -> Self {
        let bench = Self::new(kind).await;
        bench.join("n1", "198.18.0.1").await;
        let answer = bench
            .post(
                "/api/v1/apply",
                json!({"documents": [
                    {"kind": "tenant", "name": "blue"},
                    {"kind": "tenant", "name": "green", "defaultAction": "deny"},
                    {"kind": "network", "tenant": "blue", "name": "web", "vni": 100,
                     "ipv4": {"subnet": "10.1.1.10-10.1.1.12/24", "gateway": "10.1.1.1"}, "ipv6": {"subnet": "fd00:1::/64"}},
                    {"kind": "network", "tenant": "green", "name": "web", "ipv4": {"subnet": "10.1.1.0/24"}},
                    {"kind": "group", "tenant": "blue", "name": "app", "network": "web", "policies": ["guard"]},
                    {"kind": "group", "tenant": "green", "name": "hidden", "network": "web"},
                    {"kind": "policy", "tenant": "blue", "name": "guard", "rules": [
                        {"name": "r1", "direction": "ingress", "action": "deny"}]},
                    {"kind": "endpoint", "tenant": "blue", "name": "a", "network": "web", "group": "app", "node": "n1"},
                ]}),
            )
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        bench
    }

    pub async fn join(&self, name: &str, vtep: &str) {
        let spec = serde_json::from_value(json!({"name": name, "vtep": vtep})).expect("node");
        let joined = self.replica.app.put_node(&actor(), spec, "00".repeat(32), Default::default()).await;
        joined.expect("joins");
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, &[], Some(body.to_string())).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call("PUT", path, &[], Some(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], None).await
    }

    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let has_own = headers.iter().any(|(name, _)| *name == "authorization");
        let mut request = Request::builder().method(method).uri(path);
        if !has_own {
            request = request.header("authorization", bearer);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.unwrap_or_default())).expect("request");
        send(&self.replica.router, request).await
    }
}

/// The endpoint a request is for.
pub fn route_of(method: &str, path: &str) -> Option<api::Route> {
    let path: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == path.len() && template.iter().zip(&path).all(|(t, p)| t.starts_with('{') || t == p)
    };
    api::v1::routes().into_iter().find(|r| r.method.as_str() == method && fits(r.path))
}

/// No test gets an answer that the OpenAPI document does not list.
#[track_caller]
fn assert_declared(request: (&str, &str), answer: &http::response::Parts) {
    let (method, path) = request;
    let status = answer.status.as_u16();
    let Some(route) = route_of(method, path) else {
        // A credential comes before the path, so that nobody learns which there are.
        assert!([401, 404, 405].contains(&status), "{method} {path}: {status} where nothing is");
        return;
    };
    assert!(route.statuses().contains(&status), "{method} {path}: {status} is not listed in the document");
    let kind = answer.headers.get("content-type").map(|v| v.to_str().expect("text"));
    let wanted: &[Option<&str>] = match status {
        204 | 304 => &[None],
        200 | 201 => &[Some("application/json"), Some("text/event-stream")],
        _ => &[Some("application/problem+json")],
    };
    assert!(wanted.contains(&kind), "{method} {path}: {status} with {kind:?}");
}

pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let asked = (request.method().as_str().to_owned(), request.uri().path().to_owned());
    let response = router.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    assert_declared((&asked.0, &asked.1), &parts);
    let bytes = body.collect().await.expect("body").to_bytes();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("json") };
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// A node, as its certificate shows.
pub fn caller(node: &str) -> Caller {
    Caller { node: NodeName::new(node).expect("name"), source: None }
}

/// Makes an endpoint as an agent does that has just started: with a new token.
pub async fn attach(
    app: &dyn NodeIntent,
    spec: EndpointSpec,
) -> Result<(model::Endpoint, Revision), IntentRefusal> {
    let caller = Caller { node: spec.node.clone(), source: None };
    let token = app.fence(&caller).await?;
    app.create_endpoint(&caller, spec, token).await
}

pub fn actor() -> Actor {
    Actor { subject: Subject::System("test"), source: "test".into(), request_id: "r".into() }
}
