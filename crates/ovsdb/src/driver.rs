//! The tokio driver: one task owns the socket and the [`crate::session::Session`]; a [`Client`] is a cloneable
//! handle to it.
//!
//! - Any number of requests are in flight; they reach the server in the order in which the task received them.
//!   Above [`Config::max_in_flight`] callers wait, nothing is queued without bound.
//! - The task reconnects by itself, forever. While there is no synced connection requests fail at once with
//!   [`ClientError::NotConnected`] (nothing was sent); requests in flight when a connection breaks fail with
//!   [`ClientError::ConnectionLost`] (the server may or may not have acted; look at the replica).
//! - Dropping the future of a request sends the server a `cancel`. Dropping the last `Client` ends the task.
//! - The replica outlives connections: it is stale while disconnected, and [`Status`] says so.

mod endpoint;
mod task;
mod unixctl;
mod vswitch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::cache::{Database, RowEvent};
use crate::liveness::Backoff;
use crate::monitor::{MonitorMethod, MonitorSpec};
use crate::operation::Transaction;
use crate::outcome::{Outcome, TransactError};
use crate::session::{Conditions, LockName, LockState, Phase, Session};

pub use endpoint::{Endpoint, EndpointError};
pub use unixctl::UnixctlClient;
pub use vswitch::{Applied, ApplyError};

/// How to reach a server and what to replicate.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server.
    pub endpoint: Endpoint,
    /// The database, normally `Open_vSwitch`.
    pub database: String,
    /// What to replicate.
    pub monitor: MonitorSpec,
    /// Silence after which the server is probed; after twice this it is given up.
    pub probe_interval: Duration,
    /// Longest time to connect and to fetch schema and dump.
    pub sync_timeout: Duration,
    /// Longest pause between two attempts to connect.
    pub max_backoff: Duration,
    /// Largest message accepted; the values in it may take 32 times as much memory.
    pub max_message: usize,
    /// Requests in flight above which callers wait.
    pub max_in_flight: usize,
}

impl Config {
    /// The usual values: probe after 5 s, 30 s to sync, 8 s between attempts, messages up to 64 MiB (the dump of some
    /// hundred thousand interfaces), 256 requests in flight.
    pub fn new(endpoint: Endpoint, database: impl Into<String>, monitor: MonitorSpec) -> Self {
        Self {
            endpoint,
            database: database.into(),
            monitor,
            probe_interval: Duration::from_secs(5),
            sync_timeout: Duration::from_secs(30),
            max_backoff: Backoff::MAX,
            max_message: 64 << 20,
            max_in_flight: 256,
        }
    }
}

/// The state of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How far the connection has come.
    pub phase: Phase,
    /// How often a connection was synced; each further one is a reconnect.
    pub syncs: u64,
    /// How many connections ended because of what the server said: nonsense, or a refusal of what is needed.
    pub protocol_errors: u64,
    /// How the connection is monitored.
    pub method: MonitorMethod,
    /// Whether the connection took up where the last one ended, instead of fetching a dump.
    pub resumed: bool,
    /// The schema's version, once known.
    pub schema_version: Option<String>,
    /// Columns asked for that the server's schema lacks, as `Table.column`; no row has them.
    pub absent_columns: BTreeSet<String>,
    /// Why the last connection, or attempt, ended.
    pub last_error: Option<String>,
    /// The locks asked for.
    pub locks: BTreeMap<LockName, LockState>,
}

impl Status {
    /// Whether the replica follows the server.
    pub fn is_synced(&self) -> bool {
        self.phase == Phase::Synced
    }
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No synced connection; nothing was sent.
    #[error("not connected to the database server{}", reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default())]
    NotConnected {
        /// Why the last connection ended.
        reason: Option<String>,
    },
    /// The connection broke before the answer; the request may or may not have taken effect.
    #[error("connection to the database server lost while waiting for the answer")]
    ConnectionLost,
    /// The driver's task is gone.
    #[error("database client has stopped")]
    Stopped,
    /// The server answered with an error.
    #[error("{method} refused: {error}")]
    Refused {
        /// Method.
        method: String,
        /// The error, as JSON.
        error: String,
    },
    /// The answer makes no sense.
    #[error("malformed answer to {0}")]
    Malformed(&'static str),
    /// The transaction did not take effect.
    #[error(transparent)]
    Transact(#[from] TransactError),
    /// Something to be monitored is not there.
    #[error(transparent)]
    Monitor(#[from] crate::monitor::MonitorError),
    /// The time is up.
    #[error("deadline passed while waiting for {0}")]
    Deadline(&'static str),
}

impl ClientError {
    /// Whether trying again, after a look at the replica, may well succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotConnected { .. } | Self::ConnectionLost | Self::Deadline(_) => true,
            Self::Transact(error) => error.is_transient(),
            Self::Stopped | Self::Refused { .. } | Self::Malformed(_) | Self::Monitor(_) => false,
        }
    }
}

/// Some events were dropped because the receiver fell behind: read the replica anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fell behind and lost database events")]
pub struct EventsLost;

/// The changes of the replica, in order.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Arc<Vec<RowEvent>>>);

impl Events {
    /// The next change; `None` when the client has stopped.
    pub async fn next(&mut self) -> Option<Result<Arc<Vec<RowEvent>>, EventsLost>> {
        match self.0.recv().await {
            Ok(events) => Some(Ok(events)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Err(EventsLost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

type Reply = oneshot::Sender<Result<Value, ClientError>>;

/// What a caller wants of the task.
enum Request {
    Call { method: &'static str, params: Vec<Value> },
    Lock(LockName),
    Steal(LockName),
    Unlock(LockName),
    Conditions(Conditions),
}

struct Command {
    /// Names the call in a cancellation.
    key: u64,
    request: Request,
    reply: Reply,
}

/// A handle to the connection; see the module's documentation.
#[derive(Clone)]
pub struct Client {
    database: Arc<str>,
    commands: mpsc::Sender<Command>,
    cancels: mpsc::UnboundedSender<u64>,
    next_key: Arc<AtomicU64>,
    cache: watch::Receiver<Arc<Database>>,
    status: watch::Receiver<Status>,
    events: broadcast::WeakSender<Arc<Vec<RowEvent>>>,
}

/// Sends the cancellation of a call whose future is dropped.
struct CancelOnDrop<'a> {
    key: Option<u64>,
    cancels: &'a mpsc::UnboundedSender<u64>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // The task may be gone, and the call with it.
            let _ = self.cancels.send(key);
        }
    }
}

impl Client {
    /// Starts the task on the current tokio runtime. Returns at once; see [`Client::wait_synced`].
    pub fn start(config: Config) -> Self {
        let session = Session::new(config.database.clone(), config.monitor.clone());
        let (command_tx, commands) = mpsc::channel(16);
        let (cancel_tx, cancels) = mpsc::unbounded_channel();
        let (cache_tx, cache) = watch::channel(Arc::new(session.cache().clone()));
        let (event_tx, _) = broadcast::channel(1024);
        let (status_tx, status) = watch::channel(task::status_of(&session, task::Counters::default(), None));
        let client = Self {
            database: config.database.as_str().into(),
            commands: command_tx,
            cancels: cancel_tx,
            next_key: Arc::default(),
            cache,
            status,
            events: event_tx.downgrade(),
        };
        let publish = task::Publish { cache: cache_tx, status: status_tx, events: event_tx };
        tokio::spawn(task::Task::new(config, session, commands, cancels, publish).run());
        client
    }

    /// A snapshot of the replica.
    pub fn cache(&self) -> Arc<Database> {
        self.cache.borrow().clone()
    }

    /// Follows the replica: `changed()` resolves when it differs from what was last looked at.
    pub fn watch(&self) -> watch::Receiver<Arc<Database>> {
        self.cache.clone()
    }

    /// The changes of the replica from now on.
    pub fn events(&self) -> Events {
        // A stopped client has no events: an ended channel says so.
        let receiver =
            self.events.upgrade().map_or_else(|| broadcast::channel(1).1, |sender| sender.subscribe());
        Events(receiver)
    }

    /// The state of the connection.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Follows the state of the connection.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Waits until the replica follows the server.
    pub async fn wait_synced(&self, deadline: Instant) -> Result<(), ClientError> {
        let mut status = self.status.clone();
        let wait = status.wait_for(Status::is_synced);
        match tokio::time::timeout_at(deadline, wait).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ClientError::Stopped),
            Err(_) => Err(ClientError::NotConnected { reason: self.status().last_error }),
        }
    }

    /// Waits until `look` finds in the replica what it looks for; `what` names it in the error.
    pub async fn wait_for<T>(
        &self,
        what: &'static str,
        deadline: Instant,
        mut look: impl FnMut(&Database) -> Option<T>,
    ) -> Result<T, ClientError> {
        let mut cache = self.cache.clone();
        let wait = async {
            loop {
                let found = look(&cache.borrow_and_update());
                if let Some(found) = found {
                    return Ok(found);
                }
                cache.changed().await.map_err(|_| ClientError::Stopped)?;
            }
        };
        tokio::time::timeout_at(deadline, wait).await.map_err(|_| ClientError::Deadline(what))?
    }

    /// Executes a transaction. When this returns, the replica holds its effects.
    pub async fn transact(&self, transaction: &Transaction) -> Result<Outcome, ClientError> {
        if let Some(index) = transaction.nul_byte() {
            return Err(TransactError::NulByte(index).into());
        }
        let params = transaction.to_params(&self.database);
        match self.submit(Request::Call { method: "transact", params }).await {
            Ok(reply) => Ok(Outcome::from_json(transaction, &reply)?),
            Err(ClientError::Refused { error, .. }) => Err(TransactError::Request(error).into()),
            Err(error) => Err(error),
        }
    }

    /// The databases the server has.
    pub async fn list_dbs(&self) -> Result<Vec<String>, ClientError> {
        let value = self.submit(Request::Call { method: "list_dbs", params: Vec::new() }).await?;
        serde_json::from_value(value).map_err(|_| ClientError::Malformed("list_dbs"))
    }

    /// A round trip to the server.
    pub async fn echo(&self) -> Result<(), ClientError> {
        let params = vec![json!("echo")];
        let value = self.submit(Request::Call { method: "echo", params: params.clone() }).await?;
        if value == Value::Array(params) { Ok(()) } else { Err(ClientError::Malformed("echo")) }
    }

    /// Asks for a lock, now and after each reconnect; [`Status::locks`] tells when it is ours or stolen. A transaction
    /// that must not happen without it says so ([`Transaction::assert_lock`]): only the server knows in time.
    pub async fn lock(&self, name: &LockName) -> Result<LockState, ClientError> {
        lock_state(self.submit(Request::Lock(name.clone())).await?)
    }

    /// Takes a lock from whoever holds it.
    pub async fn steal(&self, name: &LockName) -> Result<LockState, ClientError> {
        lock_state(self.submit(Request::Steal(name.clone())).await?)
    }

    /// Gives up a lock, or the wish for it.
    pub async fn unlock(&self, name: &LockName) -> Result<(), ClientError> {
        self.submit(Request::Unlock(name.clone())).await.map(|_| ())
    }

    /// Replaces the conditions of some monitored tables. When this returns, the replica holds what they select.
    pub async fn change_conditions(&self, conditions: Conditions) -> Result<(), ClientError> {
        self.submit(Request::Conditions(conditions)).await.map(|_| ())
    }

    async fn submit(&self, request: Request) -> Result<Value, ClientError> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let command = Command { key, request, reply };
        self.commands.send(command).await.map_err(|_| ClientError::Stopped)?;
        let mut guard = CancelOnDrop { key: Some(key), cancels: &self.cancels };
        let answer = answer.await.map_err(|_| ClientError::Stopped);
        guard.key = None;
        answer?
    }
}

fn lock_state(value: Value) -> Result<LockState, ClientError> {
    match value.get("locked").and_then(Value::as_bool) {
        Some(true) => Ok(LockState::Owned),
        Some(false) => Ok(LockState::Waiting),
        None => Err(ClientError::Malformed("lock")),
    }
}
