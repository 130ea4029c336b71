//! What netmaster's store holds, read behind its back: a leak must not be hidden by the code that leaks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

/// Every key and value of a SQLite store; its netmaster may be running.
pub(super) fn of_sqlite(file: &Path) -> Result<BTreeMap<String, String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rows: Vec<(Vec<u8>, Vec<u8>)> = runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let mut connection = options.connect().await?;
        sqlx::query_as("SELECT key, value FROM kv").fetch_all(&mut connection).await
    })?;
    Ok(rows.into_iter().map(|(key, value)| (text(&key), text(&value))).collect())
}

/// Somebody else's write transaction: other writers wait for its end, or give up.
#[derive(Debug)]
pub struct Locked {
    runtime: tokio::runtime::Runtime,
    connection: Option<SqliteConnection>,
}

/// Begins to write, and does not end.
pub(super) fn lock_sqlite(file: &Path) -> Result<Locked> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let connection = runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(20));
        let mut connection = options.connect().await?;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await?;
        Ok::<_, sqlx::Error>(connection)
    })?;
    Ok(Locked { runtime, connection: Some(connection) })
}

impl Drop for Locked {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Closing rolls back; a connection that cannot be closed is closed by the end of its thread.
            let _ = self.runtime.block_on(connection.close());
        }
    }
}

/// What `etcdctl get --prefix -w json` writes.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    kvs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    key: String,
    #[serde(default)]
    value: String,
}

/// Every key below a prefix, without it, and its value.
pub(super) fn of_etcd(answer: &str, prefix: &str) -> Result<BTreeMap<String, String>> {
    let answer: Answer = serde_json::from_str(answer).context("etcdctl get")?;
    let pair = |pair: Pair| {
        let (key, value) = (text(&STANDARD.decode(pair.key)?), text(&STANDARD.decode(pair.value)?));
        Ok((key.strip_prefix(prefix).unwrap_or(&key).to_owned(), value))
    };
    answer.kvs.into_iter().map(pair).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn keys_of_etcd_are_those_of_the_store() {
        let answer = r#"{"header":{},"kvs":[{"key":"L3NlbHZhZ2UvbWV0YS94","value":"MQ=="}],"count":1}"#;
        let stored = super::of_etcd(answer, "/selvage/").unwrap();
        assert_eq!(stored.into_iter().collect::<Vec<_>>(), [("meta/x".to_owned(), "1".to_owned())]);
    }
}
