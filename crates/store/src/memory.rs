//! The store in memory, for tests: one mutex around maps, and nothing that survives.
//!
//! It keeps every version of every key until compaction, as etcd does, so that lists at old revisions and watches from
//! old revisions behave the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use types::{Revision, StoreId};

use crate::error::StoreError;
use crate::keys::{Key, Prefix};
use crate::kv::{Event, KeyValue, Page, PageRequest};
use crate::lease::{LeaseId, LeaseOwner, LocalLeases, grant_local};
use crate::txn::{Decision, Limits, Outcome, Prepared, Present, Txn, Write};
use crate::watch::{History, Past, WatchStream, tail};
use crate::{FirstKeys, Health, Store, check_identity, identity};

#[derive(Clone)]
pub(crate) struct MemoryStore(Arc<Inner>);

struct Inner {
    id: StoreId,
    limits: Limits,
    state: Mutex<State>,
    head: watch::Sender<Revision>,
    leases: LocalLeases,
}

#[derive(Default)]
struct State {
    revision: Revision,
    compacted: Revision,
    /// Per key its versions by revision; `None` is a deletion.
    keys: BTreeMap<Key, BTreeMap<Revision, Option<KeyValue>>>,
    log: BTreeMap<Revision, Vec<Event>>,
}

impl State {
    fn current(&self, key: &Key) -> Option<&KeyValue> {
        self.keys.get(key)?.last_key_value()?.1.as_ref()
    }

    fn present(&self, prepared: &Prepared) -> Present {
        prepared.keys().into_iter().filter_map(|k| Some((k.clone(), self.current(k)?.clone()))).collect()
    }

    fn apply(&mut self, writes: Vec<Write>) -> Revision {
        self.revision = Revision::new(self.revision.get() + 1);
        let mut events: Vec<Event> = writes.into_iter().map(|write| self.write(write)).collect();
        events.sort_by(|a, b| a.key().cmp(b.key()));
        self.log.insert(self.revision, events);
        self.revision
    }

    fn write(&mut self, write: Write) -> Event {
        let modified = self.revision;
        let (key, event) = match write {
            Write::Put { key, value, lease } => {
                let previous = self.current(&key).cloned();
                let created = previous.as_ref().map_or(modified, |kv| kv.created);
                let current = KeyValue { key: key.clone(), value, created, modified, lease };
                (key, Event::Put { current, previous })
            }
            Write::Delete { key } => {
                let previous = self.current(&key).cloned();
                (key.clone(), Event::Delete { key, previous })
            }
        };
        let version = match &event {
            Event::Put { current, .. } => Some(current.clone()),
            Event::Delete { .. } => None,
        };
        self.keys.entry(key).or_default().insert(modified, version);
        event
    }

    fn list(&self, prefix: &Prefix, page: &PageRequest) -> Result<Page, StoreError> {
        let at = page.at().unwrap_or(self.revision);
        if at < self.compacted {
            return Err(StoreError::Compacted { requested: at, oldest: self.compacted });
        }
        if at > self.revision {
            return Err(StoreError::FutureRevision { requested: at });
        }
        let span = prefix.span(page.last());
        let limit = page.effective_limit();
        let at_revision = |versions: &BTreeMap<_, Option<KeyValue>>| {
            versions.range(..=at).next_back().and_then(|(_, version)| version.clone())
        };
        let items = self
            .keys
            .iter()
            .filter(|(key, _)| span.holds(key))
            .filter_map(|(_, versions)| at_revision(versions))
            .take(limit)
            .collect();
        Ok(Page::new(items, limit, at, span.then))
    }

    fn compact(&mut self, up_to: Revision) -> Result<(), StoreError> {
        if up_to > self.revision {
            return Err(StoreError::FutureRevision { requested: up_to });
        }
        if up_to <= self.compacted {
            return Ok(());
        }
        self.compacted = up_to;
        self.log.retain(|revision, _| *revision > up_to);
        for versions in self.keys.values_mut() {
            let newest_old = versions.range(..=up_to).next_back().map(|(r, version)| (*r, version.is_some()));
            versions.retain(|r, _| *r > up_to || newest_old == Some((*r, true)));
        }
        self.keys.retain(|_, versions| !versions.is_empty());
        Ok(())
    }
}

impl MemoryStore {
    pub(crate) fn new(limits: Limits) -> Result<Self, StoreError> {
        let id = identity::random()?;
        let creation = Prepared::new(identity::creation(&id), Limits::default())?;
        let mut state = State::default();
        state.apply(creation.writes(&Present::new()));
        let head = watch::Sender::new(state.revision);
        let leases = LocalLeases::default();
        Ok(Self(Arc::new(Inner { id, limits, state: Mutex::new(state), head, leases })))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Writes happen after everything that could panic, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, prepared: &Prepared) -> Result<Outcome, StoreError> {
        let mut state = self.lock();
        if let Some(gone) = prepared.leases().find(|lease| !self.leases.is_live(*lease)) {
            return Err(StoreError::LeaseGone(gone));
        }
        let revision = state.revision;
        match prepared.decide(&state.present(prepared)) {
            Decision::Conflict(failed) => Ok(Outcome::Conflict { failed, revision }),
            Decision::Unchanged => Ok(Outcome::Unchanged { revision }),
            Decision::Apply(writes) => {
                let revision = state.apply(writes);
                // Under the lock, so that revisions are announced in order.
                self.head.send_replace(revision);
                Ok(Outcome::Committed { revision })
            }
        }
    }
}

#[async_trait]
impl LeaseOwner for Inner {
    fn leases(&self) -> &LocalLeases {
        &self.leases
    }

    async fn drop_leased(&self, lease: LeaseId) -> Result<(), StoreError> {
        let mut state = self.lock();
        let leased = state.keys.keys().filter(|k| state.current(k).is_some_and(|kv| kv.lease == Some(lease)));
        let writes: Vec<Write> = leased.map(|key| Write::Delete { key: key.clone() }).collect();
        if !writes.is_empty() {
            self.head.send_replace(state.apply(writes));
        }
        Ok(())
    }
}

#[async_trait]
impl History for MemoryStore {
    async fn past(&self, prefix: &Prefix, after: Revision, revisions: usize) -> Result<Past, StoreError> {
        let state = self.0.lock();
        if after < state.compacted {
            return Ok(Past::Compacted);
        }
        let seen = |e: &&Event| prefix.contains(e.key()) && !e.key().is_generation();
        let mut through = after;
        let mut batches = Vec::new();
        for (revision, events) in
            state.log.range(Revision::new(after.get().saturating_add(1))..).take(revisions)
        {
            through = *revision;
            let events: Vec<Event> = events.iter().filter(seen).cloned().collect();
            if !events.is_empty() || prefix.has_hole() {
                batches.push((*revision, events));
            }
        }
        Ok(Past::Events { batches, through })
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.0.head.subscribe()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn store_id(&self) -> &StoreId {
        &self.0.id
    }

    fn limits(&self) -> Limits {
        self.0.limits
    }

    async fn get(&self, key: &Key) -> Result<Option<KeyValue>, StoreError> {
        Ok(self.0.lock().current(key).cloned())
    }

    async fn list(&self, prefix: &Prefix, page: PageRequest) -> Result<Page, StoreError> {
        self.0.lock().list(prefix, &page)
    }

    async fn first_keys(&self, prefix: &Prefix, limit: usize) -> Result<FirstKeys, StoreError> {
        let state = self.0.lock();
        let all = state.keys.keys().filter(|key| prefix.contains(key));
        let keys: Vec<Key> = all.filter(|key| state.current(key).is_some()).cloned().collect();
        let total = keys.len();
        Ok(FirstKeys { keys: keys.into_iter().take(limit).collect(), total })
    }

    async fn txn(&self, txn: Txn) -> Result<Outcome, StoreError> {
        self.0.commit(&Prepared::new(txn, self.0.limits)?)
    }

    fn watch(&self, prefix: Prefix, after: Revision) -> WatchStream {
        tail(self.clone(), prefix, after)
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        Ok(grant_local(&self.0, ttl))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.0.leases.keep_alive(lease)
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        if self.0.leases.remove(lease) { self.0.drop_leased(lease).await } else { Ok(()) }
    }

    async fn compact(&self, up_to: Revision) -> Result<(), StoreError> {
        self.0.lock().compact(up_to)
    }

    async fn health(&self) -> Result<Health, StoreError> {
        check_identity(self).await?;
        Ok(Health { revision: self.0.lock().revision })
    }

    async fn writable(&self) -> Result<(), StoreError> {
        self.health().await.map(drop)
    }
}
