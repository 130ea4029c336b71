//! What only SQLite has: a process that dies with its file open.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::keys::{Space, TenantObject};
use store::{Compare, Mirror, Prefix, Store, Txn};
use types::Revision;

use crate::cases::{all, commit, head, network, put, text, vni};

/// Tells the test binary to be the writer below, on this file.
const WRITE_TO: &str = "SELVAGE_TEST_WRITE_TO";

/// Not a test of its own: the process that [`answered_writes_survive_kill_minus_nine`] kills. It writes 1, 2, 3, ... and
/// says each number when the store has answered.
#[tokio::test]
async fn writer_process() {
    let Some(path) = std::env::var_os(WRITE_TO) else { return };
    let store = store::sqlite(path.as_ref()).await.unwrap();
    for n in 1.. {
        put(&*store, &vni(n), &n.to_string()).await;
        println!("wrote {n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_writes_survive_kill_minus_nine() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite_only::writer_process", "--nocapture"])
        .env(WRITE_TO, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = |line: std::io::Result<String>| line.ok()?.rsplit_once("wrote ")?.1.parse::<u64>().ok();
    let mut numbers = lines.filter_map(said);
    let mut answered = numbers.by_ref().find(|n| *n == 40).expect("the writer ended");
    child.kill().unwrap();
    child.wait().unwrap();
    // What it still said between our reading and its end counts as well.
    answered = numbers.last().unwrap_or(answered);

    let store = store::sqlite(&path).await.unwrap();
    let items = all(&*store, &Prefix::allocations(Space::Vni)).await;
    let stored: Vec<String> = items.iter().map(text).collect();
    let written = u64::try_from(stored.len()).unwrap();
    assert!(written == answered || written == answered + 1, "{written} stored, {answered} answered");
    assert_eq!(stored, (1..=written).map(|n| n.to_string()).collect::<Vec<_>>());
    // One revision each, after the one of the identity: none is missing.
    assert_eq!(head(&*store).await.get(), written + 1);
}

/// Tells the test binary to be the transaction writer below, on this file.
const TRANSACT_ON: &str = "SELVAGE_TEST_TRANSACT_ON";
/// Keys of one transaction.
const KEYS: usize = 12;

/// The keys of transaction `n`.
fn keys_of(n: usize) -> impl Iterator<Item = store::Key> {
    (0..KEYS).map(move |k| network(&format!("t{n:05}"), &format!("n{k}")))
}

/// Not a test of its own: creates transaction after transaction, deletes old ones, compacts now and then, and says each
/// number when the store has answered.
#[tokio::test]
async fn transaction_writer_process() {
    let Some(path) = std::env::var_os(TRANSACT_ON) else { return };
    let store = store::sqlite(path.as_ref()).await.unwrap();
    let stored = by_transaction(&*store).await;
    let first = stored.keys().next_back().map_or(0, |n| n + 1);
    for n in first.. {
        let create = keys_of(n)
            .fold(Txn::new(), |txn, key| txn.when(Compare::Absent(key.clone())).put(key, vec![b'x'; 1_500]));
        // The one ten before goes in the same transaction.
        let both = match n.checked_sub(10) {
            Some(old) if n % 3 == 0 => keys_of(old).fold(create, Txn::delete),
            _ => create,
        };
        let at = commit(&*store, both).await;
        if n % 7 == 0 {
            store.compact(Revision::new(at.get().saturating_sub(5))).await.unwrap();
        }
        println!("wrote {n}");
    }
}

/// How many keys of each transaction there are, all of one revision.
async fn by_transaction(store: &dyn Store) -> BTreeMap<usize, usize> {
    let mut found: BTreeMap<usize, Vec<Revision>> = BTreeMap::new();
    for kv in all(store, &Prefix::all(TenantObject::Network)).await {
        let tenant = kv.key.as_str().split('/').nth(1).unwrap().trim_start_matches('t').to_owned();
        found.entry(tenant.parse().unwrap()).or_default().push(kv.modified);
    }
    let counted = found.into_iter().map(|(n, revisions)| {
        assert!(revisions.iter().all(|r| *r == revisions[0]), "transaction {n} is of several revisions");
        (n, revisions.len())
    });
    counted.collect()
}

/// Lets the writer work for a while and kills it; the last transaction that was answered.
fn killed(path: &Path, rng: &mut StdRng) -> Option<usize> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite_only::transaction_writer_process", "--nocapture"])
        .env(TRANSACT_ON, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = |line: std::io::Result<String>| line.ok()?.rsplit_once("wrote ")?.1.parse::<usize>().ok();
    let mut numbers = lines.filter_map(said);
    let seen = numbers.by_ref().nth(rng.random_range(0..12)).expect("the writer ended");
    // Anywhere in the transactions that follow: the point is to hit what lies between two statements.
    let until = std::time::Instant::now() + Duration::from_micros(rng.random_range(0..6_000));
    while std::time::Instant::now() < until {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    numbers.last().or(Some(seen))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_killed_at_any_point_leaves_whole_transactions_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut rng = StdRng::seed_from_u64(7);
    for round in 0..20 {
        let answered = killed(&path, &mut rng).unwrap();
        let store = store::sqlite(&path).await.unwrap();
        let stored = by_transaction(&*store).await;
        let last = *stored.keys().next_back().unwrap();
        assert!(
            last == answered || last == answered + 1,
            "round {round}: {last} stored, {answered} answered"
        );
        for (n, keys) in &stored {
            assert_eq!(*keys, KEYS, "round {round}: transaction {n} is there in part");
        }
        // A creation and the deletion that belongs to it came together.
        for n in (10..=last).filter(|n| n % 3 == 0) {
            assert!(
                !stored.contains_key(&(n - 10)),
                "round {round}: {n} is there and {} is not gone",
                n - 10
            );
        }
        // What watches are told is what is there, from the last compaction on.
        let networks = Prefix::all(TenantObject::Network);
        let now = head(&*store).await;
        let mut watch = store.watch(networks.clone(), Revision::ZERO);
        let mut mirror = Mirror::new(Vec::new(), Revision::ZERO);
        while mirror.items().values().map(|kv| kv.modified).max() < Some(now) {
            mirror.apply(watch.next().await.unwrap().unwrap());
        }
        assert_eq!(mirror.items().values().cloned().collect::<Vec<_>>(), all(&*store, &networks).await);
    }
}
