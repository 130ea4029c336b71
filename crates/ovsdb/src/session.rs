//! The protocol of one client, without I/O: what to send, and what incoming messages mean.
//!
//! A [`Session`] outlives connections. On each new one it asks for the schema, then monitors (best method the
//! server knows, resuming from the last transaction seen), asks again for the locks it wants, and is then
//! [`Phase::Synced`]. It answers the server's `echo` at once and keeps the replica.
//!
//! The caller feeds messages and drains [`Output`]s. Any error means that the connection can no longer be
//! trusted: drop it, call [`Session::disconnected`], connect again. After an error in an update the next
//! dump is fetched in full. ovsdb-server sends the updates of a transaction before its reply (RFC 7047
//! section 4.1.6), so a caller holding a reply sees its own changes in the replica.

mod conditions;
mod locks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cache::{CacheError, Database, RowEvent};
use crate::monitor::{Decoder, MonitorError, MonitorMethod, MonitorSpec, Updates};
use crate::rpc::{Message, MessageError};
use crate::schema::{DatabaseSchema, SchemaError};
use crate::value::{ValueError, parse_uuid};

use conditions::ConditionChange;
pub use conditions::Conditions;
pub use locks::{LockName, LockState};

/// How far the current connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// No connection.
    Disconnected,
    /// Fetching schema and dump.
    Syncing,
    /// The replica follows the server.
    Synced,
}

/// What the caller has to do.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Send this message.
    Send(Message),
    /// A request made through [`Session::request`] was answered.
    Answered {
        /// The request.
        id: u64,
        /// Result or error.
        outcome: Result<Value, Value>,
    },
    /// The replica changed.
    Changed(Vec<RowEvent>),
    /// The phase, or the state of a lock, changed.
    Status,
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Not a JSON-RPC message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A message that does not belong here.
    #[error("unexpected {0} from server")]
    Unexpected(String),
    /// The server refused a request the session itself needs.
    #[error("server refused {method}: {error}")]
    Refused {
        /// Method.
        method: &'static str,
        /// The error, as JSON.
        error: String,
    },
    /// The server stopped monitoring, for instance because the schema changes.
    #[error("server cancelled the monitor")]
    MonitorCanceled,
    /// The schema does not have what is needed.
    #[error("schema of database {database} version {version} cannot be used")]
    Schema {
        /// Database.
        database: String,
        /// Schema version.
        version: String,
        /// What is missing.
        source: SchemaError,
    },
    /// The schema cannot be parsed.
    #[error("cannot parse schema")]
    BadSchema(#[source] SchemaError),
    /// An update cannot be decoded.
    #[error("cannot decode update")]
    Update(#[from] MonitorError),
    /// An update cannot be applied.
    #[error("cannot apply update")]
    Cache(#[from] CacheError),
    /// News of a lock whose name is none.
    #[error("malformed name of a lock")]
    Lock(#[source] ValueError),
    /// A transaction id that is not one.
    #[error("malformed transaction id")]
    TransactionId(#[source] ValueError),
}

/// A request in flight, by purpose.
#[derive(Debug)]
enum Pending {
    Schema,
    Monitor(MonitorMethod),
    /// Whatever the answer is, nothing follows from it.
    Ignored,
    User,
    Lock(LockName),
    Conditions(Box<ConditionChange>),
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Session {
    database: String,
    /// What is wanted.
    spec: MonitorSpec,
    /// What of it the server's schema has.
    resolved: MonitorSpec,
    phase: Phase,
    next_id: u64,
    pending: BTreeMap<u64, Pending>,
    /// Requests whose answer, should it come, is not wanted.
    cancelled: BTreeSet<u64>,
    schema: Option<Arc<DatabaseSchema>>,
    method: MonitorMethod,
    last_txn: Option<Uuid>,
    /// A condition change was sent and not answered: the last transaction id does not describe the replica.
    changing_conditions: bool,
    resumed: bool,
    locks: BTreeMap<LockName, LockState>,
    cache: Database,
    outputs: VecDeque<Output>,
}

/// Cancelled requests remembered; an answer that comes later than this many cancellations is an error.
const MAX_CANCELLED: usize = 4096;

/// Monitors end with their connection, so one constant id will do.
fn monitor_id() -> Value {
    json!("monitor")
}

impl Session {
    /// A session replicating `spec` from a database.
    pub fn new(database: impl Into<String>, spec: MonitorSpec) -> Self {
        Self {
            database: database.into(),
            resolved: spec.clone(),
            cache: Database::with_indexes(&spec),
            spec,
            phase: Phase::Disconnected,
            next_id: 0,
            pending: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            schema: None,
            method: MonitorMethod::CondSince,
            last_txn: None,
            changing_conditions: false,
            resumed: false,
            locks: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// How far the connection has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The replica.
    pub fn cache(&self) -> &Database {
        &self.cache
    }

    /// The schema, once known.
    pub fn schema(&self) -> Option<&Arc<DatabaseSchema>> {
        self.schema.as_ref()
    }

    /// The columns asked for, as `Table.column`, that the server's schema lacks and that may be missing.
    pub fn absent_columns(&self) -> BTreeSet<String> {
        self.spec.absent_from(&self.resolved)
    }

    /// The monitor method in use.
    pub fn method(&self) -> MonitorMethod {
        self.method
    }

    /// Whether the current connection took up where the last one ended, instead of fetching a dump.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// The locks asked for.
    pub fn locks(&self) -> &BTreeMap<LockName, LockState> {
        &self.locks
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// A connection was made.
    pub fn connected(&mut self) {
        self.method = MonitorMethod::CondSince;
        self.resumed = false;
        self.set_phase(Phase::Syncing);
        let params = vec![json!(self.database)];
        self.send("get_schema", params, Pending::Schema);
    }

    /// The connection is gone: requests in flight will not be answered, the replica stays as it was.
    pub fn disconnected(&mut self) {
        self.pending.clear();
        self.cancelled.clear();
        self.outputs.retain(|output| !matches!(output, Output::Send(_)));
        // The server releases the locks of a closed connection.
        for state in self.locks.values_mut().filter(|state| **state == LockState::Owned) {
            *state = LockState::Waiting;
        }
        if std::mem::take(&mut self.changing_conditions) {
            self.last_txn = None;
        }
        self.set_phase(Phase::Disconnected);
    }

    /// Sends a request; its answer comes as [`Output::Answered`] with the returned id.
    pub fn request(&mut self, method: &str, params: Vec<Value>) -> u64 {
        self.send(method, params, Pending::User)
    }

    /// Asks the server for a sign of life.
    pub fn probe(&mut self) {
        self.send("echo", Vec::new(), Pending::Ignored);
    }

    /// Tells the server that the answer to a request is no longer wanted (RFC 7047 section 4.1.4). There will be
    /// no [`Output::Answered`] for it. The RFC has the server answer "canceled"; ovsdb-server 3.1 answers nothing
    /// at all, so nothing may wait for that.
    pub fn cancel(&mut self, id: u64) {
        if matches!(self.pending.get(&id), Some(Pending::User)) {
            self.pending.remove(&id);
            self.cancelled.insert(id);
            if self.cancelled.len() > MAX_CANCELLED {
                self.cancelled.pop_first();
            }
            let cancel = Message::Notification { method: "cancel".into(), params: vec![json!(id)] };
            self.outputs.push_back(Output::Send(cancel));
        }
    }

    /// Takes in one message. After an error the connection must be dropped.
    pub fn handle(&mut self, message: Value) -> Result<(), SessionError> {
        match Message::from_json(message)? {
            Message::Request { id, method, params } => {
                let outcome =
                    if method == "echo" { Ok(Value::Array(params)) } else { Err(json!("unknown method")) };
                self.outputs.push_back(Output::Send(Message::Response { id, outcome }));
                Ok(())
            }
            Message::Notification { method, params } => {
                let result = self.notified(&method, &params);
                if result.is_err() {
                    self.last_txn = None;
                }
                result
            }
            Message::Response { id, outcome } => self.answered(&id, outcome),
        }
    }

    fn send(&mut self, method: &str, params: Vec<Value>, purpose: Pending) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, purpose);
        let message = Message::Request { id: json!(id), method: method.to_owned(), params };
        self.outputs.push_back(Output::Send(message));
        id
    }

    fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.outputs.push_back(Output::Status);
    }

    fn notified(&mut self, method: &str, params: &[Value]) -> Result<(), SessionError> {
        match (method, params) {
            ("update", [id, updates]) => self.update(MonitorMethod::Plain, id, updates),
            ("update2", [id, updates]) => self.update(MonitorMethod::Cond, id, updates),
            ("update3", [id, Value::String(txn), updates]) => {
                let txn = parse_uuid(txn).map_err(SessionError::TransactionId)?;
                self.update(MonitorMethod::CondSince, id, updates)?;
                self.last_txn = history(txn);
                Ok(())
            }
            ("locked", [Value::String(name)]) => self.lock_changed(name, LockState::Owned),
            ("stolen", [Value::String(name)]) => self.lock_changed(name, LockState::Stolen),
            ("monitor_canceled", _) => Err(SessionError::MonitorCanceled),
            _ => Err(SessionError::Unexpected(format!("notification {method}"))),
        }
    }

    fn update(&mut self, method: MonitorMethod, id: &Value, value: &Value) -> Result<(), SessionError> {
        let expected = self.phase == Phase::Synced && method == self.method && *id == monitor_id();
        let Some(schema) = self.schema.clone().filter(|_| expected) else {
            return Err(SessionError::Unexpected(format!("update of monitor {id}")));
        };
        let updates = self.decode(&schema, value)?;
        let events = self.cache.apply(&schema, &updates)?;
        self.changed(events);
        Ok(())
    }

    fn decode(&self, schema: &DatabaseSchema, value: &Value) -> Result<Updates, MonitorError> {
        Decoder { schema, spec: &self.resolved }.decode(self.method, value)
    }

    fn changed(&mut self, events: Vec<RowEvent>) {
        if !events.is_empty() {
            self.outputs.push_back(Output::Changed(events));
        }
    }

    fn answered(&mut self, id: &Value, outcome: Result<Value, Value>) -> Result<(), SessionError> {
        if id.as_u64().is_some_and(|id| self.cancelled.remove(&id)) {
            return Ok(());
        }
        let pending = id.as_u64().and_then(|id| self.pending.remove_entry(&id));
        let (id, purpose) =
            pending.ok_or_else(|| SessionError::Unexpected(format!("response to request {id}")))?;
        match purpose {
            Pending::Schema => self.schema_answered(outcome),
            Pending::Monitor(method) => self.monitor_answered(method, outcome),
            Pending::Ignored => Ok(()),
            Pending::User => self.pass_on(id, outcome),
            Pending::Lock(name) => {
                let locked =
                    outcome.as_ref().ok().and_then(|result| result.get("locked")).and_then(Value::as_bool);
                if let Some(locked) = locked {
                    // News of an earlier request may have come meanwhile; this answer is younger.
                    let state = if locked { LockState::Owned } else { LockState::Waiting };
                    self.lock_changed(name.as_str(), state)?;
                }
                self.pass_on(id, outcome)
            }
            Pending::Conditions(change) => {
                if outcome.is_err() {
                    self.take_back(*change)?;
                }
                self.changing_conditions = self.pending.values().any(|p| matches!(p, Pending::Conditions(_)));
                self.pass_on(id, outcome)
            }
        }
    }

    fn pass_on(&mut self, id: u64, outcome: Result<Value, Value>) -> Result<(), SessionError> {
        self.outputs.push_back(Output::Answered { id, outcome });
        Ok(())
    }

    fn schema_answered(&mut self, outcome: Result<Value, Value>) -> Result<(), SessionError> {
        let value =
            outcome.map_err(|e| SessionError::Refused { method: "get_schema", error: e.to_string() })?;
        let schema = DatabaseSchema::from_json(&value).map_err(SessionError::BadSchema)?;
        if schema.name() != self.database {
            return Err(SessionError::Unexpected(format!("schema of database {}", schema.name())));
        }
        let resolved = self.spec.resolve(&schema).map_err(|source| SessionError::Schema {
            database: self.database.clone(),
            version: schema.version().to_owned(),
            source,
        })?;
        self.resolved = resolved;
        if self.schema.as_deref() != Some(&schema) {
            // Differences across a schema change mean nothing.
            self.last_txn = None;
            self.schema = Some(Arc::new(schema));
        }
        self.start_monitor(MonitorMethod::CondSince);
        Ok(())
    }

    fn start_monitor(&mut self, method: MonitorMethod) {
        self.method = method;
        let params = self.resolved.params(&self.database, method, &monitor_id(), self.last_txn);
        self.send(method.as_str(), params, Pending::Monitor(method));
    }

    fn monitor_answered(
        &mut self,
        method: MonitorMethod,
        outcome: Result<Value, Value>,
    ) -> Result<(), SessionError> {
        let result = match (outcome, method.fallback()) {
            (Ok(result), _) => result,
            (Err(error), Some(next)) if is_unknown_method(&error) => {
                self.last_txn = None;
                self.start_monitor(next);
                return Ok(());
            }
            (Err(error), _) => {
                return Err(SessionError::Refused { method: method.as_str(), error: error.to_string() });
            }
        };
        let synced = self.initial(method, &result);
        if synced.is_err() {
            self.last_txn = None;
        }
        synced?;
        self.set_phase(Phase::Synced);
        let wanted: Vec<LockName> = self
            .locks
            .iter()
            .filter(|(_, state)| **state == LockState::Waiting)
            .map(|(n, _)| n.clone())
            .collect();
        for name in wanted {
            self.ask_for_lock("lock", &name);
        }
        Ok(())
    }

    fn initial(&mut self, method: MonitorMethod, result: &Value) -> Result<(), SessionError> {
        let schema = self.schema.clone().ok_or_else(|| SessionError::Unexpected("monitor reply".into()))?;
        if method != MonitorMethod::CondSince {
            let events = self.cache.replace(&self.decode(&schema, result)?)?;
            self.changed(events);
            return Ok(());
        }
        let Some([Value::Bool(found), Value::String(txn), updates]) = result.as_array().map(Vec::as_slice)
        else {
            return Err(MonitorError::Malformed("reply to monitor_cond_since is not a triple").into());
        };
        let txn = parse_uuid(txn).map_err(SessionError::TransactionId)?;
        let updates = self.decode(&schema, updates)?;
        let events = match (found, self.last_txn) {
            (true, Some(_)) => self.cache.apply(&schema, &updates)?,
            (true, None) => return Err(SessionError::Unexpected("resumption nobody asked for".into())),
            (false, _) => self.cache.replace(&updates)?,
        };
        self.resumed = *found;
        self.last_txn = history(txn);
        self.changed(events);
        Ok(())
    }
}

/// The zero id stands for "no history": there is nothing to resume from.
fn history(txn: Uuid) -> Option<Uuid> {
    Some(txn).filter(|txn| !txn.is_nil())
}

/// ovsdb-server answers `"unknown method"`; other servers wrap it in an object.
fn is_unknown_method(error: &Value) -> bool {
    let text = error.as_str().or_else(|| error.get("error").and_then(Value::as_str));
    text == Some("unknown method")
}

#[cfg(test)]
mod tests;
