//! Attaches that arrive late: at another replica, after a newer token, out of a store that had stalled.

use std::sync::Arc;
use std::time::Duration;

use model::{EndpointSpec, ObjectRef};
use netmaster::app::App;
use netmaster::feed::{Caller, IntentRefusal, NodeIntent};
use node_api::{ErrorCode, Incarnation};
use serde_json::json;
use store::{Outcome, Store};
use test_support::store::{Course, Strange, writes};
use types::{FencingToken, Revision};

use crate::bench::{Bench, KINDS, Kind, STORES, actor, caller, clock, replica};

fn n1() -> Caller {
    caller("n1")
}

fn endpoint(name: &str) -> EndpointSpec {
    let document = json!({"tenant": "green", "name": name, "network": "web", "node": "n1"});
    serde_json::from_value(document).expect("spec")
}

async fn attach(app: &App, name: &str, token: FencingToken) -> Result<Revision, IntentRefusal> {
    let made = NodeIntent::create_endpoint(app, &n1(), endpoint(name), token).await;
    made.map(|(_, revision)| revision)
}

async fn fence(app: &App) -> FencingToken {
    NodeIntent::fence(app, &n1()).await.expect("a token")
}

fn has(app: &App, name: &str) -> bool {
    app.snapshot().view().contains(&model::Spec::Endpoint(endpoint(name)).object_ref())
}

fn code<T>(answer: Result<T, IntentRefusal>) -> Option<ErrorCode> {
    answer.err().map(|refusal| refusal.code)
}

#[tokio::test]
async fn an_attach_carries_the_newest_token_or_is_refused() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let app = &bench.replica.app;
        let made_up = attach(app, "a", FencingToken::MIN).await;
        assert_eq!(code(made_up), Some(ErrorCode::Fenced), "{kind:?}: a node that never took one");
        let older = fence(app).await;
        attach(app, "a", older).await.unwrap();
        let newer = fence(app).await;
        assert_eq!(
            code(attach(app, "a", older).await),
            Some(ErrorCode::Fenced),
            "{kind:?}: even what exists"
        );
        assert_eq!(code(attach(app, "b", older).await), Some(ErrorCode::Fenced), "{kind:?}");
        assert!(!has(app, "b"));
        attach(app, "b", newer).await.unwrap();
    }
}

#[tokio::test]
async fn a_replica_that_has_not_seen_the_newer_token_refuses_the_older() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let older = fence(&bench.replica.app).await;
        let (informer, follow) = store::intent::start(bench.store.clone()).await.unwrap();
        let behind = App::new(bench.store.clone(), informer, clock());
        fence(&bench.replica.app).await;
        // It sees nothing new until it has decided.
        let late = async { drop(tokio::spawn(follow)) };
        let (refused, ()) = tokio::join!(biased; attach(&behind, "late", older), late);
        assert_eq!(code(refused), Some(ErrorCode::Fenced), "{kind:?}");
        assert!(!has(&behind, "late"), "{kind:?}");
    }
}

/// The store stalls, the agent gives up, the runtime deletes, the store goes on.
#[tokio::test]
async fn what_a_stalled_store_carries_out_after_the_deletion_makes_nothing() {
    for kind in KINDS {
        for fenced in [true, false] {
            let mut bench = Bench::furnished(kind).await;
            let strange = Arc::new(Strange::new(bench.store.clone()));
            bench.replica = replica(&(strange.clone() as Arc<dyn Store>)).await;
            let app = &bench.replica.app;
            let token = fence(app).await;
            strange.decide(|txn| if writes(txn, "/late") { Course::Late } else { Course::Normal });
            let unanswered = code(attach(app, "late", token).await).unwrap();
            assert!(!unanswered.is_final(), "{unanswered}");
            if fenced {
                fence(app).await;
            }
            let spec = endpoint("late");
            let unknown = Incarnation::Unknown;
            let gone =
                NodeIntent::delete_endpoint(app, &n1(), &spec.tenant, &spec.name, unknown).await.unwrap();
            assert_eq!(gone.left, None);
            let outcomes = strange.carry_out_late().await.unwrap();
            assert_eq!(matches!(outcomes[..], [Outcome::Conflict { .. }]), fenced, "{kind:?} {outcomes:?}");
        }
    }
}

#[tokio::test]
async fn a_node_that_joins_again_keeps_its_token_and_one_that_was_removed_has_none() {
    let bench = Bench::furnished(Kind::Memory).await;
    bench.join("n2", "198.18.0.2").await;
    let (app, n2) = (&bench.replica.app, caller("n2"));
    let token = NodeIntent::fence(app, &n2).await.unwrap();
    let spec = EndpointSpec { node: n2.node.clone(), ..endpoint("b") };
    let stored = || app.snapshot().view().nodes.get(&n2.node).map(|n| n.fencing_token);
    bench.join("n2", "198.18.0.3").await;
    assert_eq!(stored(), Some(Some(token)));
    app.cordon(&actor(), &n2.node, false).await.unwrap();
    assert_eq!(stored(), Some(Some(token)));
    app.remove_node(&actor(), &n2.node, None).await.unwrap();
    assert_eq!(code(NodeIntent::fence(app, &n2).await), Some(ErrorCode::NotFound));
    let key = "11".repeat(32);
    let again = serde_json::from_value(json!({"name": "n2", "vtep": "198.18.0.2"})).unwrap();
    app.put_node(&actor(), again, key, Default::default()).await.unwrap();
    assert_eq!(stored(), Some(None));
    let late = NodeIntent::create_endpoint(app, &n2, spec, token).await;
    assert_eq!(code(late), Some(ErrorCode::Fenced));
}

/// Whatever order things happen in: no endpoint was made with a token after a newer one was there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_attach_happens_after_a_newer_token() {
    const ROUNDS: usize = 8;
    const EACH: usize = 6;
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let other = bench.another().await;
        let apps = [bench.replica.app.clone(), other.app.clone()];
        let node = ObjectRef { kind: model::Kind::Node, tenant: None, name: "n1".into() };
        let mut token = fence(&apps[0]).await;
        let mut tasks = Vec::new();
        // By the token an attach carried: when the next one was there.
        let mut superseded = Vec::new();
        for round in 0..ROUNDS {
            for i in 0..EACH {
                let app = apps[i % 2].clone();
                let name = format!("e{round}-{i}");
                tasks.push(tokio::spawn(async move { attach(&app, &name, token).await }));
            }
            let fenced_by = &apps[round % 2];
            token = fence(fenced_by).await;
            superseded.push(fenced_by.snapshot().version(&node).unwrap());
        }
        let (mut refused, mut last) = (0, Revision::ZERO);
        for task in tasks {
            match task.await.unwrap() {
                Ok(made) => last = last.max(made),
                Err(refusal) => {
                    assert_eq!(refusal.code, ErrorCode::Fenced, "{kind:?}");
                    refused += 1;
                }
            }
        }
        // The other replica's come here when they come.
        let caught_up = async || {
            let seen = apps[0].snapshot().revision();
            if seen >= last { Ok(()) } else { Err(format!("{seen} of {last}")) }
        };
        test_support::wait_for("the last endpoint", Duration::from_secs(10), caught_up).await.unwrap();
        let snapshot = apps[0].snapshot();
        let green = "green".parse().unwrap();
        let made: Vec<_> = snapshot.view().endpoints_of(&green).collect();
        assert_eq!(made.len() + refused, ROUNDS * EACH, "{kind:?}");
        for endpoint in made {
            let name = endpoint.spec.name.to_string();
            let round: usize = name[1..].split('-').next().unwrap().parse().unwrap();
            let object = model::Spec::Endpoint(endpoint.spec.clone()).object_ref();
            let at = snapshot.version(&object).unwrap();
            assert!(
                at <= superseded[round],
                "{kind:?}: {name} was made at {at}, fenced at {}",
                superseded[round]
            );
        }
    }
}
