//! What netmaster is told at start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use store::Limits;
use types::Name;

/// Where intent is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// In `netmaster.db` of the data folder.
    Sqlite,
    /// In etcd.
    Etcd {
        /// Client URLs.
        endpoints: Vec<String>,
        /// Folder in etcd, so that several clusters can share one.
        prefix: Name,
    },
    /// Nowhere: for tests.
    Memory,
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
    /// Host names and addresses by which clients reach this netmaster, for its certificate. The first is what join files
    /// tell nodes.
    pub names: Vec<String>,
    /// How long a freed number or address stays unused.
    pub cooling: Duration,
}
