//! What a store can do by itself: transactions shaped like the creation of an object (three conditions, five writes, one of
//! them the change record), one after the other per client.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use etcd_client::{Client, Compare, CompareOp, Txn, TxnOp};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use test_support::Etcd;

use crate::{Rate, StoreKind};

const WRITES: [(&str, usize); 5] =
    [("objects", 250), ("numbers", 90), ("index", 0), ("records", 450), ("generation", 0)];

pub async fn rate(store: StoreKind, dir: &Path, clients: usize, count: usize) -> Result<Rate> {
    match store {
        StoreKind::Sqlite => sqlite(dir, clients, count).await,
        StoreKind::Etcd => etcd(clients, count).await,
    }
}

fn keys(n: usize) -> impl Iterator<Item = (String, Vec<u8>)> {
    let unique =
        move |folder| if folder == "generation" { "generation".into() } else { format!("{folder}/{n}") };
    WRITES.into_iter().map(move |(folder, size)| (unique(folder), vec![b'x'; size]))
}

async fn sqlite(dir: &Path, clients: usize, count: usize) -> Result<Rate> {
    let options = SqliteConnectOptions::new()
        .filename(dir.join("raw.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    sqlx::query("CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
        .execute(&pool)
        .await?;
    all(clients, count, async |_| Ok(pool.clone()), sqlite_one).await
}

async fn sqlite_one(pool: &mut SqlitePool, n: usize) -> Result<()> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    for (key, value) in keys(n) {
        sqlx::query("INSERT OR REPLACE INTO kv VALUES (?, ?)")
            .bind(key.as_bytes())
            .bind(value)
            .execute(&mut *tx)
            .await?;
    }
    Ok(tx.commit().await?)
}

async fn etcd(clients: usize, count: usize) -> Result<Rate> {
    let server = Etcd::start_durable()?;
    let connect = async |_| Ok(Client::connect([server.url()], None).await?);
    all(clients, count, connect, etcd_one).await
}

async fn etcd_one(client: &mut Client, n: usize) -> Result<()> {
    let absent = keys(n).take(3).map(|(key, _)| Compare::version(key, CompareOp::Equal, 0));
    let puts = keys(n).map(|(key, value)| TxnOp::put(key, value, None));
    let txn = Txn::new().when(absent.collect::<Vec<_>>()).and_then(puts.collect::<Vec<_>>());
    ensure!(client.txn(txn).await?.succeeded(), "a condition failed");
    Ok(())
}

/// Runs `one` for every number, from as many clients.
async fn all<C: Send + 'static>(
    clients: usize,
    count: usize,
    connect: impl AsyncFn(usize) -> Result<C>,
    one: impl AsyncFn(&mut C, usize) -> Result<()>,
) -> Result<Rate> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = Vec::new();
    for n in 0..clients {
        connections.push(connect(n).await?);
    }
    let begun = Instant::now();
    let work = connections.iter_mut().map(|connection| {
        let (next, one) = (next.clone(), &one);
        async move {
            let mut latencies: Vec<Duration> = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Ok::<_, anyhow::Error>(latencies);
                }
                let asked = Instant::now();
                one(connection, n).await?;
                latencies.push(asked.elapsed());
            }
        }
    });
    let latencies = futures_util::future::try_join_all(work).await?;
    Ok(Rate::of(latencies.concat(), begun.elapsed()))
}
