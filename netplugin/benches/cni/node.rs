//! A node's agent in the benchmark's process, with a netmaster that answers at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use async_trait::async_trait;
use cni::{Attachment, Request, Verb};
use netplugin::agent::{Agent, AgentHandle, Event, Published, SessionEvent};
use netplugin::cni_server::{CniServer, Context, Mtu};
use netplugin::intent::Intent;
use netplugin::intent::detach_log::DetachLog;
use netplugin::metrics::Metrics;
use netplugin::netlink::Veths;
use netplugin::ports::ovs::{OvsPorts, PortRecords, connect};
use netplugin::state_dir::StateDir;
use netplugin::switch;
use node_api::{
    AgentMessage, AttachReply, AttachRequest, AttachSpec, CallError, DetachRequest, ErrorCode, Update,
};
use node_state::{Endpoint, Fragment, FragmentKey, Network, NetworkSubnet, Vrf};
use ovsdb::vswitch::DatapathType;
use pipeline::Local;
use test_support::Ovs;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use types::{
    DefaultAction, EndpointName, EndpointUid, FencingToken, GroupMoves, HostCidr, MacAddr, Revision, StoreId,
    Vni, VrfId,
};

const BRIDGE: &str = "br-bench";
const NODE: &str = "node-1";
/// The endpoints' gateway.
pub const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// The agent, running.
pub struct Node {
    pub server: Arc<CniServer>,
    agent: AgentHandle,
    metrics: Arc<Metrics>,
    told: Mutex<BTreeMap<String, (f64, f64)>>,
    _tasks: JoinSet<()>,
}

impl Node {
    /// Starts it; the process is in the node's namespace.
    pub async fn start(ovs: &Ovs, state: &Path) -> Result<Self> {
        let dir = StateDir::open(state)?;
        let (events, queue) = mpsc::channel(256);
        let handle = AgentHandle::new(events);
        let published = Published {
            realized: watch::channel(None).0,
            peers: watch::channel(BTreeSet::new()).0,
            reclaims: mpsc::channel(8).0,
        };
        let agent = Agent::new(local()?, dir.clone(), published)?;
        let (client, records) = (connect(&ovs.db_sock()), PortRecords::open(&dir)?);
        let present = BTreeSet::new();
        let ports = OvsPorts::start(client, BRIDGE, DatapathType::Netdev, records, &present).await?;
        let view = ports.watch();
        let mut tasks = JoinSet::new();
        tasks.spawn(agent.run(queue, view.clone()));
        tasks.spawn(switch::ovs::follow(ovs.run_dir().join(format!("{BRIDGE}.mgmt")), handle.clone()));
        let (answers, mut answered) = mpsc::channel(256);
        // Nobody reads what the agent acknowledges; it must not fill up.
        tasks.spawn(async move { while answered.recv().await.is_some() {} });
        let netmaster = Netmaster { agent: handle.clone(), answers, held: Mutex::default() };
        netmaster.tell(fixed()?, BTreeSet::new()).await?;
        let metrics = Arc::new(Metrics::default());
        let context = Context {
            agent: handle.clone(),
            intent: Arc::new(netmaster),
            ports: Arc::new(ports),
            view,
            interfaces: Arc::new(Veths::new(true)?),
            detach_log: DetachLog::open(dir)?,
            journal_dir: state.join("journal"),
            mtu: Mtu::Fixed(1450),
            metrics: metrics.clone(),
        };
        let server = Arc::new(CniServer::new(context));
        Ok(Self { server, agent: handle, metrics, told: Mutex::default(), _tasks: tasks })
    }

    /// Milliseconds on average of each step of the requests since this was last asked.
    pub async fn steps(&self) -> Result<BTreeMap<String, f64>> {
        const SERIES: &str = "selvage_netplugin_cni_step_duration_seconds_";
        let text = self.metrics.text(&self.agent.status().await?, &[]);
        let value = |what: &str, step: &str| -> Option<f64> {
            let line = format!("{SERIES}{what}{{step=\"{step}\"}} ");
            text.lines().find_map(|l| l.strip_prefix(&line))?.parse().ok()
        };
        let names = text.lines().filter_map(|l| l.strip_prefix(SERIES)?.strip_prefix("sum{step=\""));
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut steps = BTreeMap::new();
        for step in names.filter_map(|rest| rest.split('"').next()) {
            let (Some(sum), Some(count)) = (value("sum", step), value("count", step)) else { continue };
            let (sum_before, count_before) = told.insert(step.to_owned(), (sum, count)).unwrap_or_default();
            if count > count_before {
                let mean = (sum - sum_before) * 1000.0 / (count - count_before);
                steps.insert(step.to_owned(), (mean * 10.0).round() / 10.0);
            }
        }
        Ok(steps)
    }
}

/// A request for an endpoint.
pub fn request(verb: Verb, name: &str, ifname: &str, netns: &Path) -> Result<Request> {
    Ok(Request {
        protocol: cni::PROTOCOL,
        verb,
        cni_version: "1.1.0".into(),
        config_name: "bench".into(),
        attachment: Some(Attachment { container_id: name.into(), ifname: ifname.into() }),
        netns: Some(netns.to_owned()),
        tenant: "bench".parse()?,
        network: "bench".parse()?,
        group: None,
        endpoint: Some(name.parse()?),
        ipv4: None,
        ipv6: None,
        prev_result: None,
        valid: Vec::new(),
    })
}

/// A tenant and its network.
pub fn fixed() -> Result<Vec<Fragment>> {
    let (id, vni) = (VrfId::new(1)?, Vni::new(101)?);
    let (tenant, default_action) = ("bench".parse()?, DefaultAction::Allow);
    let vrf = Vrf { id, tenant, default_action };
    let subnets = vec![NetworkSubnet { cidr: "10.0.0.0/8".parse()?, gateway: Some(GATEWAY) }];
    let network = Network { vni, vrf: id, name: "bench".parse()?, subnets };
    Ok(vec![Fragment::Vrf(vrf), Fragment::Network(network)])
}

/// An endpoint on this node, by its number.
pub fn endpoint(number: u64, name: EndpointName) -> Result<(Ipv4Addr, Endpoint)> {
    let address = Ipv4Addr::from(0x0a00_0100 + u32::try_from(number)?);
    let endpoint = Endpoint {
        uid: EndpointUid::new(number)?,
        name,
        vrf: VrfId::new(1)?,
        vni: Vni::new(101)?,
        group: None,
        moves: GroupMoves::default(),
        mac: MacAddr::from_u32(u32::from(address)),
        addresses: vec![address.into()],
        node: NODE.parse()?,
    };
    Ok((address, endpoint))
}

/// This node.
pub fn local() -> Result<Local> {
    Ok(Local { node: NODE.parse()?, vtep: IpAddr::from([192, 0, 2, 1]) })
}

#[derive(Default)]
struct Held {
    revision: u64,
    last: u64,
    endpoints: BTreeMap<String, EndpointUid>,
}

struct Netmaster {
    agent: AgentHandle,
    answers: mpsc::Sender<AgentMessage>,
    held: Mutex<Held>,
}

impl Netmaster {
    /// Tells the agent a change, as a session would.
    async fn tell(&self, fragments: Vec<Fragment>, removes: BTreeSet<FragmentKey>) -> Result<Revision> {
        let revision = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.revision += 1;
            Revision::new(held.revision)
        };
        let update = Update {
            store_id: StoreId::new("0".repeat(32))?,
            revision,
            upserts: fragments.into_iter().map(|f| (f.key(), f.encode().into())).collect(),
            removes,
            unknown: BTreeMap::new(),
            removes_unknown: BTreeSet::new(),
        };
        let event = SessionEvent::Update(Box::new(update), self.answers.clone());
        self.agent.tell(Event::Session(event)).await?;
        Ok(revision)
    }

    async fn make(&self, spec: AttachSpec) -> Result<AttachReply> {
        let number = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.last += 1;
            let number = held.last;
            held.endpoints.insert(spec.endpoint.to_string(), EndpointUid::new(number)?);
            number
        };
        let (address, endpoint) = endpoint(number, spec.endpoint)?;
        let Endpoint { uid, vrf, vni, mac, .. } = endpoint;
        let revision = self.tell(vec![Fragment::Endpoint(endpoint)], BTreeSet::new()).await?;
        // Interfaces of the crowd share a namespace, where only one can have the default route.
        let gateways = if spec.interface == "eth0" { vec![GATEWAY] } else { Vec::new() };
        let addresses = vec![HostCidr::new(address.into(), 8)?];
        Ok(AttachReply { uid, vrf, vni, mac, addresses, gateways, mtu: None, revision })
    }
}

fn failed(e: anyhow::Error) -> CallError {
    CallError { code: None, status: ErrorCode::ShuttingDown.status(), text: format!("{e:#}") }
}

#[async_trait]
impl Intent for Netmaster {
    async fn fence(&self) -> Result<FencingToken, CallError> {
        Ok(FencingToken::MIN)
    }

    async fn attach(&self, request: AttachRequest) -> Result<AttachReply, CallError> {
        self.make(request.spec).await.map_err(failed)
    }

    async fn detach(&self, request: DetachRequest) -> Result<Option<EndpointUid>, CallError> {
        let uid = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.endpoints.remove(request.endpoint.as_str())
        };
        let Some(uid) = uid else { return Ok(None) };
        self.tell(Vec::new(), BTreeSet::from([FragmentKey::Endpoint(uid)])).await.map_err(failed)?;
        Ok(None)
    }

    fn is_reachable(&self) -> bool {
        true
    }
}
