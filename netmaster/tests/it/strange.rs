//! A store that works, but for what the test wants to be strange.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use store::{
    FirstKeys, Health, Key, KeyValue, LeaseId, Limits, Outcome, Page, PageRequest, Prefix, Store, StoreError,
    Txn, WatchStream,
};
use types::{Revision, StoreId};

/// What is to become of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    Normal,
    /// Its answer is lost; it is carried out when [`Strange::carry_out_late`] says.
    Late,
    /// Its conditions do not hold, whatever anybody sees.
    Conflict,
}

type Decide = Box<dyn Fn(&Txn) -> Course + Send>;

/// See the module.
pub struct Strange {
    store: Arc<dyn Store>,
    course: Mutex<Decide>,
    late: Mutex<Vec<Txn>>,
}

impl Strange {
    /// Nothing is strange yet.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let course: Mutex<Decide> = Mutex::new(Box::new(|_| Course::Normal));
        Self { store, course, late: Mutex::default() }
    }

    /// From now on transactions go as this says.
    pub fn decide(&self, course: impl Fn(&Txn) -> Course + Send + 'static) {
        *self.course.lock().expect("nobody panicked") = Box::new(course);
    }

    /// Carries out what was put aside.
    pub async fn carry_out_late(&self) -> Vec<Outcome> {
        let late = std::mem::take(&mut *self.late.lock().expect("nobody panicked"));
        let mut outcomes = Vec::new();
        for txn in late {
            outcomes.push(self.store.txn(txn).await.expect("outcome"));
        }
        outcomes
    }
}

/// Whether a transaction writes a key that ends like this.
pub fn writes(txn: &Txn, end: &str) -> bool {
    txn.ops.iter().any(|op| op.key().as_str().ends_with(end))
}

#[async_trait]
impl Store for Strange {
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
        let course = (self.course.lock().expect("nobody panicked"))(&txn);
        match course {
            Course::Normal => self.store.txn(txn).await,
            Course::Late => {
                self.late.lock().expect("nobody panicked").push(txn);
                let (backend, operation, reason) = ("etcd", "txn", "timed out".to_owned());
                Err(StoreError::Indeterminate { backend, operation, reason })
            }
            Course::Conflict => {
                let failed = txn.compares.into_iter().map(|compare| store::Failed { compare, present: None });
                let revision = self.store.health().await?.revision;
                Ok(Outcome::Conflict { failed: failed.collect(), revision })
            }
        }
    }

    fn watch(&self, prefix: Prefix, after: Revision) -> WatchStream {
        self.store.watch(prefix, after)
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
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
        self.store.writable().await
    }
}
