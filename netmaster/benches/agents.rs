//! One change until it is held everywhere, on a netmaster with a thousand agents; and what a large intent costs.
//!
//! netmaster runs in its own process on SQLite, as shipped; the agents are simulated (no switch) and speak to it over
//! loopback, each with its own TLS connection and certificate. Measured is the time from the request to the moment the
//! last agent has acknowledged, the bytes of fragments and keys that agents were sent, and netmaster's resident memory.
//! The baseline is what netmaster did before, in the same run: compile everything, send everything to everybody. Agents
//! share the machine with netmaster. Nothing is asserted about time; the run fails when an agent does not get there.
//!
//! `cargo bench -p netmaster --bench agents -- [--agents 1000] [--endpoints 100000] [--runs 5] [--json]`

#[path = "agents/cluster.rs"]
mod cluster;
#[path = "agents/crowd.rs"]
mod crowd;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};

use cluster::{Backend, Cluster, Shape};
use crowd::Crowd;

#[derive(Parser)]
struct Args {
    /// Agents, each a node.
    #[arg(long, default_value_t = 1000)]
    agents: usize,
    /// Endpoints of the large intent.
    #[arg(long, default_value_t = 100_000)]
    endpoints: usize,
    /// Runs of each change; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only the start with the large intent.
    #[arg(long)]
    only_start: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Handed over by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.runs > 0 && args.agents > 0, "--runs and --agents must be at least 1");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if !args.only_start {
        runtime.block_on(changes(&args))?;
    }
    for backend in [Backend::Sqlite, Backend::Etcd] {
        runtime.block_on(start_up(&args, backend))?;
    }
    Ok(())
}

fn say(json: bool, line: Value) {
    if json {
        println!("{line}");
        return;
    }
    let fields = line.as_object().into_iter().flatten().filter(|(k, _)| *k != "bench");
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let text: Vec<String> = fields.map(|(k, v)| format!("{k} {}", text(v))).collect();
    println!("{}", text.join(", "));
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// One endpoint and one policy, in a tenant that is on every node.
async fn changes(args: &Args) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let shape = Shape { nodes: args.agents, tenants: 100, endpoints_each: 100 };
    let cluster = Cluster::seed(dir.path(), shape, Backend::Sqlite).await?;
    let started = Instant::now();
    compile::compile(&cluster.view);
    let recompute = started.elapsed();
    let (netmaster, _) = cluster.start(dir.path()).await?;
    let idle = netmaster.resident()?;

    let mut crowd = Crowd::connect(&cluster, &netmaster, args.agents).await?;
    let started = Instant::now();
    crowd.open().await?;
    let all = crowd.reach(cluster.view.revision, started).await?;
    let baseline = json!({
        "recompute_ms": ms(recompute), "full_push_ms": ms(all.last), "bytes": all.bytes, "fragments": all.fragments,
    });
    let connected = netmaster.resident()?;
    say(
        args.json,
        json!({
            "bench": "agents", "case": "memory", "agents": args.agents, "endpoints": cluster.view.endpoints.len(),
            "rss_started_mib": idle, "rss_connected_mib": connected,
        }),
    );

    for (case, change) in [("endpoint", true), ("policy", false)] {
        let (mut last, mut bytes, mut fragments) = (Vec::new(), 0, 0);
        for run in 0..args.runs {
            let started = Instant::now();
            let revision = if change {
                crowd.attach(&format!("bench-{run}")).await?
            } else {
                cluster.change_policy(&netmaster, 1000 + u16::try_from(run)?).await?
            };
            let reached = crowd.reach(revision, started).await?;
            last.push(ms(reached.last));
            (bytes, fragments) = (reached.bytes, reached.fragments);
        }
        say(
            args.json,
            json!({
                "bench": "agents", "case": case, "agents": args.agents, "runs": args.runs, "everywhere_ms": median(last),
                "bytes": bytes, "bytes_per_agent": bytes / args.agents, "fragments": fragments,
                "baseline": "compile everything, send everything", "baseline_cost": baseline,
            }),
        );
    }
    let after = netmaster.resident()?;
    say(args.json, json!({ "bench": "agents", "case": "memory after changes", "rss_mib": after }));
    Ok(())
}

/// Resident memory of a netmaster that has nothing to do, in MiB.
async fn idle(backend: Backend) -> Result<u64> {
    let dir = tempfile::tempdir()?;
    let shape = Shape { nodes: 1, tenants: 0, endpoints_each: 0 };
    let cluster = Cluster::seed(dir.path(), shape, backend).await?;
    let (netmaster, _) = cluster.start(dir.path()).await?;
    netmaster.resident()
}

/// A large intent: from the start of the process to an agent that holds its span.
async fn start_up(args: &Args, backend: Backend) -> Result<()> {
    let idle = idle(backend).await?;
    let dir = tempfile::tempdir()?;
    let tenants = 100;
    let each = (args.endpoints / tenants).max(1);
    let shape = Shape { nodes: args.agents.min(1000), tenants, endpoints_each: each };
    let cluster = Cluster::seed(dir.path(), shape, backend).await.context("large intent")?;
    let started = Instant::now();
    compile::compile(&cluster.view);
    let recompute = started.elapsed();
    let (mut serving, mut synced, mut resident) = (Vec::new(), Vec::new(), 0);
    for _ in 0..args.runs {
        let started = Instant::now();
        let (netmaster, at) = cluster.start(dir.path()).await?;
        serving.push(ms(at));
        let mut crowd = Crowd::connect(&cluster, &netmaster, 1).await?;
        crowd.open().await?;
        let reached = crowd.reach(cluster.view.revision, started).await?;
        synced.push(ms(reached.last));
        resident = netmaster.resident()?;
    }
    say(
        args.json,
        json!({
            "bench": "agents", "case": "start-up", "store": format!("{backend:?}").to_lowercase(),
            "endpoints": cluster.view.endpoints.len(), "runs": args.runs,
            "serving_ms": median(serving), "first_agent_synced_ms": median(synced), "rss_mib": resident,
            "rss_idle_mib": idle, "rss_bytes_per_endpoint": ((resident - idle) << 20) / args.endpoints.max(1) as u64,
            "recompute_ms": ms(recompute), "database_mib": size_mib(&dir.path().join("netmaster.db")),
        }),
    );
    Ok(())
}

/// Of a store that is a file.
fn size_mib(file: &Path) -> Option<u64> {
    Some(std::fs::metadata(file).ok()?.len() >> 20)
}
