//! The session with netmaster: subscribe with hashes, take differences, answer, report; and again when it ends.
//!
//! The session task holds no state of intent: the owner does. It forwards updates, carries the owner's answers back, and
//! sends the newest report whenever it differs (a slow link gets the latest one, not a queue).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use node_api::client::{Client, SessionReceiver, SessionSender};
use node_api::{
    AgentMessage, AttachReply, AttachRequest, CallError, DetachRequest, ErrorCode, MasterMessage, PROTOCOL,
    Realized, Subscribe,
};
use openflow::driver::Backoff;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use types::{EndpointUid, FencingToken, NodeName};

use super::Intent;
use super::count::Counting;
use super::dump::Dumping;
use super::identity::{Identity, is_transient};
use crate::agent::{AgentHandle, Event, SessionEvent};
use crate::state_dir::StateDir;

/// How long a call waits for a connection before it says that netmaster is away.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection that lasted this long worked: the next attempt follows at once.
const STABLE: Duration = Duration::from_secs(5);
/// Answers of the owner on their way; it has at most one per update.
const ANSWERS: usize = 16;

/// netmaster, connected or not.
#[derive(Clone, Debug)]
pub struct Netmaster {
    client: watch::Receiver<Option<Client>>,
}

#[async_trait]
impl Intent for Netmaster {
    async fn fence(&self) -> Result<FencingToken, CallError> {
        Ok(self.client().await?.fence().await?.token)
    }

    async fn attach(&self, request: AttachRequest) -> Result<AttachReply, CallError> {
        self.client().await?.attach(request).await
    }

    async fn detach(&self, request: DetachRequest) -> Result<Option<EndpointUid>, CallError> {
        Ok(self.client().await?.detach(request).await?.left)
    }

    fn is_reachable(&self) -> bool {
        self.client.borrow().is_some()
    }
}

impl Netmaster {
    async fn client(&self) -> Result<Client, CallError> {
        let mut client = self.client.clone();
        let connected = tokio::time::timeout(PATIENCE, client.wait_for(Option::is_some)).await;
        match connected.ok().and_then(Result::ok).and_then(|c| c.clone()) {
            Some(client) => Ok(client),
            None => Err(CallError {
                code: None,
                status: node_api::ErrorCode::ShuttingDown.status(),
                text: "netmaster is away".into(),
            }),
        }
    }
}

/// Under which name, from where, and with what the node joins.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The node's name.
    pub node: NodeName,
    /// Its tunnel endpoint address.
    pub vtep: IpAddr,
    /// Where its identity lies.
    pub dir: StateDir,
    /// A join file, if one was given. Another may be put in its place.
    pub join: Option<PathBuf>,
}

/// What the session task needs.
pub struct Session {
    enrolment: Enrolment,
    identity: Identity,
    /// When the join file was written that did not help: each is tried once.
    useless: Option<SystemTime>,
    agent: AgentHandle,
    reports: watch::Receiver<Option<Realized>>,
    client: watch::Sender<Option<Client>>,
}

/// Why a session ended.
enum End {
    /// The agent is shutting down.
    Agent,
    /// The connection broke, or netmaster ended it.
    Broken(String),
    /// netmaster does not know our key, and will not.
    Unknown(String),
    /// The certificate was renewed: connect with it.
    Renewed(Box<Identity>),
}

impl From<CallError> for End {
    fn from(e: CallError) -> Self {
        match e.code {
            Some(ErrorCode::NodeUnknown) => Self::Unknown(e.to_string()),
            _ => Self::Broken(e.to_string()),
        }
    }
}

impl Session {
    /// The task, and the handle for calls.
    pub fn new(
        enrolment: Enrolment,
        identity: Identity,
        agent: AgentHandle,
        reports: watch::Receiver<Option<Realized>>,
    ) -> (Self, Netmaster) {
        let (client, receiver) = watch::channel(None);
        let session = Self { enrolment, identity, useless: None, agent, reports, client };
        (session, Netmaster { client: receiver })
    }

    /// Keeps a session open for as long as the agent lives.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let opened = Instant::now();
            let end = self.one().await;
            // A session that is ended as soon as it opens (another agent has our name) must not be a tight loop.
            if opened.elapsed() > STABLE {
                backoff.reset();
            }
            self.client.send_replace(None);
            let reason = match &end {
                End::Agent => return,
                End::Renewed(_) => None,
                End::Broken(reason) | End::Unknown(reason) => Some(reason.clone()),
            };
            if self.agent.tell(Event::Session(SessionEvent::Down(reason))).await.is_err() {
                return;
            }
            let joined = matches!(end, End::Unknown(_)) && self.rejoin().await;
            match end {
                End::Renewed(identity) => self.identity = *identity,
                End::Broken(reason) | End::Unknown(reason) if !joined => {
                    let delay = backoff.next_delay(rand::random());
                    tracing::info!(
                        reason,
                        delay_ms = delay.as_millis() as u64,
                        "no session with netmaster, will retry"
                    );
                    #[expect(clippy::disallowed_methods, reason = "a back-off really sleeps")]
                    tokio::time::sleep(delay).await;
                }
                End::Agent | End::Broken(_) | End::Unknown(_) => {}
            }
        }
    }

    /// With a join file that was not tried before; whether the node has another identity now.
    async fn rejoin(&mut self) -> bool {
        let Enrolment { node, vtep, dir, join } = &self.enrolment;
        let written = join.as_ref().and_then(|path| std::fs::metadata(path).ok()?.modified().ok());
        let (Some(path), Some(written)) = (join, written.filter(|w| self.useless != Some(*w))) else {
            return false;
        };
        match Identity::rejoin(dir, node, *vtep, path).await {
            Ok(identity) => {
                self.identity = identity;
                true
            }
            Err(e) => {
                let error = format!("{e:#}");
                tracing::error!(
                    error,
                    "netmaster refuses this node's key: give a new join file (netctl node join-token)"
                );
                self.useless = (!is_transient(&e)).then_some(written);
                false
            }
        }
    }

    async fn one(&mut self) -> End {
        let connected =
            Client::connect(&self.identity.server, &self.identity.ca_pem, Some(&self.identity.tls)).await;
        let client = match connected {
            Ok(client) => client,
            Err(e) => return End::Broken(format!("{:#}", anyhow::Error::from(e))),
        };
        let Ok((known, held)) = self.agent.holds().await else { return End::Agent };
        let subscribe = Subscribe {
            node: self.enrolment.node.clone(),
            protocol: PROTOCOL,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            features: BTreeSet::new(),
            known,
            held,
            unknown: BTreeSet::new(),
        };
        let (sender, receiver) = match client.session(subscribe).await {
            Ok(halves) => halves,
            Err(e) => return e.into(),
        };
        tracing::info!(server = self.identity.server, "session with netmaster open");
        self.client.send_replace(Some(client.clone()));
        self.serve(&client, sender, receiver).await
    }

    async fn serve(&mut self, client: &Client, sender: SessionSender, mut receiver: SessionReceiver) -> End {
        let (answers, mut answered) = mpsc::channel(ANSWERS);
        let mut dumping = Dumping::default();
        let mut counting = Counting::new(&self.agent);
        let mut renewal = self.renewal_timer();
        // A new session has heard no report yet.
        self.reports.mark_changed();
        loop {
            let step = tokio::select! {
                message = receiver.next() => match message {
                    Ok(Some(MasterMessage::Dump(number))) => {
                        dumping.begin(&self.agent, number);
                        Ok(())
                    }
                    Ok(Some(MasterMessage::Count(count))) => {
                        counting.ask(count);
                        Ok(())
                    }
                    Ok(Some(MasterMessage::Ping)) => self.forward(SessionEvent::InSync).await,
                    Ok(Some(MasterMessage::Update(update))) => {
                        self.forward(SessionEvent::Update(Box::new(update), answers.clone())).await
                    }
                    Ok(None) => Err(End::Broken("netmaster ended the session".into())),
                    Err(e) => Err(e.into()),
                },
                Some(answer) = answered.recv() => sender.send(answer).await.map_err(End::from),
                Some(part) = dumping.part() => sender.send(part).await.map_err(End::from),
                Some(part) = counting.part() => sender.send(part).await.map_err(End::from),
                changed = self.reports.changed() => match changed {
                    Ok(()) => self.report(&sender).await,
                    Err(_) => Err(End::Agent),
                },
                // Defect: nobody looks at the clock.
                _ = renewal.tick(), if !crate::sabotaged!("keep-node-certificate") => match self.identity.renew(&self.enrolment.dir, &self.enrolment.node, client).await {
                    Ok(identity) => Err(End::Renewed(Box::new(identity))),
                    Err(e) => {
                        tracing::warn!(error = format!("{e:#}"), "certificate not renewed, will retry");
                        Ok(())
                    }
                },
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn forward(&self, event: SessionEvent) -> Result<(), End> {
        self.agent.tell(Event::Session(event)).await.map_err(|_| End::Agent)
    }

    async fn report(&mut self, sender: &SessionSender) -> Result<(), End> {
        let report = self.reports.borrow_and_update().clone();
        match report {
            Some(report) => sender.send(AgentMessage::Realized(report)).await.map_err(End::from),
            None => Ok(()),
        }
    }

    /// First when two thirds of the certificate's life are over, then every ten minutes until it worked.
    fn renewal_timer(&self) -> tokio::time::Interval {
        let due = self.identity.renew_in().unwrap_or_else(|e| {
            tracing::error!(error = format!("{e:#}"), "own certificate cannot be read");
            Duration::from_secs(60)
        });
        // A certificate that is overdue is renewed soon, yet not in a tight loop.
        let first = Instant::now() + due.max(Duration::from_secs(1));
        tokio::time::interval_at(first, Duration::from_secs(600))
    }
}
