//! The store, with its calls counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use store::{
    FirstKeys, Health, Key, KeyValue, LeaseId, Limits, Outcome, Page, PageRequest, Prefix, Store, StoreError,
    Txn, WatchStream,
};
use telemetry::{Kind, Registry, metrics::SECONDS};
use types::{Revision, StoreId};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    call: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    call: &'static str,
}

/// Calls of the store.
#[derive(Clone, Debug)]
pub struct Calls {
    ended: Family<Ended, Counter>,
    seconds: Family<Call, Histogram, fn() -> Histogram>,
}

impl Calls {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let ended = registry.add(
            Family::default(),
            Kind::Counter,
            "store_calls",
            &["call", "outcome"],
            "Calls of the store: `ok`, `conflict` (decided again) or `error`",
        );
        let seconds = registry.add(
            Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram),
            Kind::Histogram,
            "store_call_duration_seconds",
            &["call"],
            "Time a call of the store took",
        );
        Self { ended, seconds }
    }

    fn count<T>(&self, call: &'static str, begun: Instant, result: &Result<T, StoreError>) {
        self.count_as(call, begun, if result.is_ok() { "ok" } else { "error" });
    }

    fn count_as(&self, call: &'static str, begun: Instant, outcome: &'static str) {
        self.ended.get_or_create(&Ended { call, outcome }).inc();
        self.seconds.get_or_create(&Call { call }).observe(begun.elapsed().as_secs_f64());
    }
}

/// A store whose calls are counted.
pub struct Metered {
    store: Arc<dyn Store>,
    calls: Calls,
}

impl Metered {
    /// The same store, counted.
    pub fn over(store: Arc<dyn Store>, calls: Calls) -> Arc<dyn Store> {
        Arc::new(Self { store, calls })
    }

    async fn counted<T>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let result = work.await;
        self.calls.count(call, begun, &result);
        result
    }
}

#[async_trait]
impl Store for Metered {
    fn store_id(&self) -> &StoreId {
        self.store.store_id()
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    async fn get(&self, key: &Key) -> Result<Option<KeyValue>, StoreError> {
        self.counted("get", self.store.get(key)).await
    }

    async fn list(&self, prefix: &Prefix, page: PageRequest) -> Result<Page, StoreError> {
        self.counted("list", self.store.list(prefix, page)).await
    }

    async fn first_keys(&self, prefix: &Prefix, limit: usize) -> Result<FirstKeys, StoreError> {
        self.counted("first_keys", self.store.first_keys(prefix, limit)).await
    }

    async fn txn(&self, txn: Txn) -> Result<Outcome, StoreError> {
        let begun = Instant::now();
        let result = self.store.txn(txn).await;
        let outcome = match &result {
            Ok(Outcome::Conflict { .. }) => "conflict",
            Ok(Outcome::Committed { .. } | Outcome::Unchanged { .. }) => "ok",
            Err(_) => "error",
        };
        self.calls.count_as("txn", begun, outcome);
        result
    }

    fn watch(&self, prefix: Prefix, after: Revision) -> WatchStream {
        self.store.watch(prefix, after)
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.counted("grant", self.store.grant(ttl)).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.counted("keep_alive", self.store.keep_alive(lease)).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.counted("revoke", self.store.revoke(lease)).await
    }

    async fn compact(&self, up_to: Revision) -> Result<(), StoreError> {
        self.counted("compact", self.store.compact(up_to)).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.counted("health", self.store.health()).await
    }

    async fn writable(&self) -> Result<(), StoreError> {
        self.counted("writable", self.store.writable()).await
    }
}
