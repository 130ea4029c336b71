//! Leases: keys that die with their holder.
//!
//! [`Lease`] is the holder's side, equal for all back ends: it keeps the lease alive and tells when it is lost. "Lost" is
//! declared by the holder's own clock as soon as a full time-to-live has passed since the *start* of the last keep-alive
//! that succeeded: the server counts from a later moment, so the holder always stops before somebody else may begin.
//!
//! [`LocalLeases`] is the store's side for memory and SQLite, whose leases cannot outlive the process: the process that
//! could renew them is the one that keeps them. SQLite therefore drops leased keys when it opens a file.
//!
//! # Failure
//! Keep-alives that fail for a passing reason are tried again until the time is over.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until, timeout_at};

use crate::Store;
use crate::error::StoreError;

/// A lease's number in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(i64);

impl LeaseId {
    pub(crate) const fn new(id: i64) -> Self {
        Self(id)
    }

    pub(crate) const fn get(self) -> i64 {
        self.0
    }

    /// Back ends write 0 for "no lease".
    pub(crate) fn from_stored(id: i64) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A lease that is being kept alive. Dropping it lets it expire; [`Lease::revoke`] ends it at once.
pub struct Lease {
    store: Arc<dyn Store>,
    id: LeaseId,
    lost: watch::Receiver<bool>,
    keeper: tokio::task::JoinHandle<()>,
}

impl Lease {
    /// Makes a lease and keeps it alive from a task of its own.
    ///
    /// # Errors
    /// Those of [`Store::grant`].
    pub async fn acquire(store: Arc<dyn Store>, ttl: Duration) -> Result<Self, StoreError> {
        let begun = Instant::now();
        let id = store.grant(ttl).await?;
        let (tell, lost) = watch::channel(false);
        let kept = Arc::clone(&store);
        let keeper = tokio::spawn(async move {
            keep(kept.as_ref(), id, ttl, begun).await;
            tell.send_replace(true);
        });
        Ok(Self { store, id, lost, keeper })
    }

    /// Its number, to attach keys with.
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// Whether it is lost, as far as known now.
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until it is lost. May be called as often as wanted.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        // A keeper that is gone keeps nothing alive: lost as well.
        let _: Result<_, watch::error::RecvError> = lost.wait_for(|lost| *lost).await;
    }

    /// Ends it now; its keys are deleted.
    ///
    /// # Errors
    /// Those of [`Store::revoke`]; it will expire then.
    pub async fn revoke(self) -> Result<(), StoreError> {
        self.keeper.abort();
        self.store.revoke(self.id).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Keeps a lease alive; returns when it is lost.
async fn keep(store: &dyn Store, id: LeaseId, ttl: Duration, begun: Instant) {
    let period = ttl / 3;
    let mut ticks = interval_at(begun + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut deadline = begun + ttl;
    loop {
        if timeout_at(deadline, ticks.tick()).await.is_err() {
            return;
        }
        let asked = Instant::now();
        match timeout_at(deadline, store.keep_alive(id)).await {
            Ok(Ok(())) => deadline = asked + ttl,
            Ok(Err(StoreError::LeaseGone(_))) | Err(_) => return,
            Ok(Err(error)) => tracing::warn!(lease = %id, %error, "lease not renewed, trying again"),
        }
    }
}

/// A back end that keeps leases in its own process.
#[async_trait]
pub(crate) trait LeaseOwner: Send + Sync + 'static {
    fn leases(&self) -> &LocalLeases;

    /// Deletes the lease's keys in one transaction. The lease is out of [`LocalLeases`] by then.
    async fn drop_leased(&self, lease: LeaseId) -> Result<(), StoreError>;
}

struct Live {
    ttl: Duration,
    deadline: watch::Sender<Instant>,
}

/// The leases alive in this process.
#[derive(Default)]
pub(crate) struct LocalLeases {
    live: Mutex<(i64, BTreeMap<LeaseId, Live>)>,
}

impl LocalLeases {
    fn lock(&self) -> std::sync::MutexGuard<'_, (i64, BTreeMap<LeaseId, Live>)> {
        // Every critical section leaves the table consistent, so a panic elsewhere does not spoil it.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_live(&self, lease: LeaseId) -> bool {
        self.lock().1.contains_key(&lease)
    }

    pub(crate) fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        let live = self.lock();
        let entry = live.1.get(&lease).ok_or(StoreError::LeaseGone(lease))?;
        entry.deadline.send_replace(Instant::now() + entry.ttl);
        Ok(())
    }

    /// Forgets the lease; from here on no transaction can attach a key to it.
    pub(crate) fn remove(&self, lease: LeaseId) -> bool {
        self.lock().1.remove(&lease).is_some()
    }

    fn insert(&self, ttl: Duration) -> (LeaseId, watch::Receiver<Instant>) {
        let (deadline, expires) = watch::channel(Instant::now() + ttl);
        let mut live = self.lock();
        live.0 += 1;
        let id = LeaseId(live.0);
        live.1.insert(id, Live { ttl, deadline });
        (id, expires)
    }
}

/// Makes a lease whose keys `owner` deletes when nobody keeps it alive.
pub(crate) fn grant_local<O: LeaseOwner>(owner: &Arc<O>, ttl: Duration) -> LeaseId {
    let (id, mut expires) = owner.leases().insert(ttl);
    let owner = Arc::downgrade(owner);
    tokio::spawn(async move {
        loop {
            let deadline = *expires.borrow_and_update();
            tokio::select! {
                () = sleep_until(deadline) => break,
                changed = expires.changed() => if changed.is_err() { return },
            }
        }
        let Some(owner) = owner.upgrade() else { return };
        if !owner.leases().remove(id) {
            return;
        }
        let mut attempts = interval(Duration::from_secs(1));
        loop {
            attempts.tick().await;
            match owner.drop_leased(id).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(lease = %id, %error, "keys of an expired lease not deleted yet")
                }
            }
        }
    });
    id
}
