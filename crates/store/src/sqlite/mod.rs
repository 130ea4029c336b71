//! The store in one SQLite file: the default for a single netmaster.
//!
//! Three tables: `kv` (what is), `log` (every version since the last compaction) and `meta` (revision, compaction).
//! Writing goes through one connection that begins with `BEGIN IMMEDIATE`: a transaction that starts by reading and
//! upgrades later fails with SQLITE_BUSY_SNAPSHOT, which no time-out retries (<https://sqlite.org/isolation.html>).
//! `synchronous=FULL` with WAL: what was answered survives power loss (<https://sqlite.org/pragma.html#pragma_synchronous>).
//!
//! # Invariants
//! One process has the file (a lock file says so), so watches wake by a channel and leases live in memory; leased keys
//! found at opening belong to a dead process and are deleted. Revisions have no gaps. The file is readable by its owner
//! only. A write, once begun, runs to its end even if its caller goes away.
//!
//! # Failure
//! Busy and locked are transient; anything else SQLite says (disk full, I/O error, damage) is permanent, except during
//! the commit itself, where it is not known whether it happened.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection, SqlitePool};
use tokio::sync::watch;
use types::{Revision, StoreId};

use crate::error::StoreError;
use crate::keys::{Key, Prefix};
use crate::kv::{Event, KeyValue, Page, PageRequest};
use crate::lease::{LeaseId, LeaseOwner, LocalLeases, grant_local};
use crate::txn::{Decision, Limits, Outcome, Prepared, Present, Txn, Write};
use crate::watch::{History, Past, WatchStream, tail};
use crate::{FirstKeys, Health, Store, check_identity, identity};
use recent::Recent;

mod open;
mod recent;
mod rows;

#[derive(Clone)]
pub(crate) struct SqliteStore {
    inner: Arc<Inner>,
    id: StoreId,
}

struct Inner {
    limits: Limits,
    writer: SqlitePool,
    reader: SqlitePool,
    head: watch::Sender<Revision>,
    recent: Mutex<Recent>,
    leases: LocalLeases,
    /// Held by who asks whether the file can be written to.
    asking: Arc<tokio::sync::Mutex<()>>,
    /// Held for its lock, which the system drops with the process.
    _lock: std::fs::File,
}

impl SqliteStore {
    pub(crate) async fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        let open::Opened { writer, reader, lock } = open::open(path).await?;
        let inner = Inner {
            limits,
            writer,
            reader,
            head: watch::Sender::new(Revision::ZERO),
            recent: Mutex::default(),
            leases: LocalLeases::default(),
            asking: Arc::default(),
            _lock: lock,
        };
        let mut store = Self { inner: Arc::new(inner), id: identity::random()? };
        store.inner.delete_leased(None).await?;
        store.id = identity::establish(&store).await?;
        store.inner.head.send_replace(rows::position(&store.inner.reader).await?.revision);
        Ok(store)
    }
}

impl Inner {
    // Nothing panics while it is held, so what a poisoned lock guards is whole.
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn commit(&self, prepared: &Prepared) -> Result<Outcome, StoreError> {
        let mut writer = self.writer.acquire().await.map_err(failed("begin"))?;
        let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin"))?;
        // Inside the write lock: an expiring lease is taken off the list first and its keys deleted afterwards.
        if let Some(gone) = prepared.leases().find(|lease| !self.leases.is_live(*lease)) {
            return Err(StoreError::LeaseGone(gone));
        }
        let present = rows::present(&mut tx, &prepared.touched()).await?;
        match prepared.decide(&present) {
            Decision::Apply(writes) => {
                let revision = self.apply(tx, present, writes).await?;
                Ok(Outcome::Committed { revision })
            }
            Decision::Conflict(failed) => {
                let revision = rows::position(&mut *tx).await?.revision;
                Ok(Outcome::Conflict { failed, revision })
            }
            Decision::Unchanged => {
                let revision = rows::position(&mut *tx).await?.revision;
                Ok(Outcome::Unchanged { revision })
            }
        }
    }

    /// Writes and announces it. The caller holds the writer until this returns, so revisions are announced in order.
    async fn apply(
        &self,
        mut tx: sqlx::Transaction<'_, sqlx::Sqlite>,
        present: Present,
        writes: Vec<Write>,
    ) -> Result<Revision, StoreError> {
        let revision = rows::next_revision(&mut tx).await?;
        let events = events(present, writes, revision);
        rows::write(&mut tx, revision, &events).await?;
        fail::fail_point!("store::sqlite::before-commit");
        tx.commit().await.map_err(unknown("commit"))?;
        fail::fail_point!("store::sqlite::after-commit");
        self.recent().push(revision, events.into_iter().filter(|e| !e.key().is_generation()).collect());
        self.head.send_replace(revision);
        Ok(revision)
    }

    /// Takes the write lock, and gives it back.
    async fn take_write_lock(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.acquire().await.map_err(failed("begin"))?;
        let tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin"))?;
        tx.rollback().await.map_err(failed("rollback"))
    }

    /// Deletes the keys of one lease, or of all.
    async fn delete_leased(&self, lease: Option<LeaseId>) -> Result<(), StoreError> {
        let mut writer = self.writer.acquire().await.map_err(failed("begin"))?;
        let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin"))?;
        let keys = rows::leased(&mut tx, lease).await?;
        if !keys.is_empty() {
            let present = rows::present(&mut tx, &keys.iter().cloned().collect()).await?;
            let writes = keys.into_iter().map(|key| Write::Delete { key }).collect();
            self.apply(tx, present, writes).await?;
        }
        Ok(())
    }
}

/// What the writes of one revision do, in key order.
fn events(mut present: Present, writes: Vec<Write>, revision: Revision) -> Vec<Event> {
    let event = |write| match write {
        Write::Delete { key } => Event::Delete { previous: present.remove(&key), key },
        Write::Put { key, value, lease } => {
            let previous = present.remove(&key);
            let created = previous.as_ref().map_or(revision, |kv| kv.created);
            Event::Put { current: KeyValue { key, value, created, modified: revision, lease }, previous }
        }
    };
    let mut events: Vec<Event> = writes.into_iter().map(event).collect();
    events.sort_by(|a, b| a.key().cmp(b.key()));
    events
}

/// Runs a write in a task of its own, so that a caller who goes away neither tears it nor hides it from watches.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(join) => {
            let reason = join.to_string();
            Err(StoreError::Indeterminate { backend: BACKEND, operation: "write", reason })
        }
    }
}

const BACKEND: &str = "sqlite";
/// Revisions that one transaction forgets.
const COMPACTED_AT_ONCE: u64 = 1_000;

/// Sorts an error of something that wrote nothing.
fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| {
        let busy = match &error {
            // Primary result codes SQLITE_BUSY and SQLITE_LOCKED, in the low byte of the extended code.
            sqlx::Error::Database(e) => {
                e.code().and_then(|c| c.parse::<u32>().ok()).is_some_and(|c| matches!(c & 0xff, 5 | 6))
            }
            sqlx::Error::PoolTimedOut => true,
            _ => false,
        };
        let reason = error.to_string();
        if busy {
            StoreError::Transient { backend: BACKEND, operation, reason }
        } else {
            StoreError::Permanent { backend: BACKEND, operation, reason }
        }
    }
}

/// Sorts an error after which it is not known whether something was written.
fn unknown(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| StoreError::Indeterminate { backend: BACKEND, operation, reason: error.to_string() }
}

#[async_trait]
impl LeaseOwner for Inner {
    fn leases(&self) -> &LocalLeases {
        &self.leases
    }

    async fn drop_leased(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.delete_leased(Some(lease)).await
    }
}

#[async_trait]
impl History for SqliteStore {
    async fn past(&self, prefix: &Prefix, after: Revision, revisions: usize) -> Result<Past, StoreError> {
        let recent = self.inner.recent().past(prefix, after, revisions);
        match recent {
            Some(past) => Ok(past),
            None => rows::past(&self.inner.reader, prefix, after, revisions).await,
        }
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.inner.head.subscribe()
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn store_id(&self) -> &StoreId {
        &self.id
    }

    fn limits(&self) -> Limits {
        self.inner.limits
    }

    async fn get(&self, key: &Key) -> Result<Option<KeyValue>, StoreError> {
        let mut reader = self.inner.reader.acquire().await.map_err(failed("get"))?;
        rows::get(&mut reader, key).await
    }

    async fn list(&self, prefix: &Prefix, page: PageRequest) -> Result<Page, StoreError> {
        rows::list(&self.inner.reader, prefix, &page).await
    }

    async fn first_keys(&self, prefix: &Prefix, limit: usize) -> Result<FirstKeys, StoreError> {
        rows::first_keys(&self.inner.reader, prefix, limit).await
    }

    async fn txn(&self, txn: Txn) -> Result<Outcome, StoreError> {
        let prepared = Prepared::new(txn, self.inner.limits)?;
        let inner = Arc::clone(&self.inner);
        detached(async move { inner.commit(&prepared).await }).await
    }

    fn watch(&self, prefix: Prefix, after: Revision) -> WatchStream {
        tail(self.clone(), prefix, after)
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        Ok(grant_local(&self.inner, ttl))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.inner.leases.keep_alive(lease)
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        if !self.inner.leases.remove(lease) {
            return Ok(());
        }
        let inner = Arc::clone(&self.inner);
        detached(async move { inner.drop_leased(lease).await }).await
    }

    async fn compact(&self, up_to: Revision) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        detached(async move {
            // A stretch at a time: writers wait for one, not for all of it.
            while rows::compact(&inner.writer, up_to, COMPACTED_AT_ONCE).await? < up_to {}
            inner.recent().clear();
            Ok(())
        })
        .await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        check_identity(self).await?;
        Ok(Health { revision: rows::position(&self.inner.reader).await?.revision })
    }

    async fn writable(&self) -> Result<(), StoreError> {
        check_identity(self).await?;
        // Readers see nothing of a lock that keeps writers out. Who asks stands in the writers' line: one at a time.
        let turn = Arc::clone(&self.inner.asking).lock_owned().await;
        let inner = Arc::clone(&self.inner);
        detached(async move {
            let _turn = turn;
            inner.take_write_lock().await
        })
        .await
    }
}

#[cfg(test)]
mod tests;
