//! What the system is doing.

use std::time::Duration;

use api::v1::{Check, FailedEndpoint, Health, Leader, RefusedObject, Status};

use super::{App, Reports, Scene, endpoint};

/// What a node says of an endpoint it cannot serve.
fn failed(endpoint: &model::Endpoint, scene: &Scene<'_>) -> Option<FailedEndpoint> {
    let object = model::Object::Endpoint(endpoint.clone()).object_ref();
    Some(FailedEndpoint {
        reason: endpoint::failure(endpoint, scene)?,
        node: endpoint.spec.node.clone(),
        resource_version: scene.version(&object),
        object: object.to_string(),
    })
}

/// A store that takes longer to say that it could be written to is away: who asks about it does not wait as long as who
/// has something to write.
const STORE_ANSWERS: Duration = Duration::from_secs(2);

impl App {
    /// Whether the store answers and takes writes.
    pub async fn health(&self) -> Health {
        let reason = match tokio::time::timeout(STORE_ANSWERS, self.inner.store.writable()).await {
            Ok(answer) => answer.err().map(|e| e.to_string()),
            Err(_) => Some(format!("no answer within {} s", STORE_ANSWERS.as_secs())),
        };
        Health { ok: reason.is_none(), reason }
    }

    /// What this process needs in order to serve: a store that takes writes, and intent that is followed.
    pub async fn checks(&self) -> Vec<Check> {
        let Health { ok, reason } = self.health().await;
        let intent = self.inner.informer.check().err().map(|e| e.to_string());
        vec![
            Check { name: "store".to_owned(), ok, reason },
            Check { name: "intent".to_owned(), ok: intent.is_none(), reason: intent },
        ]
    }

    /// The whole picture.
    pub async fn status(&self, reports: &Reports) -> Status {
        let store = self.health().await;
        let snapshot = self.snapshot();
        reports.scene(&snapshot, |scene| {
            let refused = scene.compiled.refused.iter();
            Status {
                store_id: self.inner.store.store_id().to_string(),
                store,
                revision: snapshot.revision().to_string(),
                leader: snapshot
                    .leader()
                    .map(|l| Leader { name: l.name.clone(), since: l.since.to_string() }),
                nodes: snapshot.view().nodes.keys().map(|node| scene.report(node)).collect(),
                refused: refused
                    .map(|(object, why)| RefusedObject {
                        object: object.to_string(),
                        resource_version: scene.version(object),
                        reason: why.to_string(),
                    })
                    .collect(),
                failed: snapshot.view().endpoints.values().filter_map(|e| failed(e, scene)).collect(),
            }
        })
    }
}
