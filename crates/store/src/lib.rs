//! Where intent is kept: an ordered map of keys to values with revisions, transactions, watches and leases.
//!
//! One trait, [`Store`], with back ends of equal meaning: [`memory`] for tests, [`sqlite`] for one netmaster
//! without further software, [`etcd`] for several. One contract suite (`tests/contract`) holds them to it.
//!
//! | module | what |
//! |---|---|
//! | [`keys`] | every key there is |
//! | [`txn`](Txn) | conditions and effects; pure rules that all back ends share |
//! | [`watch`](WatchItem) | gapless events; [`Mirror`] turns a relist into the difference |
//! | [`lease`](Lease) | keys that die with their holder |
//! | [`election`] | one of several leads; who no longer does cannot write |
//! | [`retention`] | what keeps history from growing for ever |
//! | [`alloc`] | numbers and addresses |
//! | [`change`], [`envelope`] | the stored forms |
//! | [`intent`] | the objects of `model`: codec, informer, transactions |
//!
//! # Revisions
//! A transaction that changes something gets the next revision, and everything it wrote carries that revision. On memory
//! and SQLite revisions have no gaps. On etcd the revision is etcd's own: writes of other clients outside our prefix
//! also advance it. Compare revisions for order and equality; never count on the next number.
//!
//! # Failure
//! [`StoreError`]; see [`StoreError::is_transient`].

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use types::{Revision, StoreId};

pub mod alloc;
pub mod change;
pub mod election;
pub mod envelope;
mod error;
mod etcd;
pub mod identity;
pub mod intent;
pub mod keys;
mod kv;
mod lease;
mod memory;
pub mod retention;
mod sqlite;
mod txn;
mod watch;

pub use error::StoreError;
pub use etcd::{EtcdConfig, EtcdTls, EtcdUser};
pub use keys::{Key, Prefix};
pub use kv::{Cursor, Event, KeyValue, Page, PageRequest, Value};
pub use lease::{Lease, LeaseId};
pub use txn::{Compare, Failed, Limits, Op, Outcome, Txn};
pub use watch::{Follow, Mirror, WatchItem, WatchStream, follow};

/// A store. All methods may be called from any number of tasks at once.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Identity of this history.
    fn store_id(&self) -> &StoreId;

    /// The most one transaction may do.
    fn limits(&self) -> Limits;

    /// Reads one key as of now: a value committed before the call is seen.
    ///
    /// # Errors
    /// Back end failures.
    async fn get(&self, key: &Key) -> Result<Option<KeyValue>, StoreError>;

    /// Reads a range in key order, page by page, all pages at one revision.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when that revision is gone: start again. Back end failures.
    async fn list(&self, prefix: &Prefix, page: PageRequest) -> Result<Page, StoreError>;

    /// The first keys of one folder without their values, and how many keys it has in all.
    ///
    /// # Errors
    /// Back end failures.
    async fn first_keys(&self, prefix: &Prefix, limit: usize) -> Result<FirstKeys, StoreError>;

    /// Does all of it at one revision, or nothing.
    ///
    /// # Errors
    /// What is wrong with the transaction itself is refused before anything is read or written. A condition that does
    /// not hold is no error but [`Outcome::Conflict`].
    async fn txn(&self, txn: Txn) -> Result<Outcome, StoreError>;

    /// What happens below `prefix` after revision `after`: see [`WatchItem`]. The stream reconnects by itself and ends
    /// only after a permanent error.
    fn watch(&self, prefix: Prefix, after: Revision) -> WatchStream;

    /// Makes a lease that ends unless it is kept alive. Callers want [`Lease::acquire`].
    ///
    /// # Errors
    /// Back end failures.
    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError>;

    /// Restarts a lease's time.
    ///
    /// # Errors
    /// [`StoreError::LeaseGone`] when it is over.
    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError>;

    /// Ends a lease now: its keys are deleted. No error when it is over already.
    ///
    /// # Errors
    /// Back end failures.
    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError>;

    /// Forgets history before `up_to`; current values and everything at or after it stay readable. Costs what is
    /// forgotten; a local back end forgets a stretch at a time, so that writers need not wait for all of it.
    ///
    /// # Errors
    /// [`StoreError::FutureRevision`]; back end failures.
    async fn compact(&self, up_to: Revision) -> Result<(), StoreError>;

    /// Whether the store answers, and still is the one we started with.
    ///
    /// # Errors
    /// [`StoreError::IdentityChanged`]; back end failures.
    async fn health(&self) -> Result<Health, StoreError>;

    /// Whether a transaction would be taken now, by the store we started with. Writes nothing.
    ///
    /// # Errors
    /// As [`Store::health`]; transient while somebody else keeps writers out.
    async fn writable(&self) -> Result<(), StoreError>;
}

/// What a healthy store says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Its revision now.
    pub revision: Revision,
}

/// The beginning of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstKeys {
    /// In order.
    pub keys: Vec<Key>,
    /// Keys in the whole range.
    pub total: usize,
}

/// Reads a whole range at one revision, starting over when that revision is compacted meanwhile.
///
/// # Errors
/// Back end failures; [`StoreError::Contended`] when compaction overtakes it again and again.
pub async fn list_all(store: &dyn Store, prefix: &Prefix) -> Result<(Vec<KeyValue>, Revision), StoreError> {
    const ATTEMPTS: u32 = 8;
    for _ in 0..ATTEMPTS {
        match list_once(store, prefix).await {
            Err(StoreError::Compacted { .. }) => {}
            done => return done,
        }
    }
    Err(StoreError::Contended { attempts: ATTEMPTS })
}

async fn list_once(store: &dyn Store, prefix: &Prefix) -> Result<(Vec<KeyValue>, Revision), StoreError> {
    let mut page = store.list(prefix, PageRequest::default()).await?;
    let mut items = std::mem::take(&mut page.items);
    let mut request = page.next.map(|cursor| PageRequest::following(&items, cursor));
    while let Some(next) = request.take() {
        page = store.list(prefix, next).await?;
        request = page.next.map(|cursor| PageRequest::following(&page.items, cursor));
        items.append(&mut page.items);
    }
    Ok((items, page.revision))
}

/// The shared part of [`Store::health`]: one read that any back end must answer from its newest state.
async fn check_identity(store: &dyn Store) -> Result<(), StoreError> {
    let found = identity::read(store, keys::Entry::StoreId).await?;
    if found != store.store_id().as_str() {
        return Err(StoreError::IdentityChanged { expected: store.store_id().to_string(), found });
    }
    Ok(())
}

/// An empty store in memory.
///
/// # Errors
/// None in practice.
pub fn memory() -> Result<Arc<dyn Store>, StoreError> {
    memory_with(Limits::default())
}

/// An empty store in memory with these limits.
///
/// # Errors
/// As [`memory`].
pub fn memory_with(limits: Limits) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(memory::MemoryStore::new(limits)?))
}

/// The store in this SQLite file, made when missing (readable by its owner only).
///
/// # Errors
/// [`StoreError::InUse`] when another process has it; SQLite failures.
pub async fn sqlite(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    sqlite_with(path, Limits::default()).await
}

/// As [`sqlite`], with these limits.
///
/// # Errors
/// As [`sqlite`].
pub async fn sqlite_with(path: &Path, limits: Limits) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(sqlite::SqliteStore::open(path, limits).await?))
}

/// The store in an etcd cluster, with the largest limits it grants: operations and bytes each as [`Limits::RAISED`], or
/// else stock etcd's. `config.limits` is not looked at.
///
/// # Errors
/// As [`etcd`].
pub async fn etcd_probed(config: EtcdConfig) -> Result<Arc<dyn Store>, StoreError> {
    let (most, stock) = (Limits::RAISED, Limits::default());
    for limits in
        [most, Limits { max_bytes: stock.max_bytes, ..most }, Limits { max_ops: stock.max_ops, ..most }]
    {
        match etcd(EtcdConfig { limits, ..config.clone() }).await {
            Err(StoreError::LimitsRefused { .. }) => {}
            done => return done,
        }
    }
    etcd(EtcdConfig { limits: stock, ..config }).await
}

/// The store in an etcd cluster.
///
/// # Errors
/// Unreachable or refusing servers.
pub async fn etcd(config: EtcdConfig) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(etcd::EtcdStore::connect(config).await?))
}
