//! The first start: an administrator's token and the tenant `default`, made once per store.

use std::path::{Path, PathBuf};

use model::{IntentView, Spec, Supply, Taken, TenantSpec, plan_apply};
use store::intent::{Author, CommitError, Extra, Snapshot, commit};
use store::{Compare, Op, Store, StoreError};
use types::{DefaultAction, EndpointUid, Name};

use super::{CODEC, Stored, key};
use crate::clock::Clock;
use crate::{pki, secret};

/// Id of the first token. Fixed, so that of several replicas that start at once one makes it.
pub(super) const ID: &str = "bootstrap";

/// Why the first start failed.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The credential cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A defect: what is made at the first start is always sound.
    #[error("cannot prepare the first start: {0}")]
    Internal(String),
}

/// Makes what a new store lacks, and writes the token to `file`. Whether this was the first start.
///
/// # Errors
/// [`BootstrapError`].
pub async fn first_start(store: &dyn Store, file: &Path, clock: &Clock) -> Result<bool, BootstrapError> {
    let internal = |e: &dyn std::fmt::Display| BootstrapError::Internal(e.to_string());
    let id = Name::new(ID).map_err(|e| internal(&e))?;
    if store.get(&key(&id)).await?.is_some() {
        return Ok(false);
    }
    let secret = secret::fresh();
    // The file first: a credential nobody has could not be made again.
    let written = pki::write_secret(file, format!("{id}.{secret}\n").as_bytes());
    written.map_err(|source| BootstrapError::File { path: file.to_owned(), source })?;
    let value = CODEC.encode(&Stored { secret_sha256: secret::hash(&secret) }).map_err(|e| internal(&e))?;
    let extra = Extra {
        compares: vec![Compare::Absent(key(&id))],
        ops: vec![Op::Put { key: key(&id), value, lease: None }],
    };
    let author = Author {
        who: "system:first-start".to_owned(),
        from: "netmaster".to_owned(),
        request_id: uuid::Uuid::new_v4().to_string(),
        at: clock.stamp(),
    };
    let default = Name::new("default").map_err(|e| internal(&e))?;
    let spec = Spec::Tenant(TenantSpec { name: default, default_action: DefaultAction::Allow });
    let mut uid = || EndpointUid::MAX;
    let supply = Supply { taken: &Taken::default(), uid: &mut uid };
    let plan = plan_apply(&IntentView::default(), supply, vec![spec]).map_err(|e| internal(&e))?;
    match commit(store, &Snapshot::default(), &plan, author, extra).await {
        Ok(_) => Ok(true),
        // Another replica was faster; the token is in its folder, and the one we wrote opens nothing.
        Err(CommitError::Conflict { .. }) => {
            let removed = std::fs::remove_file(file);
            removed.map_err(|source| BootstrapError::File { path: file.to_owned(), source })?;
            Ok(false)
        }
        Err(CommitError::Store(e)) => Err(e.into()),
    }
}
