//! A snapshot of intent that keeps itself up to date.
//!
//! One task reads the store once and then follows it. Readers get the newest snapshot without waiting; writers wait for
//! the revision of their own write, so that who is told "done" also sees it.
//!
//! # Failure
//! What the store holds may be damaged or newer than this release. Then the task ends with the error and readers are
//! told; serving on from an old view would hide every later change.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use model::IntentView;
use tokio::sync::watch;
use types::Revision;

use super::Snapshot;
use crate::watch::{WatchItem, WatchStream};
use crate::{Prefix, Store, StoreError, list_all};

/// Reads the newest intent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Informer {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    views: watch::Receiver<Arc<IntentView>>,
}

/// The informer's task is over.
#[derive(Debug, thiserror::Error)]
#[error("intent is no longer followed; the informer has stopped")]
pub struct InformerError;

/// Reads all intent; the future follows it and must be polled. It ends with the error that stopped it, and when nobody
/// reads any more.
///
/// # Errors
/// [`StoreError`] of the first reading.
pub async fn start(
    store: Arc<dyn Store>,
) -> Result<(Informer, impl Future<Output = Result<(), StoreError>> + Send), StoreError> {
    let (items, revision) = list_all(store.as_ref(), &Prefix::everything()).await?;
    let snapshot = Snapshot::new(&items, revision)?;
    let (views_in, views) = watch::channel(snapshot.view().clone());
    let (snapshots_in, snapshots) = watch::channel(Arc::new(snapshot.clone()));
    let stream = store.watch(Prefix::everything(), revision);
    let follower = Follower { snapshot, snapshots: snapshots_in, views: views_in };
    Ok((Informer { snapshots, views }, follower.run(stream)))
}

struct Follower {
    snapshot: Snapshot,
    snapshots: watch::Sender<Arc<Snapshot>>,
    views: watch::Sender<Arc<IntentView>>,
}

impl Follower {
    async fn run(mut self, mut stream: WatchStream) -> Result<(), StoreError> {
        loop {
            let item = tokio::select! {
                () = self.snapshots.closed() => return Ok(()),
                item = stream.next() => item,
            };
            self.take(item.ok_or_else(ended)??)?;
            // What is there already is taken in too: readers want the newest, not each.
            while let Some(item) = stream.next().now_or_never() {
                self.take(item.ok_or_else(ended)??)?;
            }
            self.views.send_replace(self.snapshot.view().clone());
            self.snapshots.send_replace(Arc::new(self.snapshot.clone()));
        }
    }

    fn take(&mut self, item: WatchItem) -> Result<(), StoreError> {
        match item {
            WatchItem::Events { revision, events } => {
                events.iter().try_for_each(|event| self.snapshot.apply(event))?;
                self.snapshot.reached(revision);
            }
            WatchItem::Resync { revision, items } => self.snapshot = Snapshot::new(&items, revision)?,
        }
        Ok(())
    }
}

fn ended() -> StoreError {
    let reason = "the watch ended".to_owned();
    StoreError::Permanent { backend: "store", operation: "watch", reason }
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

    /// Waits until a revision has arrived here.
    ///
    /// # Errors
    /// [`InformerError`] when none will come any more.
    pub async fn reach(&self, revision: Revision) -> Result<Arc<Snapshot>, InformerError> {
        let mut snapshots = self.snapshots.clone();
        let reached = snapshots.wait_for(|s| s.revision() >= revision).await;
        reached.map(|s| s.clone()).map_err(|_| InformerError)
    }
}
