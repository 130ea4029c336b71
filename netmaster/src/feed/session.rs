//! One session: hears what changed in its node's span, sends differences, takes answers and reports.
//!
//! The task never waits for the agent alone: while parts of an update wait for room, answers, newer snapshots, a newer
//! session and the end of netmaster are still noticed.

use std::collections::VecDeque;
use std::sync::Arc;

use node_api::{AgentMessage, ErrorCode, Ping, Realized, Subscribe, Update, wire};
use node_state::FragmentKey;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::{Status, Streaming};
use types::{NodeName, StoreId};

use super::hub::{Look, Subscription};
use super::ledger::{Difference, Ledger};
use super::peer::{expired, is_registered, unknown};
use super::question::{Asked, Question};
use super::registry::Place;
use super::status::{Board, Keeps, SessionStatus};
use crate::clock::Clock;
use crate::pki::PeerIdentity;

/// Why a session ended.
pub(super) enum End {
    /// The agent left.
    Left,
    /// netmaster ended it, with this word.
    Told(Status),
}

/// What a session reacts to.
enum Event {
    Stop,
    Superseded,
    Expired,
    Left,
    Message(wire::AgentMessage),
    News,
    Question(Question),
    PartSent,
}

/// Everything a session works with.
pub(super) struct Session {
    pub peer: PeerIdentity,
    pub ledger: Ledger,
    pub store_id: StoreId,
    pub subscription: Subscription,
    pub inbound: Streaming<wire::AgentMessage>,
    pub out: mpsc::Sender<wire::MasterMessage>,
    pub board: Board,
    pub stop: watch::Receiver<bool>,
    pub place: Place,
    pub clock: Clock,
    /// When the certificate ends.
    pub expires: Instant,
    /// Parts that wait for room.
    pub outbox: VecDeque<wire::MasterMessage>,
    /// What the agent is to be asked.
    pub questions: mpsc::Receiver<Question>,
    /// What it was asked.
    pub asked: Asked,
}

impl Session {
    /// Runs until the agent leaves or is told to.
    pub async fn run(mut self, subscribe_version: String) -> End {
        let since = self.clock.now();
        let fresh = self.ledger.last().is_none();
        self.board.update(&self.peer.node, |n, _| {
            n.session = Some(SessionStatus { since, agent_version: subscribe_version, sending: None });
            n.disconnected = None;
            n.refused.clear();
            if fresh {
                (n.held, n.realized_through, n.realized) = (None, None, None);
            }
            Keeps::Nothing
        });
        let Err(end) = self.converse().await;
        // A newer session has already written its own line.
        if self.place.is_current() {
            self.board.update(&self.peer.node, |n, _| {
                n.session = None;
                n.disconnected = Some(self.clock.now());
                Keeps::Nothing
            });
        }
        end
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, End> {
        self.offer()?;
        if self.outbox.is_empty() {
            // Tells an agent that holds everything so.
            self.outbox.push_back(Ping.into());
        }
        loop {
            match self.event().await {
                Event::Stop => {
                    return Err(End::Told(ErrorCode::ShuttingDown.with("netmaster is shutting down")));
                }
                Event::Superseded => {
                    return Err(End::Told(superseded()));
                }
                Event::Expired => return Err(End::Told(expired(&self.peer))),
                Event::Left => return Err(End::Left),
                Event::Message(message) => self.take(message)?,
                Event::News => self.offer()?,
                Event::Question(question) => self.outbox.extend(self.asked.ask(question)),
                Event::PartSent => {}
            }
        }
    }

    async fn event(&mut self) -> Event {
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => Event::Stop,
            () = self.place.superseded() => Event::Superseded,
            () = tokio::time::sleep_until(self.expires) => Event::Expired,
            message = self.inbound.message() => match message {
                Ok(Some(message)) => Event::Message(message),
                Ok(None) | Err(_) => Event::Left,
            },
            rung = self.subscription.rung() => match rung {
                Ok(()) => Event::News,
                // Intent is no longer followed: netmaster is ending.
                Err(_) => Event::Stop,
            },
            Some(question) = self.questions.recv() => Event::Question(question),
            room = self.out.reserve(), if !self.outbox.is_empty() => match (room, self.outbox.pop_front()) {
                (Ok(room), Some(part)) => {
                    room.send(part);
                    Event::PartSent
                }
                _ => Event::Left,
            },
        }
    }

    /// Takes the news in and sends the difference, unless an update is in flight.
    fn offer(&mut self) -> Result<(), End> {
        let mut look = self.subscription.look();
        if !is_registered(look.view(), &self.peer) {
            return Err(End::Told(unknown(&self.peer)));
        }
        self.ledger.note(std::mem::take(&mut look.news));
        if self.ledger.is_waiting() {
            return Ok(());
        }
        let (compiled, node) = (look.compiled(), &self.peer.node);
        let revision = compiled.revision();
        let latest = |key: &FragmentKey| compiled.of_node(node, key).map(|f| f.hash);
        let difference = self.ledger.next(revision, latest);
        let sending = difference.is_some().then_some(revision);
        if let Some(difference) = difference {
            self.outbox.extend(update(&self.store_id, &look, node, difference).into_parts());
        }
        let last = self.ledger.last();
        let refused = self.ledger.refused().map(|(k, reason)| (k.clone(), reason.to_owned())).collect();
        // Under the look, so that it is the newest revision of which this is said.
        self.board.update(node, |n, _| {
            n.refused = refused;
            if let Some(session) = &mut n.session {
                session.sending = sending;
            }
            if sending.is_some() {
                return Keeps::Nothing;
            }
            n.held = Some(revision);
            // The agent renders the last update it got; its span has not changed since.
            if n.realized.as_ref().is_some_and(|r| Some(r.revision) >= last) {
                n.realized_through = Some(revision);
                return Keeps::Enforcing;
            }
            Keeps::Holding
        });
        Ok(())
    }

    fn take(&mut self, message: wire::AgentMessage) -> Result<(), End> {
        let malformed = |e: &dyn std::fmt::Display| End::Told(ErrorCode::Malformed.with(e));
        match AgentMessage::try_from(message).map_err(|e| malformed(&e))? {
            AgentMessage::Ack(revision) => {
                self.ledger.ack(revision).map_err(|e| malformed(&e))?;
                self.offer()
            }
            AgentMessage::Nack(nack) => {
                for (fragment, reason) in &nack.refusals {
                    // As written by the node, so escaped: a line of the log is one of ours.
                    tracing::warn!(node = %self.peer.node, ?fragment, ?reason, "agent refused a fragment");
                }
                self.ledger.nack(nack).map_err(|e| malformed(&e))?;
                self.offer()
            }
            AgentMessage::Realized(realized) => {
                self.realized(realized);
                Ok(())
            }
            AgentMessage::Dumped(part) => self.asked.dumped(part).map_err(|e| malformed(&e)),
            AgentMessage::Counted(part) => self.asked.counted(part).map_err(|e| malformed(&e)),
        }
    }

    fn realized(&mut self, realized: Realized) {
        let waiting = self.ledger.is_waiting();
        // Before the first answer its revisions may be those of another history.
        let Some(last) = self.ledger.last() else {
            return;
        };
        self.board.update(&self.peer.node, |n, keeps| {
            let current = !waiting && realized.revision >= last;
            n.realized_through = if current { n.held } else { Some(realized.revision) };
            n.realized = Some(Arc::new(realized));
            match keeps {
                Keeps::Nothing => Keeps::Nothing,
                Keeps::Holding | Keeps::Enforcing if current => Keeps::Enforcing,
                Keeps::Holding | Keeps::Enforcing => Keeps::Holding,
            }
        });
    }
}

/// The wire form of a difference.
fn update(store_id: &StoreId, look: &Look<'_>, node: &NodeName, difference: Difference) -> Update {
    let compiled = look.compiled();
    let encoded = |key| compiled.of_node(node, &key).map(|f| (key, f.bytes.clone()));
    Update {
        store_id: store_id.clone(),
        revision: compiled.revision(),
        upserts: difference.upserts.into_iter().filter_map(encoded).collect(),
        removes: difference.removes,
        unknown: std::collections::BTreeMap::new(),
        removes_unknown: difference.removes_unknown,
    }
}

/// The word for a session whose node has opened a newer one.
pub(super) fn superseded() -> Status {
    ErrorCode::Superseded.with("the node opened a newer session")
}

/// Who subscribes, and whether we can talk.
pub(super) fn check(subscribe: &Subscribe, peer: &PeerIdentity) -> Result<(), Status> {
    // Defect: a node may call itself as it likes.
    fail::fail_point!("any-node-name", |_| Ok(()));
    if subscribe.node != peer.node {
        tracing::warn!(node = %peer.node, claimed = %subscribe.node, "session under another node's name");
        let text = format_args!("the certificate is node {}'s, not {}'s", peer.node, subscribe.node);
        return Err(ErrorCode::NotYourNode.with(text));
    }
    if subscribe.protocol.abs_diff(node_api::PROTOCOL) > 1 {
        let (theirs, ours) = (subscribe.protocol, node_api::PROTOCOL);
        let text = format_args!("protocol {theirs} is not spoken here, only {ours} and those next to it");
        return Err(ErrorCode::ProtocolUnsupported.with(text));
    }
    Ok(())
}
