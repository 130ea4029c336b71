//! Compiled intent, and who has to be told when it changes.
//!
//! There is one compiled form for all sessions. A change is compiled in place, and every session whose node's span it
//! concerns finds in its mailbox which keys are different for it and what its node held of them before; nobody else is
//! woken. So a change costs what it changes times the nodes it concerns, and a slow agent costs the keys it is behind
//! with, once each, however often they change.
//!
//! # Invariants
//! * Compiled form, mailboxes and the status' revision change together: who holds the read lock sees all of one revision.
//! * A mailbox names exactly the keys that changed in its node's span since it was last emptied, with what the node had
//!   to hold then.
//! * Locks are taken in the order compiled form, mailboxes, mailbox, status, and never across a wait.
//!
//! # Failure
//! When intent is no longer followed the hub closes: sessions end, and none is opened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use compile::{Compiled, Compiler};
use model::{IntentView, Kind};
use node_state::{FragmentHash, FragmentKey};
use tokio::sync::{Notify, watch};
use types::{NodeName, StoreId};

use super::snapshot::{Change, Snapshot};
use super::status::Board;

/// Shared by everything that feeds. Cheap to clone.
#[derive(Clone)]
pub(super) struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    store_id: StoreId,
    compiler: RwLock<Compiler>,
    sessions: Mutex<Sessions>,
    board: Board,
    snapshots: watch::Sender<Arc<Snapshot>>,
}

#[derive(Default)]
struct Sessions {
    mailboxes: BTreeMap<NodeName, Arc<Mailbox>>,
    closed: bool,
}

/// Keys that are different for a node, and what it had to hold of them before.
pub(super) type News = BTreeMap<FragmentKey, Option<FragmentHash>>;

/// A session's news.
#[derive(Debug, Default)]
struct Mailbox {
    news: Mutex<News>,
    /// There is news, the node's own object changed, or the hub has closed.
    ring: Notify,
}

/// A session's place among those that are told.
pub(super) struct Subscription {
    hub: Hub,
    node: NodeName,
    mailbox: Arc<Mailbox>,
}

/// Compiled intent and a session's news as of the same revision.
pub(super) struct Look<'a> {
    compiler: RwLockReadGuard<'a, Compiler>,
    pub news: News,
}

/// The hub has closed.
#[derive(Debug)]
pub(super) struct Closed;

// Nothing panics while one of these is held but the compiler, after whose panic the hub closes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Compiles all intent.
    pub fn new(store_id: StoreId, view: &Arc<IntentView>, board: Board) -> Self {
        let mut compiler = Compiler::default();
        compiler.reset((**view).clone());
        board.reset(view);
        let refused = compiler.compiled().refused().clone();
        let snapshot = Snapshot { store_id: store_id.clone(), view: view.clone(), refused };
        let snapshots = watch::Sender::new(Arc::new(snapshot));
        let inner =
            Inner { store_id, compiler: RwLock::new(compiler), sessions: Mutex::default(), board, snapshots };
        Self { inner: Arc::new(inner) }
    }

    /// The newest intent and its refusals.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.inner.snapshots.subscribe()
    }

    /// Takes a change in, and tells whom it concerns.
    pub fn take(&self, change: &Change) {
        let mut compiler = self.inner.compiler.write().unwrap_or_else(PoisonError::into_inner);
        let changed = compiler.apply((*change.view).clone(), &change.changed);
        let mut sessions = lock(&self.inner.sessions);
        let mailboxes = &mut sessions.mailboxes;
        let mut concerned: BTreeMap<NodeName, Arc<Mailbox>> = BTreeMap::new();
        changed.spans(compiler.compiled(), |node, key, before| {
            let Some(mailbox) = mailboxes.get(node) else { return };
            // What it had to hold at the first change counts; what it should have held since, it never got.
            lock(&mailbox.news).entry(key.clone()).or_insert(before);
            if !concerned.contains_key(node) {
                concerned.insert(node.clone(), mailbox.clone());
            }
        });
        let nodes = change.changed.iter().filter(|o| o.kind == Kind::Node);
        let nodes: Vec<NodeName> = nodes.filter_map(|o| NodeName::new(o.name.as_str()).ok()).collect();
        self.inner.board.advance(&change.view, &nodes, concerned.keys());
        // Removed, or joined again with another key: its session has to look.
        for node in nodes {
            if let Some(mailbox) = mailboxes.get(&node) {
                concerned.insert(node, mailbox.clone());
            }
        }
        drop(sessions);
        let refused = compiler.compiled().refused().clone();
        drop(compiler);
        let snapshot = Snapshot { store_id: self.inner.store_id.clone(), view: change.view.clone(), refused };
        self.inner.snapshots.send_replace(Arc::new(snapshot));
        concerned.values().for_each(|mailbox| mailbox.ring.notify_one());
    }

    /// No change will come any more.
    pub fn close(&self) {
        let mut sessions = lock(&self.inner.sessions);
        sessions.closed = true;
        sessions.mailboxes.values().for_each(|mailbox| mailbox.ring.notify_one());
    }

    /// Who is told from now on what is different for this node; and `begin`, called with what is compiled now.
    pub fn subscribe<T>(
        &self,
        node: &NodeName,
        begin: impl FnOnce(&Compiled) -> T,
    ) -> Result<(Subscription, T), Closed> {
        let compiler = self.read();
        let mut sessions = lock(&self.inner.sessions);
        if sessions.closed {
            return Err(Closed);
        }
        let mailbox = Arc::new(Mailbox::default());
        sessions.mailboxes.insert(node.clone(), mailbox.clone());
        drop(sessions);
        let begun = begin(compiler.compiled());
        Ok((Subscription { hub: self.clone(), node: node.clone(), mailbox }, begun))
    }

    fn read(&self) -> RwLockReadGuard<'_, Compiler> {
        self.inner.compiler.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// Waits for something to look at. Safe to cancel.
    pub async fn rung(&self) -> Result<(), Closed> {
        self.mailbox.ring.notified().await;
        if lock(&self.hub.inner.sessions).closed { Err(Closed) } else { Ok(()) }
    }

    /// Empties the mailbox. While the look lasts nothing changes: it must not be held across a wait.
    pub fn look(&self) -> Look<'_> {
        let compiler = self.hub.read();
        let news = std::mem::take(&mut *lock(&self.mailbox.news));
        Look { compiler, news }
    }

    /// How many keys are waiting.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        lock(&self.mailbox.news).len()
    }
}

impl Look<'_> {
    /// What is compiled.
    pub fn compiled(&self) -> &Compiled {
        self.compiler.compiled()
    }

    /// The intent it was compiled from.
    pub fn view(&self) -> &IntentView {
        self.compiler.view()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut sessions = lock(&self.hub.inner.sessions);
        // A newer session of the node has put its own there.
        if sessions.mailboxes.get(&self.node).is_some_and(|m| Arc::ptr_eq(m, &self.mailbox)) {
            sessions.mailboxes.remove(&self.node);
        }
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
