//! Intent as it changes, and what of the compiled form people are shown.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use compile::Refusals;
use futures_util::{Stream, StreamExt, stream};
use model::{IntentView, ObjectRef};
use store::intent::Deltas;
use types::{Revision, StoreId};

use super::hub::Hub;

/// Intent at one revision. Compiled: every session at least knows that it has something to look at.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The history.
    pub store_id: StoreId,
    /// Intent.
    pub view: Arc<IntentView>,
    /// The objects that have no fragment, and why.
    pub refused: Refusals,
}

impl Snapshot {
    /// The revision of both.
    pub fn revision(&self) -> Revision {
        self.view.revision
    }
}

/// Intent, and which objects are not as they were in the one before.
#[derive(Clone, Debug)]
pub struct Change {
    /// The newest intent.
    pub view: Arc<IntentView>,
    /// Objects created, changed or deleted.
    pub changed: BTreeSet<ObjectRef>,
}

/// Intent now, and every later change of it. Ends when intent is no longer followed.
pub struct Changes {
    pub(super) start: Arc<IntentView>,
    stream: Pin<Box<dyn Stream<Item = Change> + Send>>,
}

impl Changes {
    /// From a start and what follows it.
    pub fn new(start: Arc<IntentView>, stream: impl Stream<Item = Change> + Send + 'static) -> Self {
        Self { start, stream: Box::pin(stream) }
    }

    /// From the store's informer.
    pub fn of((snapshot, deltas): (Arc<store::intent::Snapshot>, Deltas)) -> Self {
        let next = |mut deltas: Deltas| async {
            let delta = deltas.next().await.ok()?;
            Some((Change { view: delta.snapshot.view().clone(), changed: delta.changed }, deltas))
        };
        Self::new(snapshot.view().clone(), stream::unfold(deltas, next))
    }
}

/// Takes every change in until there are no more.
pub(super) async fn follow(mut changes: Changes, hub: Hub) {
    while let Some(change) = changes.stream.next().await {
        let (hub, revision) = (hub.clone(), change.view.revision);
        // Compiling may take longer than a scheduler should wait.
        if let Err(error) = tokio::task::spawn_blocking(move || hub.take(&change)).await {
            // The compiler's state is no longer known to be whole.
            tracing::error!(%revision, %error, "compile failed; agents keep what they have");
            break;
        }
    }
    hub.close();
}
