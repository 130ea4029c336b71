//! ADD and DEL on a node with few and with many endpoints, one at a time and thirty at once.
//!
//! The agent's parts as the program puts them together, on a private Open vSwitch; netmaster is in this process and
//! answers at once. A request is what the agent does for it, from the request read to the answer: interface, port, flows,
//! link up. The start of the plugin's process, which a runtime pays on top, is told beside it (`plugin_start_ms`).
//!
//! Beside it, in the same run on the same switch: what any plugin must do: a veth pair into the namespace with its address
//! and route, and one OVSDB transaction that ovs-vswitchd has acted on. Thirty at once have two baselines: thirty that each do
//! this, request by request, and one transaction for the veths of all thirty, which no plugin of one request can do. The
//! floor is the latter with what none of these has: the flows of all thirty in one bundle, and the node kept away from
//! their frames. What thirty requests take above it is the agent's own.
//! Each request finds a switch that has nothing else to do.
//! Endpoints are IPv4 only: with IPv6, ADD also waits for duplicate address detection (RFC 4862 section 5.4).
//!
//! `cargo bench -p netplugin --bench cni -- [--endpoints 0,100,500] [--runs 100] [--json]`

#[path = "cni/floor.rs"]
mod floor;
#[path = "cni/node.rs"]
mod node;
#[path = "common/report.rs"]
mod report;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use cni::{Reply, Verb};
use futures_util::future::try_join_all;
use netplugin::netlink::{InterfaceSpec, Interfaces, Veths, host_name};
use netplugin::ports::ovs::connect;
use nix::sched::{CloneFlags, setns};
use ovsdb::Database;
use ovsdb::driver::Client;
use ovsdb::operation::Transaction;
use ovsdb::vswitch::{
    BridgeSpec, BuildError, DatapathType, DeviceName, OpenFlowVersion, Owner, PortKind, PortSpec,
    delete_ports, ensure_bridge, ensure_ports,
};
use rtnetlink::LinkUnspec;
use serde_json::json;
use test_support::Ovs;
use types::{EndpointUid, HostCidr, MacAddr};

use floor::Flows;
use node::{GATEWAY, Node};
use report::{load, median, ms, percentile, say};

const AT_ONCE: usize = 30;
const PLAIN: &str = "br-plain";
const APPLY: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Args {
    /// Endpoints that are on the node.
    #[arg(long, value_delimiter = ',', default_value = "0,100,500")]
    endpoints: Vec<usize>,
    /// Requests of each kind.
    #[arg(long, default_value_t = 100)]
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
    ensure!(args.endpoints.is_sorted(), "--endpoints must ascend");
    let ovs = Ovs::start()?;
    let (crowd, one) = (test_support::Netns::new("svcrowd")?, test_support::Netns::new("svone")?);
    // Before there is any other thread: all of them are to be in the node's namespace.
    let namespace = std::fs::File::open(format!("/run/netns/{}", ovs.netns()))?;
    setns(namespace, CloneFlags::CLONE_NEWNET)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let place = |ns: &test_support::Netns| PathBuf::from("/run/netns").join(ns.name());
    runtime.block_on(measure(&args, &ovs, place(&crowd), place(&one)))
}

async fn measure(args: &Args, ovs: &Ovs, crowd: PathBuf, one: PathBuf) -> Result<()> {
    let state = tempfile::tempdir()?;
    let node = Node::start(ovs, state.path()).await?;
    let plain = Plain::start(ovs, false).await?;
    // The same bridge: what is on it costs the same.
    let floor = Floor { plain: Plain::start(ovs, true).await?, flows: Flows::of(AT_ONCE, ovs, PLAIN).await? };
    let start = plugin_start()?;
    let mut present = 0;
    for &endpoints in &args.endpoints {
        let more: Vec<String> = (present..endpoints).map(|n| format!("crowd{n}")).collect();
        for some in more.chunks(AT_ONCE) {
            at_once(&node, Verb::Add, some, &crowd).await?;
        }
        present = endpoints;
        let (mut add, mut del) = (Vec::new(), Vec::new());
        let (mut plain_add, mut plain_del) = (Vec::new(), Vec::new());
        node.steps().await?;
        for _ in 0..args.runs {
            settle(ovs)?;
            add.push(ask(&node, Verb::Add, "probe", "eth0", &one).await?);
            settle(ovs)?;
            del.push(ask(&node, Verb::Del, "probe", "eth0", &one).await?);
            settle(ovs)?;
            plain_add.push(plain.add(1, &one).await?);
            settle(ovs)?;
            plain_del.push(plain.del(1).await?);
        }
        let line = json!({
            "bench": "cni", "case": "one", "endpoints": endpoints, "runs": args.runs, "load": load()?,
            "add_ms": at(&add), "plain_add_ms": at(&plain_add), "del_ms": at(&del), "plain_del_ms": at(&plain_del),
            "add_above_plain_ms": above(&add, &plain_add), "del_above_plain_ms": above(&del, &plain_del),
            "step_mean_ms": node.steps().await?,
            "plugin_start_ms": start, "baseline": "bare veth and one OVSDB transaction",
        });
        say(args.json, &line);
        thirty(args, ovs, &node, (&plain, &floor), endpoints, &crowd).await?;
    }
    Ok(())
}

/// Waits until the switch has nothing to do. It looks at every port whenever a link changes, so a request right after
/// another one would pay for that one's.
fn settle(ovs: &Ovs) -> Result<()> {
    // Answered between two rounds of its main loop; the first may be under way.
    for _ in 0..3 {
        ovs.appctl(&["version"])?;
    }
    Ok(())
}

/// Thirty requests at once.
async fn thirty(
    args: &Args,
    ovs: &Ovs,
    node: &Node,
    (plain, floor): (&Plain, &Floor),
    endpoints: usize,
    crowd: &Path,
) -> Result<()> {
    let names: Vec<String> = (0..AT_ONCE).map(|n| format!("burst{n}")).collect();
    let (mut add, mut del, mut each_add, mut each_del) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut add_all, mut del_all, mut one_add, mut one_del) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut floor_add, mut floor_del) = (Vec::new(), Vec::new());
    let rounds = args.runs.div_ceil(AT_ONCE);
    node.steps().await?;
    for _ in 0..rounds {
        settle(ovs)?;
        let (each, all) = timed(at_once(node, Verb::Add, &names, crowd)).await?;
        add.extend(each);
        add_all.push(all);
        settle(ovs)?;
        let (each, all) = timed(at_once(node, Verb::Del, &names, crowd)).await?;
        del.extend(each);
        del_all.push(all);
        settle(ovs)?;
        each_add.extend(try_join_all((0..AT_ONCE).map(|n| plain.add_one(n, crowd))).await?);
        settle(ovs)?;
        each_del.extend(try_join_all((0..AT_ONCE).map(|n| plain.del_one(n))).await?);
        settle(ovs)?;
        one_add.push(plain.add(AT_ONCE, crowd).await?);
        settle(ovs)?;
        one_del.push(plain.del(AT_ONCE).await?);
        settle(ovs)?;
        floor_add.push(timed(floor.add(crowd)).await?.1);
        settle(ovs)?;
        floor_del.push(timed(floor.del()).await?.1);
    }
    let line = json!({
        "bench": "cni", "case": "thirty at once", "endpoints": endpoints, "runs": rounds, "load": load()?,
        "add_ms": at(&add), "plain_add_ms": at(&each_add), "add_above_plain_ms": above(&add, &each_add),
        "del_ms": at(&del), "plain_del_ms": at(&each_del), "del_above_plain_ms": above(&del, &each_del),
        "all_added_ms": median(&add_all), "one_transaction_all_added_ms": median(&one_add),
        "floor_all_added_ms": median(&floor_add), "floor_flows": floor.flows.len(),
        "all_deleted_ms": median(&del_all), "one_transaction_all_deleted_ms": median(&one_del),
        "floor_all_deleted_ms": median(&floor_del),
        "step_mean_ms": node.steps().await?,
        "baseline": "thirty times a bare veth and an OVSDB transaction; thirty bare veths and one OVSDB transaction",
    });
    say(args.json, &line);
    Ok(())
}

async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<(T, f64)> {
    let start = Instant::now();
    let done = work.await?;
    Ok((done, ms(start.elapsed())))
}

fn at(of: &[f64]) -> serde_json::Value {
    json!({ "p50": percentile(of, 50), "p99": percentile(of, 99) })
}

/// How far percentiles lie above those of the baseline.
fn above(of: &[f64], plain: &[f64]) -> serde_json::Value {
    let at = |p| ((percentile(of, p) - percentile(plain, p)) * 10.0).round() / 10.0;
    json!({ "p50": at(50), "p99": at(99) })
}

/// One request; milliseconds to its answer.
async fn ask(node: &Node, verb: Verb, name: &str, ifname: &str, netns: &Path) -> Result<f64> {
    let request = node::request(verb, name, ifname, netns)?;
    let start = Instant::now();
    let reply = node.server.answer(request).await;
    let elapsed = ms(start.elapsed());
    ensure!(matches!(reply, Reply::Added(_) | Reply::Done), "{verb:?} {name}: {reply:?}");
    Ok(elapsed)
}

async fn at_once(node: &Node, verb: Verb, names: &[String], netns: &Path) -> Result<Vec<f64>> {
    try_join_all(names.iter().map(|name| ask(node, verb, name, name, netns))).await
}

/// What any plugin must do.
struct Plain {
    veths: Arc<Veths>,
    links: rtnetlink::Handle,
    client: Client,
    bridge: DeviceName,
    owner: Owner,
}

impl Plain {
    /// `apart`: the node is kept away from the frames, as on the userspace datapath.
    async fn start(ovs: &Ovs, apart: bool) -> Result<Self> {
        let (bridge, owner) = (DeviceName::new(PLAIN)?, Owner::new("owner", "bench"));
        let client = connect(&ovs.db_sock());
        let deadline = tokio::time::Instant::now() + APPLY;
        client.wait_synced(deadline).await?;
        let spec = BridgeSpec::new(bridge.clone(), DatapathType::Netdev, [OpenFlowVersion::OpenFlow15]);
        client.apply(&ensure_bridge(&client.cache(), &owner, &spec)?, deadline).await?;
        let (connection, links, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Self { veths: Arc::new(Veths::new(apart)?), links, client, bridge, owner })
    }

    /// Milliseconds until all of them work, with one transaction.
    async fn add(&self, count: usize, netns: &Path) -> Result<f64> {
        let start = Instant::now();
        try_join_all((0..count).map(|n| self.veth(n, count, netns))).await?;
        self.plug(0..count).await?;
        Ok(ms(start.elapsed()))
    }

    /// Milliseconds until one of thirty works, with its own transaction.
    async fn add_one(&self, n: usize, netns: &Path) -> Result<f64> {
        let start = Instant::now();
        self.veth(n, AT_ONCE, netns).await?;
        self.plug(n..n + 1).await?;
        Ok(ms(start.elapsed()))
    }

    async fn plug(&self, which: Range<usize>) -> Result<()> {
        let ports = which.map(|n| Ok(PortSpec::new(device(n)?, PortKind::System, None)));
        let ports = ports.collect::<Result<Vec<_>>>()?;
        self.apply(|db| ensure_ports(db, &self.owner, &self.bridge, &ports)).await
    }

    async fn unplug(&self, which: Range<usize>) -> Result<()> {
        let names = which.map(device).collect::<Result<BTreeSet<_>>>()?;
        self.apply(|db| delete_ports(db, &self.owner, &self.bridge, &names)).await
    }

    /// Again when somebody else's transaction was first.
    async fn apply(&self, build: impl Fn(&Database) -> Result<Transaction, BuildError>) -> Result<()> {
        let deadline = tokio::time::Instant::now() + APPLY;
        loop {
            let transaction = build(&self.client.cache())?;
            match self.client.apply(&transaction, deadline).await {
                Err(e) if e.is_transient() && tokio::time::Instant::now() < deadline => {}
                other => return other.map(drop).map_err(Into::into),
            }
        }
    }

    async fn veth(&self, n: usize, count: usize, netns: &Path) -> Result<()> {
        let alone = count == 1;
        let spec = InterfaceSpec {
            uid: plain_uid(n)?,
            netns: netns.to_owned(),
            ifname: if alone { "eth0".into() } else { format!("plain{n}") },
            mac: MacAddr::from_u32(0x0b00_0000 + u32::try_from(n)?),
            mtu: 1450,
            addresses: vec![HostCidr::new([10, 200, 0, u8::try_from(n)? + 1].into(), 8)?],
            gateways: if alone { vec![GATEWAY] } else { Vec::new() },
        };
        self.veths.create(&spec).await?;
        Ok(self.veths.set_up(&spec).await?)
    }

    async fn del(&self, count: usize) -> Result<f64> {
        let start = Instant::now();
        self.unplug(0..count).await?;
        try_join_all((0..count).map(|n| self.delete(n))).await?;
        Ok(ms(start.elapsed()))
    }

    async fn del_one(&self, n: usize) -> Result<f64> {
        let start = Instant::now();
        self.unplug(n..n + 1).await?;
        self.delete(n).await?;
        Ok(ms(start.elapsed()))
    }

    /// As a plugin of one request does it: the agent deletes together what goes at once.
    async fn delete(&self, n: usize) -> Result<()> {
        let name = LinkUnspec::new_with_name(&host_name(plain_uid(n)?)).build();
        Ok(self.links.link().del_with_message(name).execute().await?)
    }
}

/// What thirty endpoints take when nobody thinks about them.
struct Floor {
    plain: Plain,
    flows: Flows,
}

impl Floor {
    /// The flows before the links: beside them the switch takes longer for both.
    async fn add(&self, netns: &Path) -> Result<()> {
        self.flows.add().await?;
        self.plain.add(AT_ONCE, netns).await.map(drop)
    }

    async fn del(&self) -> Result<()> {
        self.flows.del().await?;
        self.plain.unplug(0..AT_ONCE).await?;
        try_join_all((0..AT_ONCE).map(|n| async move { Ok(self.plain.veths.delete(plain_uid(n)?).await?) }))
            .await
            .map(drop)
    }
}

fn device(n: usize) -> Result<DeviceName> {
    Ok(DeviceName::new(host_name(plain_uid(n)?))?)
}

fn plain_uid(n: usize) -> Result<EndpointUid> {
    Ok(EndpointUid::new(0xb0_0000 + u64::try_from(n)?)?)
}

/// Median of the milliseconds a plugin takes that does nothing.
fn plugin_start() -> Result<f64> {
    let once = |_| -> Result<f64> {
        let start = Instant::now();
        let mut plugin = Command::new(env!("CARGO_BIN_EXE_selvage-cni"));
        let done =
            plugin.env("CNI_COMMAND", "VERSION").stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        ensure!(done.success(), "selvage-cni VERSION: {done}");
        Ok(ms(start.elapsed()))
    };
    Ok(median(&(0..20).map(once).collect::<Result<Vec<_>>>()?))
}
