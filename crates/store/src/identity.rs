//! Identity of a store's history: made once, at the first start, and again only after a restore ([`renew`]).
//!
//! Agents and replicas carry it with every revision: a revision means nothing in another history (after a restore or
//! a move to another back end), and the id tells. The version of the key layout is fixed in the same transaction.

use types::StoreId;

use crate::Store;
use crate::error::StoreError;
use crate::keys::Entry;
use crate::kv::Value;
use crate::txn::{Compare, Outcome, Txn};

/// Version of the key layout in `keys.rs`.
const LAYOUT: &str = "1";

/// The transaction that makes an identity, for whoever comes first.
pub(crate) fn creation(id: &StoreId) -> Txn {
    Txn::new()
        .when(Compare::Absent(Entry::StoreId.key()))
        .put(Entry::StoreId, id.as_str())
        .put(Entry::Schema, LAYOUT)
}

/// A new random identity.
pub(crate) fn random() -> Result<StoreId, StoreError> {
    StoreId::new(format!("{:032x}", rand::random::<u128>())).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// Adopts the store's identity, or gives it one; refuses another layout.
pub(crate) async fn establish(store: &dyn Store) -> Result<StoreId, StoreError> {
    if store.get(&Entry::StoreId.key()).await?.is_none() {
        // Several replicas may start at once; one wins, and all read the winner's.
        let _: Outcome = store.txn(creation(&random()?)).await?;
    }
    let layout = read(store, Entry::Schema).await?;
    if layout != LAYOUT {
        return Err(StoreError::Layout { found: layout, supported: LAYOUT });
    }
    StoreId::new(read(store, Entry::StoreId).await?).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// Gives a store a new identity: what a restore has to do, since the revisions that follow are not those that followed
/// before. Clients that are connected find out by [`Store::health`] and have to start anew.
///
/// # Errors
/// [`StoreError::Contended`] when somebody else does the same; back end failures.
pub async fn renew(store: &dyn Store) -> Result<StoreId, StoreError> {
    let key = Entry::StoreId.key();
    let present = store.get(&key).await?.ok_or_else(|| StoreError::Corrupt(format!("{key} is missing")))?;
    let id = random()?;
    let txn = Txn::new().when(Compare::ModRevision(key.clone(), present.modified)).put(key, id.as_str());
    match store.txn(txn).await? {
        Outcome::Committed { .. } | Outcome::Unchanged { .. } => Ok(id),
        Outcome::Conflict { .. } => Err(StoreError::Contended { attempts: 1 }),
    }
}

pub(crate) async fn read(store: &dyn Store, entry: Entry) -> Result<String, StoreError> {
    let key = entry.key();
    let kv = store.get(&key).await?.ok_or_else(|| StoreError::Corrupt(format!("{key} is missing")))?;
    text(&kv.value).ok_or_else(|| StoreError::Corrupt(format!("{key} is not text")))
}

fn text(value: &Value) -> Option<String> {
    String::from_utf8(value.as_bytes().to_vec()).ok()
}
