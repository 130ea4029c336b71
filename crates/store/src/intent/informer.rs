//! A snapshot of intent that keeps itself up to date.
//!
//! One task reads the store once and then follows it. Readers get the newest snapshot without waiting; writers wait for
//! the revision of their own write, so that who is told "done" also sees it. Who keeps something derived from intent
//! takes [`Deltas`]: the newest snapshot together with the names of the objects that changed since the one before.
//!
//! # Invariants
//! * The cost of a change is that of the change: snapshots share what is equal ([`model::Map`]), whoever holds them.
//! * Deltas have no gaps. What a slow reader has not taken is folded into one delta, at most one name per object: a
//!   reader is behind by a set, never by a queue.
//! * Change records are neither read nor kept ([`Prefix::present`]).
//!
//! # Failure
//! What the store holds may be damaged or newer than this release. Then the task ends with the error and readers are
//! told; serving on from an old view would hide every later change.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::{FutureExt, StreamExt};
use model::{IntentView, ObjectRef};
use tokio::sync::{Notify, watch};
use types::Revision;

use super::Snapshot;
use crate::watch::{WatchItem, WatchStream};
use crate::{PageRequest, Prefix, Store, StoreError};

/// Revisions taken in before readers are told: they want the newest, but not to wait for it for ever.
const AT_ONCE: usize = 256;

/// Reads the newest intent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Informer {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    views: watch::Receiver<Arc<IntentView>>,
    readers: Readers,
}

/// The informer's task is over.
#[derive(Clone, Debug, thiserror::Error)]
#[error("intent is no longer followed; the informer has stopped")]
pub struct InformerError;

/// Intent, and what is different in it.
#[derive(Clone, Debug)]
pub struct Delta {
    /// The newest intent.
    pub snapshot: Arc<Snapshot>,
    /// Objects created, changed or deleted since the delta before; look in the snapshot which. May be empty: then only
    /// the revision moved.
    pub changed: BTreeSet<ObjectRef>,
}

/// Follows intent by what changes.
#[derive(Debug)]
pub struct Deltas {
    mailbox: Arc<Mailbox>,
    /// The informer goes on while somebody reads.
    _reads: watch::Receiver<Arc<Snapshot>>,
}

#[derive(Debug, Default)]
struct Mailbox {
    pending: Mutex<Pending>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    delta: Option<Delta>,
    ended: bool,
}

/// Everybody who follows by deltas.
#[derive(Clone, Debug, Default)]
struct Readers(Arc<Mutex<Vec<Weak<Mailbox>>>>);

/// Reads all intent; the future follows it and must be polled. It ends with the error that stopped it, and when nobody
/// reads any more.
///
/// # Errors
/// [`StoreError`] of the first reading.
pub async fn start(
    store: Arc<dyn Store>,
) -> Result<(Informer, impl Future<Output = Result<(), StoreError>> + Send), StoreError> {
    let snapshot = load(&store).await?;
    let revision = snapshot.revision();
    let (views_in, views) = watch::channel(snapshot.view().clone());
    let (snapshots_in, snapshots) = watch::channel(Arc::new(snapshot.clone()));
    let stream = store.watch(Prefix::present(), revision);
    let readers = Readers::default();
    let follower = Follower { snapshot, snapshots: snapshots_in, views: views_in, readers: readers.clone() };
    Ok((Informer { snapshots, views, readers }, follower.run(stream)))
}

/// Reads everything, starting over when history is compacted meanwhile. Page by page: intent in the form it is stored in
/// is several times as large as in ours.
async fn load(store: &Arc<dyn Store>) -> Result<Snapshot, StoreError> {
    const ATTEMPTS: u32 = 8;
    for _ in 0..ATTEMPTS {
        match load_once(store).await {
            Err(StoreError::Compacted { .. }) => {}
            done => return done,
        }
    }
    Err(StoreError::Contended { attempts: ATTEMPTS })
}

async fn load_once(store: &Arc<dyn Store>) -> Result<Snapshot, StoreError> {
    let ask = |request| {
        let store = Arc::clone(store);
        // In a task of its own: the next page is read while this one is taken in.
        tokio::spawn(async move { store.list(&Prefix::present(), request).await })
    };
    let (mut snapshot, mut asked) = (Snapshot::default(), ask(PageRequest::default()));
    loop {
        let page = asked.await.map_err(|_| ended())??;
        let next = page.next.map(|cursor| ask(PageRequest::following(&page.items, cursor)));
        page.items.iter().try_for_each(|kv| snapshot.put(kv).map(drop))?;
        match next {
            Some(next) => asked = next,
            None => {
                snapshot.reached(page.revision);
                return Ok(snapshot);
            }
        }
    }
}

struct Follower {
    snapshot: Snapshot,
    snapshots: watch::Sender<Arc<Snapshot>>,
    views: watch::Sender<Arc<IntentView>>,
    readers: Readers,
}

impl Follower {
    async fn run(mut self, mut stream: WatchStream) -> Result<(), StoreError> {
        loop {
            let item = tokio::select! {
                () = self.snapshots.closed() => return Ok(()),
                item = stream.next() => item,
            };
            let mut changed = self.take(item.ok_or_else(ended)??)?;
            // What is there already is taken in too: readers want the newest, not each.
            for _ in 1..AT_ONCE {
                let Some(item) = stream.next().now_or_never() else { break };
                changed.append(&mut self.take(item.ok_or_else(ended)??)?);
            }
            self.publish(changed);
        }
    }

    /// Takes one item in; the objects it changed.
    fn take(&mut self, item: WatchItem) -> Result<BTreeSet<ObjectRef>, StoreError> {
        let mut changed = BTreeSet::new();
        match item {
            WatchItem::Events { revision, events } => {
                for event in &events {
                    changed.extend(self.snapshot.apply(event)?);
                }
                self.snapshot.reached(revision);
            }
            WatchItem::Resync { revision, items } => {
                let next = Snapshot::new(&items, revision)?;
                changed = self.snapshot.difference(&next);
                self.snapshot = next;
            }
        }
        Ok(changed)
    }

    fn publish(&self, changed: BTreeSet<ObjectRef>) {
        let snapshot = Arc::new(self.snapshot.clone());
        self.views.send_replace(snapshot.view().clone());
        // Under the readers' lock: who subscribes now gets this snapshot or this delta, not both and not neither.
        let mut readers = self.readers.lock();
        readers.retain(|reader| {
            let Some(reader) = reader.upgrade() else { return false };
            reader.put(&snapshot, &changed);
            true
        });
        self.snapshots.send_replace(snapshot);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        for reader in self.readers.lock().drain(..).filter_map(|r| r.upgrade()) {
            reader.lock().ended = true;
            reader.news.notify_one();
        }
    }
}

fn ended() -> StoreError {
    let reason = "the watch ended".to_owned();
    StoreError::Permanent { backend: "store", operation: "watch", reason }
}

impl Readers {
    // Nothing panics while it is held, so what a poisoned lock guards is whole.
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Mailbox>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, snapshot: &Arc<Snapshot>, changed: &BTreeSet<ObjectRef>) {
        let mut pending = self.lock();
        let mut all = pending.delta.take().map(|delta| delta.changed).unwrap_or_default();
        all.extend(changed.iter().cloned());
        pending.delta = Some(Delta { snapshot: snapshot.clone(), changed: all });
        drop(pending);
        self.news.notify_one();
    }
}

impl Deltas {
    /// The next delta: everything that happened since the last one. Safe to cancel.
    ///
    /// # Errors
    /// [`InformerError`] when none will come any more.
    pub async fn next(&mut self) -> Result<Delta, InformerError> {
        loop {
            {
                let mut pending = self.mailbox.lock();
                if let Some(delta) = pending.delta.take() {
                    return Ok(delta);
                }
                if pending.ended {
                    return Err(InformerError);
                }
            }
            self.mailbox.news.notified().await;
        }
    }
}

impl Informer {
    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// The newest intent, and how it changes.
    pub fn views(&self) -> watch::Receiver<Arc<IntentView>> {
        self.views.clone()
    }

    /// The newest snapshot, and everything that changes after it.
    pub fn deltas(&self) -> (Arc<Snapshot>, Deltas) {
        let mut readers = self.readers.lock();
        let mailbox = Arc::new(Mailbox::default());
        mailbox.lock().ended = self.snapshots.has_changed().is_err();
        readers.push(Arc::downgrade(&mailbox));
        (self.snapshot(), Deltas { mailbox, _reads: self.snapshots.clone() })
    }

    /// Waits until a revision has arrived here.
    ///
    /// # Errors
    /// [`InformerError`] when none will come any more.
    pub async fn reach(&self, revision: Revision) -> Result<Arc<Snapshot>, InformerError> {
        let mut snapshots = self.snapshots.clone();
        let reached = snapshots.wait_for(|s| s.revision() >= revision).await;
        reached.map(|s| s.clone()).map_err(|_| InformerError)
    }

    /// Whether intent is still followed.
    ///
    /// # Errors
    /// [`InformerError`] when what it shows will never be newer.
    pub fn check(&self) -> Result<(), InformerError> {
        self.snapshots.has_changed().map(drop).map_err(|_| InformerError)
    }
}

#[cfg(test)]
mod tests;
