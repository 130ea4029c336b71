//! A request that can never be written, in the company of others: a damaged store, in which a key is held that nobody sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use http::Request;
use serde_json::json;
use store::Store;
use test_support::store::{Course, Strange, writes};

use crate::bench::{Bench, Kind, replica, send};

const OTHERS: usize = 63;

#[tokio::test]
async fn a_request_that_always_conflicts_harms_none_of_those_it_came_with() {
    let mut bench = Bench::new(Kind::Memory).await;
    let strange = Arc::new(Strange::new(bench.store.clone()));
    bench.replica = replica(&(strange.clone() as Arc<dyn Store>)).await;
    let (lost, lost_together) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (lost.clone(), lost_together.clone());
    strange.decide(move |txn| {
        if !writes(txn, "/doomed") {
            return Course::Normal;
        }
        counts.0.fetch_add(1, Ordering::Relaxed);
        let others = txn.ops.iter().filter(|op| op.key().as_str().contains("/other-")).count();
        counts.1.fetch_add(usize::from(others > 0), Ordering::Relaxed);
        Course::Conflict
    });
    let create = |name: String| {
        let request =
            Request::post("/api/v1/tenants").header("authorization", format!("Bearer {}", bench.token));
        let body = json!({"name": name}).to_string();
        send(&bench.replica.router, request.body(body.into()).unwrap())
    };
    let doomed = create("doomed".to_owned());
    let others = join_all((0..OTHERS).map(|i| create(format!("other-{i}"))));
    let (doomed, others) = tokio::join!(doomed, others);
    assert!(others.iter().all(|answer| answer.status == 201), "{others:?}");
    assert_eq!((doomed.status, doomed.body["code"].as_str()), (503, Some("allocation_busy")));
    let (lost, together) = (lost.load(Ordering::Relaxed), lost_together.load(Ordering::Relaxed));
    assert!((1..=9).contains(&together) && lost > together, "lost {lost}, {together} with others");
}
