//! Random histories on a real ovsdb-server: whatever was written, and whenever the connection broke or the server died,
//! the replica ends equal to `ovsdb-client dump`, and its events add up to it without a gap.
//!
//! `HISTORIES=1000 cargo test -p selvage-ovsdb --test histories` runs more of them; a failure names its seed, and
//! `HISTORY=SEED` runs that one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the result")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ovsdb::cache::{RowChange, RowEvent};
use ovsdb::driver::{ClientError, Events};
use ovsdb::monitor::MonitorSpec;
use ovsdb::operation::Condition;
use ovsdb::session::Conditions;
use ovsdb::{Client, Endpoint, TransactError};
use rand::Rng;
use support::proxy::Proxy;
use support::random::Random;
use support::{Contents, Kind, PATIENCE, Server, contents, everything, read_schema, soon};
use test_support::wait_for;

const STEPS: u32 = 120;
const VSWITCH: &str = "schema/vswitch.ovsschema";
const EVERYTHING: &str = "tests/schema/everything.ovsschema";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn seeds(of: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("HISTORY") {
        Some(seed) => vec![seed],
        None => (0..number("HISTORIES").unwrap_or(2)).map(|n| of * 1_000_000 + n).collect(),
    }
}

/// Applies events to a copy of the database, as somebody would who has nothing else; every one must fit.
fn follow(mut events: Events, copy: Arc<Mutex<Contents>>) {
    tokio::spawn(async move {
        while let Some(batch) = events.next().await {
            let batch = batch.unwrap();
            let mut copy = copy.lock().unwrap();
            batch.iter().for_each(|event| apply(&mut copy, event));
        }
    });
}

fn apply(copy: &mut Contents, event: &RowEvent) {
    let rows = copy.entry(event.table.clone()).or_default();
    match &event.change {
        RowChange::Inserted(new) => assert_eq!(rows.insert(event.uuid, (**new).clone()), None, "{event:?}"),
        RowChange::Modified { old, new } => {
            assert_ne!(old, new, "{event:?}");
            assert_eq!(rows.insert(event.uuid, (**new).clone()).as_ref(), Some(&**old), "{event:?}");
        }
        RowChange::Deleted(old) => assert_eq!(rows.remove(&event.uuid).as_ref(), Some(&**old), "{event:?}"),
    }
}

struct History {
    server: Server,
    spec: MonitorSpec,
    proxy: Proxy,
    /// Behind the proxy, watched.
    reader: Client,
    copy: Arc<Mutex<Contents>>,
    /// Writes, and is a second replica.
    writer: Client,
    random: Random,
    accepted: u32,
}

impl History {
    async fn new(schema: &str, kind: Kind, seed: u64) -> Self {
        let path = here(schema);
        let schema = read_schema(&path);
        let server = Server::of_schema(&path, kind);
        let proxy = Proxy::start(&server.socket());
        let mut config = server.config();
        config.max_backoff = Duration::from_millis(20);
        let writer = Client::start(config.clone());
        writer.wait_synced(soon()).await.unwrap();
        config.endpoint = Endpoint::unix(proxy.socket());
        let reader = Client::start(config);
        let copy = Arc::new(Mutex::new(Contents::new()));
        follow(reader.events(), copy.clone());
        let spec = everything(&schema);
        Self { server, spec, proxy, reader, copy, writer, random: Random::new(schema, seed), accepted: 0 }
    }

    async fn step(&mut self) {
        match self.random.rng.random_range(0..100) {
            0..82 => self.write().await,
            82..86 => self.look_elsewhere().await,
            86..90 => self.proxy.cut(),
            90..96 => self.proxy.cut_after(self.random.rng.random_range(0..4000)),
            96..98 => drop(self.server.appctl(&["ovsdb-server/reconnect"])),
            98 => {
                self.server.kill();
                self.server.start_again();
            }
            _ => self.settle().await,
        }
    }

    async fn write(&mut self) {
        self.writer.wait_synced(soon()).await.unwrap_or_else(|e| panic!("{e}: {}", self.server.log()));
        let tx = self.random.transaction(&self.writer.cache());
        if tx.is_empty() {
            return;
        }
        let answer = tokio::time::timeout_at(soon(), self.writer.transact(&tx)).await;
        match answer.unwrap_or_else(|_| panic!("no answer to {tx:?}")) {
            Ok(_) => self.accepted += 1,
            // What the generator got wrong the server refuses; what we got wrong it cannot parse.
            Err(ClientError::Transact(error @ TransactError::Refused { .. })) => {
                assert_ne!(error.tag().map(|t| t.as_str()), Some("syntax error"), "{error}: {tx:?}");
                assert_ne!(error.tag().map(|t| t.as_str()), Some("unknown column"), "{error}: {tx:?}");
            }
            Err(ClientError::NotConnected { .. } | ClientError::ConnectionLost) => {}
            Err(error) => panic!("{error}: {tx:?}"),
        }
    }

    /// The reader wants other rows of a table: all, none, or those of a value. Not one row by its UUID: the ovsdb-server
    /// of Open vSwitch 3.1 crashed in these histories when such a condition was among them.
    async fn look_elsewhere(&mut self) {
        let tables: Vec<_> = self.spec.tables().keys().cloned().collect();
        let table = tables[self.random.rng.random_range(0..tables.len())].clone();
        let conditions = match (self.random.rng.random_range(0..3), self.random.scalar(&table)) {
            (0, _) => None,
            (1, Some((column, value))) => Some(vec![Condition::equal(column, value)]),
            _ => Some(vec![]),
        };
        self.set_conditions(BTreeMap::from([(table, conditions)])).await;
    }

    async fn set_conditions(&self, conditions: Conditions) {
        let change = self.reader.change_conditions(conditions);
        match tokio::time::timeout_at(soon(), change).await.unwrap() {
            // Conditions given without a connection are not kept, those that were on their way are.
            Ok(()) | Err(ClientError::NotConnected { .. } | ClientError::ConnectionLost) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Nobody writes: everything must come to be equal.
    async fn settle(&mut self) {
        self.proxy.cut_after(-1);
        self.writer.wait_synced(soon()).await.unwrap();
        self.reader.wait_synced(soon()).await.unwrap();
        self.set_conditions(self.spec.tables().keys().map(|table| (table.clone(), None)).collect()).await;
        self.server.wait_equal(&self.reader).await;
        self.server.wait_equal(&self.writer).await;
        let replica = contents(&self.reader.cache(), &self.spec);
        wait_for("the events to add up to the replica", PATIENCE, async || {
            let mut copy = self.copy.lock().map_err(|_| "an event did not fit".to_owned())?.clone();
            for table in self.spec.tables().keys() {
                copy.entry(table.clone()).or_default();
            }
            if copy == replica { Ok(()) } else { Err("they do not".to_owned()) }
        })
        .await
        .unwrap();
    }
}

async fn run(schema: &str, kind: Kind, of: u64) {
    let (mut accepted, mut syncs, mut resumed) = (0, 0, 0);
    for seed in seeds(of) {
        println!("history {seed}");
        let mut history = History::new(schema, kind, seed).await;
        let mut status = history.reader.watch_status();
        for _ in 0..STEPS {
            history.step().await;
            if status.has_changed().unwrap() {
                resumed += u64::from(status.borrow_and_update().resumed);
            }
        }
        history.settle().await;
        // One would be healed by a dump, and not be seen.
        for client in [&history.reader, &history.writer] {
            assert_eq!(client.status().protocol_errors, 0, "{:?}", client.status());
        }
        accepted += history.accepted;
        syncs += history.reader.status().syncs;
        let replica = contents(&history.reader.cache(), &history.spec);
        let sizes: BTreeMap<_, _> = replica.iter().map(|(t, rows)| (t, rows.len())).collect();
        println!("history {seed}: {} transactions, {sizes:?}", history.accepted);
    }
    println!("{accepted} transactions, {syncs} connections, resumed {resumed}");
    assert!(accepted > 0 && syncs > 0);
}

#[tokio::test]
async fn standalone_database_of_every_type() {
    run(EVERYTHING, Kind::Standalone, 1).await;
}

#[tokio::test]
async fn clustered_database_of_every_type() {
    run(EVERYTHING, Kind::Clustered, 2).await;
}

#[tokio::test]
async fn standalone_database_of_a_switch() {
    run(VSWITCH, Kind::Standalone, 3).await;
}

#[tokio::test]
async fn clustered_database_of_a_switch() {
    run(VSWITCH, Kind::Clustered, 4).await;
}
