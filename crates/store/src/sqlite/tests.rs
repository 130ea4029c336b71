//! What only SQLite has: a file, its mode, its lock, and a next start.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::keys::{Entry, ObjectKey};
use types::Name;

fn tenant(name: &str) -> Key {
    ObjectKey::Tenant(Name::new(name).unwrap()).key()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Closes a store and waits until its connections are gone, as a process's end would.
async fn close(store: SqliteStore) {
    store.inner.writer.close().await;
    store.inner.reader.close().await;
}

#[tokio::test]
async fn values_revision_and_identity_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = SqliteStore::open(&path, Limits::default()).await.unwrap();
    let id = store.store_id().clone();
    let done = store.txn(Txn::new().put(tenant("a"), "1")).await.unwrap();
    close(store).await;

    let store = SqliteStore::open(&path, Limits::default()).await.unwrap();
    assert_eq!(*store.store_id(), id);
    assert_eq!(Some(store.health().await.unwrap().revision), done.revision());
    assert_eq!(store.get(&tenant("a")).await.unwrap().unwrap().value, "1".into());
}

#[tokio::test]
async fn all_files_are_private_also_when_they_were_open_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = SqliteStore::open(&path, Limits::default()).await.unwrap();
    let _ = store.txn(Txn::new().put(tenant("a"), "1")).await.unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let file = entry.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        seen += 1;
    }
    assert!(seen >= 3, "database, wal and lock expected, saw {seen} files");
}

#[tokio::test]
async fn a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = SqliteStore::open(&path, Limits::default()).await.unwrap();
    let second = SqliteStore::open(&path, Limits::default()).await;
    assert!(matches!(second, Err(StoreError::InUse(_))));
    drop(store);
}

#[tokio::test]
async fn leased_keys_of_a_dead_process_are_gone_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = SqliteStore::open(&path, Limits::default()).await.unwrap();
    let lease = store.grant(Duration::from_secs(3600)).await.unwrap();
    let _ = store.txn(Txn::new().put_leased(Entry::Leader, "me", lease)).await.unwrap();
    close(store).await;

    let store = SqliteStore::open(&path, Limits::default()).await.unwrap();
    assert_eq!(store.get(&Entry::Leader.key()).await.unwrap(), None);
}

#[tokio::test]
async fn durable_pragmas_are_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("store.db"), Limits::default()).await.unwrap();
    let journal: String =
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&store.inner.writer).await.unwrap();
    let synchronous: i64 =
        sqlx::query_scalar("PRAGMA synchronous").fetch_one(&store.inner.writer).await.unwrap();
    assert_eq!((journal.as_str(), synchronous), ("wal", 2));
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = SqliteStore::open(&path, Limits::default()).await.unwrap();
    sqlx::query("PRAGMA user_version = 2").execute(&store.inner.writer).await.unwrap();
    close(store).await;
    assert!(matches!(SqliteStore::open(&path, Limits::default()).await, Err(StoreError::Layout { .. })));
}
