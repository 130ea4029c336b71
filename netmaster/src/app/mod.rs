//! Use cases: who wants what, decided by `model`, written in one transaction.
//!
//! [`App`] is the only writer of intent. A request is decided on the newest snapshot; the transaction compares what the
//! decision rests on; when that changed meanwhile, it is decided again. When a write returns, this replica shows it.
//!
//! One file per noun holds what is particular to it: how it is described to people, and what nodes may do with it.
//!
//! # Invariants
//! * Nothing is written that `model` did not check, and nothing is pushed to agents from here.
//! * Writers of one replica do not conflict with each other: those that come together share a transaction. Replicas may,
//!   and retry.
//!
//! # Failure
//! [`AppError`]; [`AppError::Busy`] after a bounded number of conflicts.

pub mod apply;
pub mod counters;
pub mod endpoint;
mod error;
mod expected;
pub mod explain;
pub mod group;
pub mod netprofile;
pub mod network;
pub mod node;
mod noun;
mod page;
pub mod policy;
mod quota;
mod scene;
pub mod status;
pub mod tenant;
mod watcher;
mod write;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use model::ObjectRef;
use store::Store;
use store::intent::{Author, Deltas, Informer, Snapshot};
use types::{NodeName, Revision};

pub use error::AppError;
pub use expected::Expected;
pub use noun::Noun;
pub use page::{ListPage, PageEnd};
pub use quota::Quota;
pub use scene::{Reports, Scene};
pub use watcher::{EventId, Known, NoEventId, Told, WatchError, Watcher};
pub use write::{Mode, Written};

use quota::Refusals;

use crate::clock::Clock;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An administrator, by the id of the token.
    Admin(String),
    /// A node, proven by its certificate or join token.
    Node(NodeName),
    /// netmaster itself.
    System(&'static str),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Admin(token) => write!(f, "admin:{token}"),
            Self::Node(node) => write!(f, "node:{node}"),
            Self::System(task) => write!(f, "system:{task}"),
        }
    }
}

/// On whose behalf something is done: what change records say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Who asks.
    pub subject: Subject,
    /// Where the request came from.
    pub source: String,
    /// Names the request.
    pub request_id: String,
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
    quota: Quota,
}

struct Inner {
    store: Arc<dyn Store>,
    informer: Informer,
    clock: Clock,
    queue: writer::Queue,
    full: Refusals,
}

impl App {
    /// Use cases over this store, which `informer` follows.
    pub fn new(store: Arc<dyn Store>, informer: Informer, clock: Clock) -> Self {
        let inner =
            Inner { store, informer, clock, queue: writer::Queue::default(), full: Refusals::default() };
        Self { inner: Arc::new(inner), quota: Quota::default() }
    }

    /// The same, with another number of endpoints a node may make.
    #[must_use]
    pub fn with_quota(self, quota: Quota) -> Self {
        Self { quota, ..self }
    }

    /// How many endpoints a node may make, and how often one wanted more.
    pub fn quota(&self) -> (Quota, u64) {
        (self.quota, self.inner.full.get())
    }

    /// The newest intent.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.informer.snapshot()
    }

    /// The newest intent, and what changes in it from then on.
    pub fn deltas(&self) -> (Arc<Snapshot>, Deltas) {
        self.inner.informer.deltas()
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The time.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    fn author(&self, actor: &Actor) -> Author {
        Author {
            who: actor.subject.to_string(),
            from: actor.source.clone(),
            request_id: actor.request_id.clone(),
            at: self.inner.clock.stamp(),
        }
    }

    /// Waits until this replica shows a revision it knows to exist.
    pub(crate) async fn reach(&self, revision: Revision) -> Result<Arc<Snapshot>, AppError> {
        const PATIENCE: Duration = Duration::from_secs(5);
        match tokio::time::timeout(PATIENCE, self.inner.informer.reach(revision)).await {
            Ok(reached) => Ok(reached?),
            Err(_) => Err(AppError::Behind { revision }),
        }
    }
}

/// The tenant of an object, as an object of its own.
fn tenant_of(object: &ObjectRef) -> Option<ObjectRef> {
    let name = object.tenant.as_ref()?.to_string();
    Some(ObjectRef { kind: model::Kind::Tenant, tenant: None, name })
}
