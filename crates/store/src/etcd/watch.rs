//! Watches on etcd: opened again wherever they broke, joined from fragments, relisted after compaction.
//!
//! A watch is opened *at* the last revision given, not after it, and what was given is dropped: etcd 3.4 accepts a watch
//! from the very revision it compacted to, but may have forgotten a deletion at it. This way "compacted" means the same
//! as in our other back ends: the revision one has arrived at is no longer readable.

use std::collections::{BTreeMap, VecDeque};

use etcd_client::{EventType, WatchOptions, WatchResponse};
use futures_util::stream;
use types::Revision;

use super::error::read_failed;
use super::{BACKEND, EtcdStore, MESSAGE_CAP, number, revision};
use crate::error::StoreError;
use crate::keys::Prefix;
use crate::kv::Event;
use crate::list_all;
use crate::watch::{Backoff, WatchItem, WatchStream};

struct Watch {
    store: EtcdStore,
    prefix: Prefix,
    at: Revision,
    open: Option<etcd_client::WatchStream>,
    /// Events of fragments whose last one has not come yet.
    partial: Vec<(Revision, Event)>,
    ready: VecDeque<WatchItem>,
    backoff: Backoff,
}

pub(super) fn watch(store: EtcdStore, prefix: Prefix, after: Revision) -> WatchStream {
    let watch = Watch {
        store,
        prefix,
        at: after,
        open: None,
        partial: Vec::new(),
        ready: VecDeque::new(),
        backoff: Backoff::default(),
    };
    Box::pin(stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Ok(item) => Some((Ok(item), Some(watch))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl Watch {
    async fn next(&mut self) -> Result<WatchItem, StoreError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                self.at = item.revision();
                return Ok(item);
            }
            match self.step().await {
                Ok(()) => self.backoff.reset(),
                Err(error) if error.is_transient() => {
                    tracing::warn!(prefix = %self.prefix, revision = %self.at, %error, "watch interrupted, resuming");
                    self.open = None;
                    self.partial.clear();
                    self.backoff.wait().await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One message, from a stream that is opened first when there is none.
    async fn step(&mut self) -> Result<(), StoreError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.start().await?,
        };
        let message = open.message().await.map_err(read_failed("watch"))?;
        self.open = Some(open);
        self.accept(message).await
    }

    async fn start(&self) -> Result<etcd_client::WatchStream, StoreError> {
        let (start, end) = self.prefix.bounds();
        // 0 would mean "from now on"; nothing has revision 0.
        let from = number(self.at)?.max(1);
        let options = WatchOptions::new()
            .with_range(self.store.path(&end))
            .with_start_revision(from)
            .with_prev_key()
            .with_fragment();
        let mut client = self.store.client.watch_client().max_decoding_message_size(MESSAGE_CAP);
        client.watch(self.store.path(&start), Some(options)).await.map_err(read_failed("watch"))
    }

    async fn accept(&mut self, message: Option<WatchResponse>) -> Result<(), StoreError> {
        let Some(message) = message else { return Err(interrupted("the server ended the stream")) };
        if message.compact_revision() > 0 {
            return self.resync().await;
        }
        if message.canceled() {
            return Err(canceled(message.cancel_reason()));
        }
        for event in message.events() {
            self.partial.push(self.event(event)?);
        }
        if !message.0.fragment {
            self.flush();
        }
        Ok(())
    }

    async fn resync(&mut self) -> Result<(), StoreError> {
        self.open = None;
        self.partial.clear();
        let (items, revision) = list_all(&self.store, &self.prefix).await?;
        self.ready.push_back(WatchItem::Resync { revision, items });
        Ok(())
    }

    /// Hands over what has come, by revision. etcd never splits a revision except into fragments.
    fn flush(&mut self) {
        let mut by_revision: BTreeMap<Revision, Vec<Event>> = BTreeMap::new();
        for (revision, event) in self.partial.drain(..) {
            if revision <= self.at {
                continue;
            }
            let events = by_revision.entry(revision).or_default();
            if self.prefix.contains(event.key()) && !event.key().is_generation() {
                events.push(event);
            }
        }
        by_revision.retain(|_, events| !events.is_empty() || self.prefix.has_hole());
        for (revision, mut events) in by_revision {
            events.sort_by(|a, b| a.key().cmp(b.key()));
            self.ready.push_back(WatchItem::Events { revision, events });
        }
    }

    fn event(&self, event: &etcd_client::Event) -> Result<(Revision, Event), StoreError> {
        let kv = event.kv().ok_or_else(|| StoreError::Corrupt("etcd gave an event without a key".into()))?;
        let previous = event.prev_kv().map(|kv| self.store.key_value(kv)).transpose()?;
        let at = revision(kv.mod_revision())?;
        let event = match event.event_type() {
            EventType::Put => Event::Put { current: self.store.key_value(kv)?, previous },
            EventType::Delete => Event::Delete { key: self.store.key(kv.key())?, previous },
        };
        Ok((at, event))
    }
}

fn interrupted(reason: &str) -> StoreError {
    StoreError::Transient { backend: BACKEND, operation: "watch", reason: reason.to_owned() }
}

fn canceled(reason: &str) -> StoreError {
    if reason.contains("permission denied") {
        let reason = reason.to_owned();
        return StoreError::Permanent { backend: BACKEND, operation: "watch", reason };
    }
    interrupted(if reason.is_empty() { "the server canceled it" } else { reason })
}
