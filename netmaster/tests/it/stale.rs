//! A replica whose view is behind: what it says and does must hold now, not as of its view.

use std::pin::Pin;
use std::sync::Arc;

use model::Spec;
use netmaster::app::{App, AppError, Mode};
use netmaster::feed::{Caller, NodeIntent};
use node_api::Incarnation;
use serde_json::{Value, json};
use store::{Store, StoreError};
use types::{EndpointName, EndpointUid, Name, NodeName};

use crate::bench::{Bench, Kind, STORES, actor, clock};

type Follow = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// Use cases that see nothing new until `follow` is polled.
async fn behind(store: &Arc<dyn Store>) -> (App, Follow) {
    let (informer, follow) = store::intent::start(store.clone()).await.expect("intent");
    (App::new(store.clone(), informer, clock()), Box::pin(follow))
}

/// Lets the view catch up only once the work has begun.
async fn catching_up<T>(work: impl Future<Output = T>, follow: Follow) -> T {
    let late = async { drop(tokio::spawn(follow)) };
    tokio::join!(biased; work, late).0
}

fn tenant(name: &str, action: &str) -> Spec {
    serde_json::from_value(json!({"kind": "tenant", "name": name, "defaultAction": action})).expect("spec")
}

#[tokio::test]
async fn put_of_what_the_old_view_says_is_written_where_it_changed_meanwhile() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let (app, follow) = behind(&bench.store).await;
        let denying = bench.put("/api/v1/tenants/blue", json!({"defaultAction": "deny"})).await;
        assert_eq!(denying.status, 200);
        let admin = actor();
        catching_up(app.put(&admin, tenant("blue", "allow"), Mode::Replace, None), follow).await.unwrap();
        let stored = store::list_all(bench.store.as_ref(), &store::Prefix::tenants()).await.unwrap().0;
        let blue = stored.iter().find(|kv| kv.key.as_str() == "tenants/blue").unwrap();
        let blue: Value = serde_json::from_slice(blue.value.as_bytes()).unwrap();
        assert_eq!(blue["object"]["spec"]["defaultAction"], "allow", "{kind:?} {blue}");
    }
}

#[tokio::test]
async fn detach_on_a_replica_that_has_not_seen_the_attach_deletes() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let (app, follow) = behind(&bench.store).await;
        let made = bench
            .post("/api/v1/tenants/blue/endpoints", json!({"name": "late", "network": "web", "node": "n1"}))
            .await;
        assert_eq!(made.status, 201, "{made:?}");
        let n1 = Caller { node: NodeName::new("n1").unwrap(), source: None };
        let (blue, late) = (Name::new("blue").unwrap(), EndpointName::new("late").unwrap());
        let uid = made.body["status"]["uid"].as_str().unwrap();
        let uid = EndpointUid::new(u64::from_str_radix(uid, 16).unwrap()).unwrap();
        let meant = Incarnation::Numbered(uid);
        catching_up(NodeIntent::delete_endpoint(&app, &n1, &blue, &late, meant), follow).await.unwrap();
        let endpoints = store::Prefix::within(store::keys::TenantObject::Endpoint, &blue);
        let (left, _) = store::list_all(bench.store.as_ref(), &endpoints).await.unwrap();
        assert!(left.iter().all(|kv| !kv.key.as_str().ends_with("late")), "{kind:?} {left:?}");
    }
}

#[tokio::test]
async fn conflict_on_an_etcd_that_others_write_to_is_decided_again_and_not_given_up() {
    let bench = Bench::furnished(Kind::Etcd).await;
    let neighbour = bench.neighbour().await;
    let (app, follow) = behind(&bench.store).await;
    assert_eq!(bench.post("/api/v1/tenants", json!({"name": "first"})).await.status, 201);
    let foreign = store::keys::Entry::CaSecret(Name::new("x").unwrap());
    let _ = neighbour.txn(store::Txn::new().put(foreign, "x")).await.unwrap();
    // Both want the lowest free address space.
    let second: Result<_, AppError> =
        catching_up(app.put(&actor(), tenant("second", "allow"), Mode::Create, None), follow).await;
    assert!(second.is_ok(), "{second:?}");
}
