//! Kills at random whatever serves the containers, and starts it again a little later.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use test_support::wait_for_blocking;

use crate::lab::Lab;

/// Requests served between two kills.
const BETWEEN: std::ops::Range<usize> = 6..20;
/// When nobody is served at all, the next kill or start comes anyway.
const LONGEST: Duration = Duration::from_secs(3);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    /// The agent of this node.
    Netplugin(usize),
    /// The database of this node; its supervisor starts it again.
    OvsdbServer(usize),
    /// netmaster.
    Netmaster,
}

impl std::fmt::Display for Victim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Netplugin(n) => write!(f, "netplugin {}", n + 1),
            Self::OvsdbServer(n) => write!(f, "ovsdb-server {}", n + 1),
            Self::Netmaster => f.write_str("netmaster"),
        }
    }
}

/// The killer.
pub(super) struct Killer {
    rng: StdRng,
    victims: Vec<Victim>,
    killed: BTreeMap<Victim, usize>,
}

impl Killer {
    pub fn new(seed: u64, nodes: usize) -> Self {
        let per_node = |n| [Victim::Netplugin(n), Victim::OvsdbServer(n)];
        let victims = (0..nodes).flat_map(per_node).chain([Victim::Netmaster]).collect();
        Self { rng: StdRng::seed_from_u64(seed), victims, killed: BTreeMap::new() }
    }

    /// Kills until the work is over; leaves everything running. Says whom it killed how often.
    pub fn run(mut self, lab: &mut Lab, done: &AtomicUsize, over: impl Fn() -> bool) -> Result<String> {
        while !over() {
            let next = done.load(Ordering::Relaxed) + self.rng.random_range(BETWEEN);
            pause(next, done, &over);
            let Some(victim) = self.victims.choose(&mut self.rng).copied() else { break };
            let away = done.load(Ordering::Relaxed) + self.rng.random_range(0..4);
            kill(lab, victim)?;
            *self.killed.entry(victim).or_default() += 1;
            pause(away, done, &over);
            start(lab, victim)?;
        }
        let counts: Vec<_> = self.killed.iter().map(|(v, n)| format!("{v} {n} times")).collect();
        Ok(counts.join(", "))
    }
}

/// Until so many requests have been served.
fn pause(until: usize, done: &AtomicUsize, over: &impl Fn() -> bool) {
    let served = || {
        let now = done.load(Ordering::Relaxed);
        if now >= until || over() { Ok(()) } else { Err(now) }
    };
    // Nobody was served for so long: that does not stop a killer.
    let _ = wait_for_blocking("requests to be served", LONGEST, served);
}

fn kill(lab: &mut Lab, victim: Victim) -> Result<()> {
    match victim {
        Victim::Netplugin(n) => lab.nodes[n].kill_netplugin(),
        Victim::Netmaster => lab.master.kill_netmaster(),
        Victim::OvsdbServer(n) => {
            // Killed twice in a row it may not have a pid file yet: then it is dead as wanted.
            let _ = lab.nodes[n].kill_supervised("ovsdb-server");
        }
    }
    Ok(())
}

fn start(lab: &mut Lab, victim: Victim) -> Result<()> {
    let failpoints = lab.failpoints().clone();
    match victim {
        Victim::Netplugin(n) => lab.nodes[n].start_netplugin(&failpoints),
        Victim::Netmaster => lab.master.start_netmaster(&failpoints),
        Victim::OvsdbServer(_) => Ok(()),
    }
}
