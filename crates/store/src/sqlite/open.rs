//! Opening the file: permissions, the lock of its one process, pragmas, tables.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::failed;
use crate::error::StoreError;

/// Version of the tables below, in SQLite's `user_version`.
const TABLES: i64 = 1;

/// `log` has its primary key by revision for watches, and an index by key for lists at old revisions. A deletion is a
/// version without value. `prev` is the revision of the version before, 0 for none.
const CREATE: &str = "
    CREATE TABLE kv (
        key BLOB PRIMARY KEY, value BLOB NOT NULL,
        created INTEGER NOT NULL, modified INTEGER NOT NULL, lease INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE log (
        rev INTEGER NOT NULL, key BLOB NOT NULL, value BLOB,
        created INTEGER NOT NULL, prev INTEGER NOT NULL, lease INTEGER NOT NULL,
        PRIMARY KEY (rev, key)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX log_by_key ON log (key, rev);
    CREATE INDEX kv_by_lease ON kv (lease) WHERE lease <> 0;
    CREATE TABLE meta (
        one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL, compacted INTEGER NOT NULL
    ) STRICT;
    INSERT INTO meta VALUES (1, 0, 0);
    PRAGMA user_version = 1;
";

pub(super) struct Opened {
    pub(super) writer: SqlitePool,
    pub(super) reader: SqlitePool,
    pub(super) lock: File,
}

pub(super) async fn open(path: &Path) -> Result<Opened, StoreError> {
    let lock = lock(path)?;
    // SQLite gives its -wal and -shm files the mode of the database.
    private_file(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5));
    let writer = pool(1).connect_with(options.clone()).await.map_err(failed("open"))?;
    create_tables(&writer).await?;
    let reader = pool(4).connect_with(options.read_only(true)).await.map_err(failed("open"))?;
    Ok(Opened { writer, reader, lock })
}

/// Connections to a local file do not go bad, and one that is closed while idle would cost a reopening.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(30))
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = private_file(&PathBuf::from(name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.display().to_string())),
        Err(TryLockError::Error(e)) => Err(io("lock", path, &e)),
    }
}

/// Opens or makes a file that only its owner may read; closes it to others if it was open to them.
fn private_file(path: &Path) -> Result<File, StoreError> {
    let fail = |e: std::io::Error| io("open", path, &e);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(fail)?;
    if file.metadata().map_err(fail)?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(fail)?;
    }
    Ok(file)
}

fn io(operation: &'static str, path: &Path, error: &std::io::Error) -> StoreError {
    let reason = format!("{}: {error}", path.display());
    StoreError::Permanent { backend: super::BACKEND, operation, reason }
}

async fn create_tables(writer: &SqlitePool) -> Result<(), StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed("open"))?;
    let found: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *tx).await.map_err(failed("open"))?;
    match found {
        0 => sqlx::raw_sql(CREATE).execute(&mut *tx).await.map(|_| ()).map_err(failed("create tables"))?,
        TABLES => {}
        newer => return Err(StoreError::Layout { found: format!("tables {newer}"), supported: "tables 1" }),
    }
    tx.commit().await.map_err(failed("create tables"))
}
