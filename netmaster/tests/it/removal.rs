//! Nodes that go: cordoned, drained, removed; over real sessions, with what a thief would have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::Spec;
use netmaster::app::{Actor, App, AppError, Subject};
use netmaster::clock::Clock;
use netmaster::feed::{Changes, Feed, FeedConfig};
use netmaster::pki::{Ca, ServerCertificate};
use node_api::client::{Client, Identity, SessionReceiver, SessionSender};
use node_api::{AttachSpec, CallError, ErrorCode, JoinRequest, JoinToken, Subscribe};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use store::Store;
use test_support::wait_for;
use types::{EndpointName, Name, NodeName};

use crate::bench::{Bench, KINDS};

const PATIENCE: Duration = Duration::from_secs(20);

/// A replica that serves nodes.
struct Site {
    app: App,
    ca: Arc<Ca>,
    address: SocketAddr,
    _stop: tokio::sync::oneshot::Sender<()>,
}

fn admin() -> Actor {
    Actor { subject: Subject::System("test"), source: "test".into(), request_id: "r".into() }
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("name")
}

async fn serve(store: &Arc<dyn Store>) -> Site {
    let (informer, follow) = store::intent::start(store.clone()).await.expect("intent");
    tokio::spawn(follow);
    let clock = Clock::system();
    let app = App::new(store.clone(), informer, clock.clone());
    let ca = Arc::new(Ca::load_or_create(store.as_ref(), clock.now()).await.expect("ca"));
    let feed = Feed::start(FeedConfig {
        changes: Changes::of(app.deltas()),
        store: store.clone(),
        intent: Arc::new(app.clone()),
        ca: ca.clone(),
        clock,
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let certificate = ServerCertificate::new(ca.clone(), Vec::new(), Clock::system()).expect("certificate");
    let tls = certificate.for_nodes().expect("tls");
    tokio::spawn(async move { feed.serve(listener, tls, async { drop(stopped.await) }).await });
    Site { app, ca, address, _stop: stop }
}

impl Site {
    async fn connect(&self, identity: Option<&Identity>) -> Client {
        let address = self.address.to_string();
        Client::connect(&address, self.ca.certificate_pem(), identity).await.expect("connects")
    }

    async fn join(&self, token: &str, key: &KeyPair) -> Result<Identity, CallError> {
        let csr = CertificateParams::default().serialize_request(key).expect("csr").pem().expect("pem");
        let request = JoinRequest {
            token: JoinToken::new(token),
            node: node("n1"),
            vtep: [192, 0, 2, 1].into(),
            csr_pem: csr,
        };
        let reply = self.connect(None).await.join(request).await?;
        Ok(Identity::new(reply.certificate_pem, key.serialize_pem()))
    }

    async fn token(&self) -> String {
        self.app.join_token(&admin(), &node("n1")).await.expect("token").expose().to_owned()
    }
}

async fn session(client: &Client) -> Result<(SessionSender, SessionReceiver), CallError> {
    let subscribe = Subscribe {
        node: node("n1"),
        protocol: node_api::PROTOCOL,
        agent_version: "test".to_owned(),
        features: BTreeSet::new(),
        known: None,
        held: BTreeMap::new(),
        unknown: BTreeSet::new(),
    };
    client.session(subscribe).await
}

async fn attach(client: &Client, name: &str) -> Result<(), CallError> {
    let spec = AttachSpec {
        tenant: Name::new("blue").expect("name"),
        endpoint: EndpointName::new(name).expect("name"),
        network: Name::new("web").expect("name"),
        group: None,
        ipv4: None,
        ipv6: None,
        interface: String::new(),
        container_id: String::new(),
    };
    test_support::agent::attach(client, spec).await.map(drop)
}

/// How a session that is cut ends.
async fn last_word(from: &mut SessionReceiver) -> Option<ErrorCode> {
    let end = async {
        loop {
            match from.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(e) => return e.code,
            }
        }
    };
    tokio::time::timeout(PATIENCE, end).await.expect("the session ends")
}

async fn furnish(app: &App) {
    let documents = json!([
        {"kind": "tenant", "name": "blue"},
        {"kind": "network", "tenant": "blue", "name": "web", "ipv4": {"subnet": "10.1.1.10-10.1.1.12/24"}}]);
    let specs: Vec<Spec> = serde_json::from_value(documents).expect("specs");
    app.apply(&admin(), specs.into_iter().map(|s| (s, None)).collect()).await.expect("applied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_node_is_shut_out_everywhere_and_comes_back_with_a_new_key_only() {
    let store = store::memory().unwrap();
    let (one, two) = (serve(&store).await, serve(&store).await);
    furnish(&one.app).await;
    let stolen = KeyPair::generate().unwrap();
    let identity = one.join(&one.token().await, &stolen).await.unwrap();
    let (agent, thief) = (one.connect(Some(&identity)).await, two.connect(Some(&identity)).await);
    let (_to, mut here) = session(&agent).await.unwrap();
    let (_to_two, mut there) = session(&thief).await.unwrap();
    attach(&agent, "a").await.unwrap();

    // With endpoints it stays, and nobody loses anything.
    let n1 = node("n1");
    let refused = one.app.remove_node(&admin(), &n1, None).await.unwrap_err();
    assert!(matches!(refused, AppError::InUse(_)), "{refused}");
    attach(&agent, "b").await.unwrap();
    assert_eq!(one.app.drain(&admin(), &n1).await.unwrap(), 2);
    let snapshot = one.app.snapshot();
    let addresses = snapshot.cooled().filter(|c| matches!(c.slot, store::keys::Slot::Address(..)));
    assert_eq!(addresses.count(), 2, "their addresses are on their way back");
    let cordoned = attach(&agent, "c").await.unwrap_err();
    assert!(cordoned.to_string().contains("is cordoned"), "{cordoned}");

    let open = one.token().await;
    one.app.remove_node(&admin(), &n1, None).await.unwrap();
    assert_eq!(last_word(&mut here).await, Some(ErrorCode::NodeUnknown));
    assert_eq!(last_word(&mut there).await, Some(ErrorCode::NodeUnknown), "on every replica");
    for client in [&agent, &thief] {
        assert_eq!(attach(client, "d").await.unwrap_err().code, Some(ErrorCode::NodeUnknown));
        assert_eq!(session(client).await.err().and_then(|e| e.code), Some(ErrorCode::NodeUnknown));
    }
    let fresh = KeyPair::generate().unwrap();
    let late = two.join(&open, &fresh).await.unwrap_err();
    assert_eq!(late.code, Some(ErrorCode::TokenInvalid), "open tokens went with the node");

    // The old key does not come back, whatever token comes with it; and the token is not used up by trying.
    let token = two.token().await;
    let again = two.join(&token, &stolen).await.unwrap_err();
    assert!(again.to_string().contains("was revoked"), "{again}");
    let identity = two.join(&token, &fresh).await.unwrap();
    let returned = two.connect(Some(&identity)).await;
    attach(&returned, "a").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_that_was_replaced_does_not_come_back() {
    let store = store::memory().unwrap();
    let site = serve(&store).await;
    let (old, new) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let first = site.join(&site.token().await, &old).await.unwrap();
    let first = site.connect(Some(&first)).await;
    let (_to, mut from) = session(&first).await.unwrap();
    site.join(&site.token().await, &new).await.unwrap();
    assert_eq!(last_word(&mut from).await, Some(ErrorCode::NodeUnknown));
    assert!(site.join(&site.token().await, &old).await.is_err());
    // Joining again with the key one has revokes nothing.
    site.join(&site.token().await, &new).await.unwrap();
}

#[tokio::test]
async fn cordon_drain_and_delete_over_rest() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        let path = |verb: &str| format!("/api/v1/nodes/n1/{verb}");
        let cordoned = bench.post(&path("cordon"), Value::Null).await;
        assert_eq!((cordoned.status, &cordoned.body["cordoned"]), (200, &json!(true)), "{cordoned:?}");
        let endpoint = json!({"name": "late", "network": "web", "node": "n1"});
        let refused = bench.post("/api/v1/tenants/blue/endpoints", endpoint.clone()).await;
        assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (422, &json!("/node")));
        // What is there stays, and may change.
        let stays =
            bench.put("/api/v1/tenants/blue/endpoints/a", json!({"network": "web", "node": "n1"})).await;
        assert_eq!(stays.status, 200, "{stays:?}");
        // A node that was read can be written back; that changes nothing.
        let mut document = bench.get("/api/v1/nodes/n1").await.body;
        document["cordoned"] = json!(false);
        assert_eq!(bench.post("/api/v1/apply", json!({"documents": [document]})).await.status, 200);
        assert_eq!(bench.get("/api/v1/nodes/n1").await.body["cordoned"], json!(true));
        let again = bench.post(&path("uncordon"), Value::Null).await;
        assert_eq!((again.status, &again.body["cordoned"]), (200, &Value::Null));
        assert_eq!(bench.post("/api/v1/tenants/blue/endpoints", endpoint).await.status, 201);

        assert_eq!(bench.delete("/api/v1/nodes/n1").await.status, 409);
        let drained = bench.post(&path("drain"), Value::Null).await;
        assert_eq!((drained.status, &drained.body["status"]["endpoints"]), (200, &json!(0)));
        let network = bench.get("/api/v1/tenants/blue/networks/web").await.body;
        assert_eq!(network["status"]["addresses"][0]["cooling"].as_array().map(Vec::len), Some(2));
        assert_eq!(bench.delete("/api/v1/nodes/n1").await.status, 204);
        for verb in ["cordon", "uncordon", "drain"] {
            assert_eq!(bench.post(&path(verb), Value::Null).await.status, 404, "{verb}");
        }
        assert_eq!(bench.delete("/api/v1/nodes/n1").await.status, 404);
        assert_eq!(bench.post("/api/v1/nodes/N1/drain", Value::Null).await.status, 422);
        let store = bench.store.clone();
        let revoked = wait_for("the revoked key", PATIENCE, || async {
            let all = store::list_all(store.as_ref(), &store::Prefix::everything()).await;
            let all = all.map_err(|e| e.to_string())?.0;
            all.into_iter().find(|kv| kv.key.as_str().starts_with("tokens/revoked/")).ok_or("none".to_owned())
        });
        assert!(String::from_utf8_lossy(revoked.await.unwrap().value.as_bytes()).contains("\"n1\""));
    }
}
