//! The agent among fakes: no root, no switch; everything that happens is written into one log, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cni::{Attachment, Reply, Request, Verb};
use netplugin::agent::{Agent, AgentHandle, Event, Published};
use netplugin::cni_server::{CniServer, Context, Housekeeping, Mtu};
use netplugin::intent::Intent;
use netplugin::intent::detach_log::DetachLog;
use netplugin::netlink::{InterfaceSpec, Interfaces, NetlinkError};
use netplugin::ports::{EndpointPort, PlugSpec, Ports, PortsError, PortsView};
use netplugin::report::Status;
use netplugin::state_dir::StateDir;
use netplugin::switch::{Switch, SwitchError, SwitchEvent, metering};
use node_api::{AgentMessage, Realized};
use openflow::{Action, Counters, Flow, FlowStats, Meter, MeterCommand, MeterMod};
use pipeline::{CountingFlows, FlowPlan, FlowSet, Local, MeterPlan, StaleConnections, rule_counts};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use types::{EndpointUid, OfPort, RuleCount, RuleId};

use crate::netmaster::{FakeNetmaster, NODE, VTEP};

/// What happened, in order.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A switch in memory; it outlives the agent.
#[derive(Clone, Default)]
pub struct FakeSwitch {
    pub flows: Arc<Mutex<FlowSet>>,
    pub meters: Arc<Mutex<BTreeMap<u32, Meter>>>,
    /// There can be so many meters, and it does not say so before.
    pub room: Arc<Mutex<Option<usize>>>,
    /// How often all of them were read.
    pub dumps: Arc<Mutex<u64>>,
    /// Every bundle is refused while set.
    pub refuse: Arc<Mutex<bool>>,
    /// While set, bundles are with the switch and not accepted.
    pub busy: Arc<watch::Sender<bool>>,
    /// While set, bundles that were accepted are not acknowledged.
    pub slow: Arc<watch::Sender<bool>>,
    /// How many bundles came.
    pub bundles: Arc<watch::Sender<usize>>,
    /// Connections are not forgotten while set.
    pub remember: Arc<Mutex<bool>>,
    /// What was forgotten.
    pub forgotten: Arc<Mutex<Vec<StaleConnections>>>,
    log: Log,
}

impl FakeSwitch {
    /// As a switch: what is there is not added, what is not there is not changed, a meter takes its flows with it.
    fn change_meters(&self, changes: impl Iterator<Item = MeterMod>) {
        let mut meters = self.meters.lock().unwrap();
        for MeterMod { command, meter } in changes {
            let known = meters.contains_key(&meter.id);
            assert_eq!(known, command != MeterCommand::Add, "{command:?} {meter}");
            match command {
                MeterCommand::Add | MeterCommand::Modify => drop(meters.insert(meter.id, meter)),
                MeterCommand::Delete => {
                    assert!(!self.named_meters().contains(&meter.id), "{meter} is deleted under its flows");
                    meters.remove(&meter.id);
                }
            }
        }
    }

    fn is_out_of_meters(&self, plan: &MeterPlan) -> bool {
        let there = self.meters.lock().unwrap().len() + plan.add.len();
        self.room.lock().unwrap().is_some_and(|room| there > room)
    }

    /// Those that fit are added, those that nobody needs go, and take flows with them.
    fn out_of_meters(&self, plan: &MeterPlan) -> SwitchError {
        let mut meters = self.meters.lock().unwrap();
        let fit = self.room.lock().unwrap().unwrap_or_default().saturating_sub(meters.len());
        meters.extend(plan.add.iter().take(fit).map(|meter| (meter.id, meter.clone())));
        meters.retain(|id, _| !plan.delete.contains(id));
        let names = |a: &Action| matches!(a, Action::Meter(id) if plan.delete.contains(id));
        let mut kept = FlowSet::new();
        let mut flows = self.flows.lock().unwrap();
        for (key, entry) in flows.iter().filter(|(_, entry)| !entry.actions.iter().any(names)) {
            kept.insert(&key, &entry);
        }
        *flows = kept;
        let there: Vec<Meter> = meters.values().cloned().collect();
        SwitchError::OutOfMeters { left: metering::left(u32::MAX, &there, plan) }
    }

    /// Meters that flows name.
    fn named_meters(&self) -> BTreeSet<u32> {
        let flows = self.flows.lock().unwrap();
        let actions = flows.iter().flat_map(|(_, entry)| entry.actions).collect::<Vec<_>>();
        actions.iter().filter_map(|a| if let Action::Meter(id) = a { Some(*id) } else { None }).collect()
    }

    /// Whether any flow names this port.
    pub fn names(&self, ofport: OfPort) -> bool {
        let text = self.flows.lock().unwrap().to_string();
        text.contains(&format!("in_port={ofport} ")) || text.contains(&format!("in_port={ofport},"))
    }

    /// Whether any flow of another endpoint names this port. The low bits of a flow's cookie say whose it is.
    fn names_for_another(&self, ofport: OfPort, uid: EndpointUid) -> bool {
        let (flows, own) = (self.flows.lock().unwrap().to_string(), format!("{:012x},", uid.get()));
        let named = |line: &&str| {
            line.contains(&format!("in_port={ofport} ")) || line.contains(&format!("in_port={ofport},"))
        };
        flows.lines().filter(named).any(|line| !line.contains(&own))
    }
}

#[async_trait]
impl Switch for FakeSwitch {
    async fn dump(&self, each: &mut (dyn FnMut(Flow) + Send)) -> Result<(), SwitchError> {
        *self.dumps.lock().unwrap() += 1;
        self.flows.lock().unwrap().to_flows().for_each(each);
        Ok(())
    }

    async fn apply(&self, plan: &FlowPlan, taken: oneshot::Sender<()>) -> Result<(), SwitchError> {
        self.bundles.send_modify(|count| *count += 1);
        self.busy.subscribe().wait_for(|busy| !busy).await.unwrap();
        if *self.refuse.lock().unwrap() {
            return Err(SwitchError::Refused("OFPFMFC_TABLE_FULL".into()));
        }
        if self.is_out_of_meters(&plan.meters) {
            return Err(self.out_of_meters(&plan.meters));
        }
        self.change_meters(plan.meters.before_flows());
        let _ = taken.send(());
        self.slow.subscribe().wait_for(|slow| !slow).await.unwrap();
        plan.apply(&mut self.flows.lock().unwrap());
        for meter in self.named_meters() {
            assert!(
                self.meters.lock().unwrap().contains_key(&meter),
                "a flow names meter {meter:#x}, which is not there"
            );
        }
        self.change_meters(plan.meters.after_flows());
        self.log.say(format!("bundle {}", if plan.add.is_empty() { "deletes" } else { "adds" }));
        Ok(())
    }

    async fn counts(&self, _: [CountingFlows; 3]) -> Result<BTreeMap<RuleId, RuleCount>, SwitchError> {
        // Every flow it holds has counted one packet.
        let flows: Vec<_> = self.flows.lock().unwrap().to_flows().collect();
        let counters = Counters { packets: 1, bytes: 60, ..Counters::default() };
        Ok(rule_counts(flows.into_iter().map(|flow| FlowStats { flow, counters })))
    }

    async fn meters(&self) -> Result<Vec<Meter>, SwitchError> {
        Ok(self.meters.lock().unwrap().values().cloned().collect())
    }

    async fn forget(&self, stale: &BTreeSet<StaleConnections>) -> Result<(), SwitchError> {
        if *self.remember.lock().unwrap() {
            return Err(SwitchError::Lost("died after the bundle".into()));
        }
        self.forgotten.lock().unwrap().extend(stale);
        self.log.say("connections forgotten");
        Ok(())
    }
}

/// A database in memory; it outlives the agent.
#[derive(Clone)]
pub struct FakePorts {
    pub view: Arc<watch::Sender<PortsView>>,
    log: Log,
    switch: FakeSwitch,
}

#[async_trait]
impl Ports for FakePorts {
    async fn plug(&self, spec: PlugSpec) -> Result<OfPort, PortsError> {
        let named = self.switch.names_for_another(spec.ofport, spec.uid);
        assert!(!named, "port {} is plugged while flows of another endpoint name it", spec.ofport);
        self.log.say("port plugged");
        let port =
            EndpointPort { ofport: Ok(spec.ofport), requested: Some(spec.ofport), labels: Ok(spec.labels) };
        self.view.send_modify(|v| v.endpoints.insert(spec.uid, port));
        Ok(spec.ofport)
    }

    async fn unplug(&self, uid: EndpointUid) -> Result<(), PortsError> {
        if self.view.borrow().endpoints.contains_key(&uid) {
            self.log.say("port unplugged");
            self.view.send_modify(|v| v.endpoints.remove(&uid));
        }
        Ok(())
    }

    async fn track_prefixes(&self, _tables: &[u8]) -> Result<(), PortsError> {
        Ok(())
    }
}

/// Interfaces in memory: whether each is up.
#[derive(Clone, Default)]
pub struct FakeInterfaces {
    pub up: Arc<Mutex<BTreeMap<EndpointUid, bool>>>,
    /// `create` fails in this namespace.
    pub broken: Arc<Mutex<Option<PathBuf>>>,
    log: Log,
}

#[async_trait]
impl Interfaces for FakeInterfaces {
    async fn create(&self, spec: &InterfaceSpec) -> Result<String, NetlinkError> {
        if self.broken.lock().unwrap().as_ref() == Some(&spec.netns) {
            return Err(NetlinkError::Unexpected { object: spec.ifname.clone(), reason: "broken".into() });
        }
        self.log.say("interface created");
        self.up.lock().unwrap().insert(spec.uid, false);
        Ok(netplugin::netlink::host_name(spec.uid))
    }

    async fn set_up(&self, spec: &InterfaceSpec) -> Result<(), NetlinkError> {
        self.log.say("link up");
        self.up.lock().unwrap().insert(spec.uid, true);
        Ok(())
    }

    async fn delete(&self, uid: EndpointUid) -> Result<(), NetlinkError> {
        if self.up.lock().unwrap().remove(&uid).is_some() {
            self.log.say("interface deleted");
        }
        Ok(())
    }

    async fn check(&self, spec: &InterfaceSpec) -> Result<(), NetlinkError> {
        match self.up.lock().unwrap().get(&spec.uid) {
            Some(true) => Ok(()),
            _ => Err(NetlinkError::Unexpected { object: spec.ifname.clone(), reason: "is down".into() }),
        }
    }

    async fn mtu_of_address(&self, _address: std::net::IpAddr) -> Result<u32, NetlinkError> {
        Ok(1500)
    }

    async fn protect(&self, _uids: &BTreeSet<EndpointUid>) -> Result<BTreeSet<EndpointUid>, NetlinkError> {
        Ok(BTreeSet::new())
    }

    async fn offload_on(&self, _spec: &InterfaceSpec) -> Result<bool, NetlinkError> {
        Ok(false)
    }
}

/// What outlives an agent.
#[derive(Clone)]
pub struct World {
    pub log: Log,
    pub switch: FakeSwitch,
    pub ports: FakePorts,
    pub interfaces: FakeInterfaces,
    /// The agent's state.
    pub dir: Arc<tempfile::TempDir>,
}

/// An agent that has all of intent, and nothing attached.
pub async fn synced() -> (World, FakeAgent) {
    let world = World::new();
    let agent = world.start().await;
    agent.netmaster.sync().await;
    (world, agent)
}

/// The same, with one endpoint of this name.
pub async fn synced_with(endpoint: &str) -> (World, FakeAgent) {
    let (world, agent) = synced().await;
    agent.add(endpoint).await;
    (world, agent)
}

impl World {
    pub fn new() -> Self {
        let log = Log::default();
        let switch = FakeSwitch { log: log.clone(), ..FakeSwitch::default() };
        let view = PortsView { synced: true, tunnel: Some(OfPort::MAX), ..PortsView::default() };
        let ports =
            FakePorts { view: Arc::new(watch::channel(view).0), log: log.clone(), switch: switch.clone() };
        Self {
            interfaces: FakeInterfaces { log: log.clone(), ..FakeInterfaces::default() },
            log,
            switch,
            ports,
            dir: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    /// A file of the agent's state.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts an agent; its switch is connected.
    pub async fn start(&self) -> FakeAgent {
        let agent = self.start_without_switch();
        agent.connect(&self.switch).await;
        agent
    }

    pub fn start_without_switch(&self) -> FakeAgent {
        self.start_over(|agent, answers| {
            let netmaster = FakeNetmaster::new(agent, answers);
            (netmaster.clone(), netmaster)
        })
    }

    /// An agent whose netmaster was there before; what it asks goes through the second one.
    pub fn start_over(
        &self,
        meet: impl FnOnce(AgentHandle, mpsc::Sender<AgentMessage>) -> (Arc<FakeNetmaster>, Arc<dyn Intent>),
    ) -> FakeAgent {
        crate::failpoints();
        let dir = StateDir::open(self.dir.path()).unwrap();
        let (events, queue) = mpsc::channel(64);
        let handle = AgentHandle::new(events);
        let (realized, reports) = watch::channel(None);
        let (reclaims, mut reclaimed) = mpsc::channel(8);
        let published = Published { realized, peers: watch::channel(Default::default()).0, reclaims };
        let local = Local { node: NODE.parse().unwrap(), vtep: VTEP.parse().unwrap() };
        let owner = Agent::new(local, dir.clone(), published).unwrap();
        let (answer, answers) = mpsc::channel(64);
        let (netmaster, intent) = meet(handle.clone(), answer);
        let view = self.ports.view.subscribe();
        let mut tasks = JoinSet::new();
        tasks.spawn(owner.run(queue, view.clone()));
        let server = Arc::new(CniServer::new(Context {
            agent: handle.clone(),
            intent,
            ports: Arc::new(self.ports.clone()),
            view,
            interfaces: Arc::new(self.interfaces.clone()),
            detach_log: DetachLog::open(dir).unwrap(),
            journal_dir: self.file("journal"),
            mtu: Mtu::OfUplink(VTEP.parse().unwrap()),
            metrics: Default::default(),
        }));
        let reclaimer = Arc::clone(&server);
        tasks.spawn(async move {
            while let Some(uid) = reclaimed.recv().await {
                reclaimer.reclaim(uid).await;
            }
        });
        let housekeeping = Housekeeping::new(Arc::clone(&server));
        FakeAgent { handle, server, housekeeping, netmaster, answers, reports, _tasks: tasks }
    }
}

/// An agent among fakes. Dropping it is `kill -9`.
pub struct FakeAgent {
    pub handle: AgentHandle,
    pub server: Arc<CniServer>,
    pub housekeeping: Housekeeping,
    pub netmaster: Arc<FakeNetmaster>,
    pub answers: mpsc::Receiver<AgentMessage>,
    pub reports: watch::Receiver<Option<Realized>>,
    _tasks: JoinSet<()>,
}

impl FakeAgent {
    pub async fn connect(&self, switch: &FakeSwitch) {
        let up = SwitchEvent::Up(Arc::new(switch.clone()));
        self.handle.tell(Event::Switch(up)).await.unwrap();
    }

    pub async fn ask(&self, verb: Verb, name: &str) -> Reply {
        self.server.answer(request(verb, name)).await
    }

    pub async fn add(&self, name: &str) {
        let reply = self.ask(Verb::Add, name).await;
        assert!(matches!(reply, Reply::Added(_)), "{reply:?}");
    }

    pub async fn del(&self, name: &str) {
        assert_eq!(self.ask(Verb::Del, name).await, Reply::Done);
    }

    /// The status after everything told so far has been acted on.
    pub async fn status(&self) -> Status {
        // Three rounds: the first may be answered in the batch before its pass, the second while that was being saved.
        self.handle.status().await.unwrap();
        self.handle.status().await.unwrap();
        self.handle.status().await.unwrap()
    }

    pub async fn reported(&self, what: &str, is: impl Fn(&Realized) -> bool) {
        let mut reports = self.reports.clone();
        let wanted = reports.wait_for(|r| r.as_ref().is_some_and(&is));
        let found = tokio::time::timeout(Duration::from_secs(20), wanted).await.is_ok();
        assert!(found, "{what}: last report {:?}", *self.reports.borrow());
    }
}

pub fn request(verb: Verb, name: &str) -> Request {
    Request {
        protocol: cni::PROTOCOL,
        verb,
        cni_version: "1.1.0".into(),
        config_name: "selvage".into(),
        attachment: Some(Attachment { container_id: name.into(), ifname: "eth0".into() }),
        netns: Some("/run/netns/x".into()),
        tenant: "blue".parse().unwrap(),
        network: "web".parse().unwrap(),
        group: None,
        endpoint: Some(name.parse().unwrap()),
        ipv4: None,
        ipv6: None,
        prev_result: None,
        valid: Vec::new(),
    }
}
