//! One task owns the state; events are a closed enum; reconcile takes no input.
//!
//! The owner keeps what intent says ([`Holding`]), what is plugged ([`PortsView`]) and the flows that follow from it
//! ([`pipeline::Renderer`]). After every event it renders what the change touches and applies one bundle if that is a
//! difference ([`reconcile`]). What somebody else changes in the switch is put back from the report of it ([`drift`]).
//!
//! All flows are compared with those of the switch when it is met, when a bundle failed, when reports of foreign changes
//! may have been missed, and every ten minutes all the same: starting, a restarted switch and a lost report are one code
//! path.
//!
//! Procedures (CNI requests, [`crate::cni_server`]) run in tasks of their own, step by step, and wait here for the state
//! to become what they need ([`waiters::Condition`]).
//!
//! # Invariants
//! * Knowing nothing (no netmaster yet, no file) the agent touches no flow; not knowing which ports exist, neither.
//! * The file is written before the switch is changed: a restarted agent never falls back behind what was enforced.
//! * A port number is given out only while the flows in the switch are known and none names it
//!   ([`crate::ports::allocate`]).
//!
//! # Failure
//! A pass that fails changes nothing (bundles are atomic); the switch is read back and the pass repeated a second
//! later. The failure is a warning in the report.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use node_api::{AgentMessage, Nack, Realized, Update};
use node_state::{Fragment, FragmentKey};
use pipeline::{Local, Ports, Renderer, Table};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};
use types::{EndpointName, EndpointUid, HostCidr, Name, OfPort};

use crate::intent::holding::{Holding, Taken};
use crate::intent::saved::Log;
use crate::ports::PortsView;
use crate::ports::allocate::OfPorts;
use crate::report::{Conditions, Enforcement, IntentStatus, Status};
use crate::state_dir::StateDir;
use crate::switch::{FlowEdit, Switch, SwitchEvent, metering};
use flight::Progress;

mod admission;
mod connections;
pub mod drift;
mod flight;
mod handle;
mod locals;
mod look;
mod plugged;
mod reconcile;
mod waiters;

pub use handle::{AgentHandle, EndpointFacts, Holds, Request, RuleName, WaitError};
pub use look::Look;
pub use waiters::{Condition, Hopeless};

pub(crate) use connections::FILE as CONNECTIONS_FILE;

/// Where the next port number is remembered.
pub(crate) const OFPORT_FILE: &str = "next-ofport";

/// Everything that can happen.
pub enum Event {
    /// The connection to the switch.
    Switch(SwitchEvent),
    /// The session with netmaster.
    Session(SessionEvent),
    /// A procedure asks.
    Request(Request),
    /// Tunnel endpoints the switch has not resolved.
    ColdPeers(BTreeSet<IpAddr>),
    /// Endpoints whose checksum offload is wrongly on.
    OffloadOn(BTreeSet<EndpointUid>),
    /// The switch is not a tested one, for this reason.
    UntestedSwitch(String),
}

/// The session with netmaster.
pub enum SessionEvent {
    /// It ended, or could not be opened; why, unless another follows at once.
    Down(Option<String>),
    /// netmaster has nothing (more) to say: what is held is current.
    InSync,
    /// The difference to what is held; the answer goes to the session it came from.
    Update(Box<Update>, mpsc::Sender<AgentMessage>),
}

/// What the owner tells others, level-triggered.
#[derive(Debug)]
pub struct Published {
    /// The report to netmaster.
    pub realized: watch::Sender<Option<Realized>>,
    /// The tunnel endpoints of the peers.
    pub peers: watch::Sender<BTreeSet<IpAddr>>,
    /// Plugged endpoints intent does not know: to be taken out.
    pub reclaims: mpsc::Sender<EndpointUid>,
}

/// The owner task.
pub struct Agent {
    local: Local,
    dir: StateDir,
    holding: Holding,
    saved: Log,
    in_sync: bool,
    /// Why there is no session with netmaster.
    away: Option<String>,
    /// What updates are answered with once they are saved.
    answers: Vec<(mpsc::Sender<AgentMessage>, AgentMessage)>,
    view: PortsView,
    leaving: BTreeSet<EndpointUid>,
    reclaiming: BTreeSet<EndpointUid>,
    ofports: OfPorts,
    /// Where the next process resumes the rotation of port numbers, as written down.
    ofport_saved: Option<u16>,
    switch: Option<Arc<dyn Switch>>,
    /// The flows that should be there.
    renderer: Renderer,
    /// What the renderer has not seen yet.
    changed: BTreeSet<FragmentKey>,
    /// Endpoints that intent places here.
    here: locals::Locals,
    /// The ports that may have flows, but for what `moved` says.
    ports: Ports,
    /// Endpoints whose port may be another than `ports` has.
    moved: BTreeSet<EndpointUid>,
    /// Whether the switch holds the renderer's flows but for what `drift` knows; else it has to be read back.
    installed: bool,
    /// It held them when it was last known, and nobody but others can have changed that.
    untouched: bool,
    drift: drift::Drift,
    /// What the switch does with meters.
    metering: metering::Verdict,
    connections: connections::Connections,
    enforcement: Enforcement,
    /// The bundle that is with the switch.
    flight: Option<flight::Flight>,
    /// A pass is due.
    dirty: bool,
    not_before: Instant,
    waiters: waiters::Waiters,
    /// Who waits for intent to have its endpoint.
    newcomers: Vec<(EndpointUid, oneshot::Sender<Option<OfPort>>)>,
    conditions: Conditions,
    flow_mods: u64,
    published: Published,
}

impl Agent {
    /// An agent that holds what is in the directory. A damaged file counts as none.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn new(
        local: Local,
        dir: StateDir,
        published: Published,
    ) -> Result<Self, crate::state_dir::StateError> {
        let (saved, holding) = Log::open(dir.clone())?;
        let next = dir.read(OFPORT_FILE)?.and_then(|b| String::from_utf8(b).ok()?.trim().parse().ok());
        let connections = connections::Connections::open(dir.clone())?;
        let mut this = Self {
            renderer: Renderer::new(local.clone()),
            local,
            dir,
            holding,
            saved,
            changed: BTreeSet::new(),
            here: locals::Locals::default(),
            ports: Ports::default(),
            moved: BTreeSet::new(),
            in_sync: false,
            away: None,
            answers: Vec::new(),
            view: PortsView::default(),
            leaving: BTreeSet::new(),
            reclaiming: BTreeSet::new(),
            ofports: OfPorts::new(next.unwrap_or(0)),
            ofport_saved: None,
            switch: None,
            installed: false,
            untouched: false,
            drift: drift::Drift::default(),
            metering: metering::Verdict::default(),
            connections,
            enforcement: Enforcement::default(),
            flight: None,
            dirty: true,
            not_before: Instant::now(),
            waiters: waiters::Waiters::default(),
            newcomers: Vec::new(),
            conditions: Conditions::default(),
            flow_mods: 0,
            published,
        };
        let all = this.holding.state().map(|s| s.fragments().map(|(key, _)| key.clone()).collect());
        this.note_changed(all.unwrap_or_default());
        Ok(this)
    }

    /// Runs until every sender of events is gone.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>, mut ports: watch::Receiver<PortsView>) {
        let mut retry = tokio::time::interval(Duration::from_secs(1));
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ports.mark_changed();
        loop {
            tokio::select! {
                biased;
                // First: what has landed is known before anybody is answered.
                progress = flight::progress(&mut self.flight) => match progress {
                    Progress::Taken => {}
                    Progress::Landed(outcome) => self.land(outcome),
                },
                Ok(()) = ports.changed() => self.see_ports(ports.borrow_and_update().clone()),
                () = self.drift.due(self.not_before), if self.flight.is_none() => {}
                _ = retry.tick() => {
                    self.save().await;
                    self.tidy().await;
                    self.remind_reclaims();
                    self.look_at_meters().await;
                    if self.drift.audit_is_due() {
                        self.look_again();
                    }
                }
                event = events.recv() => match event {
                    Some(event) => self.handle(event),
                    None => return,
                },
            }
            // What has piled up meanwhile goes into one pass.
            while let Ok(event) = events.try_recv() {
                self.handle(event);
            }
            // And what came while that was being saved, newcomers above all.
            while !self.answers.is_empty() {
                self.save().await;
                while let Ok(event) = events.try_recv() {
                    self.handle(event);
                }
            }
            self.admit();
            let now = Instant::now();
            if (self.dirty || self.drift.is_due(now)) && now >= self.not_before {
                self.reconcile().await;
            }
            self.answer_waiters();
            self.publish();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Switch(event) => self.handle_switch(event),
            Event::Session(SessionEvent::Down(reason)) => {
                self.in_sync = false;
                self.away = reason;
            }
            Event::Session(SessionEvent::InSync) => self.become_current(),
            Event::Session(SessionEvent::Update(update, answer)) => self.take_update(*update, answer),
            Event::Request(request) => self.handle_request(request),
            Event::ColdPeers(peers) => self.conditions.cold_peers = peers,
            Event::OffloadOn(endpoints) => self.conditions.offload_on = endpoints,
            Event::UntestedSwitch(reason) => self.note("switch_untested", Some(reason)),
        }
    }

    fn handle_switch(&mut self, event: SwitchEvent) {
        match event {
            SwitchEvent::Up(switch) => {
                tracing::info!("switch connected");
                self.switch = Some(switch);
                // A pass that failed on the last connection says nothing of this one.
                self.not_before = Instant::now();
                self.note("switch_disconnected", None);
                // Defect: believe that the switch holds what it held before it went away.
                if crate::sabotaged!("trust-after-reconnect") && self.enforcement.flows > 0 {
                    return;
                }
            }
            SwitchEvent::Down(reason) => {
                self.switch = None;
                self.note("switch_disconnected", Some(reason));
                if crate::sabotaged!("trust-after-reconnect") {
                    return;
                }
            }
            SwitchEvent::Metering(verdict) => {
                let reason = match &verdict {
                    metering::Verdict::Enforced { .. } => None,
                    metering::Verdict::Missing(reason) => Some(reason.clone()),
                };
                self.note("rates_not_enforced", reason);
                self.renderer.set_metering(verdict.metering());
                self.metering = verdict;
                self.dirty = true;
                return;
            }
            // A meter that somebody deletes takes its flows with it, and they cannot be put back without it.
            SwitchEvent::Edited(edits) if edits.iter().any(|e| self.may_have_lost_meter(e)) => {
                tracing::warn!("flows that name meters removed by somebody else, comparing all");
                return self.look_again();
            }
            SwitchEvent::Edited(edits) => {
                if self.drift.suspect(edits) {
                    return;
                }
                tracing::warn!("many flows changed by somebody else, comparing all");
                return self.look_again();
            }
            SwitchEvent::Unseen(reason) => {
                tracing::warn!(reason, "foreign changes unseen, comparing all flows");
                return self.look_again();
            }
        }
        self.distrust_switch();
    }

    fn may_have_lost_meter(&self, edit: &FlowEdit) -> bool {
        let of_table = Table::from_number(edit.key.table()).is_some_and(Table::names_meters);
        edit.removed
            && of_table
            && !self.renderer.meters().is_empty()
            && !crate::sabotaged!("ignore-flow-drift")
    }

    /// What others did to the switch has to be found out.
    fn look_again(&mut self) {
        let untouched = self.installed || self.untouched;
        self.distrust_switch();
        self.untouched = untouched;
    }

    /// What the switch holds has to be read back.
    fn distrust_switch(&mut self) {
        self.untouched = false;
        self.installed = false;
        if let Some(flight) = &mut self.flight {
            flight.trusted = false;
        }
        self.ofports.flows_unknown();
        self.dirty = true;
    }

    fn take_update(&mut self, update: Update, answer: mpsc::Sender<AgentMessage>) {
        let revision = update.revision;
        let Taken { changed, refusals } = self.holding.apply(update);
        self.saved.note(&changed);
        self.note_changed(changed);
        for (fragment, reason) in &refusals {
            tracing::error!(fragment, reason, "fragment refused, the last good one stays in force");
        }
        self.dirty = true;
        let message = if refusals.is_empty() {
            AgentMessage::Ack(revision)
        } else {
            AgentMessage::Nack(Nack { revision, refusals })
        };
        self.answers.push((answer, message));
        self.become_current();
    }

    /// These fragments may be others than before.
    fn note_changed(&mut self, keys: BTreeSet<FragmentKey>) {
        for key in &keys {
            let FragmentKey::Endpoint(uid) = key else { continue };
            let name = match self.holding.state().and_then(|state| state.get(key)) {
                Some(Fragment::Endpoint(e)) if e.node == self.local.node => Some((e.vrf, e.name.clone())),
                _ => None,
            };
            self.here.place(*uid, name);
            self.moved.insert(*uid);
        }
        self.changed.extend(keys);
    }

    fn become_current(&mut self) {
        self.away = None;
        if self.holding.known().is_some() {
            self.dirty |= !self.in_sync;
            self.in_sync = true;
        }
    }

    /// Written before anything acts on it, and before updates are answered; all that came at once in one go. Again
    /// every second when that failed.
    async fn save(&mut self) {
        if self.saved.is_behind() {
            let written = self.saved.save(&self.holding).await;
            self.note("state_not_saved", written.err().map(|e| e.to_string()));
        }
        for (answer, message) in std::mem::take(&mut self.answers) {
            if answer.try_send(message).is_err() {
                tracing::debug!("session ended before its answer");
            }
        }
    }

    /// When nobody waits.
    async fn tidy(&mut self) {
        if let Err(e) = self.saved.tidy(&self.holding).await {
            // What was written before still stands.
            tracing::warn!(error = %e, "saved intent not shortened");
        }
    }

    fn note(&mut self, code: &'static str, failure: Option<String>) {
        match failure {
            None => drop(self.conditions.failures.remove(code)),
            Some(text) if self.conditions.failures.get(code) == Some(&text) => {}
            Some(text) => {
                tracing::error!(code, error = text, "agent condition");
                self.conditions.failures.insert(code, text);
            }
        }
    }

    fn handle_request(&mut self, request: Request) {
        match request {
            Request::Wait(condition, reply) => self.waiters.add(condition, reply),
            Request::Admit(uid, reply) => self.newcomers.push((uid, reply)),
            Request::Reserve(uid, reply) => drop(reply.send(self.reserve(uid))),
            Request::Release(uid) => {
                let released = self.ofports.release(uid);
                self.note_moved(uid, released);
            }
            Request::Leave(uid) => {
                let is_new = self.leaving.insert(uid);
                self.note_moved(uid, is_new);
            }
            Request::Stay(uid) => {
                let was_leaving = self.leaving.remove(&uid);
                self.note_moved(uid, was_leaving);
            }
            Request::Find(tenant, name, reply) => drop(reply.send(self.find(&tenant, &name))),
            Request::Holds(reply) => {
                drop(reply.send((self.holding.known().cloned(), self.holding.hashes().clone())));
            }
            Request::Status(reply) => drop(reply.send(self.status())),
            Request::Look(reply) => drop(reply.send(self.look())),
            Request::Switch(reply) => drop(reply.send(self.switch.clone())),
            Request::RuleNames(reply) => drop(reply.send(self.rule_names())),
            Request::ReclaimFailed(uid) => drop(self.reclaiming.remove(&uid)),
        }
    }

    fn find(&self, tenant: &Name, name: &EndpointName) -> Option<EndpointFacts> {
        let state = self.holding.state()?;
        let vrf = state.vrfs().find(|v| v.tenant == *tenant)?.id;
        let uid = self.here.named(vrf, name)?;
        let Some(Fragment::Endpoint(endpoint)) = state.get(&FragmentKey::Endpoint(uid)) else { return None };
        let Some(Fragment::Network(network)) = state.get(&FragmentKey::Network(endpoint.vni)) else {
            return None;
        };
        let subnet = |a: &IpAddr| network.subnets.iter().find(|s| s.cidr.contains(*a));
        let with_len = |a: &IpAddr| HostCidr::new(*a, subnet(a)?.cidr.len()).ok();
        let addresses = endpoint.addresses.iter().filter_map(with_len).collect();
        let gateways = endpoint.addresses.iter().filter_map(|a| subnet(a)?.gateway).collect();
        Some(EndpointFacts { uid: endpoint.uid, mac: endpoint.mac, addresses, gateways })
    }

    fn publish(&self) {
        let Some(state) = self.holding.state() else { return };
        let node = &self.local.node;
        let mut conditions = self.conditions.clone();
        conditions.drift = self.drift.recent();
        let report = crate::report::realized(self.here.uids(), &self.view, &self.enforcement, &conditions);
        let changed = |old: &mut Option<Realized>| {
            let changed = old.as_ref() != Some(&report);
            *old = Some(report);
            changed
        };
        self.published.realized.send_if_modified(changed);
        let peers = state.nodes().filter(|n| n.name != *node).map(|n| n.vtep).collect();
        self.published.peers.send_if_modified(|old| {
            let changed = *old != peers;
            *old = peers;
            changed
        });
    }

    fn status(&self) -> Status {
        let intent = match (self.holding.known().is_some(), self.in_sync) {
            (false, _) => IntentStatus::Nothing,
            (true, false) => IntentStatus::Saved,
            (true, true) => IntentStatus::Current,
        };
        let endpoints = self.enforcement.endpoints.iter();
        Status {
            node: self.local.node.clone(),
            vtep: self.local.vtep,
            intent,
            session_error: self.away.clone(),
            held_revision: self.holding.known().map(|k| k.revision),
            realized_revision: self.enforcement.revision,
            switch_connected: self.switch.is_some(),
            flows: self.enforcement.flows,
            flow_mods: self.flow_mods,
            meters: self.renderer.meters().len(),
            rates: self.metering.mechanism(),
            foreign_edits: self.drift.total(),
            drift: self.drift.counts().clone(),
            endpoints: endpoints.map(|(uid, port)| (format!("{:012x}", uid.get()), *port)).collect(),
            warnings: Conditions { drift: self.drift.recent(), ..self.conditions.clone() }.lines(),
        }
    }
}
