//! Suites: scenarios on a fresh lab each, made of named claims.
//!
//! Claims have names because suites are tested too: with a named defect switched on (`--sabotage`), the suite must
//! fail, and at the claim that is there to catch this defect, not anywhere.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::demo;
use crate::expect::Intent;
use crate::grid;
use crate::lab::{Binaries, Failpoints, Lab, Options, Purpose, StoreKind};

/// A claim that did not hold.
#[derive(Debug)]
pub struct Failed {
    /// Its name.
    pub claim: &'static str,
    /// What was seen instead.
    pub seen: String,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "claim {} does not hold: {}", self.claim, self.seen)
    }
}

impl std::error::Error for Failed {}

/// States a claim.
///
/// # Errors
/// [`Failed`] with what was seen instead.
pub fn claim(name: &'static str, outcome: Result<(), String>) -> Result<()> {
    match outcome {
        Ok(()) => {
            eprintln!("      holds: {name}");
            Ok(())
        }
        Err(seen) => Err(Failed { claim: name, seen }.into()),
    }
}

/// States a claim about a list of exceptions: there are none.
///
/// # Errors
/// [`Failed`] with the first few exceptions.
pub fn claim_none<T: std::fmt::Display>(name: &'static str, exceptions: &[T]) -> Result<()> {
    if exceptions.is_empty() {
        return claim(name, Ok(()));
    }
    let shown: Vec<_> = exceptions.iter().take(8).map(ToString::to_string).collect();
    claim(name, Err(format!("{} exceptions:\n        {}", exceptions.len(), shown.join("\n        "))))
}

/// What a scenario works on: a lab with the demonstration in it.
#[derive(Debug)]
pub struct Context {
    /// The lab.
    pub lab: Lab,
    /// What was applied and attached.
    pub intent: Intent,
    /// How much to do.
    pub extent: Extent,
    /// The endpoints' servers, killed with the context.
    servers: Vec<test_support::Daemon>,
}

/// What a scenario runs on that has to do with the store.
pub const BOTH: &[StoreKind] = &[StoreKind::Sqlite, StoreKind::Etcd];
/// What a scenario runs on that has not, or takes too long to run twice.
pub const SQLITE: &[StoreKind] = &[StoreKind::Sqlite];

/// How much of it a scenario does that can do more or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// As much as CI has time for.
    Short,
    /// All: it was asked for by name.
    Full,
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// On which stores it runs unless it is asked for by name (`--only`): CI's time goes where the store matters.
    pub stores: &'static [StoreKind],
    /// Its body.
    pub run: fn(&mut Context) -> Result<()>,
}

/// A named defect and the claim that must catch it.
#[derive(Clone, Copy, Debug)]
pub struct Sabotage {
    /// The failpoint.
    pub defect: &'static str,
    /// The scenario that must fail.
    pub scenario: &'static str,
    /// At this claim.
    pub claim: &'static str,
}

/// A suite.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Its name.
    pub name: &'static str,
    /// What it has.
    pub scenarios: &'static [Scenario],
    /// Scenarios that need programs with failpoints: they kill a process between two of its steps.
    pub with_failpoints: &'static [Scenario],
    /// What must make it fail.
    pub sabotages: &'static [Sabotage],
}

/// How to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The checkout.
    pub checkout: PathBuf,
    /// The programs under test; with failpoints for a sabotage.
    pub binaries: Binaries,
    /// netmaster's store.
    pub store: StoreKind,
    /// How much of it.
    pub extent: Extent,
}

impl Suite {
    /// Every scenario, with the build it needs.
    fn all(&self) -> impl Iterator<Item = &Scenario> {
        self.scenarios.iter().chain(self.with_failpoints)
    }

    /// Those of the chosen scenarios (all of them without a name) that run with these programs: as shipped, or with
    /// failpoints.
    ///
    /// # Errors
    /// When the suite has no scenario of that name.
    pub fn chosen(&self, only: Option<&str>, failpoints: bool) -> Result<Vec<&'static Scenario>> {
        if let Some(name) = only.filter(|o| !self.all().any(|s| s.name == *o)) {
            bail!("suite {} has no scenario {name}; it has: {}", self.name, self.names());
        }
        let list = if failpoints { self.with_failpoints } else { self.scenarios };
        Ok(list.iter().filter(|s| only.is_none_or(|o| o == s.name)).collect())
    }

    /// Runs these scenarios and gives how many held.
    ///
    /// # Errors
    /// Names every scenario that failed and says why, after all have run: of a long run only the end may be kept.
    pub fn run(&self, run: &Run, chosen: &[&'static Scenario]) -> Result<usize> {
        let mut failed = Vec::new();
        for scenario in chosen {
            eprintln!("    {} on {:?}: {}", scenario.name, run.store, scenario.about);
            let start = Instant::now();
            let outcome = execute(scenario, run, Failpoints::default());
            let seconds = start.elapsed().as_secs_f32();
            match outcome {
                Ok(()) => eprintln!("    {} passed in {seconds:.1} s", scenario.name),
                Err(e) => {
                    eprintln!("    {} FAILED after {seconds:.1} s: {e:#}", scenario.name);
                    failed.push(format!("{}: {e:#}", scenario.name));
                }
            }
        }
        if !failed.is_empty() {
            bail!("{} of {} scenarios failed:\n  {}", failed.len(), chosen.len(), failed.join("\n  "));
        }
        Ok(chosen.len())
    }

    /// Runs each scenario that must catch this defect, with the defect switched on.
    ///
    /// # Errors
    /// When one passes, or fails anywhere else than at the expected claim.
    pub fn sabotage(&self, run: &Run, defect: &str) -> Result<()> {
        let known = || self.sabotages.iter().map(|s| s.defect).collect::<Vec<_>>().join(", ");
        let found: Vec<_> = self.sabotages.iter().filter(|s| s.defect == defect).collect();
        ensure!(!found.is_empty(), "no defect {defect}; known: {}", known());
        found.into_iter().try_for_each(|sabotage| self.must_fail(run, sabotage))
    }

    fn must_fail(&self, run: &Run, sabotage: &Sabotage) -> Result<()> {
        let defect = sabotage.defect;
        let scenario = self.all().find(|s| s.name == sabotage.scenario);
        let scenario = scenario.with_context(|| format!("no scenario {}", sabotage.scenario))?;
        eprintln!("    {} with {defect}: must fail at {}", scenario.name, sabotage.claim);
        match execute(scenario, run, Failpoints::defect(defect)) {
            Ok(()) => bail!("{} passed although {defect} was switched on: it proves nothing", scenario.name),
            Err(e) => match e.downcast_ref::<Failed>() {
                Some(failed) if failed.claim == sabotage.claim => {
                    eprintln!("    caught: {failed}");
                    Ok(())
                }
                _ => Err(e.context(format!("{defect} was to be caught by {}, but", sabotage.claim))),
            },
        }
    }

    fn names(&self) -> String {
        self.all().map(|s| s.name).collect::<Vec<_>>().join(", ")
    }
}

fn execute(scenario: &Scenario, run: &Run, failpoints: Failpoints) -> Result<()> {
    let options = Options {
        checkout: run.checkout.clone(),
        purpose: Purpose::Suite,
        binaries: run.binaries.clone(),
        store: run.store,
        failpoints,
        nodes: 2,
    };
    let mut context = Context::demo(options)?;
    context.extent = run.extent;
    (scenario.run)(&mut context)
}

impl Context {
    /// A lab with the demonstration: applied, attached, serving, addresses ready.
    ///
    /// # Errors
    /// When any of it fails.
    pub fn demo(options: Options) -> Result<Self> {
        let file = options.checkout.join(demo::FILE).display().to_string();
        let mut lab = Lab::up(options)?;
        lab.netctl(&["apply", "-f", &file])?;
        lab.attach(&demo::endpoints())?;
        let servers = grid::serve(&lab, &demo::TCP, &demo::UDP)?;
        grid::wait_for_addresses(&lab)?;
        Ok(Self { lab, intent: demo::intent()?, extent: Extent::Full, servers })
    }

    /// Leaves the lab and its servers running.
    pub fn leave_running(self) {
        for server in self.servers {
            server.leave_running();
        }
        self.lab.leave_running();
    }
}
