//! Replicas that start, lag and end, and agents that go from one to another.

use std::sync::Arc;

use model::{Object, Spec};
use node_api::{ErrorCode, Known, MasterMessage};
use serde_json::json;
use store::Store;
use test_support::Etcd;
use tokio::sync::watch;
use types::{Name, Revision, StoreId};

use super::super::{Changes, Feed, FeedConfig};
use super::fixture::*;
use crate::app::{Actor, App, Mode, Subject};
use crate::clock::Clock;
use crate::pki::{Ca, Lives, ServerCertificate};

#[tokio::test]
async fn restarted_replica_sends_what_changed_meanwhile_and_nothing_else() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    world.plug("blue", 2, "node-a");
    drop(a.synced(&world).await);
    world.stop.send_replace(true);
    let World { store, intent, server, .. } = world;
    tokio::time::timeout(PATIENCE, server).await.expect("server did not end").unwrap().unwrap();

    let world = World::serve(store, intent).await;
    a.turn_to(&world).await;
    let (_to, mut from) = a.session().await;
    assert_eq!(next_message(&mut from).await, Ok(Some(MasterMessage::Ping)), "nothing changed");
    drop((_to, from));
    world.plug("blue", 3, "node-a");
    let (_to, mut from) = a.session().await;
    let update = next_update(&mut from).await;
    assert_eq!((update.upserts.len(), update.removes.len()), (1, 0));
}

#[tokio::test]
async fn lagging_replica_serves_an_agent_only_when_it_has_seen_what_the_agent_has() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let old = Arc::new(world.intent.view());
    world.plug("blue", 2, "node-a");
    drop(a.synced(&world).await);
    let (shown, views) = watch::channel(old);
    let lagging = World::serve_views(
        world.store.clone(),
        world.intent.clone(),
        views,
        Clock::system(),
        Lives::default(),
    )
    .await;
    a.turn_to(&lagging).await;
    let sim = a.sim.clone();
    let mut opening = tokio::spawn(async move { sim.open().await });
    // Had it been served, it would have been told to remove its endpoint.
    let early = tokio::time::timeout(std::time::Duration::from_millis(600), &mut opening).await;
    assert!(early.is_err(), "served by a replica that is behind: {early:?}");
    shown.send_replace(Arc::new(world.intent.view()));
    let (_to, mut from) = opening.await.unwrap().unwrap();
    assert_eq!(next_message(&mut from).await, Ok(Some(MasterMessage::Ping)));
}

#[tokio::test]
async fn agent_ahead_of_the_store_itself_is_told_that_it_looks_restored() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let known =
        |store_id: &StoreId| Some(Known { store_id: store_id.clone(), revision: Revision::new(1 << 40) });
    a.known = known(world.store.store_id());
    let refused = a.open().await.unwrap_err();
    assert_eq!((refused.code, refused.is_transient()), (Some(ErrorCode::Behind), true));
    assert!(refused.text.contains("new store id"), "{refused}");
    // With a new one it is compared in full.
    a.known = known(&StoreId::new("e".repeat(32)).unwrap());
    let (_to, mut from) = a.session().await;
    assert_eq!(next_update(&mut from).await.store_id, *world.store.store_id());
}

/// A replica with all its parts, over a connection of its own.
struct Replica {
    app: App,
    feed: Feed,
}

impl Replica {
    async fn start(store: &Arc<dyn Store>, world: &World) -> Self {
        let (informer, follow) = store::intent::start(store.clone()).await.unwrap();
        tokio::spawn(follow);
        let app = App::new(store.clone(), informer, Clock::system());
        let feed = Feed::start(FeedConfig {
            changes: Changes::of(app.deltas()),
            store: store.clone(),
            intent: Arc::new(app.clone()),
            ca: world.ca.clone(),
            clock: Clock::system(),
        });
        Self { app, feed }
    }

    async fn put(&self, spec: serde_json::Value) {
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let (source, request_id) = ("test".to_owned(), "test".to_owned());
        let actor = Actor { subject: Subject::System("test"), source, request_id };
        self.app.put(&actor, spec, Mode::Create, None).await.unwrap();
    }
}

async fn connect(etcd: &Etcd, prefix: &str) -> Arc<dyn Store> {
    store::etcd(store::EtcdConfig::new([etcd.url()], Name::new(prefix).unwrap())).await.unwrap()
}

/// On an etcd that others write to, the revision moves without our intent.
#[tokio::test]
async fn agent_of_a_replica_that_started_later_is_served_by_one_that_has_followed_all_along() {
    let etcd = Etcd::start().unwrap();
    let store = connect(&etcd, "it").await;
    let world = World::on(store.clone()).await;
    let first = Replica::start(&store, &world).await;
    let joined = world.join("node-a", 1).await;
    let Some(Object::Node(node)) = world.intent.view().objects().next() else { panic!("no node") };
    first.put(json!({"kind": "tenant", "name": "blue"})).await;
    let (_, extra) = (node.clone(), store::intent::Extra::default());
    let actor = Actor { subject: Subject::System("test"), source: "test".into(), request_id: "test".into() };
    first.app.put_node(&actor, node.spec, node.key_sha256, extra).await.unwrap();

    let neighbour = connect(&etcd, "neighbour").await;
    for n in 0..20 {
        let key = store::keys::Entry::CaSecret(Name::new(format!("x{n}")).unwrap());
        let _ = neighbour.txn(store::Txn::new().put(key, "x")).await.unwrap();
    }
    let later = Replica::start(&connect(&etcd, "it").await, &world).await;
    let (here, there) = (first.feed.snapshots(), later.feed.snapshots());
    let (here, there) = (here.borrow().revision(), there.borrow().revision());
    assert!(here < there, "the one that started later counts the neighbour's revisions");

    let (first, later) = (listen(first.feed, &world.ca).await, listen(later.feed, &world.ca).await);
    let mut a = joined;
    a.sim.client = later.connect(&world, &a.identity).await;
    let (to, mut from) = a.session().await;
    let update = next_update(&mut from).await;
    a.apply(&update);
    to.ack(update.revision).await.unwrap();
    drop((to, from));
    assert_eq!(a.known.as_ref().unwrap().revision, there);

    a.sim.client = first.connect(&world, &a.identity).await;
    let (_to, mut from) = a.session().await;
    assert_eq!(next_message(&mut from).await, Ok(Some(MasterMessage::Ping)));
}

/// A feed that is served for the length of a test.
struct Served {
    address: std::net::SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

async fn listen(feed: Feed, ca: &Arc<Ca>) -> Served {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let certificate = ServerCertificate::new(ca.clone(), Vec::new(), Clock::system()).unwrap();
    let tls = certificate.for_nodes().unwrap();
    let task = tokio::spawn(async move { feed.serve(listener, tls, std::future::pending()).await.unwrap() });
    Served { address, task }
}

impl Served {
    async fn connect(
        &self,
        world: &World,
        identity: &node_api::client::Identity,
    ) -> node_api::client::Client {
        let (address, ca) = (self.address.to_string(), world.ca.certificate_pem());
        node_api::client::Client::connect(&address, ca, Some(identity)).await.unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}
