//! What happened to intent, by revision: the recent past and what follows it, for many readers.
//!
//! One task follows the store and keeps the newest revisions in memory ([`Depth`]); each reader asks for what came
//! after a revision of its own. Nothing is queued for a reader: one that is slow, or away for a while, is behind and
//! reads on from there, or learns that its place is [`Gone`] and must list again. So memory has one bound, however many
//! readers there are.
//!
//! # Invariants
//! * What a reader is given is gapless: every revision after its place, or [`Gone`].
//! * A revision is whole. Its changes are in key order, each object once, the same on every replica.
//!
//! # Failure
//! As the informer's: a store that cannot be understood any more ends the task, and readers are told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use model::{Object, ObjectRef};
use tokio::sync::watch;
use types::Revision;

use super::codec;
use super::informer::InformerError;
use crate::keys::Entry;
use crate::kv::{Event, KeyValue};
use crate::watch::{WatchItem, WatchStream};
use crate::{Prefix, Store, StoreError};

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Revisions that changed an object.
    pub revisions: usize,
    /// Their objects' stored size.
    pub bytes: usize,
    /// How far the past is read back at start, so that readers outlive a restart.
    pub at_start: u64,
}

impl Default for Depth {
    fn default() -> Self {
        Self { revisions: 8192, bytes: 32 << 20, at_start: 1024 }
    }
}

/// What a revision did to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It did not exist.
    Added(Object),
    /// It is this now.
    Modified(Object),
    /// It was this.
    Deleted(Object),
}

impl Change {
    /// The object: as it is now, or as it was last.
    pub fn object(&self) -> &Object {
        match self {
            Self::Added(o) | Self::Modified(o) | Self::Deleted(o) => o,
        }
    }

    /// Its reference.
    pub fn object_ref(&self) -> ObjectRef {
        self.object().object_ref()
    }
}

/// What one revision did to intent; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The revision.
    pub revision: Revision,
    /// In key order.
    pub changes: Vec<Change>,
}

/// What came after a revision.
#[derive(Clone, Debug)]
pub struct Past {
    /// In order; not all there is if there is much.
    pub batches: Vec<Arc<Batch>>,
    /// Nothing else happened up to here.
    pub through: Revision,
}

/// A place in history that is no longer known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what came after revision {asked} is no longer known, only what came after {oldest}")]
pub struct Gone {
    /// The place.
    pub asked: Revision,
    /// The oldest place there is.
    pub oldest: Revision,
}

/// Reads the recent past. Cheap to clone.
#[derive(Clone, Debug)]
pub struct History {
    log: Arc<Mutex<Log>>,
    head: watch::Receiver<Revision>,
}

#[derive(Debug)]
struct Log {
    depth: Depth,
    /// What came after this is known.
    oldest: Revision,
    bytes: usize,
    batches: VecDeque<(usize, Arc<Batch>)>,
}

/// Begins to follow the store; the future must be polled. It ends with the error that stopped it, and when nobody reads
/// any more.
///
/// # Errors
/// [`StoreError`] of asking where the store is.
pub async fn history(
    store: Arc<dyn Store>,
    depth: Depth,
) -> Result<(History, impl Future<Output = Result<(), StoreError>> + Send), StoreError> {
    let now = store.health().await?.revision;
    let from = Revision::new(now.get().saturating_sub(depth.at_start));
    let log = Log { depth, oldest: from, bytes: 0, batches: VecDeque::new() };
    let log = Arc::new(Mutex::new(log));
    let (head_in, head) = watch::channel(from);
    let stream = store.watch(Prefix::present(), from);
    Ok((History { log: log.clone(), head }, follow(log, head_in, stream)))
}

async fn follow(
    log: Arc<Mutex<Log>>,
    head: watch::Sender<Revision>,
    mut stream: WatchStream,
) -> Result<(), StoreError> {
    loop {
        let item = tokio::select! {
            () = head.closed() => return Ok(()),
            item = stream.next() => item.unwrap_or_else(|| {
                let reason = "the watch ended".to_owned();
                Err(StoreError::Permanent { backend: "store", operation: "watch", reason })
            })?,
        };
        let revision = item.revision();
        match item {
            WatchItem::Events { revision, events } => {
                let (changes, bytes) = changes(&events)?;
                lock(&log).push(revision, changes, bytes);
            }
            // The events in between are lost for good.
            WatchItem::Resync { revision, .. } => lock(&log).restart(revision),
        }
        head.send_replace(revision);
    }
}

// Nothing panics while it is held, so what a poisoned lock guards is whole.
fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Takes a revision in; `None` when it cannot be told whole.
    fn push(&mut self, revision: Revision, changes: Option<Vec<Change>>, bytes: usize) {
        let Some(changes) = changes else { return self.restart(revision) };
        if changes.is_empty() {
            return;
        }
        self.bytes += bytes;
        self.batches.push_back((bytes, Arc::new(Batch { revision, changes })));
        while self.batches.len() > self.depth.revisions || self.bytes > self.depth.bytes {
            let Some((bytes, batch)) = self.batches.pop_front() else { break };
            self.bytes -= bytes;
            self.oldest = batch.revision;
        }
    }

    fn restart(&mut self, revision: Revision) {
        self.batches.clear();
        (self.bytes, self.oldest) = (0, revision);
    }
}

/// The objects among events, and their size. `None` when one was deleted of which nothing is known any more.
fn changes(events: &[Event]) -> Result<(Option<Vec<Change>>, usize), StoreError> {
    let (mut changes, mut bytes) = (Vec::new(), 0);
    for event in events {
        let entry = Entry::parse(event.key()).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let Entry::Object(key) = entry else { continue };
        let mut read = |kv: &KeyValue| {
            bytes += kv.value.len();
            codec::decode(&key, &kv.value)
        };
        changes.push(match event {
            Event::Put { current, .. } if current.created == current.modified => {
                Change::Added(read(current)?)
            }
            Event::Put { current, .. } => Change::Modified(read(current)?),
            Event::Delete { previous: Some(previous), .. } => Change::Deleted(read(previous)?),
            Event::Delete { previous: None, .. } => return Ok((None, bytes)),
        });
    }
    Ok((Some(changes), bytes))
}

impl History {
    /// What came after `place`, `at_most` revisions of it.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn after(&self, place: Revision, at_most: usize) -> Result<Past, Gone> {
        let head = *self.head.borrow();
        let log = lock(&self.log);
        if place < log.oldest {
            return Err(Gone { asked: place, oldest: log.oldest });
        }
        let first = log.batches.partition_point(|(_, batch)| batch.revision <= place);
        let rest = log.batches.iter().skip(first).map(|(_, batch)| batch.clone());
        let batches: Vec<_> = rest.take(at_most).collect();
        let all = first + batches.len() == log.batches.len();
        let last = batches.last().map_or(place, |batch| batch.revision);
        Ok(Past { batches, through: if all { last.max(head).max(place) } else { last } })
    }

    /// Waits until something may have come after `place`. Cancel-safe.
    ///
    /// # Errors
    /// [`InformerError`] when nothing will come any more.
    pub async fn beyond(&self, place: Revision) -> Result<(), InformerError> {
        let mut head = self.head.clone();
        let moved = head.wait_for(|head| *head > place).await;
        moved.map(|_| ()).map_err(|_| InformerError)
    }

    /// How far it has come.
    pub fn head(&self) -> Revision {
        *self.head.borrow()
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
