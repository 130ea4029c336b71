//! A whole node: a namespace, a real switch, the agent's parts on it, a fake netmaster.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cni::{AddResult, Attachment, Reply, Request, Verb};
use netplugin::agent::{Agent, AgentHandle, Published};
use netplugin::cni_server::{CniServer, Context, Housekeeping, Mtu};
use netplugin::intent::detach_log::DetachLog;
use netplugin::netlink::Veths;
use netplugin::ports::ovs::{OvsPorts, PortRecords, connect};
use netplugin::state_dir::StateDir;
use netplugin::switch;
use node_api::Realized;
use ovsdb::vswitch::DatapathType;
use pipeline::Local;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::namespace::Namespace;
use crate::netmaster::{FakeNetmaster, NODE, VTEP};

pub const BRIDGE: &str = "br-selvage";

/// Where a node's things are; outlives the agent's process, as it were.
#[derive(Clone)]
pub struct Place {
    pub run_dir: PathBuf,
    pub state_dir: PathBuf,
}

/// The agent, running. Dropping it is `kill -9`.
pub struct RunningAgent {
    pub handle: AgentHandle,
    pub server: Arc<CniServer>,
    pub netmaster: Arc<FakeNetmaster>,
    pub reports: watch::Receiver<Option<Realized>>,
    _tasks: JoinSet<()>,
}

/// Starts the agent; call inside the node's namespace.
pub async fn start(place: &Place) -> RunningAgent {
    crate::failpoints();
    let dir = StateDir::open(&place.state_dir).unwrap();
    let (events, queue) = mpsc::channel(64);
    let handle = AgentHandle::new(events);
    let (realized, reports) = watch::channel(None);
    let (peers, _) = watch::channel(std::collections::BTreeSet::new());
    let (reclaims, mut reclaimed) = mpsc::channel(8);
    let local = Local { node: NODE.parse().unwrap(), vtep: VTEP.parse().unwrap() };
    let agent = Agent::new(local, dir.clone(), Published { realized, peers, reclaims }).unwrap();
    let client = connect(&place.run_dir.join("db.sock"));
    let veths = Arc::new(Veths::new(true).unwrap());
    let records = PortRecords::open(&dir).unwrap();
    let present = veths.list().await.unwrap();
    let ports = OvsPorts::start(client, BRIDGE, DatapathType::Netdev, records, &present).await.unwrap();
    let view = ports.watch();
    let mut tasks = JoinSet::new();
    tasks.spawn(agent.run(queue, view.clone()));
    tasks.spawn(switch::ovs::follow(place.run_dir.join(format!("{BRIDGE}.mgmt")), handle.clone()));
    let (answer, mut answers) = mpsc::channel(64);
    let netmaster = FakeNetmaster::new(handle.clone(), answer);
    let context = Context {
        agent: handle.clone(),
        intent: netmaster.clone(),
        ports: Arc::new(ports),
        view: view.clone(),
        interfaces: veths,
        detach_log: DetachLog::open(dir).unwrap(),
        journal_dir: place.state_dir.join("journal"),
        mtu: Mtu::Fixed(1450),
        metrics: Default::default(),
    };
    let server = Arc::new(CniServer::new(context));
    tasks.spawn(Housekeeping::new(Arc::clone(&server)).run());
    let reclaimer = Arc::clone(&server);
    tasks.spawn(async move {
        while let Some(uid) = reclaimed.recv().await {
            reclaimer.reclaim(uid).await;
        }
    });
    // Nobody reads the answers here; they must not fill up.
    tasks.spawn(async move { while answers.recv().await.is_some() {} });
    RunningAgent { handle, server, netmaster, reports, _tasks: tasks }
}

impl RunningAgent {
    pub async fn add(&self, tenant: &str, name: &str, endpoint: &Namespace) -> AddResult {
        match self.server.answer(request(Verb::Add, tenant, name, endpoint)).await {
            Reply::Added(result) => result,
            other => panic!("ADD {name}: {other:?}"),
        }
    }

    pub async fn del(&self, tenant: &str, name: &str, endpoint: &Namespace) {
        assert_eq!(self.server.answer(request(Verb::Del, tenant, name, endpoint)).await, Reply::Done);
    }

    pub async fn check(&self, tenant: &str, name: &str, endpoint: &Namespace) -> Reply {
        self.server.answer(request(Verb::Check, tenant, name, endpoint)).await
    }

    /// Waits until the report is as the test says.
    pub async fn reported(&self, what: &str, is: impl Fn(&Realized) -> bool) -> Realized {
        let mut reports = self.reports.clone();
        let wanted = reports.wait_for(|r| r.as_ref().is_some_and(&is));
        match tokio::time::timeout(Duration::from_secs(20), wanted).await {
            Ok(report) => report.unwrap().clone().unwrap(),
            Err(_) => panic!("{what}: last report {:?}", *self.reports.borrow()),
        }
    }
}

pub fn request(verb: Verb, tenant: &str, name: &str, endpoint: &Namespace) -> Request {
    Request {
        protocol: cni::PROTOCOL,
        verb,
        cni_version: "1.1.0".into(),
        config_name: "selvage".into(),
        attachment: Some(Attachment { container_id: name.into(), ifname: "eth0".into() }),
        netns: Some(endpoint.path()),
        tenant: tenant.parse().unwrap(),
        network: "web".parse().unwrap(),
        group: None,
        endpoint: Some(name.parse().unwrap()),
        ipv4: None,
        ipv6: None,
        prev_result: None,
        valid: Vec::new(),
    }
}
