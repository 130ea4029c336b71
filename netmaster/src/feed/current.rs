//! Whether this replica has seen everything an agent has seen, when its revision is lower.
//!
//! A revision counts what happens in the store, and that need not be intent: on an etcd that others write to, or where
//! only counters of ours moved, a replica that was started later begins at a higher revision than one that has followed
//! intent all the time. Both hold the same intent. Waiting for an event would take until somebody changes something, so
//! the store is asked: did intent change after what we have?

use std::sync::Arc;
use std::time::Duration;

use model::IntentView;
use node_api::ErrorCode;
use store::keys::TenantObject;
use store::{Compare, Outcome, Prefix, Store, StoreError, Txn};
use tokio::sync::{Mutex, watch};
use tonic::Status;
use types::Revision;

use super::snapshot::Snapshot;

/// How long a call waits for this replica to see what was written, or what the agent has seen elsewhere.
pub(super) const CATCH_UP: Duration = Duration::from_secs(5);
/// How often a store that says it is behind itself (a member of a cluster may be) is asked again.
const AGAIN: Duration = Duration::from_millis(250);
/// Ranges compared in one transaction; below any store's limit.
const AT_ONCE: usize = 64;

/// Asks at most once at a time, whoever wants to know.
#[derive(Clone, Default)]
pub(super) struct Horizon {
    /// All intent up to here is known to be in the snapshot.
    through: Arc<Mutex<Revision>>,
}

impl Horizon {
    /// Waits until the snapshot holds all intent of this revision.
    pub async fn reach(
        &self,
        revision: Revision,
        store: &dyn Store,
        snapshots: &watch::Receiver<Arc<Snapshot>>,
    ) -> Result<(), Status> {
        let mut snapshots = snapshots.clone();
        let mut at = None;
        let reached = async {
            while snapshots.borrow_and_update().revision() < revision {
                let mut through = self.through.lock().await;
                if *through >= revision {
                    break;
                }
                let view = snapshots.borrow_and_update().view.clone();
                if let Some(unchanged) = unchanged_since(store, &view).await? {
                    *through = unchanged.max(*through);
                    at = Some(unchanged);
                    if unchanged >= revision {
                        break;
                    }
                }
                drop(through);
                // What changed is on its way; the store's own lag is not announced.
                if let Ok(Err(_)) = tokio::time::timeout(AGAIN, snapshots.changed()).await {
                    return Ok(Err(ErrorCode::ShuttingDown.with("netmaster is shutting down")));
                }
            }
            Ok(Ok(()))
        };
        match tokio::time::timeout(CATCH_UP, reached).await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => {
                let error: StoreError = error;
                tracing::warn!(%error, "cannot tell whether this replica is up to date");
                Err(ErrorCode::StoreUnavailable.with("the store does not answer"))
            }
            Err(_) => Err(behind(revision, at)),
        }
    }
}

fn behind(revision: Revision, store: Option<Revision>) -> Status {
    match store.filter(|at| *at < revision) {
        Some(at) => ErrorCode::Behind.with(format_args!(
            "revision {revision} has not arrived here yet, and the store is at {at}; if it was restored from a backup it \
             needs a new store id"
        )),
        None => ErrorCode::Behind.with(format_args!("revision {revision} has not arrived here yet")),
    }
}

/// The revision up to which the store holds the very intent of this view; `None` when it has changed since.
async fn unchanged_since(store: &dyn Store, view: &IntentView) -> Result<Option<Revision>, StoreError> {
    let of_tenant = |tenant| TenantObject::ALL.map(|kind| Prefix::within(kind, tenant));
    let ranges =
        [Prefix::tenants(), Prefix::nodes()].into_iter().chain(view.tenants.keys().flat_map(of_tenant));
    let ranges: Vec<Prefix> = ranges.collect();
    let mut through = None;
    for some in ranges.chunks(AT_ONCE) {
        let compare =
            |txn: Txn, range: &Prefix| txn.when(Compare::RangeUnchanged(range.clone(), view.revision));
        match store.txn(some.iter().fold(Txn::new(), compare)).await? {
            Outcome::Conflict { .. } => return Ok(None),
            Outcome::Committed { revision } | Outcome::Unchanged { revision } => {
                through = Some(through.map_or(revision, |t: Revision| t.min(revision)));
            }
        }
    }
    Ok(through)
}
