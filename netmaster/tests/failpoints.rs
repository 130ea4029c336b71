//! The named defects do what they are named after; else a sabotage run would prove nothing. A test binary of its own,
//! because failpoints are the process's.
#![cfg(feature = "failpoints")]

use std::sync::Arc;

use model::{EndpointSpec, Spec, Supply, plan_apply, plan_delete};
use netmaster::app::{Actor, App, AppError, Mode, Subject};
use netmaster::clock::Clock;
use node_api::Incarnation;
use serde_json::json;
use store::Store;
use store::intent::{Author, Extra, commit, remove, start};
use types::EndpointUid;

fn author() -> Author {
    let at = Clock::system().stamp();
    Author { who: "test".into(), from: "test".into(), request_id: "r".into(), at }
}

#[tokio::test]
async fn defects_break_what_they_name() {
    let _scenario = fail::FailScenario::setup();
    let store = store::memory().unwrap();
    let (informer, follow) = start(store.clone()).await.unwrap();
    tokio::spawn(follow);
    let snapshot = informer.snapshot();
    let specs: Vec<Spec> = serde_json::from_value(json!([
        {"kind": "tenant", "name": "blue"},
        {"kind": "network", "tenant": "blue", "name": "a", "ipv4": {"subnet": "10.0.0.0/16"}},
        {"kind": "network", "tenant": "blue", "name": "b", "ipv4": {"subnet": "10.0.1.0/24"}},
    ]))
    .unwrap();
    let plan = |specs: Vec<Spec>| {
        let mut uid = || EndpointUid::MIN;
        plan_apply(snapshot.view(), Supply { taken: snapshot.taken(), uid: &mut uid }, specs)
    };
    assert!(plan(specs.clone()).is_err());
    fail::cfg("no-overlap-check", "return").unwrap();
    plan(specs.clone()).unwrap();
    fail::remove("no-overlap-check");

    let node = serde_json::from_value(json!({"name": "n1", "vtep": "198.18.0.1"})).unwrap();
    let mut uid = || EndpointUid::MIN;
    let joined =
        model::plan_node(snapshot.view(), Supply { taken: snapshot.taken(), uid: &mut uid }, node, "".into())
            .unwrap();
    let done = commit(store.as_ref(), &snapshot, &joined, author(), Extra::default()).await.unwrap();
    let snapshot = informer.reach(done.revision).await.unwrap();
    let mut specs = specs;
    specs.pop();
    let endpoint = json!({"kind": "endpoint", "tenant": "blue", "name": "e", "network": "a", "node": "n1"});
    specs.push(serde_json::from_value(endpoint).unwrap());
    let object = specs[2].object_ref();
    let made = plan_apply(snapshot.view(), Supply { taken: snapshot.taken(), uid: &mut uid }, specs).unwrap();
    let done = commit(store.as_ref(), &snapshot, &made, author(), Extra::default()).await.unwrap();
    let snapshot = informer.reach(done.revision).await.unwrap();
    fail::cfg("leak-address", "return").unwrap();
    let removal = plan_delete(snapshot.view(), &object).unwrap();
    let done = remove(store.as_ref(), &snapshot, &removal, author(), Extra::default()).await.unwrap();
    let snapshot = informer.reach(done.revision).await.unwrap();
    assert_eq!(snapshot.cooled().count(), 1, "the number cools; the address neither cools nor is free");
    fail::remove("leak-address");
}

/// Use cases with a node and a network, and an endpoint that is still to be made.
async fn furnished(store: &Arc<dyn Store>) -> (App, Actor, EndpointSpec) {
    let (informer, follow) = start(store.clone()).await.unwrap();
    tokio::spawn(follow);
    let app = App::new(store.clone(), informer, Clock::system());
    let admin = Actor { subject: Subject::System("test"), source: "test".into(), request_id: "r".into() };
    let node = serde_json::from_value(json!({"name": "n1", "vtep": "198.18.0.1"})).unwrap();
    app.put_node(&admin, node, "ab".repeat(32), Extra::default()).await.unwrap();
    let documents = json!([
        {"kind": "tenant", "name": "blue"},
        {"kind": "network", "tenant": "blue", "name": "web", "ipv4": {"subnet": "10.1.1.10-10.1.1.12/24"}}]);
    for spec in serde_json::from_value::<Vec<Spec>>(documents).unwrap() {
        app.put(&admin, spec, Mode::Create, None).await.unwrap();
    }
    let endpoint = json!({"tenant": "blue", "name": "e", "network": "web", "node": "n1"});
    let endpoint: model::EndpointSpec = serde_json::from_value(endpoint).unwrap();
    (app, admin, endpoint)
}

/// A number that a defect, or a hand in the store, has left to nobody costs that number. It must not be offered to every
/// new endpoint, and refused by the store each time, while all others wait.
#[tokio::test]
async fn an_address_held_by_nobody_is_in_nobodys_way() {
    let _scenario = fail::FailScenario::setup();
    let store = store::memory().unwrap();
    let (app, admin, endpoint) = furnished(&store).await;
    let token = app.fence(&admin, &endpoint.node).await.unwrap();
    let lost = app.create_endpoint(&admin, endpoint.clone(), token).await.unwrap().0.addresses;
    fail::cfg("leak-address", "return").unwrap();
    let (tenant, name) = (&endpoint.tenant, &endpoint.name);
    let _ = app.delete_endpoint(&admin, &endpoint.node, tenant, name, Incarnation::Any).await.unwrap();
    fail::remove("leak-address");

    // Also for who reads the store anew.
    let (informer, follow) = start(store.clone()).await.unwrap();
    tokio::spawn(follow);
    let restarted = App::new(store.clone(), informer, Clock::system());
    for app in [app, restarted] {
        let made = app.create_endpoint(&admin, endpoint.clone(), token).await.unwrap().0;
        assert!(made.addresses.iter().all(|a| !lost.contains(a)), "{made:?}");
        let meant = Incarnation::Numbered(made.uid);
        let _ = app.delete_endpoint(&admin, &endpoint.node, tenant, name, meant).await.unwrap();
    }
}

#[tokio::test]
async fn an_attach_that_was_given_up_happens_later_with_the_defect_alone() {
    let _scenario = fail::FailScenario::setup();
    let (app, admin, endpoint) = furnished(&store::memory().unwrap()).await;
    let older = app.fence(&admin, &endpoint.node).await.unwrap();
    app.fence(&admin, &endpoint.node).await.unwrap();
    let late = async || app.create_endpoint(&admin, endpoint.clone(), older).await;
    assert!(matches!(late().await, Err(AppError::Fenced(_))));
    fail::cfg("late-attach", "return").unwrap();
    late().await.unwrap();
}
