//! Something dies at every named step of ADD and of DEL: the agent itself, its database, netmaster. The steps are those
//! the product's source names, so that a new one is tested, or fails here. Needs programs with kill points.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use test_support::wait_for_blocking;

use super::snapshot::Snapshot;
use crate::suite::{Context, claim};
use crate::suites::agent::wait_until_current;
use crate::suites::runtime::{Attachment, traces, wait_for_traces};

/// Where programs with kill points lie in the checkout.
const SOURCES: [&str; 2] = ["netplugin/src", "netmaster/src"];
/// Repeating a request and starting a program again take this long at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Netplugin,
    OvsdbServer,
    Netmaster,
}

/// Which of the runtime's requests passes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Add,
    Del,
}

/// A named step: the program that passes it, in the course of what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Point {
    name: String,
    verb: Verb,
    program: Victim,
}

impl Point {
    fn parse(name: &str) -> Result<Self> {
        const KNOWN: [(&str, Verb, Victim); 4] = [
            ("cni-add-", Verb::Add, Victim::Netplugin),
            ("cni-del-", Verb::Del, Victim::Netplugin),
            ("attach-", Verb::Add, Victim::Netmaster),
            ("detach-", Verb::Del, Victim::Netmaster),
        ];
        let known = KNOWN.iter().find(|(prefix, ..)| name.starts_with(prefix));
        let (_, verb, program) =
            known.with_context(|| format!("no scenario passes the kill point {name}"))?;
        Ok(Self { name: name.to_owned(), verb: *verb, program: *program })
    }

    /// A program can end others on its way only if it knows them: netmaster's points end netmaster.
    fn victims(&self) -> &'static [Victim] {
        match self.program {
            Victim::Netplugin => &[Victim::Netplugin, Victim::OvsdbServer, Victim::Netmaster],
            _ => &[Victim::Netmaster],
        }
    }
}

pub(super) fn run(context: &mut Context) -> Result<()> {
    let points = points(context.lab.checkout())?;
    let verbs: BTreeSet<&str> = points.iter().filter_map(|p| p.name.split('-').nth(1)).collect();
    ensure!(
        points.len() >= 9 && verbs.len() >= 4,
        "kill points are looked for in the wrong places: {points:?}"
    );
    let before = Snapshot::take(&context.lab)?;
    let traced = traces(&context.lab)?;
    for point in &points {
        for victim in point.victims() {
            eprintln!("      {victim:?} dies at {}", point.name);
            strike(context, point, *victim, &traced)
                .with_context(|| format!("{victim:?} at {}", point.name))?;
        }
    }
    before.claim_restored(&context.lab, PATIENCE)
}

/// The kill points the sources name.
fn points(checkout: &Path) -> Result<Vec<Point>> {
    let mut files: Vec<PathBuf> = SOURCES.map(|s| checkout.join(s)).into();
    let mut names = BTreeSet::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                files.push(entry?.path());
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            names.extend(named_in(&std::fs::read_to_string(&path)?));
        }
    }
    names.iter().map(|name| Point::parse(name)).collect()
}

/// Each `kill_point!("name")` of a source text.
fn named_in(source: &str) -> Vec<String> {
    let rest = source.split("kill_point!(\"").skip(1);
    rest.filter_map(|r| r.split('"').next().map(str::to_owned)).collect()
}

fn strike(context: &mut Context, point: &Point, victim: Victim, traced: &BTreeSet<String>) -> Result<()> {
    let pid = pid_of(context, victim);
    arm(context, point, victim)?;
    let name = format!("k-{}-{victim:?}", point.name).to_lowercase();
    let first = Attachment::new(&context.lab, &context.lab.nodes[0], &name)?;
    let added = first.call("ADD", None)?.result();
    if point.verb == Verb::Add {
        died(context, victim, &pid)?;
        bring_back(context, victim, point)?;
    }
    let (attachment, result) = match added {
        Ok(result) => (first, result),
        Err(e) => {
            ensure!(point.verb == Verb::Add, "ADD failed before the deletion: {e}");
            delete(&first, None)?;
            first.remove_namespace()?;
            again(context, &format!("{name}-2"))?
        }
    };
    let checked = attachment.call("CHECK", Some(&result))?.silent();
    if point.verb == Verb::Add {
        claim(
            "endpoint-is-as-it-was-added",
            checked.map_err(|e| format!("{victim:?} at {}: {e}", point.name)),
        )?;
    }
    delete(&attachment, Some(&result))?;
    let interface = attachment.interface().map_or(Ok(()), |link| Err(link.to_string()));
    claim("deleted-endpoint-has-no-interface", interface)?;
    if point.verb == Verb::Del {
        died(context, victim, &pid)?;
        bring_back(context, victim, point)?;
    }
    attachment.remove_namespace()?;
    let clean = wait_for_traces(&context.lab, traced);
    claim("nothing-leaks-whoever-dies", clean.map_err(|e| format!("{victim:?} at {}: {e}", point.name)))
}

/// Another sandbox, once the node is ready.
fn again(context: &Context, name: &str) -> Result<(Attachment, Value)> {
    let attachment = Attachment::new(&context.lab, &context.lab.nodes[0], name)?;
    let ready = || attachment.call("STATUS", None).map_err(|e| format!("{e:#}"))?.silent();
    let ready = wait_for_blocking("the node to be ready", PATIENCE, ready);
    claim("node-is-ready-again", ready.map_err(|e| e.to_string()))?;
    let added = attachment.call("ADD", None)?.result();
    claim("add-works-after-a-failed-one", added.as_ref().map(drop).map_err(Clone::clone))?;
    Ok((attachment, added.unwrap_or_default()))
}

/// As runtimes do: until it succeeds.
fn delete(attachment: &Attachment, result: Option<&Value>) -> Result<()> {
    let call = || attachment.call("DEL", result).map_err(|e| format!("{e:#}"))?.silent();
    let deleted = wait_for_blocking("DEL to succeed", PATIENCE, call);
    claim("del-succeeds-in-the-end", deleted.map_err(|e| e.to_string()))
}

/// Starts the program that passes the point anew, with the point armed.
fn arm(context: &mut Context, point: &Point, victim: Victim) -> Result<()> {
    let lab = &mut context.lab;
    let plain = lab.failpoints().clone();
    if point.program == Victim::Netmaster {
        lab.master.kill_netmaster();
        lab.master.start_netmaster(&plain.with(&point.name))?;
        lab.master.wait_until_serving()?;
    } else {
        let node = lab.nodes.first_mut().context("no node")?;
        node.kill_netplugin();
        let armed = match victim {
            Victim::Netplugin => plain.with(&point.name),
            Victim::OvsdbServer => plain.with_victim(&point.name, &node.pid_file("ovsdb-server")),
            Victim::Netmaster => plain.with_victim(&point.name, &lab.master.pid_file()),
        };
        node.start_netplugin(&armed)?;
    }
    settle(context)
}

fn pid_of(context: &Context, victim: Victim) -> String {
    let file = match victim {
        Victim::OvsdbServer => context.lab.nodes[0].pid_file("ovsdb-server"),
        Victim::Netmaster => context.lab.master.pid_file(),
        Victim::Netplugin => return String::new(),
    };
    std::fs::read_to_string(file).unwrap_or_default()
}

/// It must have died of the kill point by now: else the test tests nothing.
fn died(context: &mut Context, victim: Victim, pid: &str) -> Result<()> {
    let what = format!("{victim:?} to die");
    let dead = wait_for_blocking(&what, Duration::from_secs(10), || {
        let runs = match victim {
            Victim::Netplugin => context.lab.nodes[0].netplugin_runs().is_ok(),
            Victim::Netmaster => context.lab.master.netmaster_runs().is_ok(),
            // Its supervisor has started another by then.
            Victim::OvsdbServer => pid_of(context, victim) == pid,
        };
        if runs { Err("it runs") } else { Ok(()) }
    });
    Ok(dead?)
}

/// Starts it again, with nothing armed.
fn bring_back(context: &mut Context, victim: Victim, point: &Point) -> Result<()> {
    let lab = &mut context.lab;
    let plain = lab.failpoints().clone();
    match victim {
        Victim::Netplugin => lab.nodes[0].start_netplugin(&plain)?,
        Victim::Netmaster => lab.master.start_netmaster(&plain)?,
        Victim::OvsdbServer => {}
    }
    ensure!(
        point.program != Victim::Netmaster || victim == Victim::Netmaster,
        "nobody would disarm netmaster"
    );
    settle(context)
}

fn settle(context: &mut Context) -> Result<()> {
    let binaries = context.lab.binaries().clone();
    context.lab.master.wait_until_serving()?;
    for node in &mut context.lab.nodes {
        wait_until_current(&binaries, node)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kill_point_of_the_product_is_passed_by_a_scenario() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let points = points(&checkout).unwrap();
        let of = |verb, program| points.iter().filter(|p| p.verb == verb && p.program == program).count();
        assert!(of(Verb::Add, Victim::Netplugin) >= 6 && of(Verb::Del, Victim::Netplugin) >= 3, "{points:?}");
        assert!(of(Verb::Add, Victim::Netmaster) >= 2 && of(Verb::Del, Victim::Netmaster) >= 2, "{points:?}");
    }

    #[test]
    fn an_unknown_kill_point_is_an_error() {
        let source = "crate::kill_point!(\"gc-begun\");";
        assert_eq!(named_in(source), ["gc-begun"]);
        assert!(Point::parse("gc-begun").is_err());
    }
}
