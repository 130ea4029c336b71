//! Compiling every new view. The latest result is what sessions read; results nobody read are simply replaced.

use std::sync::Arc;

use compile::{Compiled, compile};
use model::IntentView;
use tokio::sync::watch;
use types::{Revision, StoreId};

use super::status::Board;

/// Intent at one revision, and what it compiles to.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The history.
    pub store_id: StoreId,
    /// Intent.
    pub view: Arc<IntentView>,
    /// Its fragments, and the objects that have none.
    pub compiled: Arc<Compiled>,
}

impl Snapshot {
    /// The revision of both.
    pub fn revision(&self) -> Revision {
        self.view.revision
    }

    pub(super) fn of(store_id: StoreId, view: Arc<IntentView>) -> Self {
        let compiled = Arc::new(compile(&view));
        Self { store_id, view, compiled }
    }
}

/// Follows the views until their source ends.
pub(super) async fn follow(
    mut views: watch::Receiver<Arc<IntentView>>,
    out: watch::Sender<Arc<Snapshot>>,
    board: Board,
) {
    while views.changed().await.is_ok() {
        let view = views.borrow_and_update().clone();
        let store_id = out.borrow().store_id.clone();
        let revision = view.revision;
        // Compiling takes longer than a scheduler should wait.
        match tokio::task::spawn_blocking(move || Snapshot::of(store_id, view)).await {
            Ok(snapshot) => {
                // First the line in the status, then the snapshot that lets the node's session begin.
                board.follow(&snapshot.view);
                out.send_replace(Arc::new(snapshot));
            }
            Err(error) => tracing::error!(%revision, %error, "compile failed; agents keep what they have"),
        }
    }
}
