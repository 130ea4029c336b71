//! Liveness and readiness: who hangs is told from who waits for its store, and why is told to who may know.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use store::{
    FirstKeys, Health, Key, KeyValue, LeaseId, Limits, Outcome, Page, PageRequest, Prefix, Store, StoreError,
    Txn, WatchStream,
};
use types::{Revision, StoreId};

use crate::bench::{Bench, KINDS, replica};

/// A store that is not well, once it is told to, and that otherwise works: so that who may know can be told.
struct Sick {
    store: Arc<dyn Store>,
    how: Mutex<How>,
    /// How often somebody asked how it is.
    asked: AtomicUsize,
}

/// What it says of itself.
#[derive(Clone, Copy)]
enum How {
    Well,
    Failing,
    Silent,
}

impl Sick {
    /// A replica over such a store.
    async fn under(bench: &mut Bench) -> Arc<Self> {
        let sick =
            Self { store: bench.store.clone(), how: Mutex::new(How::Well), asked: AtomicUsize::new(0) };
        let sick = Arc::new(sick);
        bench.replica = replica(&(sick.clone() as Arc<dyn Store>)).await;
        sick
    }

    fn becomes(&self, how: How) {
        *self.how.lock().expect("nobody panics") = how;
    }
}

#[async_trait]
impl Store for Sick {
    fn store_id(&self) -> &StoreId {
        self.store.store_id()
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    async fn get(&self, key: &Key) -> Result<Option<KeyValue>, StoreError> {
        self.store.get(key).await
    }

    async fn list(&self, prefix: &Prefix, page: PageRequest) -> Result<Page, StoreError> {
        self.store.list(prefix, page).await
    }

    async fn first_keys(&self, prefix: &Prefix, limit: usize) -> Result<FirstKeys, StoreError> {
        self.store.first_keys(prefix, limit).await
    }

    async fn txn(&self, txn: Txn) -> Result<Outcome, StoreError> {
        self.store.txn(txn).await
    }

    fn watch(&self, prefix: Prefix, after: Revision) -> WatchStream {
        self.store.watch(prefix, after)
    }

    async fn grant(&self, ttl: std::time::Duration) -> Result<LeaseId, StoreError> {
        self.store.grant(ttl).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.keep_alive(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.revoke(lease).await
    }

    async fn compact(&self, up_to: Revision) -> Result<(), StoreError> {
        self.store.compact(up_to).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.store.health().await
    }

    async fn writable(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let how = *self.how.lock().expect("nobody panics");
        let reason = "lost m3.example".into();
        match how {
            How::Well => self.store.writable().await,
            How::Failing => Err(StoreError::Transient { backend: "etcd", operation: "health", reason }),
            How::Silent => std::future::pending().await,
        }
    }
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
    let sick = Sick::under(&mut bench).await;
    sick.becomes(How::Failing);
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
    let sick = Sick::under(&mut bench).await;
    sick.becomes(How::Silent);
    sick.asked.store(0, Ordering::Relaxed);
    let probe = || bench.get("/readyz?verbose");
    for told in <[_; 3]>::from(tokio::join!(probe(), probe(), probe())) {
        assert_eq!(told.status, 503);
        assert!(told.body["detail"].as_str().unwrap().starts_with("store: no answer within"), "{told:?}");
    }
    let asked = sick.asked.load(Ordering::Relaxed);
    assert!(asked < 3, "{asked}: each waited for the ones before it, and then asked again");
    sick.becomes(How::Well);
    let ready = test_support::wait_for("readiness", std::time::Duration::from_secs(20), async || {
        let answer = bench.call("GET", "/readyz", &[NOBODY], None).await;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    ready.await.unwrap();
}
