//! Another administrator's token, when the one there was is lost, or known to somebody it was not made for.
//!
//! Who may ask is whoever can open the store: nothing of this is reachable over the network, and the token appears in a
//! file only its owner reads, never in arguments, output or logs.
//!
//! # Invariants
//! * One transaction makes the new token and deletes every other: there is no moment with both or none.
//! * The file that is there is replaced once the new token is stored. The new one lies beside it before: a token that
//!   opens something is never in memory only.
//!
//! # Failure
//! [`ReissueError`]; nothing has changed then, but for [`ReissueError::Unknown`], where both files are left to be tried.

use std::path::{Path, PathBuf};

use store::change::ChangeRecord;
use store::envelope::EnvelopeError;
use store::{Compare, Outcome, Prefix, Store, StoreError, Txn, list_all};
use types::Name;

use super::bootstrap::ID;
use super::{CODEC, Stored, key};
use crate::clock::Clock;
use crate::{pki, secret};

/// Why there is no new token.
#[derive(Debug, thiserror::Error)]
pub enum ReissueError {
    /// A file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store has never been started from, and so has no token that could be lost.
    #[error("the store has no administrator's token yet: start netmaster, which makes the first one")]
    Fresh,
    /// Somebody else made or deleted a token meanwhile.
    #[error("somebody else changes the administrators' tokens; look, and try again")]
    Meanwhile,
    /// The store did not say whether it happened.
    #[error(
        "the store did not say whether the new token holds: {store}. Try the one in {}, then the one before it", .path.display()
    )]
    Unknown {
        /// Where the new token is.
        path: PathBuf,
        /// Why it is not known.
        store: StoreError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A defect.
    #[error("cannot encode a token: {0}")]
    Encode(#[from] EnvelopeError),
    /// A defect.
    #[error("cannot name a token: {0}")]
    Name(#[from] types::Invalid),
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reissued {
    /// The ids of the tokens that hold no more; the new one may have the id of one of them.
    pub revoked: Vec<String>,
}

/// Makes a new administrator's token the only one, and writes it to `file`.
///
/// # Errors
/// [`ReissueError`].
pub async fn reissue(store: &dyn Store, file: &Path, clock: &Clock) -> Result<Reissued, ReissueError> {
    let (tokens, _) = list_all(store, &Prefix::admin_tokens()).await?;
    if tokens.is_empty() {
        return Err(ReissueError::Fresh);
    }
    let (id, fresh) = (Name::new(ID)?, secret::fresh());
    let beside = file.with_extension("token.new");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ReissueError::File { path, source }
    };
    pki::write_secret(&beside, format!("{id}.{fresh}\n").as_bytes()).map_err(failed(&beside))?;

    let revoked: Vec<String> =
        tokens.iter().filter_map(|kv| Some(kv.key.as_str().rsplit_once('/')?.1.to_owned())).collect();
    let record =
        ChangeRecord::new("system:admin-token", "netmaster", uuid::Uuid::new_v4().to_string(), clock.stamp());
    let after = serde_json::json!({"revoked": revoked});
    let record = record.object(format_args!("admin-token/{id}"), None, Some(after)).op(rand::random())?;
    let mut txn = Txn::new();
    for kv in tokens {
        txn = txn.when(Compare::ModRevision(kv.key.clone(), kv.modified));
        if kv.key != key(&id) {
            txn = txn.delete(kv.key);
        }
    }
    let value = CODEC.encode(&Stored { secret_sha256: secret::hash(&fresh) })?;
    match store.txn(txn.put(key(&id), value).then(record)).await {
        Ok(Outcome::Committed { .. } | Outcome::Unchanged { .. }) => {}
        Ok(Outcome::Conflict { .. }) => return Err(forget(&beside, ReissueError::Meanwhile)),
        Err(store @ StoreError::Indeterminate { .. }) => {
            return Err(ReissueError::Unknown { path: beside, store });
        }
        Err(error) => return Err(forget(&beside, error.into())),
    }
    std::fs::rename(&beside, file).map_err(failed(file))?;
    Ok(Reissued { revoked })
}

/// Takes away a token that opens nothing.
fn forget(beside: &Path, error: ReissueError) -> ReissueError {
    // What is left opens nothing, and the next attempt replaces it.
    let _ = std::fs::remove_file(beside);
    error
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::sync::Arc;

    use super::super::{Auth, AuthError, first_start};
    use super::*;
    use crate::app::App;

    fn clock() -> Clock {
        Clock::new(|| "2026-05-04T03:02:01Z".parse().unwrap())
    }

    /// What a running replica lets in.
    async fn replica(store: &Arc<dyn Store>) -> (Auth, store::intent::Informer) {
        let (informer, follow) = store::intent::start(store.clone()).await.unwrap();
        tokio::spawn(follow);
        (Auth::new(App::new(store.clone(), informer.clone(), clock())), informer)
    }

    async fn opens(auth: &Auth, token: &str) -> bool {
        match auth.admin(Some(&format!("Bearer {}", token.trim()))).await {
            Ok(_) => true,
            Err(AuthError::Refused) => false,
            Err(e) => panic!("{e}"),
        }
    }

    #[tokio::test]
    async fn new_token_opens_and_every_other_one_no_more() {
        let store: Arc<dyn Store> = store::memory().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("admin.token");
        assert!(first_start(store.as_ref(), &file, &clock()).await.unwrap());
        let first = std::fs::read_to_string(&file).unwrap();
        let other = key(&Name::new("other").unwrap());
        let value = CODEC.encode(&Stored { secret_sha256: secret::hash("x") }).unwrap();
        let _ = store.txn(Txn::new().put(other, value)).await.unwrap();
        let (auth, informer) = replica(&store).await;
        assert!(opens(&auth, &first).await && opens(&auth, "other.x").await);

        let mut done = reissue(store.as_ref(), &file, &clock()).await.unwrap();
        done.revoked.sort();
        assert_eq!(done.revoked, [ID, "other"]);
        let second = std::fs::read_to_string(&file).unwrap();
        assert!(opens(&auth, &second).await, "also before it has arrived here");
        informer.reach(store.health().await.unwrap().revision).await.unwrap();
        assert!(opens(&auth, &second).await);
        assert!(!opens(&auth, &first).await && !opens(&auth, "other.x").await);
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");

        // Who did it is on record, what the token is nowhere.
        let secret = second.trim().split_once('.').unwrap().1;
        let (all, _) = list_all(store.as_ref(), &Prefix::everything()).await.unwrap();
        let text: Vec<_> =
            all.iter().map(|kv| String::from_utf8_lossy(kv.value.as_bytes()).into_owned()).collect();
        assert!(text.iter().any(|t| t.contains("system:admin-token") && t.contains("other")), "{text:?}");
        assert!(!text.iter().any(|t| t.contains(secret)));
    }

    #[tokio::test]
    async fn failure_changes_nothing() {
        let store: Arc<dyn Store> = store::memory().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("admin.token");
        let fresh = reissue(store.as_ref(), &file, &clock()).await.unwrap_err();
        assert!(matches!(fresh, ReissueError::Fresh), "{fresh}");
        first_start(store.as_ref(), &file, &clock()).await.unwrap();
        let token = std::fs::read_to_string(&file).unwrap();
        let nowhere = dir.path().join("missing/admin.token");
        assert!(matches!(reissue(store.as_ref(), &nowhere, &clock()).await, Err(ReissueError::File { .. })));
        assert!(opens(&replica(&store).await.0, &token).await);
    }
}
