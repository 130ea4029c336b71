//! Keys that may never act as a node again.
//!
//! A node is who the certificate says while intent knows it by the certificate's key ([`super::KeyHash`]); removing it from
//! intent shuts it out at once, on every replica and every session. What is kept here sees to it that it stays so: a key
//! that was removed, or replaced by another, is not admitted again, whatever token comes with it. Checked in the
//! transaction that admits a node.
//!
//! A revocation need not outlive the certificates it is about. The newest certificate a key can have was signed just before
//! it was revoked, so once [`expires`] has passed there is none left, and the leader deletes the revocation
//! ([`sweep_revoked`]). The key could join again then, with a new token, as any key could.

use jiff::{SignedDuration, Timestamp as Moment};
use serde::{Deserialize, Serialize};
use store::change::Timestamp;
use store::election::{Fence, FencedError};
use store::envelope::{Codec, EnvelopeError};
use store::keys::{Entry, KeyDigest};
use store::{Compare, Key, KeyValue, Op, Outcome, Prefix, Store, StoreError, Txn, list_all};
use types::NodeName;

use super::ca::NODE_LIFE;

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

/// When a revocation has nothing left to revoke: certificates end at most [`NODE_LIFE`] after they were
/// signed. A renewal that had been let in when the key was revoked may be signed a moment later, and clocks of
/// replicas differ: two days more cover both. `None` for a time that cannot be read, which is kept.
fn expires(since: &str) -> Option<Moment> {
    let since: Moment = since.parse().ok()?;
    since.checked_add(NODE_LIFE + SignedDuration::from_hours(48)).ok()
}

/// Removes revocations of keys whose last certificate has expired, on behalf of a leader, and how many. One that cannot be
/// read is kept: it goes on revoking.
///
/// # Errors
/// [`FencedError`].
pub async fn sweep_revoked(store: &dyn Store, fence: &Fence, now: Moment) -> Result<usize, FencedError> {
    let (revoked, _) = list_all(store, &Prefix::revoked_keys()).await?;
    let over = |kv: &KeyValue| {
        let stored = CODEC.decode::<Stored>(&kv.value).ok();
        stored.and_then(|stored| expires(&stored.since)).is_some_and(|end| now >= end)
    };
    let mut swept = 0;
    for kv in revoked.into_iter().filter(over) {
        let txn = Txn::new().when(Compare::ModRevision(kv.key.clone(), kv.modified)).delete(kv.key);
        swept += usize::from(matches!(fence.txn(store, txn).await?, Outcome::Committed { .. }));
    }
    Ok(swept)
}

fn key(key_sha256: &str) -> Option<Key> {
    KeyDigest::new(key_sha256).ok().map(|digest| Entry::RevokedKey(digest).key())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store::election::campaign;

    use super::super::Ca;
    use super::*;
    use crate::clock::Clock;
    use crate::pki::{PeerIdentity, ValidCsr};

    fn moment(text: &str) -> Moment {
        text.parse().unwrap()
    }

    #[test]
    fn revocation_ends_after_a_certificate_of_that_day_and_not_before() {
        assert_eq!(expires("2026-05-04T03:02:01.000Z"), Some(moment("2026-08-04T03:02:01Z")));
        assert_eq!(expires("yesterday"), None);
    }

    #[tokio::test]
    async fn every_certificate_signed_before_it_has_expired_by_then() {
        let store = store::memory().unwrap();
        let ca = Ca::load_or_create(store.as_ref(), moment("2026-01-01T00:00:00Z")).await.unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let csr = ValidCsr::parse(&csr).unwrap();
        for now in ["2026-02-28T23:59:59.999Z", "2026-12-31T00:00:00.000Z", "2028-02-29T12:00:00.000Z"] {
            let signed = ca.sign_node(&csr, &NodeName::new("n1").unwrap(), moment(now)).unwrap();
            let (_, pem) = x509_parser::pem::parse_x509_pem(signed.pem.as_bytes()).unwrap();
            let identity = PeerIdentity::of_verified(&pem.contents).unwrap();
            assert!(expires(now).unwrap() > identity.expires, "{now}: {}", identity.expires);
        }
    }

    #[tokio::test]
    async fn revocations_are_removed_when_they_are_over_and_what_cannot_be_read_stays() {
        let store = store::memory().unwrap();
        let leadership = campaign(&store, "r1", Duration::from_secs(60)).await.unwrap();
        let node = NodeName::new("n1").unwrap();
        let (old, new) = ("0a".repeat(32), "0b".repeat(32));
        for (key, since) in [(&old, "2026-01-01T00:00:00Z"), (&new, "2026-02-01T00:00:00Z")] {
            let clock = Clock::new(move || moment(since));
            let op = revoke(key, &node, &clock.stamp()).unwrap().unwrap();
            let _ = store.txn(Txn::new().then(op)).await.unwrap();
        }
        let unread = super::key(&"0c".repeat(32)).unwrap();
        let _ = store.txn(Txn::new().put(unread, "?")).await.unwrap();
        let sweep =
            async |now: &str| sweep_revoked(store.as_ref(), leadership.fence(), moment(now)).await.unwrap();
        assert_eq!(sweep("2026-04-02T23:59:59Z").await, 0);
        assert_eq!(sweep("2026-04-03T00:00:00Z").await, 1);
        assert!(!is_revoked(store.as_ref(), &old).await.unwrap());
        assert!(is_revoked(store.as_ref(), &new).await.unwrap());
        assert_eq!(sweep("2036-01-01T00:00:00Z").await, 1);
        assert!(is_revoked(store.as_ref(), &"0c".repeat(32)).await.unwrap());
    }
}
