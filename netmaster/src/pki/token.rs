//! Join tokens: 256 random bits that admit one node, once, for a while.
//!
//! Text form `<id>.<secret>`. The id is public (it names the key in the store and appears in logs); of the secret only
//! the SHA-256 is stored ([`crate::secret`]).
//!
//! # Invariants
//! * A token is used in the transaction that writes the node: [`Claim`]'s comparison and deletion go into it, so of two
//!   joins with one token one conflicts.
//! * Every refusal looks the same from outside; [`TokenError`] is for the log.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::election::{Fence, FencedError};
use store::envelope::{Codec, EnvelopeError};
use store::keys::Entry;
use store::{Compare, Key, KeyValue, Op, Outcome, Prefix, Store, StoreError, Txn, list_all};
use types::{Name, NodeName};

use crate::secret;

const CODEC: Codec = Codec::first("JoinToken");

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    node: NodeName,
    secret_sha256: String,
    expires: Timestamp,
}

/// A token's text: shown once, to who asked for it.
#[derive(Clone)]
pub struct TokenText(String);

impl TokenText {
    /// The secret.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(redacted)")
    }
}

/// Why a token is not accepted. For netmaster's log; the caller learns only that it is not.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Not of a token's form.
    #[error("is malformed")]
    Malformed,
    /// Never existed, was used, or was swept after it expired.
    #[error("{0} does not exist or was used")]
    Unknown(Name),
    /// Right id, wrong secret.
    #[error("{0} has another secret")]
    Wrong(Name),
    /// Too late.
    #[error("{0} has expired")]
    Expired(Name),
    /// Made for another node.
    #[error("{id} was made for node {node}")]
    OtherNode {
        /// The token.
        id: Name,
        /// The node it was made for.
        node: NodeName,
    },
    /// What is stored was not understood.
    #[error("is stored in a form that was not understood: {0}")]
    Stored(#[from] EnvelopeError),
    /// The store's part: not the token's fault.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A new token: `op` must be committed before `text` is given away.
#[derive(Debug)]
pub struct Issued {
    /// The only copy of the secret.
    pub text: TokenText,
    /// Its public id.
    pub id: Name,
    /// When it ends.
    pub expires: Timestamp,
    /// Goes with `op`: an id is never used twice.
    pub compare: Compare,
    /// Stores it.
    pub op: Op,
}

impl Issued {
    /// A token that admits `node` until `now + lifetime`.
    ///
    /// # Errors
    /// [`TokenError`] when the lifetime is out of the calendar.
    pub fn new(node: NodeName, now: Timestamp, lifetime: Duration) -> Result<Self, TokenError> {
        let id = Name::new(hex::encode(rand::random::<[u8; 8]>())).map_err(|_| TokenError::Malformed)?;
        let secret = secret::fresh();
        let expires = now.checked_add(lifetime).map_err(|_| TokenError::Malformed)?;
        let stored = Stored { node, secret_sha256: secret::hash(&secret), expires };
        let key = key(&id);
        Ok(Self {
            text: TokenText(format!("{id}.{secret}")),
            compare: Compare::Absent(key.clone()),
            op: Op::Put { key, value: CODEC.encode(&stored)?, lease: None },
            id,
            expires,
        })
    }
}

/// A token that was found good: put both parts into the transaction that admits the node.
#[derive(Debug)]
pub struct Claim {
    /// Its public id.
    pub id: Name,
    /// Nobody used it meanwhile.
    pub compare: Compare,
    /// Uses it.
    pub op: Op,
}

/// Checks a token for this node.
///
/// # Errors
/// [`TokenError`].
pub async fn claim(
    store: &dyn Store,
    text: &str,
    node: &NodeName,
    now: Timestamp,
) -> Result<Claim, TokenError> {
    let (id, given) = text.split_once('.').ok_or(TokenError::Malformed)?;
    let id = Name::new(id).map_err(|_| TokenError::Malformed)?;
    let key = key(&id);
    let Some(kv) = store.get(&key).await? else {
        return Err(TokenError::Unknown(id));
    };
    let stored: Stored = CODEC.decode(&kv.value)?;
    if !secret::is(given, &stored.secret_sha256) {
        return Err(TokenError::Wrong(id));
    }
    if now >= stored.expires {
        return Err(TokenError::Expired(id));
    }
    if stored.node != *node {
        return Err(TokenError::OtherNode { id, node: stored.node });
    }
    Ok(Claim { id, compare: Compare::ModRevision(key.clone(), kv.modified), op: Op::Delete { key } })
}

/// What makes the open tokens of a node useless.
///
/// # Errors
/// The store's.
pub async fn discard(store: &dyn Store, node: &NodeName) -> Result<Vec<Op>, StoreError> {
    let (tokens, _) = list_all(store, &Prefix::join_tokens()).await?;
    let of_node = |kv: &KeyValue| CODEC.decode::<Stored>(&kv.value).is_ok_and(|t| t.node == *node);
    Ok(tokens.into_iter().filter(of_node).map(|kv| Op::Delete { key: kv.key }).collect())
}

/// Removes tokens that have expired, on behalf of a leader, and how many. One that cannot be read is left, and admits
/// nobody.
///
/// # Errors
/// [`FencedError`].
pub async fn sweep(store: &dyn Store, fence: &Fence, now: Timestamp) -> Result<usize, FencedError> {
    let (tokens, _) = list_all(store, &Prefix::join_tokens()).await?;
    let expired = |kv: &KeyValue| CODEC.decode::<Stored>(&kv.value).is_ok_and(|t| now >= t.expires);
    let mut swept = 0;
    for kv in tokens.into_iter().filter(expired) {
        let txn = Txn::new().when(Compare::ModRevision(kv.key.clone(), kv.modified)).delete(kv.key);
        swept += usize::from(matches!(fence.txn(store, txn).await?, Outcome::Committed { .. }));
    }
    Ok(swept)
}

fn key(id: &Name) -> Key {
    Entry::JoinToken(id.clone()).key()
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
