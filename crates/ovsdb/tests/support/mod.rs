//! A private ovsdb-server, and the comparison of a replica with `ovsdb-client dump`.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ovsdb::cache::Database;
use ovsdb::monitor::MonitorSpec;
use ovsdb::operation::Row;
use ovsdb::value::{Atom, Datum};
use ovsdb::vswitch::{DATABASE, DatapathType, DeviceName, OpenFlowVersion, Owner, monitor_spec};
use ovsdb::{Client, Config, Endpoint};
use serde_json::Value;
use tempfile::TempDir;
use test_support::{Daemon, wait_for, wait_for_blocking};
use tokio::time::Instant;
use uuid::Uuid;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn soon() -> Instant {
    Instant::now() + PATIENCE
}

pub fn owner() -> Owner {
    Owner::new("selvage-owner", "node-1")
}

pub fn name(text: &str) -> DeviceName {
    DeviceName::new(text).unwrap()
}

pub fn bridge_spec(text: &str) -> ovsdb::vswitch::BridgeSpec {
    ovsdb::vswitch::BridgeSpec::new(
        name(text),
        DatapathType::Netdev,
        [OpenFlowVersion::OpenFlow13, OpenFlowVersion::OpenFlow15],
    )
}

/// Runs a program to its end and gives its output.
pub fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// An ovsdb-server without a switch.
pub struct Server {
    daemon: Daemon,
    dir: TempDir,
}

impl Server {
    /// A standalone database.
    pub fn start() -> Self {
        Self::create(&["create", "CONF", SCHEMA])
    }

    /// A cluster of one: the only kind of database that keeps a history to resume from.
    pub fn start_clustered() -> Self {
        Self::create(&["create-cluster", "CONF", SCHEMA, "unix:RAFT"])
    }

    fn create(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let args: Vec<_> =
            args.iter().map(|a| a.replace("CONF", &path("conf.db")).replace("RAFT", &path("raft"))).collect();
        run("ovsdb-tool", &args.iter().map(String::as_str).collect::<Vec<_>>());
        let daemon = spawn(&dir);
        let server = Self { daemon, dir };
        server.wait_up();
        server
    }

    fn wait_up(&self) {
        wait_for_blocking("ovsdb-server to answer", PATIENCE, || {
            let db = format!("--db={}", self.remote());
            let out =
                Command::new("ovs-vsctl").args(["--no-wait", "--timeout=2", &db, "init"]).output().unwrap();
            if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
        })
        .unwrap();
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("db.sock")
    }

    pub fn remote(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    pub fn config(&self) -> Config {
        Config::new(Endpoint::unix(self.socket()), DATABASE, monitor_spec())
    }

    /// A client whose replica is up to date.
    pub async fn client(&self) -> Client {
        let client = Client::start(self.config());
        client.wait_synced(soon()).await.unwrap();
        client
    }

    pub fn vsctl(&self, args: &[&str]) {
        let db = format!("--db={}", self.remote());
        run("ovs-vsctl", &[&["--no-wait", "--timeout=10", &db], args].concat());
    }

    pub fn appctl(&self, args: &[&str]) -> String {
        let ctl = self.dir.path().join("ovsdb.ctl").display().to_string();
        run("ovs-appctl", &[&["-t", &ctl], args].concat())
    }

    /// How many rows a table has.
    pub fn rows(&self, table: &str) -> usize {
        let out = run("ovsdb-client", &["-f", "json", "dump", &self.remote(), DATABASE, table, "_uuid"]);
        let value: Value = serde_json::from_str(&out).unwrap();
        value["data"].as_array().unwrap().len()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        self.daemon.signal(signal);
    }

    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    pub fn start_again(&mut self) {
        self.daemon = spawn(&self.dir);
        self.wait_up();
    }

    /// Waits until the replica equals what `ovsdb-client dump` prints.
    pub async fn wait_equal(&self, client: &Client) {
        wait_for("the replica to equal the dump", PATIENCE, async || {
            let (dump, replica) = (dump(&self.remote(), &monitor_spec()), contents(&client.cache()));
            if dump == replica { Ok(()) } else { Err(format!("dump {dump:?}\nreplica {replica:?}")) }
        })
        .await
        .unwrap();
    }
}

fn spawn(dir: &TempDir) -> Daemon {
    let path = |name: &str| dir.path().join(name).display().to_string();
    let mut command = Command::new("ovsdb-server");
    command.args([
        path("conf.db"),
        format!("--remote=punix:{}", path("db.sock")),
        format!("--unixctl={}", path("ovsdb.ctl")),
    ]);
    command.args(["--no-chdir", "-vconsole:warn"]);
    Daemon::start("ovsdb-server", &command, &dir.path().join("log")).unwrap()
}

pub type Contents = BTreeMap<String, BTreeMap<Uuid, Row>>;

pub fn contents(database: &Database) -> Contents {
    let tables = monitor_spec().tables().keys().cloned().collect::<Vec<_>>();
    let rows = |table: &str| database.rows(table).map(|(uuid, row)| (uuid, Row::clone(row))).collect();
    tables.into_iter().map(|table| (table.clone(), rows(&table))).collect()
}

/// What an independent client sees.
pub fn dump(remote: &str, spec: &MonitorSpec) -> Contents {
    let table = |(table, spec): (&String, &ovsdb::monitor::TableSpec)| {
        let mut args = vec!["-f", "json", "dump", remote, DATABASE, table, "_uuid"];
        args.extend(spec.columns.iter().map(String::as_str));
        let value: Value = serde_json::from_str(&run("ovsdb-client", &args)).unwrap();
        let headings: Vec<_> =
            value["headings"].as_array().unwrap().iter().map(|h| h.as_str().unwrap()).collect();
        let rows = value["data"].as_array().unwrap().iter().map(|cells| {
            let cells = cells.as_array().unwrap().iter().map(|cell| Datum::from_json(cell).unwrap());
            let mut row: Row = headings.iter().map(|h| (*h).to_owned()).zip(cells).collect();
            match row.remove("_uuid").unwrap().as_scalar() {
                Some(Atom::Uuid(uuid)) => (*uuid, row),
                other => panic!("row without _uuid: {other:?}"),
            }
        });
        (table.clone(), rows.collect())
    };
    spec.tables().iter().map(table).collect()
}

pub fn names<const N: usize>(names: [&str; N]) -> BTreeSet<DeviceName> {
    names.into_iter().map(name).collect()
}
