//! Endpoints attached and detached in random order, many at a time, while whatever serves them is killed at random.
//!
//! The order of everything comes from one seed and the number of endpoints, both printed; `SELVAGE_SEED` and
//! `SELVAGE_ENDPOINTS` repeat it. What runs at the same time is not repeated: that is the machine's.

mod container;
mod killer;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use test_support::{Daemon, wait_for_blocking};

use self::container::Container;
use self::killer::Killer;
use super::snapshot::{LAYERS, Layer, Snapshot, claim_cooling_is_listed};
use crate::lab::{Lab, MARK_VARIABLE, run as lab_run};
use crate::suite::{Context, Extent, claim, claim_none};
use crate::suites::agent::wait_until_current;
use crate::suites::runtime::list;

/// How many endpoints, asked for by name.
const ENDPOINTS: usize = 200;
/// How many CI has time for.
const SOME: usize = 60;
/// As many as show a defect: with one switched on, nobody waits for all.
const FEW: usize = 24;
/// Containers started and stopped at the same time.
const WORKERS: usize = 8;
/// What was begun before the last kill is carried out within this time: journals, deletions told later.
const PATIENCE: Duration = Duration::from_secs(30);
/// With a defect switched on nobody waits that long: housekeeping has had its turn, and what is left then stays.
const LESS: Duration = Duration::from_secs(6);
/// Connections that nobody closes.
const HELD: usize = 4;
/// Networks (tenant, network, group) in turn.
const HOMES: [(&str, &str, Option<&str>); 6] = [
    ("blue", "front", Some("web")),
    ("green", "back", Some("db")),
    ("blue", "back", None),
    ("green", "front", Some("web")),
    ("blue", "back", Some("db")),
    ("green", "back", None),
];

/// Which way the number of attached endpoints goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tide {
    /// Until all are attached.
    Rising,
    /// Until none is.
    Falling,
}

pub(super) fn run(context: &mut Context) -> Result<()> {
    let count = match context.extent {
        _ if context.lab.failpoints().any() => FEW,
        Extent::Short => SOME,
        Extent::Full => ENDPOINTS,
    };
    let count = number("SELVAGE_ENDPOINTS")?.unwrap_or(count);
    let seed = number("SELVAGE_SEED")?.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let again = format!("SELVAGE_SEED={seed} SELVAGE_ENDPOINTS={count}");
    eprintln!("      {again} repeats this order");
    whole(context, seed, count).context(again)
}

/// A number of the environment.
fn number<T: FromStr>(variable: &str) -> Result<Option<T>> {
    let Ok(text) = std::env::var(variable) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| anyhow::anyhow!("{variable}={text} is no number"))
}

fn whole(context: &mut Context, seed: u64, count: usize) -> Result<()> {
    let lab = &mut context.lab;
    let before = Snapshot::take(lab)?;
    let switches = switches(lab)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut containers = containers(lab, count);
    containers.shuffle(&mut rng);
    storm(lab, &mut containers, Tide::Rising, &mut rng)?;
    settle(lab)?;
    claim_switches_live(lab, &switches)?;
    claim_attached(lab, &containers)?;
    claim_reachable(&containers, &mut rng)?;
    let held = hold_connections(lab, &containers)?;
    blind(&Snapshot::take(lab)?, &before)?;
    storm(lab, &mut containers, Tide::Falling, &mut rng)?;
    settle(lab)?;
    claim_switches_live(lab, &switches)?;
    claim_cooling_is_listed(lab)?;
    let patience = if lab.failpoints().any() { LESS } else { PATIENCE };
    before.claim_restored(lab, patience)?;
    drop(held);
    Ok(())
}

fn containers(lab: &Lab, count: usize) -> Vec<Container> {
    let make = |n: usize| {
        let node = &lab.nodes[n % lab.nodes.len()];
        Container::new(lab, node, n, HOMES[n / lab.nodes.len() % HOMES.len()])
    };
    (0..count).map(make).collect()
}

/// All workers at once, each with its part of the containers, and the killer among them.
fn storm(lab: &mut Lab, containers: &mut [Container], tide: Tide, rng: &mut StdRng) -> Result<()> {
    let done = AtomicUsize::new(0);
    let share = containers.len().div_ceil(WORKERS);
    let killer = Killer::new(rng.random(), lab.nodes.len());
    let seeds: Vec<u64> = (0..WORKERS).map(|_| rng.random()).collect();
    let killed = std::thread::scope(|scope| {
        let work = |(part, seed): (_, &u64)| {
            let (done, rng) = (&done, StdRng::seed_from_u64(*seed));
            scope.spawn(move || live(part, tide, rng, done))
        };
        let workers: Vec<_> = containers.chunks_mut(share).zip(&seeds).map(work).collect();
        let killed =
            killer.run(lab, &done, || workers.iter().all(std::thread::ScopedJoinHandle::is_finished));
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        killed
    })?;
    let failed: usize = containers.iter().map(Container::failures).sum();
    let total = done.load(Ordering::Relaxed);
    eprintln!("      {tide:?}: {total} requests served, {failed} ADD failed so far; killed {killed}");
    Ok(())
}

/// One worker: mostly with the tide, at times against it.
fn live(containers: &mut [Container], tide: Tide, mut rng: StdRng, done: &AtomicUsize) -> Result<()> {
    let mut against = containers.len() / 4;
    loop {
        let (attached, detached): (Vec<usize>, Vec<usize>) =
            (0..containers.len()).partition(|n| containers[*n].is_attached());
        let (with, other) = if tide == Tide::Rising { (detached, attached) } else { (attached, detached) };
        let turn = against > 0 && !other.is_empty() && rng.random_ratio(1, 4);
        let Some(chosen) = (if turn { &other } else { &with }).choose(&mut rng) else { return Ok(()) };
        against -= usize::from(turn);
        let container = &mut containers[*chosen];
        if container.is_attached() {
            container.stop()?
        } else {
            container.start()?
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Everybody who was killed is back and knows what there is to know.
fn settle(lab: &mut Lab) -> Result<()> {
    let binaries = lab.binaries().clone();
    lab.master.wait_until_serving()?;
    for node in &mut lab.nodes {
        wait_until_current(&binaries, node)?;
    }
    Ok(())
}

/// Process ids of the nodes' ovs-vswitchd, which nobody kills here.
fn switches(lab: &Lab) -> Result<Vec<String>> {
    lab.nodes.iter().map(|n| Ok(std::fs::read_to_string(n.pid_file("ovs-vswitchd"))?)).collect()
}

/// One that has crashed was started again by its monitor, and what it forgot would look like our work.
fn claim_switches_live(lab: &Lab, before: &[String]) -> Result<()> {
    let now = switches(lab)?;
    let crashed = lab.nodes.iter().zip(before.iter().zip(&now)).filter(|(_, (before, now))| before != now);
    let crashed: Vec<_> = crashed.map(|(node, _)| format!("that of {} has crashed", node.name)).collect();
    claim_none("switches-live", &crashed)
}

/// Exactly the attached endpoints are stored, and no address twice in a tenant.
fn claim_attached(lab: &Lab, containers: &[Container]) -> Result<()> {
    let mut wrong = Vec::new();
    for tenant in ["blue", "green"] {
        let demo =
            lab.endpoints.values().filter(|e| e.wanted.tenant == tenant).map(|e| e.wanted.name.clone());
        let of_tenant = containers.iter().filter(|c| c.tenant() == tenant && c.is_attached());
        let expected: BTreeSet<String> = of_tenant.filter_map(Container::endpoint).chain(demo).collect();
        let stored = list(lab, "endpoint", tenant)?;
        let names: BTreeSet<String> =
            stored.iter().filter_map(|e| e["name"].as_str().map(str::to_owned)).collect();
        wrong.extend(names.difference(&expected).map(|n| format!("{tenant}/{n} is stored, not attached")));
        wrong.extend(expected.difference(&names).map(|n| format!("{tenant}/{n} is attached, not stored")));
        let mut seen = BTreeMap::new();
        for endpoint in &stored {
            for address in endpoint["status"]["addresses"].as_array().into_iter().flatten() {
                let other = seen.insert(address.to_string(), endpoint["name"].clone());
                wrong.extend(other.map(|o| format!("{address} is of {o} and {}", endpoint["name"])));
            }
        }
    }
    claim_none("stored-are-exactly-the-attached", &wrong)
}

/// Every one reaches its gateways and somebody of its network, wherever that one is.
fn claim_reachable(containers: &[Container], rng: &mut StdRng) -> Result<()> {
    let mut questions = Vec::new();
    for container in containers {
        let Some(attached) = container.attached() else { continue };
        let peers: Vec<&Container> = containers.iter().filter(|c| c.home() == container.home()).collect();
        let peer = peers.choose(rng).and_then(|p| p.attached()).map(|p| p.addresses.clone());
        let targets: Vec<IpAddr> =
            attached.gateways.iter().copied().chain(peer.unwrap_or_default()).collect();
        questions.push((attached.netns.clone(), targets));
    }
    let silent = std::thread::scope(|scope| {
        let ask = |part: &[(String, Vec<IpAddr>)]| {
            let part = part.to_vec();
            scope.spawn(move || part.iter().flat_map(|(netns, to)| unanswered(netns, to)).collect::<Vec<_>>())
        };
        let threads: Vec<_> = questions.chunks(questions.len().div_ceil(WORKERS).max(1)).map(ask).collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap_or_else(|_| vec!["a thread panicked".into()]))
            .collect()
    });
    let silent: Vec<String> = silent;
    claim_none("attached-endpoints-are-reachable", &silent)
}

fn unanswered(netns: &str, targets: &[IpAddr]) -> Vec<String> {
    let answers = |target: &IpAddr| {
        let line = format!("ping -n -q -c1 -W1 {target}");
        // A packet may be lost on a busy machine, and the first to a node is while its neighbour is looked for.
        (0..4).any(|_| lab_run::output(&mut lab_run::words_in(netns, &line)).is_ok())
    };
    targets.iter().filter(|t| !answers(t)).map(|t| format!("{netns} does not reach {t}")).collect()
}

/// Some containers open a TCP connection each and never close it: a switch would remember that for a day. Their
/// namespaces live as long as these processes.
fn hold_connections(lab: &Lab, containers: &[Container]) -> Result<Vec<Daemon>> {
    let blue = containers.iter().filter(|c| c.tenant() == "blue").filter_map(Container::attached);
    let server = crate::suites::traffic::address_of(lab, "blue/web-1", false)?;
    let mut held = Vec::new();
    for container in blue.take(HELD) {
        let mut command = lab_run::in_netns(&container.netns, "bash");
        command.arg("-c").arg(format!("exec 3<>/dev/tcp/{server}/80; exec sleep 1000"));
        command.env(MARK_VARIABLE, lab.mark().as_str());
        held.push(Daemon::start("bash", &command, &lab.dir().join(format!("held-{}.log", container.netns)))?);
    }
    let tracked = wait_for_blocking("connections to be tracked", Duration::from_secs(20), || {
        let mut lines = 0;
        for node in &lab.nodes {
            let tracked = node.appctl(&["dpctl/dump-conntrack"]).map_err(|e| format!("{e:#}"))?;
            lines += tracked.lines().filter(|l| l.contains("ESTABLISHED") && l.contains("dport=80")).count();
        }
        if lines >= HELD { Ok(()) } else { Err(format!("{lines} of {HELD}")) }
    });
    claim("connections-are-tracked", tracked.map_err(|e| e.to_string()))?;
    Ok(held)
}

/// Else finding nothing in the end would prove nothing.
fn blind(during: &Snapshot, before: &Snapshot) -> Result<()> {
    // Journals are empty while all is well.
    let traced = LAYERS.iter().filter(|(layer, _)| *layer != Layer::Files);
    let blind: Vec<String> = traced
        .filter(|(layer, _)| during.more_than(before, *layer).is_empty())
        .map(|(layer, _)| format!("{layer:?}"))
        .collect();
    claim_none("attached-endpoints-leave-every-kind-of-trace", &blind)?;
    let mut pending = during.more_than(before, Layer::Files);
    // What is plugged is recorded.
    pending.retain(|line| !line.contains("state/ports/"));
    claim_none("nothing-is-pending-while-all-are-up", &pending)
}
