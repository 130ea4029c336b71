//! What the system is doing.

use api::v1::{Health, Leader, RefusedObject, Status};

use super::{App, Reports};

impl App {
    /// Whether the store answers and this replica follows it.
    pub async fn health(&self) -> Health {
        match self.inner.store.health().await {
            Ok(_) => Health { ok: true, reason: None },
            Err(error) => Health { ok: false, reason: Some(error.to_string()) },
        }
    }

    /// The whole picture.
    pub async fn status(&self, reports: &Reports) -> Status {
        let store = self.health().await;
        let snapshot = self.snapshot();
        reports.scene(&snapshot, |scene| {
            let refused = scene.compiled.compiled.refused().iter();
            Status {
                store_id: self.inner.store.store_id().to_string(),
                store,
                revision: snapshot.revision().to_string(),
                leader: snapshot
                    .leader()
                    .map(|l| Leader { name: l.name.clone(), since: l.since.to_string() }),
                nodes: snapshot.view().nodes.keys().map(|node| scene.report(node)).collect(),
                refused: refused
                    .map(|(o, why)| RefusedObject { object: o.to_string(), reason: why.to_string() })
                    .collect(),
            }
        })
    }
}
