//! Cold install and no-op reconcile of N flows, beside what people use today, in the same run on the same switch.
//!
//! Ours is what the agent does when it meets a switch: connect, read the flows back, render the node's state, diff,
//! send one bundle and a barrier. The baselines are `ovs-ofctl --bundle add-flows` and `replace-flows` with a file of
//! the very same flows. Runs alternate, so that a busy moment hits both. Nothing is asserted about time; the run fails
//! when the switch does not end up with exactly the flows it was to have.
//!
//! `cargo bench -p netplugin --bench flows -- [--flows 10000,100000] [--runs 5] [--json]`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use node_state::{Endpoint, Fragment, Network, NetworkSubnet, Node, NodeState, Vrf};
use openflow::FlowFilter;
use openflow::driver::{Config, Connection};
use pipeline::{FlowSet, Installed, Local, Ports, diff, render};
use test_support::Ovs;
use types::{DefaultAction, EndpointUid, MacAddr, OfPort, Vni, VrfId};

const BRIDGE: &str = "br-bench";

#[derive(Parser)]
struct Args {
    /// Sizes, in flows.
    #[arg(long, value_delimiter = ',', default_value = "10000")]
    flows: Vec<usize>,
    /// Runs of each case; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Handed over by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Milliseconds of one case, ours and the baseline's.
#[derive(Default)]
struct Case {
    ours: Vec<f64>,
    baseline: Vec<f64>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.runs > 0, "--runs must be at least 1");
    let ovs = Ovs::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for &size in &args.flows {
        ovs.vsctl(&[
            "--may-exist",
            "add-br",
            BRIDGE,
            "--",
            "set",
            "bridge",
            BRIDGE,
            "datapath_type=netdev",
            "fail-mode=secure",
            "protocols=OpenFlow15",
        ])?;
        let scene = Scene::with_flows(size)?;
        let file = ovs.run_dir().join("bench.flows");
        let text: String = scene.render().to_flows().map(|flow| format!("{flow}\n")).collect();
        std::fs::write(&file, text)?;
        let (mut cold, mut no_op) = (Case::default(), Case::default());
        for _ in 0..args.runs {
            clear(&ovs)?;
            cold.ours.push(runtime.block_on(ours(&ovs, &scene))?);
            no_op.ours.push(runtime.block_on(ours(&ovs, &scene))?);
            clear(&ovs)?;
            cold.baseline.push(ofctl(&ovs, "add-flows", &file)?);
            no_op.baseline.push(ofctl(&ovs, "replace-flows", &file)?);
        }
        let flows = scene.render().len();
        report(args.json, "cold", flows, "ovs-ofctl --bundle add-flows", &cold);
        report(args.json, "no-op", flows, "ovs-ofctl --bundle replace-flows", &no_op);
    }
    Ok(())
}

/// A node with a few local endpoints and many remote ones.
struct Scene {
    state: NodeState,
    local: Local,
    ports: Ports,
}

impl Scene {
    /// The scene whose flows come closest to `size` from below.
    fn with_flows(size: usize) -> Result<Self> {
        let (one, two) = (Self::new(100)?.render().len(), Self::new(200)?.render().len());
        let per_endpoint = (two - one) / 100;
        let fixed = one - per_endpoint * 100;
        Self::new(size.saturating_sub(fixed).div_ceil(per_endpoint.max(1)))
    }

    fn new(endpoints: usize) -> Result<Self> {
        let (here, there) = ("node-1".parse()?, "node-2".parse()?);
        let (vrf, vni) = (VrfId::new(1)?, Vni::new(101)?);
        let vtep = |n: u8| IpAddr::from([192, 0, 2, n]);
        let nodes = std::collections::BTreeSet::from([here, there]);
        let [here, there]: [types::NodeName; 2] = ["node-1".parse()?, "node-2".parse()?];
        let gateway_v4 = IpAddr::from([10, 0, 0, 1]);
        let subnets = vec![
            NetworkSubnet { cidr: "10.0.0.0/8".parse()?, gateway: Some(gateway_v4) },
            NetworkSubnet { cidr: "fd00::/64".parse()?, gateway: Some("fd00::1".parse()?) },
        ];
        let mut state = NodeState::default();
        state.insert(Fragment::Node(Node { name: there.clone(), vtep: vtep(2) }));
        state.insert(Fragment::Vrf(Vrf {
            id: vrf,
            tenant: "bench".parse()?,
            default_action: DefaultAction::Allow,
            nodes: nodes.clone(),
        }));
        state.insert(Fragment::Network(Network { vni, vrf, name: "bench".parse()?, subnets, nodes }));
        let mut ports = Ports { tunnel: Some(OfPort::new(1000)?), ..Ports::default() };
        for n in 0..u32::try_from(endpoints)? {
            let uid = EndpointUid::new(u64::from(n) + 1)?;
            let v4 = Ipv4Addr::from(0x0a00_0100 + n);
            let v6 = Ipv6Addr::from((0xfd00_u128 << 112) + 0x200 + u128::from(n));
            let local = n < 10;
            if local {
                ports.endpoints.insert(uid, OfPort::new(u64::from(n) + 1)?);
            }
            state.insert(Fragment::Endpoint(Endpoint {
                uid,
                name: format!("e{n}").parse()?,
                vrf,
                vni,
                group: None,
                mac: MacAddr::from_u32(u32::from(v4)),
                addresses: vec![v4.into(), v6.into()],
                node: if local { here.clone() } else { there.clone() },
            }));
        }
        Ok(Self { state, local: Local { node: here, vtep: vtep(1) }, ports })
    }

    fn render(&self) -> FlowSet {
        render(&self.state, &self.local, &self.ports).flows
    }
}

/// What the agent does on meeting the switch, in milliseconds.
async fn ours(ovs: &Ovs, scene: &Scene) -> Result<f64> {
    let socket = ovs.run_dir().join(format!("{BRIDGE}.mgmt"));
    let start = Instant::now();
    let (connection, _events) = Connection::open(&socket, Config::default()).await?;
    let installed = dump(&connection).await?;
    let desired = scene.render();
    let plan = diff(&installed.flows, &desired);
    if !plan.is_empty() {
        let mods: Vec<_> = plan.flow_mods().collect();
        connection.bundle(&mods).await?;
        connection.barrier().await?;
    }
    let elapsed = start.elapsed();
    let after = dump(&connection).await?;
    ensure!(after.flows == desired, "the switch does not hold the flows it was given");
    Ok(elapsed.as_secs_f64() * 1e3)
}

async fn dump(connection: &Connection) -> Result<Installed> {
    let stats = connection.dump_flows(FlowFilter::all()).await?;
    Ok(Installed::from_dump(stats.into_iter().map(|s| s.flow)))
}

fn ofctl(ovs: &Ovs, verb: &str, file: &Path) -> Result<f64> {
    let file = file.to_str().context("the run directory's name is no text")?;
    let start = Instant::now();
    ovs.ofctl(&["-O", "OpenFlow15", "--bundle", verb, BRIDGE, file])?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Empties the bridge, and makes sure it is empty.
fn clear(ovs: &Ovs) -> Result<()> {
    ovs.ofctl(&["-O", "OpenFlow15", "del-flows", BRIDGE])?;
    let left = ovs.ofctl(&["-O", "OpenFlow15", "dump-flows", BRIDGE])?;
    if left.contains("actions=") { bail!("flows left after del-flows:\n{left}") } else { Ok(()) }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn report(json: bool, name: &str, flows: usize, baseline: &str, case: &Case) {
    let (ours, theirs) = (median(&case.ours), median(&case.baseline));
    let ratio = ours / theirs;
    if json {
        println!(
            r#"{{"bench":"flows","case":"{name}","flows":{flows},"runs":{},"ours_ms":{ours:.1},"baseline":"{baseline}","baseline_ms":{theirs:.1},"ratio":{ratio:.2}}}"#,
            case.ours.len()
        );
    } else {
        println!("{name:>6} {flows:>7} flows: {ours:8.1} ms; {baseline}: {theirs:.1} ms; ratio {ratio:.2}");
    }
}
