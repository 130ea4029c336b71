//! A connection to a switch: one task owns the socket, cloneable handles ask it for things.
//!
//! # Invariants
//! - A reply, and an error, goes to the request with its transaction id and to no other.
//! - A request is one contiguous run of bytes: what one caller sends is not interleaved with another's.
//! - Every queue is bounded. A caller waits while the socket is full; one that takes a long reply part by part holds the
//!   switch back while it is behind. Events nobody fetches are dropped and counted
//!   ([`Event::Lagged`]): whoever sees that reads the switch anew, as after a reconnect.
//!
//! # Failure
//! The connection never reconnects by itself: it ends, with the reason, in every outstanding request and as the last
//! event. [`reconnect`] opens the next one with growing pauses. A peer silent for five seconds is probed by an echo,
//! one silent for ten is given up.

mod backoff;
mod bundle;
mod task;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

pub use backoff::{Backoff, reconnect};
pub use bundle::{BundleError, BundleFailure};

use crate::{
    ALL_METERS, DecodeError, EncodeError, ErrorMessage, FlowFilter, FlowStats, FlowUpdate, FrameSplitter,
    Group, Header, Hello, Message, Meter, MeterFeatures, MeterStats, MonitorRequest, MultipartReply,
    MultipartRequest, PacketIn, PacketInFormat, PortDesc, PortStatus, Reassembly, Version, decode, encode,
};

/// `OFPC_FRAG_NX_MATCH`: flows see the ports and ICMP type of a first fragment. The switch's default shows them as zeros
/// in every fragment, so that a sender could hide them from flows by fragmenting (ovs-ofctl(8), `set-frags`). The
/// switch forgets it when it restarts; a connection sets it again.
const FRAG_NX_MATCH: u16 = 3;

/// How a connection behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The versions offered, any order.
    pub versions: Vec<Version>,
    /// Silence after which the peer is probed.
    pub probe_after: Duration,
    /// Silence after which the connection is given up.
    pub dead_after: Duration,
    /// How long the connection's set-up may take.
    pub open_timeout: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// Bytes held of what comes back for one request, at most; a switch that sends more is no switch, the connection ends.
    pub max_reply: usize,
    /// Events that wait to be fetched, at most.
    pub event_capacity: usize,
    /// The id `controller(id=...)` names this connection by; 0 keeps the default.
    pub controller_id: u16,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            versions: vec![Version::V1_5],
            probe_after: Duration::from_secs(5),
            dead_after: Duration::from_secs(10),
            open_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            max_reply: 256 << 20,
            event_capacity: 4096,
            controller_id: 0,
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum CloseReason {
    #[error("the switch closed the connection")]
    Eof,
    #[error("no answer for {} s", .0.as_secs())]
    Dead(Duration),
    #[error("socket: {0}")]
    Io(String),
    #[error("the switch sent no OpenFlow: {0}")]
    Protocol(DecodeError),
    #[error("the switch asks for echoes but does not read them")]
    Flooded,
    #[error("every handle was dropped")]
    Dropped,
}

/// Why a connection could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum OpenError {
    #[error("connect: {0}")]
    Connect(String),
    #[error("set-up took too long")]
    Timeout,
    #[error("set-up: {0}")]
    Closed(#[from] CloseReason),
    #[error("no common version with the switch")]
    NoCommonVersion,
    #[error("the switch refused the connection: {0}")]
    Refused(ErrorMessage),
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum RequestError {
    #[error("connection: {0}")]
    Closed(#[from] CloseReason),
    #[error("cannot be sent: {0}")]
    Encode(#[from] EncodeError),
    #[error("reply: {0}")]
    Decode(#[from] DecodeError),
    #[error("the switch refused: {0}")]
    Refused(ErrorMessage),
    #[error("message {index}: the switch refused: {error}")]
    RefusedOne { index: usize, error: ErrorMessage },
    #[error("no reply in time")]
    Timeout,
    #[error("a reply of another kind")]
    Unexpected,
}

/// What the switch says unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Reports of flow monitors. Own changes come abbreviated.
    Flows(Vec<FlowUpdate>),
    /// A packet.
    PacketIn(Box<PacketIn>),
    /// A port came, went, changed.
    PortStatus(PortStatus),
    /// An error for a transaction id nobody waits for.
    Error(Header, ErrorMessage),
    /// Some other message.
    Other(Header, Message),
    /// So many events were dropped because nobody fetched them.
    Lagged(u64),
    /// The connection ended. Nothing follows.
    Closed(CloseReason),
}

/// The stream of events of a connection.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<Event>,
}

impl Events {
    /// The next event; `None` after [`Event::Closed`].
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }
}

/// What a caller hands to the task: bytes to send, and who waits for what comes back.
struct Command {
    bytes: Vec<u8>,
    /// The transaction ids of these bytes; what arrives for the last one ends the request.
    first: u32,
    last: u32,
    /// Where what comes back goes as it comes; none: it is collected and comes with `reply`.
    parts: Option<mpsc::Sender<Message>>,
    /// The end of the request.
    reply: oneshot::Sender<Result<Vec<(u32, Message)>, CloseReason>>,
}

/// A handle on a connection. Clones share it; it ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Connection {
    version: Version,
    config: Arc<Config>,
    commands: mpsc::Sender<Command>,
    next_xid: Arc<AtomicU32>,
    next_bundle: Arc<AtomicU32>,
}

/// Requests that wait for the task, at most.
const COMMAND_QUEUE: usize = 64;
/// Parts of a reply that wait to be fetched, at most; while there are more, nothing is read from the socket.
const PARTS: usize = 4;
/// Transaction ids 0 and above this belong to the connection itself.
const MAX_XID: u32 = 0x7fff_ffff;

impl Connection {
    /// Connects to a bridge's management socket (`<bridge>.mgmt`) and agrees on a version.
    pub async fn open(path: impl AsRef<Path>, config: Config) -> Result<(Connection, Events), OpenError> {
        let (timeout, path) = (config.open_timeout, path.as_ref());
        tokio::time::timeout(timeout, Connection::set_up(path, config))
            .await
            .map_err(|_| OpenError::Timeout)?
    }

    async fn set_up(path: &Path, config: Config) -> Result<(Connection, Events), OpenError> {
        let stream = UnixStream::connect(path).await;
        let mut stream = stream.map_err(|e| OpenError::Connect(format!("{}: {e}", path.display())))?;
        let (version, splitter) = negotiate(&mut stream, &config).await?;
        let (commands, command_receiver) = mpsc::channel(COMMAND_QUEUE);
        let (event_sender, receiver) = mpsc::channel(config.event_capacity.max(1));
        let config = Arc::new(config);
        let task = task::Task::new(version, stream, splitter, &config, command_receiver, event_sender);
        tokio::spawn(task.run());
        let connection = Connection {
            version,
            config,
            commands,
            next_xid: Arc::new(AtomicU32::new(1)),
            next_bundle: Arc::new(AtomicU32::new(1)),
        };
        connection.configure().await?;
        Ok((connection, Events { receiver }))
    }

    /// First fragments with their ports, for the whole bridge; packet-ins in the form decoded here, whole, also on a
    /// service connection (which gets none by default).
    async fn configure(&self) -> Result<(), OpenError> {
        let mut messages = vec![
            Message::SetPacketInFormat(PacketInFormat::Nxt2),
            Message::SetConfig { flags: FRAG_NX_MATCH, miss_send_len: u16::MAX },
        ];
        if self.config.controller_id != 0 {
            messages.push(Message::SetControllerId(self.config.controller_id));
        }
        match self.apply(&messages).await {
            Ok(()) => Ok(()),
            Err(RequestError::Refused(e) | RequestError::RefusedOne { error: e, .. }) => {
                Err(OpenError::Refused(e))
            }
            Err(RequestError::Closed(reason)) => Err(OpenError::Closed(reason)),
            Err(e) => Err(OpenError::Closed(CloseReason::Io(e.to_string()))),
        }
    }

    /// The version agreed on.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Takes `count` transaction ids in a row.
    fn take_xids(&self, count: u32) -> u32 {
        let fits = |first: u32| first.checked_add(count).is_some_and(|end| end <= MAX_XID);
        let next = |first: u32| Some(if fits(first) { first + count } else { 1u32.saturating_add(count) });
        let first = self.next_xid.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(1);
        if fits(first) { first } else { 1 }
    }

    /// Sends bytes and waits for what comes back for their transaction ids.
    async fn transact(
        &self,
        bytes: Vec<u8>,
        first: u32,
        last: u32,
    ) -> Result<Vec<(u32, Message)>, RequestError> {
        let (reply, answer) = oneshot::channel();
        let command = Command { bytes, first, last, parts: None, reply };
        let exchange = async {
            // The task is gone only after it told everybody why, in the last event.
            self.commands.send(command).await.map_err(|_| CloseReason::Eof)?;
            answer.await.unwrap_or(Err(CloseReason::Eof))
        };
        match tokio::time::timeout(self.config.request_timeout, exchange).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(RequestError::Timeout),
        }
    }

    /// Sends a message that has a reply, and gives the reply; parts are joined.
    pub async fn request(&self, message: &Message) -> Result<Message, RequestError> {
        let xid = self.take_xids(1);
        let mut bytes = Vec::new();
        encode(self.version, xid, message, &mut bytes)?;
        let mut reassembly = Reassembly::new(self.config.max_reply);
        for (_, message) in self.transact(bytes, xid, xid).await? {
            match message {
                Message::Error(error) => return Err(RequestError::Refused(error)),
                Message::MultipartReply(part) => {
                    if let Some(whole) = reassembly.push(part)? {
                        return Ok(Message::MultipartReply(whole));
                    }
                }
                message => return Ok(message),
            }
        }
        Err(RequestError::Unexpected)
    }

    /// Sends messages that have no reply, and a barrier: done when the switch has done them.
    ///
    /// Not atomic: messages before and after a refused one are done. The first refusal is reported.
    pub async fn apply(&self, messages: &[Message]) -> Result<(), RequestError> {
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX).saturating_add(1);
        let first = self.take_xids(count);
        let last = first + count - 1;
        let mut bytes = Vec::new();
        for (xid, message) in (first..).zip(messages) {
            encode(self.version, xid, message, &mut bytes)?;
        }
        encode(self.version, last, &Message::BarrierRequest, &mut bytes)?;
        for (xid, message) in self.transact(bytes, first, last).await? {
            if let Message::Error(error) = message {
                let index = (xid - first) as usize;
                return Err(RequestError::RefusedOne { index, error });
            }
        }
        Ok(())
    }

    /// Waits until the switch has done everything sent before.
    pub async fn barrier(&self) -> Result<(), RequestError> {
        self.apply(&[]).await
    }

    async fn multipart(&self, request: MultipartRequest) -> Result<MultipartReply, RequestError> {
        match self.request(&Message::MultipartRequest(request)).await? {
            Message::MultipartReply(reply) => Ok(reply),
            _ => Err(RequestError::Unexpected),
        }
    }

    /// The flows of the switch with their counters.
    pub async fn dump_flows(&self, filter: FlowFilter) -> Result<Vec<FlowStats>, RequestError> {
        Ok(self.multipart(MultipartRequest::Flows(filter)).await?.flows(self.version)?)
    }

    /// As [`Connection::dump_flows`], one flow at a time: of a large table never all are held at once. A caller that is
    /// slow holds the switch back.
    pub async fn dump_flows_each(
        &self,
        filter: FlowFilter,
        mut each: impl FnMut(FlowStats),
    ) -> Result<(), RequestError> {
        let xid = self.take_xids(1);
        let mut bytes = Vec::new();
        encode(self.version, xid, &Message::MultipartRequest(MultipartRequest::Flows(filter)), &mut bytes)?;
        let (parts, mut received) = mpsc::channel(PARTS);
        let (reply, answer) = oneshot::channel();
        let command = Command { bytes, first: xid, last: xid, parts: Some(parts), reply };
        let exchange = async {
            self.commands.send(command).await.map_err(|_| CloseReason::Eof)?;
            while let Some(message) = received.recv().await {
                match message {
                    Message::Error(error) => return Err(RequestError::Refused(error)),
                    // Each message of a reply holds whole entries (OpenFlow 1.5.1 section 7.3.5).
                    Message::MultipartReply(part) => part.flows_each(self.version, &mut each)?,
                    _ => return Err(RequestError::Unexpected),
                }
            }
            answer.await.unwrap_or(Err(CloseReason::Eof))?;
            Ok(())
        };
        let exchanged = tokio::time::timeout(self.config.request_timeout, exchange).await;
        exchanged.unwrap_or(Err(RequestError::Timeout))
    }

    /// The ports of the switch.
    pub async fn ports(&self) -> Result<Vec<PortDesc>, RequestError> {
        Ok(self.multipart(MultipartRequest::Ports).await?.ports(self.version)?)
    }

    /// The meters of the switch.
    pub async fn meters(&self) -> Result<Vec<Meter>, RequestError> {
        Ok(self.multipart(MultipartRequest::Meters(ALL_METERS)).await?.meters()?)
    }

    /// What a meter counted, or [`ALL_METERS`].
    pub async fn meter_stats(&self, id: u32) -> Result<Vec<MeterStats>, RequestError> {
        Ok(self.multipart(MultipartRequest::MeterStats(id)).await?.meter_stats()?)
    }

    /// What the switch can do with meters.
    pub async fn meter_features(&self) -> Result<MeterFeatures, RequestError> {
        Ok(self.multipart(MultipartRequest::MeterFeatures).await?.meter_features()?)
    }

    /// The groups of the switch.
    pub async fn groups(&self) -> Result<Vec<Group>, RequestError> {
        Ok(self.multipart(MultipartRequest::Groups).await?.groups(self.version)?)
    }

    /// Starts (changes, stops) flow monitors. Gives what they report at once; the rest comes as [`Event::Flows`].
    pub async fn flow_monitor(&self, monitors: Vec<MonitorRequest>) -> Result<Vec<FlowUpdate>, RequestError> {
        Ok(self.multipart(MultipartRequest::Monitors(monitors)).await?.updates()?)
    }
}

/// Says hello and waits for the peer's.
async fn negotiate(stream: &mut UnixStream, config: &Config) -> Result<(Version, FrameSplitter), OpenError> {
    let io = |e: std::io::Error| OpenError::Closed(CloseReason::Io(e.to_string()));
    let highest = config.versions.iter().copied().max().ok_or(OpenError::NoCommonVersion)?;
    let mut hello = Vec::new();
    let encoded = encode(highest, 0, &Message::Hello(Hello::offering(&config.versions)), &mut hello);
    encoded.map_err(|_| OpenError::NoCommonVersion)?;
    stream.write_all(&hello).await.map_err(io)?;
    let mut splitter = FrameSplitter::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(frame) = splitter.next_frame().map_err(CloseReason::Protocol)? {
            let (header, message) = decode(frame).map_err(CloseReason::Protocol)?;
            return match message {
                Message::Hello(hello) => {
                    let version = hello.negotiate(header.version, &config.versions);
                    Ok((version.ok_or(OpenError::NoCommonVersion)?, splitter))
                }
                Message::Error(error) => Err(OpenError::Refused(error)),
                _ => Err(OpenError::NoCommonVersion),
            };
        }
        let n = stream.read(&mut buffer).await.map_err(io)?;
        if n == 0 {
            return Err(OpenError::Closed(CloseReason::Eof));
        }
        splitter.extend(&buffer[..n]);
    }
}
