//! Watches: what happened after a revision, in order, without gaps, all events of one revision together.
//!
//! A [`WatchStream`] deals with broken connections by itself: it goes on at the revision after the last one it gave.
//! When that revision has been compacted meanwhile, the events are lost for good; it then reads the whole range and
//! gives [`WatchItem::Resync`]. Who wants events only puts a [`Mirror`] behind it, which knows what it has seen and turns
//! the list into the difference; [`follow`] does both, starting from a snapshot.
//!
//! # Invariants
//! Revisions strictly increase along a stream. Events of one revision are in key order. Generations never appear.
//!
//! # Failure
//! Transient errors are retried here, for ever; a permanent one is given once and ends the stream.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{Stream, StreamExt, stream};
use types::Revision;

use crate::error::StoreError;
use crate::keys::{Key, Prefix};
use crate::kv::{Event, KeyValue};
use crate::{Store, list_all};

/// What a watch gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// What one revision did to the range.
    Events {
        /// The revision.
        revision: Revision,
        /// In key order, each key once. Empty only where the range has a hole and the revision touched just that.
        events: Vec<Event>,
    },
    /// Events were lost to compaction: this is everything in the range now.
    Resync {
        /// The revision it shows.
        revision: Revision,
        /// In key order.
        items: Vec<KeyValue>,
    },
}

impl WatchItem {
    /// The revision one has arrived at after this item.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Events { revision, .. } | Self::Resync { revision, .. } => *revision,
        }
    }
}

/// A watch. Dropping it ends it.
pub type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchItem, StoreError>> + Send>>;

/// A range as seen so far. Pure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    items: BTreeMap<Key, KeyValue>,
    revision: Revision,
}

impl Mirror {
    /// Starts from a list.
    pub fn new(items: Vec<KeyValue>, revision: Revision) -> Self {
        Self { items: by_key(items), revision }
    }

    /// What is there, by key.
    pub fn items(&self) -> &BTreeMap<Key, KeyValue> {
        &self.items
    }

    /// As of when.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Moves on by one item and says what changed. After a resync these are the events one would have seen if all lost
    /// revisions had been a single one; none when the range is as it was.
    pub fn apply(&mut self, item: WatchItem) -> Vec<Event> {
        self.revision = item.revision();
        match item {
            WatchItem::Events { events, .. } => {
                for event in &events {
                    match event {
                        Event::Put { current, .. } => {
                            self.items.insert(current.key.clone(), current.clone());
                        }
                        Event::Delete { key, .. } => {
                            self.items.remove(key);
                        }
                    }
                }
                events
            }
            WatchItem::Resync { items, .. } => {
                let now = by_key(items);
                let before = std::mem::replace(&mut self.items, now);
                difference(before, &self.items)
            }
        }
    }
}

fn by_key(items: Vec<KeyValue>) -> BTreeMap<Key, KeyValue> {
    items.into_iter().map(|kv| (kv.key.clone(), kv)).collect()
}

fn difference(mut before: BTreeMap<Key, KeyValue>, now: &BTreeMap<Key, KeyValue>) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for (key, current) in now {
        let previous = before.remove(key);
        // The modification revision decides: also a value that went away and came back is news.
        if previous.as_ref().is_none_or(|p| p.modified != current.modified) {
            events.push(Event::Put { current: current.clone(), previous });
        }
    }
    events.extend(before.into_iter().map(|(key, kv)| Event::Delete { key, previous: Some(kv) }));
    events.sort_by(|a, b| a.key().cmp(b.key()));
    events
}

/// A snapshot that keeps itself up to date.
pub struct Follow {
    mirror: Mirror,
    stream: WatchStream,
}

/// Reads a range and watches it from there.
///
/// # Errors
/// Those of [`list_all`].
pub async fn follow(store: &Arc<dyn Store>, prefix: Prefix) -> Result<Follow, StoreError> {
    let (items, revision) = list_all(store.as_ref(), &prefix).await?;
    let stream = store.watch(prefix, revision);
    Ok(Follow { mirror: Mirror::new(items, revision), stream })
}

impl Follow {
    /// The range as of the last change given.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// Waits for the next change and applies it. Safe to cancel.
    ///
    /// # Errors
    /// A permanent failure of the store; the follow is over then.
    pub async fn next(&mut self) -> Result<Vec<Event>, StoreError> {
        loop {
            let Some(item) = self.stream.next().await else {
                let reason = "it ended after an earlier error".to_owned();
                return Err(StoreError::Permanent { backend: "store", operation: "watch", reason });
            };
            let events = self.mirror.apply(item?);
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }
}

/// Waits that grow from 50 ms to 5 s and vary, so that many clients do not come back together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    pub(crate) async fn wait(&mut self) {
        let longest = 50_u64.saturating_mul(1 << self.failures.min(7)).min(5_000);
        self.failures = self.failures.saturating_add(1);
        let wait = rand::random_range(longest / 2..=longest);
        tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(wait)).await;
    }
}

/// What a local back end remembers after a revision.
pub(crate) enum Past {
    /// Everything up to `through`; that may be less than all there is.
    Events { batches: Vec<(Revision, Vec<Event>)>, through: Revision },
    /// No longer known.
    Compacted,
}

/// A back end that keeps its log at hand and announces its newest revision.
#[async_trait]
pub(crate) trait History: Store + Clone {
    /// Events after a revision, of at most `revisions` revisions.
    async fn past(&self, prefix: &Prefix, after: Revision, revisions: usize) -> Result<Past, StoreError>;

    /// The newest revision, as it moves.
    fn head(&self) -> tokio::sync::watch::Receiver<Revision>;
}

struct Tail<H> {
    history: H,
    head: tokio::sync::watch::Receiver<Revision>,
    prefix: Prefix,
    at: Revision,
    ready: VecDeque<WatchItem>,
    backoff: Backoff,
}

/// A watch on a local back end.
pub(crate) fn tail<H: History>(history: H, prefix: Prefix, after: Revision) -> WatchStream {
    let head = history.head();
    let tail = Tail { history, head, prefix, at: after, ready: VecDeque::new(), backoff: Backoff::default() };
    Box::pin(stream::unfold(Some(tail), |tail| async {
        let mut tail = tail?;
        match tail.next().await {
            Ok(item) => Some((Ok(item), Some(tail))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl<H: History> Tail<H> {
    async fn next(&mut self) -> Result<WatchItem, StoreError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(item);
            }
            // The sender lives in `history`, so this cannot fail while we wait.
            let at = self.at;
            let waited = self.head.wait_for(|head| *head > at).await.map(|_| ());
            waited.map_err(|_| closed())?;
            match self.read().await {
                Ok(()) => self.backoff.reset(),
                Err(error) if error.is_transient() => {
                    tracing::warn!(prefix = %self.prefix, %error, "watch interrupted, resuming");
                    self.backoff.wait().await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        const REVISIONS_AT_ONCE: usize = 256;
        match self.history.past(&self.prefix, self.at, REVISIONS_AT_ONCE).await? {
            Past::Events { batches, through } => {
                let items =
                    batches.into_iter().map(|(revision, events)| WatchItem::Events { revision, events });
                self.ready.extend(items);
                self.at = through;
            }
            Past::Compacted => {
                let (items, revision) = list_all(&self.history, &self.prefix).await?;
                self.ready.push_back(WatchItem::Resync { revision, items });
                self.at = revision;
            }
        }
        Ok(())
    }
}

fn closed() -> StoreError {
    let reason = "the store was closed".to_owned();
    StoreError::Permanent { backend: "store", operation: "watch", reason }
}

#[cfg(test)]
mod tests {
    use types::Name;

    use super::*;
    use crate::keys::ObjectKey;

    fn kv(name: &str, modified: u64) -> KeyValue {
        let key = ObjectKey::Tenant(Name::new(name).unwrap()).key();
        let modified = Revision::new(modified);
        KeyValue { key, value: name.into(), created: modified, modified, lease: None }
    }

    #[test]
    fn resync_becomes_the_difference() {
        let mut mirror =
            Mirror::new(vec![kv("gone", 1), kv("kept", 2), kv("rewritten", 3)], Revision::new(3));
        let items = vec![kv("kept", 2), kv("new", 8), kv("rewritten", 9)];
        let events = mirror.apply(WatchItem::Resync { revision: Revision::new(9), items });
        assert_eq!(
            events,
            [
                Event::Delete { key: kv("gone", 1).key, previous: Some(kv("gone", 1)) },
                Event::Put { current: kv("new", 8), previous: None },
                Event::Put { current: kv("rewritten", 9), previous: Some(kv("rewritten", 3)) },
            ]
        );
        assert_eq!(mirror.revision(), Revision::new(9));
        assert_eq!(mirror.items().len(), 3);
    }

    #[test]
    fn resync_to_the_same_state_is_no_event() {
        let mut mirror = Mirror::new(vec![kv("kept", 2)], Revision::new(3));
        let resync = WatchItem::Resync { revision: Revision::new(7), items: vec![kv("kept", 2)] };
        assert_eq!(mirror.apply(resync), []);
    }
}
