//! The task that owns the connection.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;

use super::endpoint::Stream;
use super::{ClientError, Command, Config, Reply, Request, Status};
use crate::cache::{Database, RowEvent};
use crate::frame::{FrameError, Framer};
use crate::liveness::{Backoff, Liveness, Vital};
use crate::session::{Output, Phase, Session, SessionError};

/// Unsent bytes above which nothing more is read or accepted: a server that does not read gets no answers.
const MAX_UNSENT: usize = 16 << 20;
const READ_SIZE: usize = 64 << 10;

/// Where observers look.
pub(super) struct Publish {
    pub(super) cache: watch::Sender<Arc<Database>>,
    pub(super) status: watch::Sender<Status>,
    pub(super) events: broadcast::Sender<Arc<Vec<RowEvent>>>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Disconnect {
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error("no answer in time while connecting")]
    SyncTimeout,
    #[error("connection broken")]
    Io(#[from] std::io::Error),
    #[error("server closed the connection")]
    Closed,
    #[error("server did not answer a probe")]
    Silent,
    #[error("cannot read from server")]
    Frame(#[from] FrameError),
    #[error("protocol error")]
    Session(#[from] SessionError),
}

/// Why the task stops: all handles are gone.
struct Unwanted;

/// A call in flight.
struct Call {
    key: u64,
    method: &'static str,
    reply: Reply,
}

pub(super) struct Task {
    config: Config,
    session: Session,
    commands: mpsc::Receiver<Command>,
    cancels: mpsc::UnboundedReceiver<u64>,
    publish: Publish,
    calls: BTreeMap<u64, Call>,
    counters: Counters,
    last_error: Option<String>,
}

/// The socket and what is half read or half written.
struct Wire {
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    input: Vec<u8>,
    framer: Framer,
    unsent: Vec<u8>,
}

/// What woke the task.
enum Wake {
    Read(usize),
    Wrote(usize),
    Command(Command),
    Cancel(u64),
    Timer,
}

/// How connections went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    syncs: u64,
    protocol_errors: u64,
}

pub(super) fn status_of(session: &Session, counters: Counters, last_error: Option<String>) -> Status {
    let Counters { syncs, protocol_errors } = counters;
    Status {
        phase: session.phase(),
        syncs,
        protocol_errors,
        method: session.method(),
        resumed: session.resumed(),
        schema_version: session.schema().map(|s| s.version().to_owned()),
        absent_columns: session.absent_columns(),
        last_error,
        locks: session.locks().clone(),
    }
}

impl Task {
    pub(super) fn new(
        config: Config,
        session: Session,
        commands: mpsc::Receiver<Command>,
        cancels: mpsc::UnboundedReceiver<u64>,
        publish: Publish,
    ) -> Self {
        let calls = BTreeMap::new();
        Self {
            config,
            session,
            commands,
            cancels,
            publish,
            calls,
            counters: Counters::default(),
            last_error: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        // Ends with `Err` when the last handle is dropped.
        while self.connection(&mut backoff).await.is_ok() {}
    }

    /// One connection from the attempt to the pause after its end.
    async fn connection(&mut self, backoff: &mut Backoff) -> Result<(), Unwanted> {
        let attempt = connect(self.config.clone());
        let mut synced_at = None;
        let end = match self.meanwhile(attempt).await? {
            Ok(stream) => self.serve(stream, &mut synced_at).await?,
            Err(error) => error,
        };
        self.disconnected(&end);
        if synced_at.is_some_and(|at: Instant| at.elapsed() >= Backoff::MAX) {
            backoff.reset();
        }
        let delay = backoff.next_delay(rand::random()).min(self.config.max_backoff);
        self.meanwhile(tokio::time::sleep_until(Instant::now() + delay)).await
    }

    /// Waits for something while turning callers away.
    async fn meanwhile<F: Future>(&mut self, wait: F) -> Result<F::Output, Unwanted> {
        let mut wait = pin!(wait);
        loop {
            tokio::select! {
                output = &mut wait => return Ok(output),
                command = self.commands.recv() => self.refuse(command.ok_or(Unwanted)?),
                // Of calls that were refused meanwhile; kept, they would pile up while there is no server.
                Some(_) = self.cancels.recv() => {}
            }
        }
    }

    fn refuse(&self, command: Command) {
        answer(command.reply, Err(ClientError::NotConnected { reason: self.last_error.clone() }));
    }

    fn disconnected(&mut self, end: &Disconnect) {
        let reason = chain(end);
        if self.last_error.as_ref() != Some(&reason) {
            tracing::warn!(server = %self.config.endpoint, error = %reason, "database connection ended");
        }
        self.last_error = Some(reason);
        self.counters.protocol_errors +=
            u64::from(matches!(end, Disconnect::Frame(_) | Disconnect::Session(_)));
        for call in std::mem::take(&mut self.calls).into_values() {
            answer(call.reply, Err(ClientError::ConnectionLost));
        }
        self.session.disconnected();
        self.drain(&mut Vec::new());
    }

    /// Serves one connection to its end.
    async fn serve(
        &mut self,
        stream: Stream,
        synced_at: &mut Option<Instant>,
    ) -> Result<Disconnect, Unwanted> {
        let (reader, writer) = tokio::io::split(stream);
        let framer = Framer::new(self.config.max_message);
        let mut wire = Wire { reader, writer, input: vec![0; READ_SIZE], framer, unsent: Vec::new() };
        let mut liveness = Liveness::new(self.config.probe_interval, Instant::now().into_std());
        let sync_deadline = Instant::now() + self.config.sync_timeout;
        self.session.connected();
        loop {
            self.drain(&mut wire.unsent);
            if synced_at.is_none() && self.session.phase() == Phase::Synced {
                *synced_at = Some(Instant::now());
                self.counters.syncs += 1;
                self.last_error = None;
                self.publish_status();
                tracing::debug!(server = %self.config.endpoint, "database replica synced");
            }
            let mut wake_at = match liveness.poll(Instant::now().into_std()) {
                Vital::Wait(until) => Instant::from_std(until),
                Vital::Probe => {
                    self.session.probe();
                    continue;
                }
                Vital::Dead => return Ok(Disconnect::Silent),
            };
            if synced_at.is_none() {
                if Instant::now() >= sync_deadline {
                    return Ok(Disconnect::SyncTimeout);
                }
                wake_at = wake_at.min(sync_deadline);
            }
            match self.wake(&mut wire, wake_at).await? {
                Ok(Wake::Read(count)) => {
                    liveness.received(Instant::now().into_std());
                    if let Err(end) = self.read(&mut wire, count) {
                        return Ok(end);
                    }
                }
                Ok(Wake::Wrote(count)) => drop(wire.unsent.drain(..count)),
                Ok(Wake::Command(command)) => self.accept(command),
                Ok(Wake::Cancel(key)) => self.cancel(key),
                Ok(Wake::Timer) => {}
                Err(end) => return Ok(end),
            }
        }
    }

    async fn wake(&mut self, wire: &mut Wire, until: Instant) -> Result<Result<Wake, Disconnect>, Unwanted> {
        let has_room = wire.unsent.len() < MAX_UNSENT;
        let may_accept = has_room && self.calls.len() < self.config.max_in_flight;
        Ok(tokio::select! {
            read = wire.reader.read(&mut wire.input), if has_room => match read {
                Ok(0) => Err(Disconnect::Closed),
                Ok(count) => Ok(Wake::Read(count)),
                Err(error) => Err(error.into()),
            },
            wrote = wire.writer.write(&wire.unsent), if !wire.unsent.is_empty() => match wrote {
                Ok(0) => Err(Disconnect::Closed),
                Ok(count) => Ok(Wake::Wrote(count)),
                Err(error) => Err(error.into()),
            },
            command = self.commands.recv(), if may_accept => Ok(Wake::Command(command.ok_or(Unwanted)?)),
            Some(key) = self.cancels.recv() => Ok(Wake::Cancel(key)),
            () = tokio::time::sleep_until(until) => Ok(Wake::Timer),
        })
    }

    fn read(&mut self, wire: &mut Wire, count: usize) -> Result<(), Disconnect> {
        wire.framer.push(wire.input.get(..count).unwrap_or_default());
        while let Some(message) = wire.framer.next_message()? {
            let result = self.session.handle(message);
            self.drain(&mut wire.unsent);
            result?;
        }
        Ok(())
    }

    fn accept(&mut self, command: Command) {
        if self.session.phase() != Phase::Synced {
            return self.refuse(command);
        }
        let Command { key, request, reply } = command;
        if reply.is_closed() {
            // The caller gave up before the request was sent.
            return;
        }
        let (id, method) = match request {
            Request::Call { method, params } => (self.session.request(method, params), method),
            Request::Lock(name) => (self.session.lock(&name), "lock"),
            Request::Steal(name) => (self.session.steal(&name), "steal"),
            Request::Unlock(name) => (self.session.unlock(&name), "unlock"),
            Request::Conditions(conditions) => match self.session.change_conditions(conditions) {
                Ok(id) => (id, "monitor_cond_change"),
                Err(error) => return answer(reply, Err(error.into())),
            },
        };
        self.calls.insert(id, Call { key, method, reply });
    }

    fn cancel(&mut self, key: u64) {
        let id = self.calls.iter().find(|(_, call)| call.key == key).map(|(id, _)| *id);
        if let Some(id) = id {
            // Nobody waits for the answer: the place is free for another request.
            self.calls.remove(&id);
            self.session.cancel(id);
        }
    }

    /// Carries out what the session asks for.
    fn drain(&mut self, unsent: &mut Vec<u8>) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(message) => {
                    tracing::trace!(json = %message.to_json(), "to database server");
                    unsent.extend_from_slice(message.to_json().to_string().as_bytes());
                }
                Output::Answered { id, outcome } => self.answered(id, outcome),
                Output::Changed(events) => {
                    self.publish.cache.send_replace(Arc::new(self.session.cache().clone()));
                    // Nobody may be listening.
                    let _ = self.publish.events.send(Arc::new(events));
                }
                Output::Status => self.publish_status(),
            }
        }
    }

    fn answered(&mut self, id: u64, outcome: Result<Value, Value>) {
        if let Some(call) = self.calls.remove(&id) {
            let refused =
                |error: Value| ClientError::Refused { method: call.method.into(), error: error_text(&error) };
            answer(call.reply, outcome.map_err(refused));
        }
    }

    fn publish_status(&self) {
        let status = status_of(&self.session, self.counters, self.last_error.clone());
        self.publish.status.send_if_modified(|current| {
            let is_new = *current != status;
            *current = status;
            is_new
        });
    }
}

async fn connect(config: Config) -> Result<Stream, Disconnect> {
    match tokio::time::timeout(config.sync_timeout, config.endpoint.connect()).await {
        Ok(stream) => stream.map_err(Disconnect::Connect),
        Err(_) => Err(Disconnect::SyncTimeout),
    }
}

/// The caller may have gone away; that is its business.
fn answer(reply: Reply, result: Result<Value, ClientError>) {
    let _ = reply.send(result);
}

fn error_text(error: &Value) -> String {
    error.as_str().map_or_else(|| json!(error).to_string(), str::to_owned)
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        append(&mut text, error);
        next = error.source();
    }
    text
}

fn append(text: &mut String, item: &dyn fmt::Display) {
    if !text.is_empty() {
        text.push_str(": ");
    }
    text.push_str(&item.to_string());
}
