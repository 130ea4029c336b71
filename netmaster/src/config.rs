//! What netmaster is told at start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use store::Limits;
use telemetry::Listen;
use types::Name;

use crate::app::Quota;

/// Where intent is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// In `netmaster.db` of the data folder.
    Sqlite,
    /// In etcd.
    Etcd(EtcdAccess),
    /// Nowhere: for tests.
    Memory,
}

/// How to reach an etcd. Secrets are in files, never here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdAccess {
    /// Client URLs, all `https://` or all `http://`.
    pub endpoints: Vec<String>,
    /// Folder in etcd, so that several clusters can share one.
    pub prefix: Name,
    /// File with the certificates (PEM) of the authorities that may sign the servers'.
    pub ca: Option<PathBuf>,
    /// File with our certificate chain (PEM), where etcd wants one.
    pub certificate: Option<PathBuf>,
    /// File with its key.
    pub key: Option<PathBuf>,
    /// The name the servers' certificates must have, when it is not the endpoint's.
    pub server_name: Option<String>,
    /// Who to log in as.
    pub user: Option<String>,
    /// File with the password.
    pub password_file: Option<PathBuf>,
}

impl EtcdAccess {
    /// Without login or encryption.
    pub fn plain(endpoints: Vec<String>, prefix: Name) -> Self {
        let (ca, certificate, key) = (None, None, None);
        let (server_name, user, password_file) = (None, None, None);
        Self { endpoints, prefix, ca, certificate, key, server_name, user, password_file }
    }
}

/// How much of the past the leader keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How far back watches and pages may go; `None` when somebody else compacts the store.
    pub history: Option<Duration>,
    /// Change records at most.
    pub records: usize,
    /// The oldest change record's age at most.
    pub age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self { history: Some(Duration::from_secs(300)), records: 100_000, age: day * 90 }
    }
}

/// What netmaster is told at start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder for the database and credentials; made when missing, 0700.
    pub data_dir: PathBuf,
    /// Where intent is kept.
    pub store: StoreConfig,
    /// The most one transaction may do, and so one request; etcd must grant it. `None`: as much as etcd grants when asked
    /// at start, and stock etcd's limits elsewhere, so that what SQLite holds fits into any etcd.
    pub limits: Option<Limits>,
    /// Where the REST API listens (HTTPS).
    pub listen: SocketAddr,
    /// Where the node API listens.
    pub node_listen: SocketAddr,
    /// Where metrics are served.
    pub metrics_listen: Listen,
    /// Host names and addresses by which clients reach this netmaster, for its certificate. The first is what join files
    /// tell nodes.
    pub names: Vec<String>,
    /// How long a freed number or address stays unused.
    pub cooling: Duration,
    /// From one audit of the switches by the leader to the next; `None`: people ask for one.
    pub audit_every: Option<Duration>,
    /// How much of the past the leader keeps.
    pub retention: Retention,
    /// How many endpoints a node may make.
    pub endpoints_per_node: Quota,
}
