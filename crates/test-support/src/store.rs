//! A store that works, but for what a test wants to be strange: what becomes of transactions, and how the store says it is.
//!
//! Nothing is strange at first, and what is is so until the test says otherwise.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use store::{
    Failed, FirstKeys, Health, Key, KeyValue, LeaseId, Limits, Outcome, Page, PageRequest, Prefix, Store,
    StoreError, Txn, WatchStream,
};
use tokio::sync::watch;
use types::{Revision, StoreId};

/// What is to become of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// What it says.
    Normal,
    /// Its answer is lost; it is carried out when [`Strange::carry_out_late`] says.
    Late,
    /// Its conditions do not hold, whatever anybody sees.
    Conflict,
    /// Others are always faster.
    Contended,
    /// It is not answered, and not carried out.
    Never,
}

/// How a question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Truly.
    Well,
    /// With an error that may pass.
    Failing,
    /// Not at all, until it is answered otherwise.
    Silent,
}

/// A question the store is asked.
#[derive(Debug)]
pub struct Question {
    how: watch::Sender<How>,
    asked: watch::Sender<usize>,
}

impl Question {
    fn new() -> Self {
        Self { how: watch::Sender::new(How::Well), asked: watch::Sender::new(0) }
    }

    /// From now on it is answered like this, also to who waits.
    pub fn becomes(&self, how: How) {
        self.how.send_replace(how);
    }

    /// How often it was asked.
    pub fn asked(&self) -> watch::Receiver<usize> {
        self.asked.subscribe()
    }

    async fn ask(&self, operation: &'static str) -> Result<(), StoreError> {
        self.asked.send_modify(|asked| *asked += 1);
        // Never closed: the sender is here.
        let how = self.how.subscribe().wait_for(|how| *how != How::Silent).await.map(|how| *how);
        match how {
            Ok(How::Failing) => {
                let reason = "lost m3.example".into();
                Err(StoreError::Transient { backend: "etcd", operation, reason })
            }
            _ => Ok(()),
        }
    }
}

type Decide = Box<dyn FnMut(&Txn) -> Course + Send>;

/// See the module.
pub struct Strange {
    store: Arc<dyn Store>,
    course: Mutex<Decide>,
    late: Mutex<Vec<Txn>>,
    /// [`Store::health`].
    pub health: Question,
    /// [`Store::writable`].
    pub writable: Question,
}

impl Strange {
    /// This store; nothing is strange yet.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let course: Mutex<Decide> = Mutex::new(Box::new(|_| Course::Normal));
        let (health, writable) = (Question::new(), Question::new());
        Self { store, course, late: Mutex::default(), health, writable }
    }

    /// From now on transactions go as this says.
    pub fn decide(&self, course: impl FnMut(&Txn) -> Course + Send + 'static) {
        *lock(&self.course) = Box::new(course);
    }

    /// Carries out what was put aside.
    ///
    /// # Errors
    /// The first transaction's that fails.
    pub async fn carry_out_late(&self) -> Result<Vec<Outcome>, StoreError> {
        let late = std::mem::take(&mut *lock(&self.late));
        let mut outcomes = Vec::new();
        for txn in late {
            outcomes.push(self.store.txn(txn).await?);
        }
        Ok(outcomes)
    }
}

/// A test that panicked in it has failed already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let course = (lock(&self.course))(&txn);
        match course {
            Course::Normal => self.store.txn(txn).await,
            Course::Late => {
                lock(&self.late).push(txn);
                let (backend, operation, reason) = ("etcd", "txn", "timed out".to_owned());
                Err(StoreError::Indeterminate { backend, operation, reason })
            }
            Course::Conflict => {
                let failed = txn.compares.into_iter().map(|compare| Failed { compare, present: None });
                let revision = self.store.health().await?.revision;
                Ok(Outcome::Conflict { failed: failed.collect(), revision })
            }
            Course::Contended => Err(StoreError::Contended { attempts: 1 }),
            Course::Never => std::future::pending().await,
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
        self.health.ask("health").await?;
        self.store.health().await
    }

    async fn writable(&self) -> Result<(), StoreError> {
        self.writable.ask("health").await?;
        self.store.writable().await
    }
}
