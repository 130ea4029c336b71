//! Liveness and readiness: who hangs is told from who waits for its store, and why is told to who may know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use store::{
    FirstKeys, Health, Key, KeyValue, LeaseId, Limits, Outcome, Page, PageRequest, Prefix, Store, StoreError,
    Txn, WatchStream,
};
use types::{Revision, StoreId};

use crate::bench::{Bench, KINDS, replica};

/// A store whose health is bad, once it is, and that otherwise works: so that who may know can be told.
struct Sick(Arc<dyn Store>, AtomicBool);

#[async_trait]
impl Store for Sick {
    fn store_id(&self) -> &StoreId {
        self.0.store_id()
    }

    fn limits(&self) -> Limits {
        self.0.limits()
    }

    async fn get(&self, key: &Key) -> Result<Option<KeyValue>, StoreError> {
        self.0.get(key).await
    }

    async fn list(&self, prefix: &Prefix, page: PageRequest) -> Result<Page, StoreError> {
        self.0.list(prefix, page).await
    }

    async fn first_keys(&self, prefix: &Prefix, limit: usize) -> Result<FirstKeys, StoreError> {
        self.0.first_keys(prefix, limit).await
    }

    async fn txn(&self, txn: Txn) -> Result<Outcome, StoreError> {
        self.0.txn(txn).await
    }

    fn watch(&self, prefix: Prefix, after: Revision) -> WatchStream {
        self.0.watch(prefix, after)
    }

    async fn grant(&self, ttl: std::time::Duration) -> Result<LeaseId, StoreError> {
        self.0.grant(ttl).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.0.keep_alive(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.0.revoke(lease).await
    }

    async fn compact(&self, up_to: Revision) -> Result<(), StoreError> {
        self.0.compact(up_to).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        if !self.1.load(Ordering::Relaxed) {
            return self.0.health().await;
        }
        Err(StoreError::Transient { backend: "etcd", operation: "health", reason: "lost m3.example".into() })
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
    let sick = Arc::new(Sick(bench.store.clone(), AtomicBool::new(false)));
    bench.replica = replica(&(sick.clone() as Arc<dyn Store>)).await;
    sick.1.store(true, Ordering::Relaxed);
    assert_eq!(bench.call("GET", "/livez", &[NOBODY], None).await.status, 200);
    let silent = bench.call("GET", "/readyz", &[NOBODY], None).await;
    assert_eq!((silent.status, silent.body["code"].as_str()), (503, Some("store_unavailable")));
    assert!(!silent.body.to_string().contains("m3.example"), "{silent:?}");
    let told = bench.get("/readyz?verbose").await;
    assert_eq!(told.status, 503);
    assert!(told.body["detail"].as_str().unwrap().starts_with("store: "), "{told:?}");
    assert!(told.body.to_string().contains("m3.example"), "{told:?}");
}
