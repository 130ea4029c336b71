//! At most one session per node. A node that comes back opens its new session before the old connection is known to be
//! dead, so the newest wins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};
use types::NodeName;

use super::question::Question;

/// Questions that wait for a session; who asks more waits.
const QUESTIONS: usize = 4;

/// The sessions of this replica.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    sessions: BTreeMap<NodeName, Entry>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    /// Dropped when a newer session takes the node over: that is the signal.
    _held: oneshot::Sender<()>,
    questions: mpsc::Sender<Question>,
}

/// A session's place; dropping it gives the place up.
#[derive(Debug)]
pub(super) struct Place {
    registry: Registry,
    node: NodeName,
    number: u64,
    superseded: oneshot::Receiver<()>,
}

impl Registry {
    /// The node's one place, and what its session is asked; who had it before is told to end.
    pub fn take(&self, node: NodeName) -> (Place, mpsc::Receiver<Question>) {
        let (held, superseded) = oneshot::channel();
        let (asker, questions) = mpsc::channel(QUESTIONS);
        let mut inner = self.lock();
        inner.last += 1;
        let number = inner.last;
        inner.sessions.insert(node.clone(), Entry { number, _held: held, questions: asker });
        (Place { registry: self.clone(), node, number, superseded }, questions)
    }

    /// Where the node's session is asked; `None` when it has none.
    pub fn ask(&self, node: &NodeName) -> Option<mpsc::Sender<Question>> {
        self.lock().sessions.get(node).map(|entry| entry.questions.clone())
    }

    // Nothing panics while it is held, so what a poisoned lock guards is whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until a newer session has taken the node over. Cancel-safe; not to be asked again after it returned.
    pub async fn superseded(&mut self) {
        // Nothing is ever sent: the only news is that the sender is gone.
        let _ = (&mut self.superseded).await;
    }

    /// Whether this is still the node's newest session.
    pub fn is_current(&self) -> bool {
        self.registry.lock().sessions.get(&self.node).is_some_and(|e| e.number == self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        if inner.sessions.get(&self.node).is_some_and(|e| e.number == self.number) {
            inner.sessions.remove(&self.node);
        }
    }
}
