//! Liveness and readiness: who hangs is told from who waits for its store, and why is told to who may know.

use std::sync::Arc;

use store::Store;
use test_support::store::{How, Strange};

use crate::bench::{Bench, KINDS, replica};

/// A replica over a store that can be made unwell, and otherwise works: so that who may know can be told.
async fn sick(bench: &mut Bench) -> Arc<Strange> {
    let sick = Arc::new(Strange::new(bench.store.clone()));
    bench.replica = replica(&(sick.clone() as Arc<dyn Store>)).await;
    sick
}

const NOBODY: (&str, &str) = ("authorization", "");

#[tokio::test]
async fn healthy_is_alive_and_ready_and_says_what_was_looked_at_to_who_may_know() {
    let bench = Bench::new(KINDS[1]).await;
    for path in ["/livez", "/readyz", "/readyz?verbose=false"] {
        let answer = bench.call("GET", path, &[NOBODY], None).await;
        assert_eq!((answer.status, answer.body.to_string()), (200, r#"{"ok":true}"#.to_owned()), "{path}");
    }
    for query in ["verbose", "verbose=true"] {
        let path = format!("/readyz?{query}");
        assert_eq!(bench.call("GET", &path, &[NOBODY], None).await.status, 401);
        let told = bench.get(&path).await;
        let checks: Vec<_> =
            told.body["checks"].as_array().unwrap().iter().map(|c| (&c["name"], &c["ok"])).collect();
        assert_eq!(checks, [(&"store".into(), &true.into()), (&"intent".into(), &true.into())]);
    }
}

#[tokio::test]
async fn without_its_store_it_is_alive_not_ready_and_says_why_only_to_who_may_know() {
    let mut bench = Bench::new(KINDS[0]).await;
    let sick = sick(&mut bench).await;
    sick.writable.becomes(How::Failing);
    assert_eq!(bench.call("GET", "/livez", &[NOBODY], None).await.status, 200);
    let silent = bench.call("GET", "/readyz", &[NOBODY], None).await;
    assert_eq!((silent.status, silent.body["code"].as_str()), (503, Some("store_unavailable")));
    assert!(!silent.body.to_string().contains("m3.example"), "{silent:?}");
    let told = bench.get("/readyz?verbose").await;
    assert_eq!(told.status, 503);
    assert!(told.body["detail"].as_str().unwrap().starts_with("store: "), "{told:?}");
    assert!(told.body.to_string().contains("m3.example"), "{told:?}");
}

/// Probes come more often than a store that is away is given up: they must not wait in line for one another.
#[tokio::test]
async fn a_store_that_does_not_answer_is_asked_once_for_all_who_wait() {
    let mut bench = Bench::new(KINDS[0]).await;
    let sick = sick(&mut bench).await;
    sick.writable.becomes(How::Silent);
    let asked = sick.writable.asked();
    let before = *asked.borrow();
    let probe = || bench.get("/readyz?verbose");
    for told in <[_; 3]>::from(tokio::join!(probe(), probe(), probe())) {
        assert_eq!(told.status, 503);
        assert!(told.body["detail"].as_str().unwrap().starts_with("store: no answer within"), "{told:?}");
    }
    let asked = *asked.borrow() - before;
    assert!(asked < 3, "{asked}: each waited for the ones before it, and then asked again");
    sick.writable.becomes(How::Well);
    let ready = test_support::wait_for("readiness", std::time::Duration::from_secs(20), async || {
        let answer = bench.call("GET", "/readyz", &[NOBODY], None).await;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    ready.await.unwrap();
}
