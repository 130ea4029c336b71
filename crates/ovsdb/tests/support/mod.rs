//! A private ovsdb-server, and the comparison of a replica with `ovsdb-client dump`.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod proxy;
pub mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ovsdb::cache::Database;
use ovsdb::monitor::MonitorSpec;
use ovsdb::operation::Row;
use ovsdb::schema::DatabaseSchema;
use ovsdb::value::{Atom, Datum};
use ovsdb::vswitch::{DATABASE, DatapathType, DeviceName, OpenFlowVersion, Owner, monitor_spec};
use ovsdb::{Client, Config, Endpoint};
use serde_json::Value;
use tempfile::TempDir;
use test_support::{Daemon, wait_for, wait_for_blocking};
use tokio::time::Instant;
use uuid::Uuid;

pub const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
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
    database: String,
    spec: MonitorSpec,
    remotes: Vec<String>,
}

impl Server {
    /// A standalone database of a switch.
    pub fn start() -> Self {
        Self::create(&["create", "CONF", SCHEMA], DATABASE, monitor_spec(), &[])
    }

    /// The same, listening where its own table `Manager` says as well.
    pub fn start_managed() -> Self {
        let managers = "--remote=db:Open_vSwitch,Open_vSwitch,manager_options";
        Self::create(&["create", "CONF", SCHEMA], DATABASE, monitor_spec(), &[managers])
    }

    /// A cluster of one: the only kind of database that keeps a history to resume from.
    pub fn start_clustered() -> Self {
        Self::create(&["create-cluster", "CONF", SCHEMA, "unix:RAFT"], DATABASE, monitor_spec(), &[])
    }

    /// A database of any schema, every column of which is replicated.
    pub fn of_schema(path: &Path, kind: Kind) -> Self {
        let schema = read_schema(path);
        let spec = everything(&schema);
        let path = path.display().to_string();
        match kind {
            Kind::Standalone => Self::create(&["create", "CONF", &path], schema.name(), spec, &[]),
            Kind::Clustered => {
                Self::create(&["create-cluster", "CONF", &path, "unix:RAFT"], schema.name(), spec, &[])
            }
        }
    }

    fn create(args: &[&str], database: &str, spec: MonitorSpec, remotes: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let args: Vec<_> =
            args.iter().map(|a| a.replace("CONF", &path("conf.db")).replace("RAFT", &path("raft"))).collect();
        run("ovsdb-tool", &args.iter().map(String::as_str).collect::<Vec<_>>());
        let remotes: Vec<_> = remotes.iter().map(|r| (*r).to_owned()).collect();
        let daemon = spawn(&dir, &remotes);
        let server = Self { daemon, dir, database: database.to_owned(), spec, remotes };
        server.wait_up();
        server
    }

    fn wait_up(&self) {
        let remote = self.remote();
        let mut probe = if self.database == DATABASE {
            let mut vsctl = Command::new("ovs-vsctl");
            vsctl.args(["--no-wait", "--timeout=2", &format!("--db={remote}"), "init"]);
            vsctl
        } else {
            let mut client = Command::new("ovsdb-client");
            client.args(["--timeout=2", "dump", &remote, &self.database]);
            client
        };
        wait_for_blocking("ovsdb-server to answer", PATIENCE, || {
            let out = probe.output().unwrap();
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
        Config::new(Endpoint::unix(self.socket()), self.database.as_str(), self.spec.clone())
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

    /// What the server wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// How many rows a table has.
    pub fn rows(&self, table: &str) -> usize {
        let out = run("ovsdb-client", &["-f", "json", "dump", &self.remote(), DATABASE, table, "_uuid"]);
        let value: Value = serde_json::from_str(&out).unwrap();
        value["data"].as_array().unwrap().len()
    }

    /// Converts the running database to another schema.
    pub fn convert(&self, schema: &Value) {
        let path = self.dir.path().join("new.ovsschema");
        std::fs::write(&path, schema.to_string()).unwrap();
        run("ovsdb-client", &["convert", &self.remote(), &path.display().to_string()]);
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        self.daemon.signal(signal);
    }

    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    pub fn start_again(&mut self) {
        self.daemon = spawn(&self.dir, &self.remotes);
        self.wait_up();
    }

    /// Waits until the replica equals what `ovsdb-client dump` prints.
    pub async fn wait_equal(&self, client: &Client) {
        wait_for("the replica to equal the dump", PATIENCE, async || {
            let (dump, replica) = (self.dump(), contents(&client.cache(), &self.spec));
            if dump == replica { Ok(()) } else { Err(first_difference(&dump, &replica)) }
        })
        .await
        .unwrap();
    }

    /// What an independent client sees of the replicated tables.
    pub fn dump(&self) -> Contents {
        let schema = read_schema_of(&self.remote(), &self.database);
        let out = run("ovsdb-client", &["-f", "json", "dump", &self.remote(), &self.database]);
        let mut tables: Contents = self.spec.tables().keys().map(|t| (t.clone(), BTreeMap::new())).collect();
        for value in serde_json::Deserializer::from_str(&out).into_iter::<Value>() {
            let value = value.unwrap();
            let table = value["caption"].as_str().unwrap().strip_suffix(" table").unwrap().to_owned();
            let Some(spec) = self.spec.tables().get(&table) else { continue };
            let rows = tables.get_mut(&table).unwrap();
            for cells in value["data"].as_array().unwrap() {
                let cells = value["headings"].as_array().unwrap().iter().zip(cells.as_array().unwrap());
                let cells = cells.map(|(column, cell)| (column.as_str().unwrap(), cell));
                let mut row = Row::new();
                for (column, cell) in cells {
                    let datum = Datum::from_json(cell).unwrap();
                    if column == "_uuid" {
                        row.insert("_uuid".into(), datum);
                    } else if spec.columns.contains(column) {
                        let column_type = schema.column(&table, column).unwrap();
                        row.insert(column.into(), column_type.check(datum).unwrap());
                    }
                }
                match row.remove("_uuid").unwrap().as_scalar() {
                    Some(Atom::Uuid(uuid)) => drop(rows.insert(*uuid, row)),
                    other => panic!("row without _uuid: {other:?}"),
                }
            }
        }
        tables
    }
}

/// How a database is kept.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Standalone,
    Clustered,
}

pub fn read_schema(path: &Path) -> DatabaseSchema {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    DatabaseSchema::from_json(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn read_schema_of(remote: &str, database: &str) -> DatabaseSchema {
    let text = run("ovsdb-client", &["get-schema", remote, database]);
    DatabaseSchema::from_json(&serde_json::from_str(&text).unwrap()).unwrap()
}

/// Every column of every table.
pub fn everything(schema: &DatabaseSchema) -> MonitorSpec {
    schema.tables().iter().fold(MonitorSpec::new(), |spec, (name, table)| {
        spec.table(name, &table.columns.keys().map(String::as_str).collect::<Vec<_>>())
    })
}

fn first_difference(dump: &Contents, replica: &Contents) -> String {
    for (table, rows) in dump {
        let ours = replica.get(table).cloned().unwrap_or_default();
        let uuids: BTreeSet<_> = rows.keys().chain(ours.keys()).collect();
        if let Some(uuid) = uuids.into_iter().find(|uuid| rows.get(uuid) != ours.get(uuid)) {
            return format!("{table} {uuid}: dump {:?}, replica {:?}", rows.get(uuid), ours.get(uuid));
        }
    }
    "tables differ".into()
}

fn spawn(dir: &TempDir, remotes: &[String]) -> Daemon {
    let path = |name: &str| dir.path().join(name).display().to_string();
    let mut command = Command::new("ovsdb-server");
    command.args([
        path("conf.db"),
        format!("--remote=punix:{}", path("db.sock")),
        format!("--unixctl={}", path("ovsdb.ctl")),
    ]);
    command.args(["--no-chdir", "-vconsole:warn"]).args(remotes);
    Daemon::start("ovsdb-server", &command, &dir.path().join("log")).unwrap()
}

pub type Contents = BTreeMap<String, BTreeMap<Uuid, Row>>;

pub fn contents(database: &Database, spec: &MonitorSpec) -> Contents {
    let rows = |table: &str| database.rows(table).map(|(uuid, row)| (uuid, Row::clone(row))).collect();
    spec.tables().keys().map(|table| (table.clone(), rows(table))).collect()
}

pub fn names<const N: usize>(names: [&str; N]) -> BTreeSet<DeviceName> {
    names.into_iter().map(name).collect()
}

pub async fn add_bridge(client: &Client, bridge: &str) {
    let tx = ovsdb::vswitch::ensure_bridge(&client.cache(), &owner(), &bridge_spec(bridge)).unwrap();
    client.transact(&tx).await.unwrap();
}

pub async fn wait_syncs(client: &Client, count: u64) {
    let mut status = client.watch_status();
    let wait = status.wait_for(|status| status.is_synced() && status.syncs >= count);
    tokio::time::timeout_at(soon(), wait).await.unwrap().unwrap();
}
