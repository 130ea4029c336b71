//! Who may use the REST API: bearers of an administrator's token.
//!
//! A token is `<id>.<secret>` with 256 random bits of secret, of which the store keeps the SHA-256 only
//! ([`crate::secret`]). The first one is made at the first start and written to a file only its owner reads;
//! [`reissue`] makes another instead of it, on the machine that has the store, when it is lost or known to somebody.
//!
//! # Invariants
//! * A token that was revoked opens nothing any more on a replica that follows the store, and for [`HOLDS`] at most on one
//!   that does not and cannot tell: it then asks the store, and without its word lets nobody in.
//! * Comparison takes the same time wherever the secrets differ, and for ids that do not exist.
//! * No token is in a log, an error, or `Debug` output.
//!
//! # Failure
//! [`AuthError`]: refused (nothing more is told to the caller) or the store does not answer.

mod bootstrap;
mod reissue;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::envelope::{Codec, EnvelopeError};
use store::keys::Entry;
use store::{Key, StoreError, Value};
use tokio::time::Instant;
use types::Name;

use crate::app::App;
use crate::secret;

pub use bootstrap::{BootstrapError, first_start};
pub use reissue::{ReissueError, Reissued, reissue};

const CODEC: Codec = Codec::first("AdminToken");

/// How long the store's word holds that a token is what this replica sees.
const HOLDS: Duration = Duration::from_secs(30);

/// What the store keeps of a token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    secret_sha256: String,
}

/// Why a request is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No credential, or a wrong one.
    #[error("a valid bearer token is needed")]
    Refused,
    /// What is stored was not understood.
    #[error("an administrator's token is stored in a form that was not understood: {0}")]
    Stored(#[from] EnvelopeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks credentials. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    app: App,
    /// What the store said of tokens, and when; one entry for each that is stored.
    confirmed: Arc<Mutex<BTreeMap<Name, (Value, Instant)>>>,
    holds: Duration,
}

impl Auth {
    /// Credentials as this replica knows them, which is a moment after they change. Whoever they do not let in may come
    /// with a newer one, and whoever they do with one that is gone: the store is asked, of the latter now and then.
    pub fn new(app: App) -> Self {
        Self { app, confirmed: Arc::default(), holds: HOLDS }
    }

    /// The id of the administrator's token in an `Authorization` header.
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn admin(&self, authorization: Option<&str>) -> Result<Name, AuthError> {
        let (id, given) = bearer(authorization).ok_or(AuthError::Refused)?;
        if let Some(known) = self.app.snapshot().admin_token(&id)
            && opens(given, Some(known))?
            && self.is_confirmed(&id, known)
        {
            return Ok(id);
        }
        let asked = Instant::now();
        let stored = self.app.store().get(&key(&id)).await?.map(|kv| kv.value);
        let opens = opens(given, stored.as_ref())?;
        match stored {
            Some(value) => drop(self.confirmed().insert(id.clone(), (value, asked))),
            None => drop(self.confirmed().remove(&id)),
        }
        if opens { Ok(id) } else { Err(AuthError::Refused) }
    }

    /// Whether the store has said lately that this is what it has.
    fn is_confirmed(&self, id: &Name, known: &Value) -> bool {
        self.confirmed().get(id).is_some_and(|(value, asked)| value == known && asked.elapsed() < self.holds)
    }

    // Nothing panics while it is held, so what a poisoned lock guards is whole.
    fn confirmed(&self) -> MutexGuard<'_, BTreeMap<Name, (Value, Instant)>> {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a secret is that of a stored token.
fn opens(given: &str, stored: Option<&Value>) -> Result<bool, EnvelopeError> {
    let stored: Option<Stored> = stored.map(|value| CODEC.decode(value)).transpose()?;
    // An id that does not exist costs the same comparison.
    let wanted = stored.as_ref().map_or_else(|| secret::hash(""), |s| s.secret_sha256.clone());
    Ok(secret::is(given, &wanted) && stored.is_some())
}

/// `Bearer <id>.<secret>`, RFC 6750 section 2.1.
fn bearer(authorization: Option<&str>) -> Option<(Name, &str)> {
    let (scheme, token) = authorization?.split_once(' ')?;
    let (id, secret) = token.trim().split_once('.')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty();
    is_bearer.then(|| Name::new(id).ok().map(|id| (id, secret))).flatten()
}

fn key(id: &Name) -> Key {
    Entry::AdminToken(id.clone()).key()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn only_bearer_tokens_are_read() {
        let ok = |text| bearer(Some(text)).map(|(id, secret)| (id.to_string(), secret.to_owned()));
        assert_eq!(ok("Bearer a.b"), Some(("a".into(), "b".into())));
        assert_eq!(ok("bearer  a.b "), Some(("a".into(), "b".into())));
        for wrong in ["Basic a.b", "Bearer ab", "Bearer a.", "Bearer .b", "Bearer", "a.b", "Bearer A.b"] {
            assert_eq!(ok(wrong), None, "{wrong}");
        }
        assert!(bearer(None).is_none());
    }

    #[tokio::test]
    async fn a_revoked_token_does_not_hold_for_long_where_the_store_is_not_followed() {
        let store = store::memory().unwrap();
        let id = Name::new("x").unwrap();
        let token = |secret: &str| CODEC.encode(&Stored { secret_sha256: secret::hash(secret) }).unwrap();
        let _ = store.txn(store::Txn::new().put(key(&id), token("old"))).await.unwrap();
        // Nobody polls the follower: this replica sees nothing new.
        let (informer, _follow) = store::intent::start(store.clone()).await.unwrap();
        let auth = Auth::new(App::new(store.clone(), informer, Clock::system()));
        assert_eq!(auth.admin(Some("Bearer x.old")).await.unwrap(), id);
        let _ = store.txn(store::Txn::new().put(key(&id), token("new"))).await.unwrap();
        assert_eq!(auth.admin(Some("Bearer x.old")).await.unwrap(), id, "the store is not asked each time");
        let later = Auth { holds: Duration::ZERO, ..auth.clone() };
        assert!(matches!(later.admin(Some("Bearer x.old")).await, Err(AuthError::Refused)));
        // What the store says of the new one says nothing of the old one that is still seen here.
        assert_eq!(auth.admin(Some("Bearer x.new")).await.unwrap(), id);
        assert!(matches!(auth.admin(Some("Bearer x.old")).await, Err(AuthError::Refused)));
    }

    #[tokio::test]
    async fn a_token_opens_only_with_its_own_secret_and_while_it_exists() {
        let store = store::memory().unwrap();
        let (informer, follow) = store::intent::start(store.clone()).await.unwrap();
        let id = Name::new("x").unwrap();
        let value = CODEC.encode(&Stored { secret_sha256: secret::hash("right") }).unwrap();
        let made = store.txn(store::Txn::new().put(key(&id), value)).await.unwrap();
        let auth = Auth::new(App::new(store.clone(), informer.clone(), Clock::system()));
        // Before its arrival here, after it, and when it is gone again.
        assert_eq!(auth.admin(Some("Bearer x.right")).await.unwrap(), id);
        tokio::spawn(follow);
        informer.reach(made.revision().unwrap()).await.unwrap();
        assert_eq!(auth.admin(Some("Bearer x.right")).await.unwrap(), id);
        for wrong in ["Bearer x.wrong", "Bearer y.right", "Bearer y.", "Bearer x.righ", "Bearer y.x"] {
            assert!(matches!(auth.admin(Some(wrong)).await, Err(AuthError::Refused)), "{wrong}");
        }
        // The hash of nothing is what unknown ids are compared with.
        assert!(matches!(auth.admin(Some("Bearer y.")).await, Err(AuthError::Refused)));
        let gone = store.txn(store::Txn::new().delete(key(&id))).await.unwrap();
        informer.reach(gone.revision().unwrap()).await.unwrap();
        assert!(matches!(auth.admin(Some("Bearer x.right")).await, Err(AuthError::Refused)));
    }
}
