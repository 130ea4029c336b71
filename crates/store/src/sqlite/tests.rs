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

/// What watches are given from memory is what the log says, for whoever follows what from where.
#[tokio::test]
async fn recent_revisions_are_those_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("store.db"), Limits::default()).await.unwrap();
    let change = Entry::Change(crate::change::ChangeId::new(&crate::change::Timestamp::epoch(), 1)).key();
    let network = |n: u32| {
        let name = |text: String| Name::new(text).unwrap();
        ObjectKey::Network { tenant: name("a".into()), name: name(format!("n{n}")) }.key()
    };
    for n in 0..20 {
        let mut txn = Txn::new().put(tenant(["a", "b", "c"][n % 3]), n.to_string());
        txn = if n % 4 == 3 { txn.delete(tenant(["b", "c", "a"][n % 3])) } else { txn };
        // More rows than one statement takes.
        txn = (0..if n == 7 { 40 } else { 1 }).fold(txn, |txn, i| txn.put(network(i), n.to_string()));
        let _ = store.txn(txn).await.unwrap();
    }
    let _ = store.txn(Txn::new().put(change, "x")).await.unwrap();
    let head = store.health().await.unwrap().revision;
    let first = head.get() - 20;
    for prefix in [Prefix::everything(), Prefix::present(), Prefix::tenants(), Prefix::changes()] {
        for after in first..head.get() {
            for span in [1, 5, 256] {
                let after = Revision::new(after);
                let Some(Past::Events { batches, through }) = store.inner.recent().past(&prefix, after, span)
                else {
                    panic!("{after} is not here")
                };
                let logged = rows::past(&store.inner.reader, &prefix, after, span).await.unwrap();
                let Past::Events { batches: logged, through: reached } = logged else { panic!("compacted") };
                assert_eq!((batches, through), (logged, reached), "{prefix} after {after}, {span} at once");
            }
        }
    }
    assert!(store.inner.recent().past(&Prefix::tenants(), head, 1).is_none());
    store.compact(head).await.unwrap();
    assert!(store.inner.recent().past(&Prefix::tenants(), Revision::new(first), 1).is_none());
}

/// Readers see nothing of it: who asks them would be told that all is well.
#[tokio::test]
async fn a_file_that_somebody_else_writes_to_is_not_writable_until_he_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = SqliteStore::open(&path, Limits::default()).await.unwrap();
    store.writable().await.unwrap();
    // Else it waits for five seconds first.
    sqlx::query("PRAGMA busy_timeout = 0").execute(&store.inner.writer).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut other = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let locked = store.writable().await;
    assert!(matches!(&locked, Err(e) if e.is_transient()), "{locked:?}");
    store.health().await.unwrap();
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    store.writable().await.unwrap();
    let _ = store.txn(Txn::new().put(tenant("a"), "1")).await.unwrap();
}
