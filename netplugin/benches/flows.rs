//! N flows into a switch, read back and compared, and one endpoint more: beside `ovs-ofctl`, in the same run on the same
//! switch.
//!
//! * `cold`: what the agent does when it meets an empty switch: connect, render the node's state, read the flows back and
//!   compare them one by one, send one bundle and a barrier. Beside `ovs-ofctl --bundle add-flows` of a file of the very same flows.
//! * `no-op`: the same on a switch that holds them. Beside `ovs-ofctl --bundle replace-flows`, which compares too.
//! * `one-change`: one more remote endpoint for a running agent: render what it touches, one bundle, a barrier. Beside
//!   `replace-flows` of all flows, for who does not know what changed, and `add-flows` of only the new ones, for who does.
//!
//! `ovs-ofctl` is handed its file; we render. Runs alternate, so that a busy moment hits both. Nothing is asserted about
//! time; the run fails when the switch does not end up with exactly the flows it was to have, or when a no-op is none.
//!
//! `cargo bench -p netplugin --bench flows -- [--flows 1000,10000,100000] [--runs 5] [--json]`

#[path = "common/report.rs"]
mod report;
#[path = "common/scene.rs"]
mod scene;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use node_state::FragmentKey;
use openflow::FlowFilter;
use openflow::driver::{Config, Connection};
use pipeline::{Comparison, FlowPlan, FlowSet, Renderer};
use serde_json::json;
use test_support::Ovs;

use report::{load, median, ms, say};
use scene::Scene;

const BRIDGE: &str = "br-bench";

#[derive(Parser)]
struct Args {
    /// Sizes, in flows.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000")]
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

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.runs > 0, "--runs must be at least 1");
    let ovs = Ovs::start()?;
    let bridge = ["datapath_type=netdev", "fail-mode=secure", "protocols=OpenFlow15"];
    ovs.vsctl(&[&["add-br", BRIDGE, "--", "set", "bridge", BRIDGE], &bridge[..]].concat())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for &size in &args.flows {
        let scene = Scene::with_flows(size)?;
        meeting(&args, &ovs, &runtime, &scene)?;
        runtime.block_on(one_change(&args, &ovs, scene))?;
    }
    Ok(())
}

/// Where the time went.
#[derive(Default)]
struct Steps {
    total: Vec<f64>,
    render: Vec<f64>,
    compare: Vec<f64>,
    send: Vec<f64>,
}

/// `cold` and `no-op`.
fn meeting(args: &Args, ovs: &Ovs, runtime: &tokio::runtime::Runtime, scene: &Scene) -> Result<()> {
    let desired = scene.render();
    let file = write_flows(ovs, "all.flows", &desired)?;
    let (mut cold, mut no_op) = (Steps::default(), Steps::default());
    let (mut add, mut replace) = (Vec::new(), Vec::new());
    for _ in 0..args.runs {
        clear(ovs)?;
        let sent = runtime.block_on(meet(ovs, scene, &mut cold))?;
        ensure!(sent == desired.len(), "an empty switch was sent {sent} of {} flows", desired.len());
        let sent = runtime.block_on(meet(ovs, scene, &mut no_op))?;
        ensure!(sent == 0, "{sent} flow mods although nothing had changed");
        runtime.block_on(holds(ovs, &desired))?;
        clear(ovs)?;
        add.push(ofctl(ovs, "add-flows", &file)?);
        replace.push(ofctl(ovs, "replace-flows", &file)?);
    }
    print(args, "cold", desired.len(), &cold, ("add-flows", &add))?;
    print(args, "no-op", desired.len(), &no_op, ("replace-flows", &replace))
}

fn print(args: &Args, case: &str, flows: usize, ours: &Steps, baseline: (&str, &[f64])) -> Result<()> {
    let line = json!({
        "bench": "flows", "case": case, "flows": flows, "runs": args.runs, "load": load()?,
        "ours_ms": median(&ours.total), "render_ms": median(&ours.render),
        "read_back_and_compare_ms": median(&ours.compare), "send_ms": median(&ours.send),
        "baseline": format!("ovs-ofctl --bundle {}", baseline.0), "baseline_ms": median(baseline.1),
    });
    say(args.json, &line);
    Ok(())
}

/// What the agent does on meeting the switch; how many flow mods it sent.
async fn meet(ovs: &Ovs, scene: &Scene, steps: &mut Steps) -> Result<usize> {
    let start = Instant::now();
    let connection = connect(ovs).await?;
    let connected = start.elapsed();
    let mut renderer = Renderer::new(scene.local.clone());
    renderer.update(&scene.state, &keys(scene), &scene.ports);
    let rendered = start.elapsed();
    let plan = compare(&connection, renderer.flows()).await?;
    let compared = start.elapsed();
    send(&connection, &plan).await?;
    let sent = start.elapsed();
    steps.total.push(ms(sent));
    steps.render.push(ms(rendered - connected));
    steps.compare.push(ms(compared - rendered));
    steps.send.push(ms(sent - compared));
    Ok(plan.len())
}

/// `one-change`. What it added is taken out again each time, so that all runs are alike.
async fn one_change(args: &Args, ovs: &Ovs, mut scene: Scene) -> Result<()> {
    let connection = connect(ovs).await?;
    let mut renderer = Renderer::new(scene.local.clone());
    renderer.update(&scene.state, &keys(&scene), &scene.ports);
    send(&connection, &compare(&connection, renderer.flows()).await?).await?;
    let more = scene::endpoint(u32::try_from(scene.state.endpoints().count())?)?;
    let changed = BTreeSet::from([more.key()]);
    let (mut ours, mut render) = (Vec::new(), Vec::new());
    let (mut add, mut replace) = (Vec::new(), Vec::new());
    let mut flow_mods = 0;
    for _ in 0..args.runs {
        scene.state.insert(more.clone());
        let start = Instant::now();
        let plan = renderer.update(&scene.state, &changed, &scene.ports);
        let rendered = start.elapsed();
        send(&connection, &plan).await?;
        ours.push(ms(start.elapsed()));
        render.push(ms(rendered));
        flow_mods = plan.len();
        holds(ovs, renderer.flows()).await?;
        let all = write_flows(ovs, "all.flows", renderer.flows())?;
        let new = write_flows(ovs, "new.flows", &written(&plan))?;

        scene.state.remove(&more.key());
        let back = renderer.update(&scene.state, &changed, &scene.ports);
        send(&connection, &back).await?;
        add.push(ofctl(ovs, "add-flows", &new)?);
        send(&connection, &back).await?;
        replace.push(ofctl(ovs, "replace-flows", &all)?);
        send(&connection, &back).await?;
    }
    holds(ovs, renderer.flows()).await?;
    let line = json!({
        "bench": "flows", "case": "one-change", "flows": renderer.flows().len(), "flow_mods": flow_mods,
        "runs": args.runs, "load": load()?, "ours_ms": median(&ours), "render_ms": median(&render),
        "baseline": "ovs-ofctl --bundle replace-flows", "baseline_ms": median(&replace),
        "baseline_known": "ovs-ofctl --bundle add-flows of the new flows", "baseline_known_ms": median(&add),
    });
    say(args.json, &line);
    Ok(())
}

fn keys(scene: &Scene) -> BTreeSet<FragmentKey> {
    scene.state.fragments().map(|(key, _)| key.clone()).collect()
}

/// The flows a plan writes.
fn written(plan: &FlowPlan) -> FlowSet {
    let mut flows = FlowSet::new();
    plan.apply(&mut flows);
    flows
}

async fn connect(ovs: &Ovs) -> Result<Connection> {
    let socket = ovs.run_dir().join(format!("{BRIDGE}.mgmt"));
    // Nobody listens to its events: without a flow monitor there are next to none.
    let (connection, _events) = Connection::open(&socket, Config::default()).await?;
    Ok(connection)
}

/// Reads the switch's flows back, and compares them one by one.
async fn compare(connection: &Connection, desired: &FlowSet) -> Result<FlowPlan> {
    let mut comparison = Comparison::new(desired);
    connection.dump_flows_each(FlowFilter::all(), |stats| comparison.see(stats.flow)).await?;
    let found = comparison.finish();
    ensure!(found.foreign == 0, "{} flows that are not ours", found.foreign);
    Ok(found.plan)
}

async fn send(connection: &Connection, plan: &FlowPlan) -> Result<()> {
    if !plan.is_empty() {
        connection.bundle_each(plan.len(), || plan.flow_mods(), || {}).await?;
        connection.barrier().await?;
    }
    Ok(())
}

async fn holds(ovs: &Ovs, desired: &FlowSet) -> Result<()> {
    let plan = compare(&connect(ovs).await?, desired).await?;
    ensure!(plan.is_empty(), "the switch does not hold the flows it was given");
    Ok(())
}

fn write_flows(ovs: &Ovs, name: &str, flows: &FlowSet) -> Result<PathBuf> {
    let file = ovs.run_dir().join(name);
    let text: String = flows.to_flows().map(|flow| format!("{flow}\n")).collect();
    std::fs::write(&file, text)?;
    Ok(file)
}

fn ofctl(ovs: &Ovs, verb: &str, file: &Path) -> Result<f64> {
    let file = file.to_str().context("the run directory's name is no text")?;
    let start = Instant::now();
    ovs.ofctl(&["-O", "OpenFlow15", "--bundle", verb, BRIDGE, file])?;
    Ok(ms(start.elapsed()))
}

/// Empties the bridge, and makes sure it is empty.
fn clear(ovs: &Ovs) -> Result<()> {
    ovs.ofctl(&["-O", "OpenFlow15", "del-flows", BRIDGE])?;
    let left = ovs.ofctl(&["-O", "OpenFlow15", "dump-flows", BRIDGE])?;
    if left.contains("actions=") { bail!("flows left after del-flows:\n{left}") } else { Ok(()) }
}
