//! What only SQLite has: a process that dies with its file open.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use store::Prefix;
use store::keys::Space;

use crate::cases::{all, head, put, text, vni};

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
