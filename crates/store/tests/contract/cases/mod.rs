//! The cases, by what they are about, and the words they are written in.

pub mod alloc;
pub mod election;
pub mod lease;
pub mod list;
pub mod races;
pub mod random;
pub mod range;
pub mod retention;
pub mod txn;
pub mod watch;

use std::time::Duration;

use futures_util::StreamExt;
use store::keys::{Entry, ObjectKey, Space, TenantObject};
use store::{Key, KeyValue, Outcome, Prefix, Store, StoreError, Txn, WatchItem, WatchStream, list_all};
use types::{Name, Revision};

pub fn name(s: &str) -> Name {
    Name::new(s).unwrap()
}

pub fn tenant(s: &str) -> Key {
    ObjectKey::Tenant(name(s)).key()
}

pub fn network(t: &str, n: &str) -> Key {
    ObjectKey::Network { tenant: name(t), name: name(n) }.key()
}

pub fn networks_of(t: &str) -> Prefix {
    Prefix::within(TenantObject::Network, &name(t))
}

/// Keys of no guarded range.
pub fn vni(n: u32) -> Key {
    Space::Vni.slot(n.into()).unwrap().key()
}

pub fn leader() -> Key {
    Entry::Leader.key()
}

/// Commits and gives the revision; anything else fails the test.
pub async fn commit(store: &dyn Store, txn: Txn) -> Revision {
    match store.txn(txn).await.unwrap() {
        Outcome::Committed { revision } => revision,
        other => panic!("not committed: {other:?}"),
    }
}

pub async fn put(store: &dyn Store, key: &Key, value: &str) -> Revision {
    commit(store, Txn::new().put(key.clone(), value)).await
}

pub async fn delete(store: &dyn Store, key: &Key) -> Revision {
    commit(store, Txn::new().delete(key.clone())).await
}

pub async fn head(store: &dyn Store) -> Revision {
    store.health().await.unwrap().revision
}

pub async fn value(store: &dyn Store, key: &Key) -> Option<String> {
    store.get(key).await.unwrap().map(|kv| text(&kv))
}

pub fn text(kv: &KeyValue) -> String {
    String::from_utf8(kv.value.as_bytes().to_vec()).unwrap()
}

pub async fn is_conflict(store: &dyn Store, txn: Txn) -> bool {
    matches!(store.txn(txn).await.unwrap(), Outcome::Conflict { .. })
}

pub async fn all(store: &dyn Store, prefix: &Prefix) -> Vec<KeyValue> {
    list_all(store, prefix).await.unwrap().0
}

/// How long to wait for what must come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The stream's next item, soon.
pub async fn next(stream: &mut WatchStream) -> WatchItem {
    let item: Option<Result<WatchItem, StoreError>> =
        tokio::time::timeout(PATIENCE, stream.next()).await.expect("the watch is silent");
    item.expect("the watch ended").expect("the watch failed")
}

/// Whether the stream stays silent for this long.
pub async fn silent(stream: &mut WatchStream, time: Duration) -> bool {
    tokio::time::timeout(time, stream.next()).await.is_err()
}
