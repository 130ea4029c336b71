//! Keys that may never act as a node again.
//!
//! A node is who the certificate says while intent knows it by the certificate's key ([`super::KeyHash`]); removing it from
//! intent shuts it out at once, on every replica and every session. What is kept here sees to it that it stays so: a key
//! that was removed, or replaced by another, is not admitted again, whatever token comes with it. Checked in the
//! transaction that admits a node.

use serde::{Deserialize, Serialize};
use store::change::Timestamp;
use store::envelope::{Codec, EnvelopeError};
use store::keys::{Entry, KeyDigest};
use store::{Compare, Key, Op, Store, StoreError};
use types::NodeName;

const CODEC: Codec = Codec::first("RevokedKey");

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Stored {
    node: NodeName,
    since: String,
}

/// Revokes a key, by its hash as intent has it. `None` for what is no hash: no key has that one.
///
/// # Errors
/// [`EnvelopeError`], a defect.
pub fn revoke(key_sha256: &str, node: &NodeName, since: &Timestamp) -> Result<Option<Op>, EnvelopeError> {
    let stored = Stored { node: node.clone(), since: since.to_string() };
    let value = CODEC.encode(&stored)?;
    Ok(key(key_sha256).map(|key| Op::Put { key, value, lease: None }))
}

/// Goes with the transaction that admits a key.
pub fn unless_revoked(key_sha256: &str) -> Option<Compare> {
    key(key_sha256).map(Compare::Absent)
}

/// Whether a key is revoked.
///
/// # Errors
/// The store's.
pub async fn is_revoked(store: &dyn Store, key_sha256: &str) -> Result<bool, StoreError> {
    match key(key_sha256) {
        Some(key) => Ok(store.get(&key).await?.is_some()),
        None => Ok(false),
    }
}

fn key(key_sha256: &str) -> Option<Key> {
    KeyDigest::new(key_sha256).ok().map(|digest| Entry::RevokedKey(digest).key())
}
