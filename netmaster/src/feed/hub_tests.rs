//! Whom a change reaches, and what it leaves waiting.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use model::{Object, ObjectRef, ViewEvent};
use types::Revision;

use super::super::tests::fixture::{World, node_name};
use super::*;

/// A hub on intent of two tenants with an endpoint each, on two nodes; a third node has none.
struct Scene {
    hub: Hub,
    view: IntentView,
    world: World,
}

impl Scene {
    async fn new() -> Self {
        let world = World::start().await;
        for (n, name) in ["node-a", "node-b", "node-c"].into_iter().enumerate() {
            let vtep = std::net::IpAddr::from([192, 0, 2, n as u8 + 1]);
            let spec = model::NodeSpec { name: node_name(name), vtep };
            let key_sha256 = String::new();
            let node = model::Node { spec, key_sha256, cordoned: false, fencing_token: None };
            world.intent.put(Object::Node(node));
        }
        world.plug("blue", 2, "node-a");
        world.plug("red", 2, "node-b");
        let view = world.intent.view();
        let hub = Hub::new(world.store.store_id().clone(), &Arc::new(view.clone()), Board::default());
        Self { hub, view, world }
    }

    fn subscribe(&self, node: &str) -> Subscription {
        self.hub.subscribe(&node_name(node), |_| ()).unwrap().0
    }

    fn change(&mut self, change: impl FnOnce(&mut IntentView) -> ObjectRef) {
        let changed = BTreeSet::from([change(&mut self.view)]);
        self.view.revision = Revision::new(self.view.revision.get() + 1);
        self.hub.take(&Change { view: Arc::new(self.view.clone()), changed });
    }

    /// Puts an endpoint of tenant blue on a node.
    fn plug(&mut self, number: u8, node: &str) {
        self.world.plug("blue", number, node);
        let made =
            self.world.intent.view().endpoints.values().find(|e| e.uid.get() == u64::from(number)).cloned();
        let object = Object::Endpoint(made.unwrap());
        self.change(|view| {
            view.apply(ViewEvent::Put(Box::new(object.clone())));
            object.object_ref()
        });
    }
}

fn rung(subscription: &Subscription) -> bool {
    subscription.rung().now_or_never().is_some()
}

#[tokio::test]
async fn change_wakes_whose_span_it_is_in_and_nobody_else() {
    let mut scene = Scene::new().await;
    let [a, b, c] = ["node-a", "node-b", "node-c"].map(|n| scene.subscribe(n));
    scene.plug(3, "node-a");
    assert_eq!([&a, &b, &c].map(rung), [true, false, false]);
    assert_eq!([&a, &b, &c].map(|s| s.waiting()), [1, 0, 0]);
    // A node that comes to host the tenant gets all of it; the one that hosts it already gets the newcomer, and the
    // lists of nodes that changed.
    scene.plug(4, "node-c");
    assert_eq!([&a, &b, &c].map(rung), [true, false, true]);
    assert!(b.look().news.is_empty());
    let news = c.look().news;
    assert!(news.values().all(Option::is_none), "it held nothing of it: {news:?}");
    assert_eq!(news.keys().filter(|k| matches!(k, FragmentKey::Endpoint(_))).count(), 3);
}

#[tokio::test]
async fn fragment_that_changes_often_waits_once_with_what_was_held_at_first() {
    let mut scene = Scene::new().await;
    let a = scene.subscribe("node-a");
    let key = FragmentKey::Vrf(types::VrfId::MIN);
    let first = a.look().compiled().fragments()[&key].hash;
    for n in 0..20 {
        scene.change(|view| {
            let mut tenant = view.tenants.values().next().unwrap().clone();
            let (deny, allow) = (types::DefaultAction::Deny, types::DefaultAction::Allow);
            tenant.spec.default_action = if n % 2 == 0 { deny } else { allow };
            let object = Object::Tenant(tenant);
            let reference = object.object_ref();
            view.apply(ViewEvent::Put(Box::new(object)));
            reference
        });
        assert_eq!(a.waiting(), 1);
    }
    assert_eq!(a.look().news, News::from([(key, Some(first))]));
    assert_eq!(a.waiting(), 0);
}

#[tokio::test]
async fn node_that_joins_again_with_another_key_is_woken_though_its_span_is_the_same() {
    let mut scene = Scene::new().await;
    let [a, b] = ["node-a", "node-b"].map(|n| scene.subscribe(n));
    scene.change(|view| {
        let mut node = view.nodes.get(&node_name("node-a")).unwrap().clone();
        node.key_sha256 = "another".to_owned();
        let object = Object::Node(node);
        let reference = object.object_ref();
        view.apply(ViewEvent::Put(Box::new(object)));
        reference
    });
    assert_eq!([&a, &b].map(rung), [true, false]);
    assert_eq!(a.waiting(), 0);
}

#[tokio::test]
async fn closed_hub_wakes_everybody_and_takes_nobody() {
    let scene = Scene::new().await;
    let a = scene.subscribe("node-a");
    scene.hub.close();
    assert!(a.rung().await.is_err());
    assert!(scene.hub.subscribe(&node_name("node-b"), |_| ()).is_err());
}
