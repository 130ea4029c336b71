//! Puts the agent together: everything is built here and passed down; nothing is global.
//!
//! Order at start: what is needed to keep forwarding comes first (state, ports, switch), netmaster after it. A start
//! without netmaster, without the switch, or without either waits for what is missing and touches nothing meanwhile.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use node_state::NodeState;
use openflow::driver::Backoff;
use ovsdb::Client;
use ovsdb::vswitch::DatapathType;
use pipeline::Local;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use types::EndpointUid;

use crate::agent::{Agent, AgentHandle, Event, Published};
use crate::cni_server::{self, CniServer, Context, Housekeeping, Mtu};
use crate::config::Config;
use crate::intent::detach_log::DetachLog;
use crate::intent::identity::{Identity, is_transient};
use crate::intent::session::{Enrolment, Session};
use crate::metrics::{Metrics, rules};
use crate::netlink::{Interfaces, Veths};
use crate::ports::Ports;
use crate::ports::ovs::{OvsPorts, PortRecords, connect, datapath_type};
use crate::probes::{Endpoints, TunnelNeighbors};
use crate::state_dir::StateDir;
use crate::switch;
use crate::switch::probe::{self, OtherVersions, Verdict};

/// Events that wait for the owner; whoever sends more waits.
const EVENTS: usize = 256;
/// Endpoints that wait to be taken out; the rest is asked for again.
const RECLAIMS: usize = 64;
/// `netplugin status` asks here.
pub const STATUS_SOCKET: &str = "status.sock";

/// Runs the agent until `shutdown` completes. Flows, ports and interfaces stay: endpoints keep working.
///
/// # Errors
/// What makes running pointless: no directory, no certificate and no way to get one, a switch that is refused
/// ([`probe`]), a bridge of somebody else.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    tokio::select! {
        started = start(config, &mut tasks) => started?,
        () = shutdown => return Ok(()),
    }
    Ok(())
}

async fn start(config: Config, tasks: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    let dir = StateDir::open(&config.state_dir)?;
    let _lock = dir.lock()?;
    let local = Local { node: config.node.clone(), vtep: config.vtep };
    let (agent, queue) = mpsc::channel(EVENTS);
    let agent = AgentHandle::new(agent);
    let (realized, reports) = watch::channel(None);
    let (peers_tx, peers) = watch::channel(BTreeSet::new());
    let (reclaims, reclaimed) = mpsc::channel(RECLAIMS);
    let published = Published { realized, peers: peers_tx, reclaims };
    let owner = Agent::new(local.clone(), dir.clone(), published)?;

    let host = meet_switch(&config, &dir, &agent).await?;
    tasks.spawn(done(owner.run(queue, host.ports.watch())));
    let management = config.switch.ovs_run_dir.join(format!("{}.mgmt", config.switch.bridge));
    tasks.spawn(done(switch::ovs::follow(management, agent.clone())));
    tasks.spawn(done(track_prefixes(host.ports.clone(), local)));
    tasks.spawn(serve_status(dir.path(STATUS_SOCKET), agent.clone()));

    let metrics = Arc::new(Metrics::default());
    let listener = config.metrics_listen.bind().await;
    let listener = listener.with_context(|| format!("cannot serve metrics at {}", config.metrics_listen))?;
    if let Some(listener) = listener {
        tasks.spawn(done(serve_metrics(listener, metrics.clone(), agent.clone(), config.rule_metrics)));
    }
    if host.datapath == DatapathType::Netdev {
        probe_userspace(&host, &config.switch.ovs_run_dir, peers, &agent, tasks);
    }

    let identity = join(&config, &dir).await?;
    let enrolment = Enrolment {
        node: config.node.clone(),
        vtep: config.vtep,
        dir: dir.clone(),
        join: config.join.clone(),
    };
    let (session, netmaster) = Session::new(enrolment, identity, agent.clone(), reports);
    tasks.spawn(done(session.run()));
    let context = Context {
        journal_dir: config.cni_journal_dir.unwrap_or_else(|| cni::journal::default_dir(&config.cni_socket)),
        agent,
        intent: Arc::new(netmaster),
        view: host.ports.watch(),
        ports: Arc::new(host.ports),
        mtu: config.mtu.map_or(Mtu::OfUplink(config.vtep), Mtu::Fixed),
        interfaces: host.veths,
        detach_log: DetachLog::open(dir)?,
        metrics,
    };
    serve_cni(context, config.cni_socket, reclaimed, tasks);
    supervise(tasks).await
}

/// The node's bridge and interfaces.
struct Host {
    ports: OvsPorts,
    veths: Arc<Veths>,
    datapath: DatapathType,
}

/// Waits for the switch, judges it, and takes its bridge into use.
async fn meet_switch(config: &Config, dir: &StateDir, agent: &AgentHandle) -> anyhow::Result<Host> {
    let client = connect(&config.switch.ovs_run_dir.join("db.sock"));
    wait_for_database(&client).await;
    let others = if config.allow_untested_ovs { OtherVersions::Allow } else { OtherVersions::RefuseOlder };
    let facts = probe::ask(&client, &config.switch.ovs_run_dir, others).await;
    let datapath = datapath_type(&client, config.datapath)?;
    match probe::judge(&facts, datapath, others) {
        Verdict::Supported => {}
        Verdict::Untested(warning) => agent.tell(Event::UntestedSwitch(warning)).await?,
        Verdict::Refused(refusal) => return Err(refusal.into()),
    }
    let veths = Arc::new(Veths::new(datapath == DatapathType::Netdev)?);
    let records = PortRecords::open(dir).context("records of ports")?;
    let ports =
        OvsPorts::start(client, &config.switch.bridge, datapath, records, &veths.list().await?).await?;
    Ok(Host { ports, veths, datapath })
}

/// What only a userspace datapath needs looked at: cold tunnels, and offloads of endpoints' interfaces.
fn probe_userspace(
    host: &Host,
    run_dir: &Path,
    peers: watch::Receiver<BTreeSet<IpAddr>>,
    agent: &AgentHandle,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) {
    let (run_dir, veths) = (run_dir.to_owned(), host.veths.clone());
    let neighbors = TunnelNeighbors { run_dir, peers, agent: agent.clone(), veths };
    tasks.spawn(done(neighbors.run()));
    let interfaces: Arc<dyn Interfaces> = host.veths.clone();
    tasks.spawn(done(Endpoints { view: host.ports.watch(), interfaces, agent: agent.clone() }.run()));
}

/// Answers runtimes, and does what they and the owner left to be done.
fn serve_cni(
    context: Context,
    socket: PathBuf,
    reclaimed: mpsc::Receiver<EndpointUid>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) {
    let server = Arc::new(CniServer::new(context));
    tasks.spawn(done(reclaim(Arc::clone(&server), reclaimed)));
    tasks.spawn(done(Housekeeping::new(Arc::clone(&server)).run()));
    tasks.spawn(async move {
        let at = socket.display().to_string();
        cni_server::listen(server, socket).await.with_context(|| format!("CNI socket {at}"))
    });
}

/// No task ends while the agent runs; one that does takes the agent with it, so that it is restarted as a whole.
async fn supervise(tasks: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    match tasks.join_next().await {
        Some(ended) => ended.context("a task of the agent died")?.context("a task of the agent failed")?,
        None => return Ok(()),
    }
    anyhow::bail!("a task of the agent ended")
}

async fn done(task: impl Future<Output = ()>) -> anyhow::Result<()> {
    task.await;
    Ok(())
}

async fn wait_for_database(client: &Client) {
    loop {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        match client.wait_synced(deadline).await {
            Ok(()) => return,
            Err(e) => tracing::warn!(error = %e, "waiting for the switch's database"),
        }
    }
}

/// With a good certificate this returns at once; without one it tries until netmaster takes the token.
async fn join(config: &Config, dir: &StateDir) -> anyhow::Result<Identity> {
    let mut backoff = Backoff::default();
    loop {
        let joined = Identity::load_or_join(dir, &config.node, config.vtep, config.join.as_deref()).await;
        match joined {
            Err(e) if is_transient(&e) => {
                let delay = backoff.next_delay(rand::random());
                tracing::warn!(
                    error = format!("{e:#}"),
                    delay_ms = delay.as_millis() as u64,
                    "not joined, will retry"
                );
                #[expect(clippy::disallowed_methods, reason = "a back-off really sleeps")]
                tokio::time::sleep(delay).await;
            }
            other => return other,
        }
    }
}

/// Wide megaflows need prefixes tracked, in tables that do not depend on what is rendered. Tried until done, beside the
/// agent: enforcement does not wait for it.
async fn track_prefixes(ports: OvsPorts, local: Local) {
    let tables = pipeline::render(&NodeState::default(), &local, &pipeline::Ports::default()).prefix_tables;
    let mut pause = tokio::time::interval(Duration::from_secs(5));
    loop {
        pause.tick().await;
        match ports.track_prefixes(&tables).await {
            // Nothing more to do, but no task may end.
            Ok(()) => return std::future::pending().await,
            Err(e) => tracing::warn!(error = %e, "address prefixes not tracked, will retry"),
        }
    }
}

async fn reclaim(server: Arc<CniServer>, mut reclaimed: mpsc::Receiver<EndpointUid>) {
    while let Some(uid) = reclaimed.recv().await {
        let server = Arc::clone(&server);
        tokio::spawn(async move { server.reclaim(uid).await });
    }
}

async fn serve_metrics(listener: TcpListener, metrics: Arc<Metrics>, agent: AgentHandle, with_rules: bool) {
    telemetry::serve(listener, move || {
        let (metrics, agent) = (metrics.clone(), agent.clone());
        async move {
            let rules = if with_rules { rules::read(&agent).await } else { Vec::new() };
            // The agent ends: so does this process.
            let status = agent.status().await;
            status.map_or_else(|_| String::new(), |status| metrics.text(&status, &rules))
        }
    })
    .await;
}

async fn serve_status(socket: PathBuf, agent: AgentHandle) -> anyhow::Result<()> {
    let listener =
        cni_server::bind(&socket).with_context(|| format!("status socket {}", socket.display()))?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let status = agent.status().await?;
        // The asker may be gone.
        let _ = stream.write_all(&serde_json::to_vec_pretty(&status)?).await;
    }
}
