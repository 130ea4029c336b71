//! Commands that make labs: `up`, `down`, `shell`, `e2e`, `bench`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use e2e::lab::{Failpoints, Mark, Options, Purpose, StoreKind, namespaces, run as lab_run, sweep};
use e2e::suite::{Context, Extent, Run, Scenario, Suite};
use e2e::{demo, grid, suites};

use crate::programs::{self, Build};
use crate::step::{cargo, run, step};

/// `./dev e2e`.
#[derive(Clone, Debug, clap::Args)]
pub struct SuiteArgs {
    /// Which suite; all without it.
    name: Option<String>,
    /// On which store; both without it.
    #[arg(long, value_enum)]
    store: Option<StoreKind>,
    /// One scenario.
    #[arg(long)]
    only: Option<String>,
    /// Switch a named defect on: the suite must fail, at the claim that is there to catch it. `all` runs each once.
    #[arg(long, value_name = "DEFECT")]
    sabotage: Option<String>,
    #[arg(skip)]
    part: Part,
}

/// Which scenarios of a suite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    All,
    /// Those with the programs we ship.
    Shipped,
    /// Those that need failpoints.
    Failpoints,
}

impl SuiteArgs {
    fn of(name: &str, store: Option<StoreKind>, part: Part) -> Self {
        Self { name: Some(name.to_owned()), store, only: None, sabotage: None, part }
    }

    /// A suite on one store, with the programs we ship.
    pub fn shipped(name: &str, store: StoreKind) -> Self {
        Self::of(name, Some(store), Part::Shipped)
    }

    /// The scenarios of a suite that need failpoints.
    pub fn failpoints(name: &str) -> Self {
        Self::of(name, None, Part::Failpoints)
    }

    /// A suite with each of its defects.
    pub fn sabotages(name: &str) -> Self {
        Self { sabotage: Some("all".to_owned()), ..Self::of(name, None, Part::All) }
    }
}

/// Brings the demonstration up; leaves it running unless it is a check.
pub fn up(root: &Path, store: StoreKind, check: bool) -> Result<()> {
    let binaries = programs::build(root, Build::Plain)?;
    let purpose = if check { Purpose::Check } else { Purpose::Up };
    let options = Options {
        checkout: root.to_owned(),
        purpose,
        binaries,
        store,
        failpoints: Failpoints::default(),
        nodes: 2,
    };
    let name = format!(
        "two nodes, netmaster on {store:?}, 8 endpoints (root: namespaces, Open vSwitch, packet sockets)"
    );
    let context = step(&name, || Context::demo(options))?;
    let cells = step("asking everyone from everywhere", || {
        grid::measure(&context.lab, &context.intent, &demo::KINDS)
    })?;
    println!("{}", grid::table(&cells, &demo::KINDS, &context.intent));
    let wrong = cells.iter().filter(|c| !c.holds()).count();
    println!("{} questions asked, {wrong} answered otherwise than intent says", cells.len());
    if !check {
        print_how_to_use(&context);
        context.leave_running();
    }
    ensure!(wrong == 0, "{wrong} answers are not as intended");
    Ok(())
}

fn print_how_to_use(context: &Context) {
    let (lab, master) = (&context.lab, &context.lab.master);
    let netctl = lab.binaries().path("netctl").display().to_string();
    println!("\nThe API is at {}. Talk to it:\n", master.api());
    println!("  {netctl} {} policy rule-ls -t blue db-access\n", master.netctl_options().join(" "));
    println!("Shells: ./dev shell node-1, ./dev shell blue-web-1. Remove it all: ./dev down");
}

/// Removes every lab of the checkout.
pub fn down(root: &Path) -> Result<()> {
    for purpose in Purpose::ALL {
        let mark = Mark::new(root, purpose)?;
        let swept = sweep(&mark, &root.join(".lab").join(mark.as_str()))?;
        if swept != e2e::lab::Swept::default() {
            println!("{mark}: {} processes killed, {} namespaces removed", swept.processes, swept.namespaces);
        }
    }
    Ok(())
}

/// A shell in a namespace of the running demonstration.
pub fn shell(root: &Path, node: &str) -> Result<()> {
    let mark = Mark::new(root, Purpose::Up)?;
    let all = namespaces(&mark)?;
    let wanted = mark.netns(&node.replace('/', "-"));
    if !all.contains(&wanted) {
        let prefix = mark.netns("");
        let names: Vec<_> = all.iter().filter_map(|n| n.strip_prefix(&prefix)).collect();
        if names.is_empty() {
            bail!("nothing is up; ./dev up first");
        }
        bail!("no {node} here; there are: {}", names.join(", "));
    }
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let status = lab_run::in_netns(&wanted, shell).status().context("cannot start a shell")?;
    // Its status is that of the last command typed: not a failure of ours.
    eprintln!("left {node} ({status})");
    Ok(())
}

/// Runs suites, or suites with a defect; gives how many scenarios passed or defects were caught.
pub fn suite(root: &Path, args: &SuiteArgs) -> Result<usize> {
    let mut count = 0;
    let chosen: Vec<&Suite> =
        suites::ALL.into_iter().filter(|s| args.name.as_deref().is_none_or(|n| n == s.name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = suites::ALL.iter().map(|s| s.name).collect();
        bail!("no suite of that name; there are: {}", names.join(", "));
    }
    let only = args.only.as_deref();
    for suite in chosen {
        match args.sabotage.as_deref() {
            // The defects are in the switch programming and the use cases: one store is enough.
            Some(defect) => {
                let binaries = programs::build(root, Build::Failpoints)?;
                let store = args.store.unwrap_or(StoreKind::Sqlite);
                let run = Run { checkout: root.to_owned(), binaries, store, extent: Extent::Short };
                count += sabotage(suite, &run, defect)?;
            }
            None => {
                let stores = args.store.map_or(vec![StoreKind::Sqlite, StoreKind::Etcd], |s| vec![s]);
                let of = |part: Part, failpoints: bool| {
                    let wanted = args.part == Part::All || args.part == part;
                    if wanted { suite.chosen(only, failpoints) } else { Ok(Vec::new()) }
                };
                let shipped = of(Part::Shipped, false)?;
                let killed = of(Part::Failpoints, true)?;
                // What is asked for by name runs on every store, and all of it; else as the tables say.
                let extent = if only.is_some() { Extent::Full } else { Extent::Short };
                for (chosen, build) in [(shipped, Build::Plain), (killed, Build::Failpoints)] {
                    for store in &stores {
                        let runs = |s: &&Scenario| extent == Extent::Full || s.stores.contains(store);
                        let here: Vec<_> = chosen.iter().copied().filter(runs).collect();
                        count += scenarios(root, suite, &here, build, *store, extent)?;
                    }
                }
            }
        }
    }
    Ok(count)
}

fn scenarios(
    root: &Path,
    suite: &Suite,
    chosen: &[&'static Scenario],
    build: Build,
    store: StoreKind,
    extent: Extent,
) -> Result<usize> {
    if chosen.is_empty() {
        return Ok(0);
    }
    let binaries = programs::build(root, build)?;
    let what = if build == Build::Failpoints { " with failpoints" } else { "" };
    let name = format!("e2e {} on {store:?}{what}", suite.name);
    let run = Run { checkout: root.to_owned(), binaries, store, extent };
    let held = step(&name, || suite.run(&run, chosen))?;
    println!("{name}: {held} scenarios passed");
    Ok(held)
}

fn sabotage(suite: &Suite, run: &Run, defect: &str) -> Result<usize> {
    // Several scenarios may catch one defect.
    let known = suite.sabotages.iter().map(|s| s.defect);
    let defects: BTreeSet<_> = if defect == "all" { known.collect() } else { BTreeSet::from([defect]) };
    for defect in &defects {
        step(&format!("e2e {} with {defect} must fail", suite.name), || suite.sabotage(run, defect))?;
    }
    println!("e2e {}: {} defects caught", suite.name, defects.len());
    Ok(defects.len())
}

/// Benchmarks: name, package and target. Each prints what it measured beside what people use today.
const BENCHES: &[(&str, &str, &str)] = &[
    ("flows", "netplugin", "flows"),
    ("restart", "netplugin", "restart"),
    ("cni", "netplugin", "cni"),
    ("agents", "netmaster", "agents"),
    ("rest", "netmaster", "rest"),
    ("audit", "selvage-oracle", "audit"),
];

/// Runs benchmarks.
pub fn bench(root: &Path, name: Option<&str>, json: bool) -> Result<()> {
    let chosen: Vec<_> = BENCHES.iter().filter(|(n, ..)| name.is_none_or(|wanted| wanted == *n)).collect();
    if chosen.is_empty() {
        bail!(
            "no benchmark of that name; there are: {}",
            BENCHES.iter().map(|b| b.0).collect::<Vec<_>>().join(", ")
        );
    }
    for (name, package, target) in chosen {
        step(&format!("benchmark {name} (optimized build)"), || {
            let mut command = cargo(&["bench", "-q", "-p", package, "--bench", target, "--"]);
            command.args(json.then_some("--json"));
            run(command.current_dir(root))
        })?;
    }
    Ok(())
}
