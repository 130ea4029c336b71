//! The task that owns a connection's socket.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::{CloseReason, Command, Config, Event};
use crate::wire::multipart::ofpmp;
use crate::{DecodeError, FrameSplitter, Header, Message, Version, decode, encode};

/// While more than this waits for the socket, no further request is taken.
const MAX_UNSENT: usize = 1 << 20;
/// A transaction id of our own: replies to probes.
const PROBE_XID: u32 = u32::MAX;

/// A request whose replies are being collected.
struct Pending {
    last: u32,
    replies: Vec<(u32, Message)>,
    /// Bytes collected.
    size: usize,
    /// Where they go instead of being collected.
    parts: Option<mpsc::Sender<Message>>,
    reply: oneshot::Sender<Result<Vec<(u32, Message)>, CloseReason>>,
}

pub(super) struct Task {
    version: Version,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    splitter: FrameSplitter,
    /// Bytes for the socket, of which `sent` are gone.
    unsent: Vec<u8>,
    sent: usize,
    /// By first transaction id.
    pending: BTreeMap<u32, Pending>,
    /// A part for which there is no room yet. Until there is, nothing more is read: the switch has to wait.
    parked: Option<(mpsc::Sender<Message>, Message)>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// Events dropped that nobody was told of yet.
    lagged: u64,
    probe_after: Duration,
    dead_after: Duration,
    max_reply: usize,
    last_heard: Instant,
    probed: bool,
}

impl Task {
    pub(super) fn new(
        version: Version,
        stream: UnixStream,
        splitter: FrameSplitter,
        config: &Config,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Task {
        let (reader, writer) = stream.into_split();
        Task {
            version,
            reader,
            writer,
            splitter,
            unsent: Vec::new(),
            sent: 0,
            pending: BTreeMap::new(),
            parked: None,
            commands,
            events,
            lagged: 0,
            probe_after: config.probe_after,
            dead_after: config.dead_after,
            max_reply: config.max_reply,
            last_heard: Instant::now(),
            probed: false,
        }
    }

    /// Runs until the connection ends, then tells everybody why.
    pub(super) async fn run(mut self) {
        let reason = self.serve().await;
        tracing::debug!(%reason, "openflow connection ended");
        self.commands.close();
        for pending in std::mem::take(&mut self.pending).into_values() {
            // Nobody may wait any more.
            let _ = pending.reply.send(Err(reason.clone()));
        }
        while let Some(command) = self.commands.recv().await {
            let _ = command.reply.send(Err(reason.clone()));
        }
        if self.lagged > 0 {
            let _ = self.events.send(Event::Lagged(self.lagged)).await;
        }
        let _ = self.events.send(Event::Closed(reason)).await;
    }

    async fn serve(&mut self) -> CloseReason {
        let mut buffer = vec![0; 64 << 10];
        let events = self.events.clone();
        // The peer may have said more than its hello.
        if let Err(reason) = self.take_frames() {
            return reason;
        }
        loop {
            let wait = if self.probed { self.dead_after } else { self.probe_after };
            let deadline = self.last_heard + wait;
            let parked = self.parked.as_ref().map(|(parts, _)| parts.clone());
            let step = tokio::select! {
                read = self.reader.read(&mut buffer), if parked.is_none() => match read {
                    Ok(0) => Err(CloseReason::Eof),
                    Ok(n) => self.received(&buffer[..n]),
                    Err(e) => Err(CloseReason::Io(e.to_string())),
                },
                written = self.writer.write(&self.unsent[self.sent..]), if self.sent < self.unsent.len() => {
                    match written {
                        Ok(n) => { self.wrote(n); Ok(()) }
                        Err(e) => Err(CloseReason::Io(e.to_string())),
                    }
                }
                command = self.commands.recv(), if self.unsent.len() - self.sent < MAX_UNSENT => match command {
                    Some(command) => { self.begin(command); Ok(()) }
                    None => Err(CloseReason::Dropped),
                },
                permit = events.reserve(), if self.lagged > 0 => {
                    if let Ok(permit) = permit {
                        permit.send(Event::Lagged(self.lagged));
                    }
                    self.lagged = 0;
                    Ok(())
                }
                room = room_for(parked.as_ref()) => self.unpark(room),
                // Silence while it has to wait is not its own.
                () = sleep_until(deadline), if parked.is_none() => self.silent(),
            };
            if let Err(reason) = step {
                return reason;
            }
        }
    }

    fn received(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        self.last_heard = Instant::now();
        self.probed = false;
        self.splitter.extend(bytes);
        self.take_frames()
    }

    /// There is room for the part that waits, or nobody wants it any more.
    fn unpark(&mut self, room: Option<mpsc::Permit<'_, Message>>) -> Result<(), CloseReason> {
        let part = self.parked.take();
        if let (Some(room), Some((_, part))) = (room, part) {
            room.send(part);
        }
        self.last_heard = Instant::now();
        self.take_frames()
    }

    fn take_frames(&mut self) -> Result<(), CloseReason> {
        while self.parked.is_none() {
            let frame = self.splitter.next_frame().map_err(CloseReason::Protocol)?;
            let Some(frame) = frame else { return Ok(()) };
            let decoded = decode(frame);
            let (header, message) = decoded.map_err(CloseReason::Protocol)?;
            self.dispatch(header, message)?;
        }
        Ok(())
    }

    fn wrote(&mut self, n: usize) {
        self.sent += n;
        if self.sent == self.unsent.len() {
            self.unsent.clear();
            self.sent = 0;
            // A large bundle's buffer is not kept for ever.
            self.unsent.shrink_to(MAX_UNSENT);
        }
    }

    fn begin(&mut self, command: Command) {
        // Requests given up by their callers (timeouts) whose replies never came.
        self.pending.retain(|_, pending| !pending.reply.is_closed());
        let Command { bytes, first, last, parts, reply } = command;
        if self.unsent.is_empty() {
            self.unsent = bytes;
        } else {
            self.unsent.extend_from_slice(&bytes);
        }
        self.pending.insert(first, Pending { last, replies: Vec::new(), size: 0, parts, reply });
    }

    /// Nothing was heard for a while.
    fn silent(&mut self) -> Result<(), CloseReason> {
        if self.probed {
            return Err(CloseReason::Dead(self.dead_after));
        }
        self.probed = true;
        self.say(PROBE_XID, &Message::EchoRequest(Vec::new()));
        Ok(())
    }

    fn say(&mut self, xid: u32, message: &Message) {
        // An echo always encodes.
        let _ = encode(self.version, xid, message, &mut self.unsent);
    }

    fn dispatch(&mut self, header: Header, message: Message) -> Result<(), CloseReason> {
        if let Message::EchoRequest(bytes) = message {
            if self.unsent.len() - self.sent > 64 * MAX_UNSENT {
                return Err(CloseReason::Flooded);
            }
            self.say(header.xid, &Message::EchoReply(bytes));
            return Ok(());
        }
        if header.xid == PROBE_XID && matches!(message, Message::EchoReply(_)) {
            return Ok(());
        }
        let entry = self.pending.range(..=header.xid).next_back();
        match entry.filter(|(_, pending)| header.xid <= pending.last).map(|(first, _)| *first) {
            Some(first) if is_answer(&message) => self.collect(first, header.xid, message),
            _ => {
                let event = event(header, message)?;
                self.emit(event);
                Ok(())
            }
        }
    }

    fn collect(&mut self, first: u32, xid: u32, message: Message) -> Result<(), CloseReason> {
        let Some(pending) = self.pending.get_mut(&first) else { return Ok(()) };
        let mut done = xid == pending.last;
        done &= !matches!(&message, Message::MultipartReply(part) if part.has_more());
        match &pending.parts {
            Some(parts) => match parts.try_send(message) {
                Err(TrySendError::Full(message)) => self.parked = Some((parts.clone(), message)),
                // The caller may have given up.
                Ok(()) | Err(TrySendError::Closed(_)) => {}
            },
            None => {
                // What is held for a request is bounded, empty parts and refusals too.
                pending.size += size_of::<(u32, Message)>() + held(&message);
                if pending.size > self.max_reply {
                    return Err(CloseReason::Protocol(DecodeError::TooLarge { limit: self.max_reply }));
                }
                pending.replies.push((xid, message));
            }
        }
        if done && let Some(pending) = self.pending.remove(&first) {
            // The caller may have given up.
            let _ = pending.reply.send(Ok(pending.replies));
        }
        Ok(())
    }

    fn emit(&mut self, event: Event) {
        if self.lagged > 0 {
            self.lagged += 1;
        } else if let Err(TrySendError::Full(_)) = self.events.try_send(event) {
            self.lagged = 1;
        }
    }
}

/// Bytes a message holds beside itself.
fn held(message: &Message) -> usize {
    match message {
        Message::MultipartReply(part) => part.body.len(),
        Message::Error(error) => error.data.len(),
        Message::EchoReply(bytes) | Message::Unknown { body: bytes, .. } => bytes.len(),
        _ => 0,
    }
}

/// Room for the part that waits; none if nobody wants it any more. Never, while no part waits.
async fn room_for(parts: Option<&mpsc::Sender<Message>>) -> Option<mpsc::Permit<'_, Message>> {
    match parts {
        Some(parts) => parts.reserve().await.ok(),
        None => std::future::pending().await,
    }
}

/// Whether a message can be the answer to a request; the others come when they like, under any id.
fn is_answer(message: &Message) -> bool {
    !matches!(message, Message::PacketIn(_) | Message::PortStatus(_) | Message::FlowRemoved(_))
}

fn event(header: Header, message: Message) -> Result<Event, CloseReason> {
    Ok(match message {
        Message::PacketIn(packet_in) => Event::PacketIn(packet_in),
        Message::PortStatus(status) => Event::PortStatus(status),
        Message::Error(error) => Event::Error(header, error),
        Message::MultipartReply(reply) if reply.kind == ofpmp::FLOW_MONITOR => {
            Event::Flows(reply.updates().map_err(CloseReason::Protocol)?)
        }
        message => Event::Other(header, message),
    })
}
