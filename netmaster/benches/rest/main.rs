//! Objects made per second over REST, beside what the stores themselves can do, in the same run on the same machine.
//!
//! A whole netmaster (HTTPS, authentication, validation, one durable transaction per request, answer after this replica
//! shows it) over SQLite and over one etcd, both with fsync. The baseline is the store alone: transactions of the same
//! shape by plain `sqlx` and plain `etcd-client`. Contiv's figures are those published for its netmaster (one client,
//! plain HTTP, state in etcd). Nothing is asserted about time; the run fails when an object is refused or missing.
//!
//! `cargo bench -p netmaster --bench rest -- [--objects 1000] [--clients 1,32] [--stores sqlite,etcd] [--json]`

mod raw;
mod rest;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use netmaster::{Config, EtcdAccess, Retention, StoreConfig};
use rest::{Client, Noun};
use test_support::Etcd;

#[derive(Parser)]
struct Args {
    /// Objects of each kind and number of clients.
    #[arg(long, default_value_t = 1000)]
    objects: usize,
    /// How many ask at once.
    #[arg(long, value_delimiter = ',', default_value = "1,32")]
    clients: Vec<usize>,
    /// Which stores.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sqlite,etcd")]
    stores: Vec<StoreKind>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Handed over by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StoreKind {
    Sqlite,
    Etcd,
}

/// What was measured of one kind of request.
struct Rate {
    per_second: f64,
    /// Milliseconds.
    median: f64,
    p99: f64,
}

impl Rate {
    fn of(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        let at = |share: usize| latencies.get(latencies.len() * share / 100).copied().unwrap_or_default();
        let per_second = latencies.len() as f64 / elapsed.as_secs_f64();
        Self { per_second, median: at(50).as_secs_f64() * 1e3, p99: at(99).as_secs_f64() * 1e3 }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.objects > 0 && args.clients.iter().all(|c| *c > 0), "nothing to measure");
    // The target directory: a disk, where /tmp may be memory.
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for store in &args.stores {
        for clients in &args.clients {
            let dir = tempfile::tempdir_in(base)?;
            // One after the other: neither etcd disturbs the other's disk.
            let raw = raw::rate(*store, dir.path(), *clients, args.objects).await?;
            report(&args, *store, *clients, "transaction of the store alone", &raw, None);
            measured(&args, *store, *clients, dir.path(), &raw).await?;
        }
    }
    Ok(())
}

/// Makes objects of every kind on a new netmaster.
async fn measured(args: &Args, kind: StoreKind, clients: usize, dir: &Path, raw: &Rate) -> Result<()> {
    let etcd = match kind {
        StoreKind::Sqlite => None,
        StoreKind::Etcd => Some(Etcd::start_durable()?),
    };
    let store = match &etcd {
        None => StoreConfig::Sqlite,
        Some(etcd) => StoreConfig::Etcd(EtcdAccess::plain(vec![etcd.url().to_owned()], "bench".parse()?)),
    };
    let data_dir = dir.join("netmaster");
    std::fs::create_dir(&data_dir)?;
    rest::register_node(&store, &data_dir).await?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let config = Config {
        data_dir: data_dir.clone(),
        store,
        limits: None,
        listen: ([127, 0, 0, 1], 0).into(),
        node_listen: ([127, 0, 0, 1], 0).into(),
        metrics_listen: telemetry::Listen::Off,
        names: Vec::new(),
        cooling: Duration::from_secs(60),
        audit_every: None,
        retention: Retention::default(),
        endpoints_per_node: netmaster::app::Quota::default(),
    };
    let running = tokio::spawn(netmaster::run(config, async { drop(stopped.await) }));
    let server = rest::Server::reached(&data_dir).await?;
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Client::connect(&server).await?);
    }
    for noun in Noun::ALL {
        let mut first = Client::connect(&server).await?;
        noun.prepare(&mut first).await?;
        let rate = rest::create_many(&mut connections, noun, args.objects).await?;
        let made = first.count(noun).await?;
        ensure!(made == args.objects, "{made} {} of {}", noun.name(), args.objects);
        report(args, kind, clients, noun.name(), &rate, Some((noun, raw)));
    }
    drop(connections);
    ensure!(stop.send(()).is_ok(), "netmaster ended early");
    running.await.context("netmaster")?
}

fn report(
    args: &Args,
    store: StoreKind,
    clients: usize,
    what: &str,
    rate: &Rate,
    beside: Option<(Noun, &Rate)>,
) {
    let store = match store {
        StoreKind::Sqlite => "sqlite",
        StoreKind::Etcd => "etcd",
    };
    let Rate { per_second, median, p99 } = rate;
    let objects = args.objects;
    let (raw, contiv) = match beside {
        Some((noun, raw)) => (raw.per_second, noun.contiv_per_second()),
        None => (*per_second, 0.0),
    };
    if args.json {
        println!(
            r#"{{"bench":"rest","store":"{store}","clients":{clients},"case":"{what}","objects":{objects},"per_second":{per_second:.0},"median_ms":{median:.2},"p99_ms":{p99:.2},"store_per_second":{raw:.0},"contiv_per_second":{contiv:.0}}}"#
        );
        return;
    }
    let compared = match beside {
        Some(_) => format!("; {:.2} of the store alone; Contiv {contiv:.0}/s", per_second / raw),
        None => String::new(),
    };
    println!(
        "{store:>6} {clients:>3} clients {what:>30}: {per_second:7.0}/s, median {median:6.2} ms, p99 {p99:6.2} ms{compared}"
    );
}
