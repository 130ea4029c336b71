//! A restarted agent on a switch that holds what it should: how long until it is synced, what it changes (nothing), and
//! the memory it takes.
//!
//! The agent is the program, in its own process, on a private Open vSwitch with ten local endpoints plugged in. There is
//! no netmaster: it enforces what it saved, and enforcement does not wait for netmaster. It is killed (SIGKILL) and
//! started again. *Synced* is when `netplugin status` says that what is held is enforced: processes, TLS identity, OVSDB
//! snapshot, flows read back, rendered and compared are all in it. It is asked every 20 ms, which the figure includes.
//!
//! What it changed is told by others: a flow monitor on a connection of our own, which must report a flow that we add
//! afterwards and nothing before it, and the number of OpenFlow messages the switch has received meanwhile (a flow that is
//! written again as it is, is not reported). Beside `ovs-ofctl --bundle replace-flows` of the same flows.
//!
//! `cargo bench -p netplugin --bench restart -- [--flows 1000,10000,30000] [--runs 5] [--json]`

#[path = "common/report.rs"]
mod report;
#[path = "common/scene.rs"]
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use netplugin::intent::holding::Holding;
use netplugin::intent::saved;
use netplugin::netlink::host_name;
use netplugin::ports::ovs::{OvsPorts, PortRecords, connect};
use netplugin::ports::{PlugSpec, PortLabels, Ports};
use netplugin::report::Status;
use netplugin::run::STATUS_SOCKET;
use netplugin::state_dir::StateDir;
use node_api::{Known, Update};
use openflow::driver::{Config, Connection, Event, Events};
use openflow::{FlowFilter, FlowUpdate, MonitorFlags, MonitorRequest};
use ovsdb::vswitch::DatapathType;
use pipeline::{Comparison, FlowSet};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use test_support::{Daemon, Ovs, wait_for_blocking};
use types::{Revision, StoreId};

use report::{load, median, ms, say};
use scene::{LOCAL, Scene, uid};

const BRIDGE: &str = "br-bench";
/// The cookie of the flow that proves that the monitor reports.
const CANARY: u64 = 0xca11;
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Args {
    /// Sizes, in flows.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,30000")]
    flows: Vec<usize>,
    /// Restarts; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Handed over by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.runs > 0, "--runs must be at least 1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    args.flows.iter().try_for_each(|size| runtime.block_on(measure(&args, *size)))
}

async fn measure(args: &Args, size: usize) -> Result<()> {
    let scene = Scene::with_flows(size)?;
    let desired = scene.render();
    let (ovs, state) = (Ovs::start()?, tempfile::tempdir()?);
    prepare(state.path(), &scene)?;
    plug(&ovs, state.path(), &scene).await?;
    let node = Node { ovs: &ovs, state: state.path(), flows: desired.len() };

    // Onto an empty switch; this one is not a restart.
    let (agent, first) = node.start()?;
    let first_rss = memory(&agent)?.rss;
    drop(agent);
    holds(&ovs, &desired).await?;

    let file = ovs.run_dir().join("all.flows");
    std::fs::write(&file, desired.to_flows().map(|flow| format!("{flow}\n")).collect::<String>())?;
    let file = file.to_str().context("the run directory's name is no text")?;
    let (mut synced, mut replace) = (Vec::new(), Vec::new());
    let (mut used, mut messages) = (Memory::default(), 0);
    for _ in 0..args.runs {
        let mut monitor = Monitor::start(&ovs).await?;
        let before = received(&ovs)?;
        let (agent, after) = node.start()?;
        messages = received(&ovs)? - before;
        synced.push(ms(after));
        let seen = monitor.changes(&ovs).await?;
        ensure!(seen == 0, "{seen} flows were changed by a restart");
        used = memory(&agent)?;
        drop(agent);
        let start = Instant::now();
        ovs.ofctl(&["-O", "OpenFlow15", "--bundle", "replace-flows", BRIDGE, file])?;
        replace.push(ms(start.elapsed()));
    }
    holds(&ovs, &desired).await?;
    let line = json!({
        "bench": "restart", "flows": desired.len(), "runs": args.runs, "load": load()?, "synced_ms": median(&synced),
        "slowest_ms": synced.iter().copied().fold(0.0, f64::max), "flow_changes": 0, "openflow_messages": messages,
        "rss_mib": used.rss, "anonymous_mib": used.anonymous, "peak_mib": used.peak, "first_start_ms": ms(first), "first_start_rss_mib": first_rss,
        "baseline": "ovs-ofctl --bundle replace-flows", "baseline_ms": median(&replace),
    });
    say(args.json, &line);
    Ok(())
}

/// The directory of a node that has joined and holds the scene. Nobody listens where its netmaster is said to be.
fn prepare(dir: &Path, scene: &Scene) -> Result<()> {
    let dir = StateDir::open(dir)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(Vec::new())?.self_signed(&key)?.pem();
    dir.write("node.key", key.serialize_pem().as_bytes())?;
    dir.write("node.crt", certificate.as_bytes())?;
    dir.write("ca.crt", certificate.as_bytes())?;
    dir.write("netmaster.json", br#"{"server":"127.0.0.1:1"}"#)?;
    let known = Known { store_id: StoreId::new("0".repeat(32))?, revision: Revision::new(1) };
    let fragments = scene.state.fragments();
    let mut holding = Holding::default();
    let taken = holding.apply(Update {
        store_id: known.store_id,
        revision: known.revision,
        upserts: fragments.map(|(key, fragment)| (key.clone(), fragment.encode().into())).collect(),
        removes: BTreeSet::new(),
        unknown: BTreeMap::new(),
        removes_unknown: BTreeSet::new(),
    });
    ensure!(taken.refusals.is_empty(), "fragments refused: {:?}", taken.refusals);
    saved::write(&dir, &holding)?;
    Ok(())
}

/// Plugs the local endpoints in, as ADD does.
async fn plug(ovs: &Ovs, state: &Path, scene: &Scene) -> Result<()> {
    let (client, records) = (connect(&ovs.db_sock()), PortRecords::open(&StateDir::open(state)?)?);
    let present = BTreeSet::new();
    let ports = OvsPorts::start(client, BRIDGE, DatapathType::Netdev, records, &present).await?;
    for n in 0..LOCAL {
        let uid = uid(n)?;
        let (host, peer) = (host_name(uid), format!("peer{n}"));
        let veth = ["-n", ovs.netns(), "link", "add", &host, "up", "type", "veth", "peer", "name", &peer];
        ensure!(Command::new("ip").args(veth).status()?.success(), "no veth {host}");
        let ofport = scene.ports.endpoints.get(&uid).copied().context("a local endpoint has a port")?;
        let labels = PortLabels {
            tenant: "bench".parse()?,
            endpoint: format!("e{n}").parse()?,
            container_id: format!("c{n}"),
            ifname: "eth0".into(),
            netns: Path::new("/run/netns").join(ovs.netns()),
            config_name: "bench".into(),
        };
        let got = ports.plug(PlugSpec { uid, ofport, labels }).await?;
        ensure!(got == ofport, "port {got} instead of {ofport}");
    }
    Ok(())
}

/// Where the agent runs.
struct Node<'a> {
    ovs: &'a Ovs,
    state: &'a Path,
    flows: usize,
}

impl Node<'_> {
    /// Starts it, and waits until all flows are enforced; how long that took.
    fn start(&self) -> Result<(Daemon, Duration)> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.ovs.netns()));
        command.arg(env!("CARGO_BIN_EXE_netplugin")).arg("run");
        command.args(["--node", "node-1", "--vtep", "192.0.2.1", "--bridge", BRIDGE]);
        command.args(["--datapath", "netdev", "--metrics-listen", "off"]);
        command.arg("--state-dir").arg(self.state).arg("--ovs-run-dir").arg(self.ovs.run_dir());
        command.arg("--cni-socket").arg(self.state.join("cni.sock"));
        let start = Instant::now();
        let mut agent = Daemon::start("netplugin", &command, &self.state.join("log"))?;
        wait_for_blocking("the agent to be synced", PATIENCE, || {
            agent.running().map_err(|e| e.to_string())?;
            let status = self.status().map_err(|e| e.to_string())?;
            let synced = status.switch_connected && status.realized_revision == Revision::new(1);
            if synced && status.flows == self.flows { Ok(()) } else { Err(format!("{status:?}")) }
        })?;
        Ok((agent, start.elapsed()))
    }

    fn status(&self) -> Result<Status> {
        let mut text = String::new();
        UnixStream::connect(self.state.join(STATUS_SOCKET))?.read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// Mebibytes.
#[derive(Default)]
struct Memory {
    /// Resident.
    rss: f64,
    /// Resident and of no file: what the process itself holds, without its program.
    anonymous: f64,
    /// Resident at most.
    peak: f64,
}

fn memory(agent: &Daemon) -> Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid()))?;
    let field = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok((kib / 102.4).round() / 10.0)
    };
    Ok(Memory { rss: field("VmRSS:")?, anonymous: field("RssAnon:")?, peak: field("VmHWM:")? })
}

/// How many OpenFlow messages the switch has received.
fn received(ovs: &Ovs) -> Result<u64> {
    let text = ovs.appctl(&["coverage/read-counter", "ofproto_recv_openflow"])?;
    text.trim().parse().with_context(|| format!("the switch's counter: {text:?}"))
}

/// Who hears of every change to the flows.
struct Monitor {
    _connection: Connection,
    events: Events,
}

impl Monitor {
    async fn start(ovs: &Ovs) -> Result<Self> {
        let (connection, events) = open(ovs).await?;
        connection.flow_monitor(vec![MonitorRequest::all(1, MonitorFlags::CHANGES)]).await?;
        Ok(Self { _connection: connection, events })
    }

    /// How many changes there were until one of our own, which is made here and undone.
    async fn changes(&mut self, ovs: &Ovs) -> Result<usize> {
        let canary = format!("cookie={CANARY},table=200,priority=1,actions=drop");
        ovs.ofctl(&["-O", "OpenFlow15", "add-flow", BRIDGE, &canary])?;
        let seen = tokio::time::timeout(PATIENCE, self.until_canary()).await.context("no report")??;
        ovs.ofctl(&["-O", "OpenFlow15", "del-flows", BRIDGE, &format!("cookie={CANARY}/-1")])?;
        Ok(seen)
    }

    async fn until_canary(&mut self) -> Result<usize> {
        let mut seen = 0;
        loop {
            match self.events.next().await.context("the monitor's connection ended")? {
                Event::Flows(updates) => {
                    for update in updates {
                        match update {
                            FlowUpdate::Flow(_, flow) if flow.cookie == CANARY => return Ok(seen),
                            _ => seen += 1,
                        }
                    }
                }
                Event::Lagged(lost) => anyhow::bail!("{lost} reports were lost"),
                _ => {}
            }
        }
    }
}

async fn open(ovs: &Ovs) -> Result<(Connection, Events)> {
    Ok(Connection::open(ovs.run_dir().join(format!("{BRIDGE}.mgmt")), Config::default()).await?)
}

async fn holds(ovs: &Ovs, desired: &FlowSet) -> Result<()> {
    let (connection, _events) = open(ovs).await?;
    let mut comparison = Comparison::new(desired);
    connection.dump_flows_each(FlowFilter::all(), |stats| comparison.see(stats.flow)).await?;
    ensure!(comparison.finish().plan.is_empty(), "the switch does not hold what the agent holds");
    Ok(())
}
