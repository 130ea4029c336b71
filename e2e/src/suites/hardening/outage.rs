//! The store freezes, dies and returns; the management network is cut. Forwarding needs neither; nothing that was said
//! meanwhile is lost, and what could not be done was not said to be done.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use test_support::wait_for_blocking;

use crate::grid;
use crate::lab::{Lab, Wanted, run};
use crate::probe::{Answer, Kind, Question};
use crate::suite::{Context, claim};
use crate::suites::agent::wait_until_current;
use crate::suites::runtime::{Attachment, list};
use crate::suites::traffic::{address_of, claim_no_loss};
use crate::suites::verdicts::wait_until;

/// The store is away so long.
const AWAY: Duration = Duration::from_secs(10);
/// Flows run a little longer than what happens beside them.
const FLOW_SECONDS: f64 = 16.0;
/// Connections that broke are noticed and made anew within this time.
const RESUMED: Duration = Duration::from_secs(30);
/// A store that does not answer is noticed within this time.
const READY: Duration = Duration::from_secs(6);
/// With a defect switched on nobody waits that long for what was to be told again: several attempts have been made by then.
const RETRIED: Duration = Duration::from_secs(6);

/// The store does not answer for ten seconds, then dies and is started again.
pub(super) fn store(context: &mut Context) -> Result<()> {
    let name = "forwarding-does-not-need-the-store";
    without_loss(context, name, FLOW_SECONDS, &mut come_and_go, &mut frozen)?;
    thawed(context)?;
    let failpoints = context.lab.failpoints().clone();
    context.lab.master.crash_store(&failpoints)?;
    ready(&context.lab)?;
    rule(context, "after-crash").context("after the store's crash")?;
    // Whatever the store made of it when it went on, whenever that was.
    let gone = forgotten(&context.lab, &format!("{LATECOMER}.eth0"));
    claim("attach-that-was-given-up-leaves-nothing", gone)
}

/// A container that is to start while the store is frozen.
const LATECOMER: &str = "latecomer";

/// Its ADD fails, or comes so late that the runtime has no use for it: either way it is deleted.
fn give_up(latecomer: &Attachment) -> Result<Result<(), String>> {
    let added = latecomer.call("ADD", None)?.result().ok();
    Ok(latecomer.call("DEL", added.as_ref())?.silent())
}

/// With a defect switched on, nobody waits for flows: other claims catch it.
pub(super) fn without_loss(
    context: &mut Context,
    name: &'static str,
    seconds: f64,
    rest: &mut dyn FnMut(&mut Context) -> Result<()>,
    event: &mut dyn FnMut(&mut Context) -> Result<()>,
) -> Result<()> {
    if context.lab.failpoints().any() {
        return event(context);
    }
    claim_no_loss(context, name, seconds, rest, event)
}

/// Both runs have an endpoint that comes and goes: that costs the switch a few packets of its own.
fn come_and_go(context: &mut Context) -> Result<()> {
    let visitor = visitor();
    context.lab.attach(std::slice::from_ref(&visitor))?;
    context.lab.detach(&visitor.id())
}

pub(super) fn visitor() -> Wanted {
    Wanted {
        tenant: "blue".into(),
        name: "visitor".into(),
        network: "front".into(),
        group: Some("web".into()),
        node: 1,
        addresses: Vec::new(),
    }
}

fn frozen(context: &mut Context) -> Result<()> {
    let visitor = visitor();
    context.lab.attach(std::slice::from_ref(&visitor))?;
    let latecomer = Attachment::new(&context.lab, &context.lab.nodes[0], LATECOMER)?;
    let until = Instant::now() + AWAY;
    let freeze = context.lab.master.freeze_store()?;
    let lab = &mut context.lab;
    let written = std::thread::scope(|scope| {
        let rule = rule_command(lab, "rule-add", "while-frozen");
        let writer = scope.spawn(move || said(rule));
        let gives_up = scope.spawn(|| give_up(&latecomer));
        let thaw = scope.spawn(move || {
            wait_until(until);
            drop(freeze);
        });
        // The runtime must be able to let go of a container.
        let detached = lab.detach(&visitor.id()).map_err(|e| format!("{e:#}"));
        let frozen = if thaw.is_finished() { Err("only after the thaw".to_owned()) } else { Ok(()) };
        claim("cni-del-works-while-the-store-is-frozen", detached.and(frozen))?;
        probed_while_frozen(lab)?;
        let frozen = if thaw.is_finished() { Err("asked after the thaw".to_owned()) } else { Ok(()) };
        claim("probes-answer-while-the-store-is-frozen", frozen)?;
        thaw.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        let given_up = gives_up.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        claim("cni-del-after-an-add-that-was-given-up-works", given_up)?;
        writer.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?
    })?;
    latecomer.remove_namespace()?;
    let rules = rules(&context.lab)?;
    let kept = match &written {
        Ok(()) if !rules.contains("while-frozen") => Err(format!("said to be written, not there: {rules}")),
        // An error after so long says that nobody knows.
        _ => Ok(()),
    };
    claim("what-is-said-to-be-written-is-written", kept)?;
    if rules.contains("while-frozen") {
        run::output(&mut rule_command(&context.lab, "rule-rm", "while-frozen"))?;
    }
    Ok(())
}

/// What kubelet and a load balancer ask. Restarting netmaster would not help; sending people there would not either.
fn probed_while_frozen(lab: &Lab) -> Result<()> {
    // What it found out just before is good for a second.
    let refused = wait_for_blocking("netmaster not to be ready", READY, || {
        let told = lab.master.get("/readyz?verbose", true).map_err(|e| format!("{e:#}"))?;
        let reason = told.status == 503 && told.body.contains("store: ");
        if reason { Ok(told.body) } else { Err(format!("{} {}", told.status, told.body)) }
    });
    eprintln!("      {refused:?}");
    claim("not-ready-while-the-store-is-frozen-and-says-why", refused.map(drop).map_err(|e| e.to_string()))?;
    let anybody = lab.master.get("/readyz", false)?;
    let told = format!("{} {}", anybody.status, anybody.body);
    let silent = anybody.status == 503 && !anybody.body.contains("store: ");
    claim("why-it-is-not-ready-is-not-for-everybody", if silent { Ok(()) } else { Err(told) })?;
    let alive = lab.master.get("/livez", false)?;
    let told = format!("{} {}", alive.status, alive.body);
    claim("alive-while-the-store-is-frozen", if alive.status == 200 { Ok(()) } else { Err(told) })
}

/// Ready again, without anybody's doing.
fn ready(lab: &Lab) -> Result<()> {
    let ready = wait_for_blocking("netmaster to be ready", RESUMED, || {
        let told = lab.master.get("/readyz", false).map_err(|e| format!("{e:#}"))?;
        if told.status == 200 { Ok(()) } else { Err(format!("{} {}", told.status, told.body)) }
    });
    claim("ready-when-the-store-is-back", ready.map_err(|e| e.to_string()))
}

/// What a command says: done, or why not.
fn said(mut command: Command) -> Result<Result<(), String>> {
    Ok(run::output(&mut command).map(drop).map_err(|e| format!("{e:#}")))
}

/// Everything said while the store was away reaches it.
fn thawed(context: &mut Context) -> Result<()> {
    let gone = forgotten(&context.lab, "visitor");
    claim("deletion-while-the-store-was-away-reaches-it", gone)?;
    ready(&context.lab)?;
    rule(context, "after-thaw").context("after the store's pause")
}

/// The management network of node-1 is cut, and netmaster restarts meanwhile.
pub(super) fn partition(context: &mut Context) -> Result<()> {
    let name = "forwarding-does-not-need-the-management-network";
    without_loss(context, name, FLOW_SECONDS, &mut come_and_go, &mut cut_off)?;
    let binaries = context.lab.binaries().clone();
    for node in &mut context.lab.nodes {
        wait_until_current(&binaries, node)?;
    }
    rule(context, "after-partition").context("after the partition")
}

fn cut_off(context: &mut Context) -> Result<()> {
    let visitor = visitor();
    context.lab.attach(std::slice::from_ref(&visitor))?;
    let netns = context.lab.nodes[0].netns();
    let link = |state: &str| run::output(&mut run::words_in(&netns, &format!("ip link set mgmt0 {state}")));
    link("down")?;
    let outcome = while_cut_off(context, &visitor);
    link("up")?;
    outcome?;
    let healed = wait_for_blocking("the missed change to take effect", RESUMED, || {
        match ask(&context.lab).map_err(|e| format!("{e:#}"))? {
            Answer::Silence => Err("no answer".to_owned()),
            _ => Ok(()),
        }
    });
    claim("intent-of-the-partition-is-caught-up-with", healed.map_err(|e| e.to_string()))?;
    run::output(&mut rule_command(&context.lab, "rule-rm", "while-cut-off"))?;
    let gone = forgotten(&context.lab, "visitor");
    claim("deletion-of-the-partition-reaches-netmaster", gone)
}

fn while_cut_off(context: &mut Context, visitor: &Wanted) -> Result<()> {
    let lab = &mut context.lab;
    run::output(&mut rule_command(lab, "rule-add", "while-cut-off"))?;
    // Else the connection would outlive the cut, and deliver late what nobody told again.
    let failpoints = lab.failpoints().clone();
    lab.master.kill_netmaster();
    lab.master.start_netmaster(&failpoints)?;
    let detached = lab.detach(&visitor.id()).map_err(|e| format!("{e:#}"));
    claim("cni-del-works-while-cut-off", detached)?;
    lab.master.wait_until_serving()
}

/// Waits until netmaster has no such endpoint any more.
fn forgotten(lab: &Lab, endpoint: &str) -> Result<(), String> {
    let patience = if lab.failpoints().any() { RETRIED } else { RESUMED };
    let gone = wait_for_blocking("netmaster to hear of the deletion", patience, || {
        let all = list(lab, "endpoint", "blue").map_err(|e| format!("{e:#}"))?;
        if all.iter().any(|e| e["name"] == endpoint) { Err("it is still stored".to_owned()) } else { Ok(()) }
    });
    gone.map_err(|e| e.to_string())
}

/// `web-1` (node-1) may ask `db-2` (node-2) on port 80, or not any more.
fn rule_command(lab: &Lab, verb: &str, name: &str) -> Command {
    let line = format!("policy {verb} -t blue db-access {name}");
    let mut words: Vec<&str> = line.split(' ').collect();
    if verb == "rule-add" {
        words.extend(["-g", "web", "-l", "tcp", "-P", "80", "-p", "20"]);
    }
    lab.master.netctl(&words)
}

fn rules(lab: &Lab) -> Result<String> {
    let seen = wait_for_blocking("netmaster to answer", RESUMED, || {
        lab.netctl(&["policy", "rule-ls", "-t", "blue", "db-access"])
    });
    Ok(seen?)
}

/// From the node that was cut off to the other: what leaves a group is decided where it arrives, so both ways are asked.
fn ask(lab: &Lab) -> Result<Answer> {
    let target = address_of(lab, "blue/db-1", false)?;
    grid::ask_once(lab, "blue/web-2", Question { target, kind: Kind::Tcp(80) })
}

/// A rule is added, has its effect on both nodes, and is removed.
fn rule(context: &mut Context, name: &str) -> Result<()> {
    let lab = &context.lab;
    let added = wait_for_blocking("netmaster to take a rule", RESUMED, || {
        run::output(&mut rule_command(lab, "rule-add", name))
    });
    claim("intent-can-be-changed-again", added.map(drop).map_err(|e| e.to_string()))?;
    for target in ["blue/db-1", "blue/db-2"] {
        let address = address_of(lab, target, false)?;
        let effect = wait_for_blocking("the rule's effect", RESUMED, || {
            let question = Question { target: address, kind: Kind::Tcp(80) };
            match grid::ask_once(lab, "blue/web-1", question).map_err(|e| format!("{e:#}"))? {
                Answer::Silence => Err(format!("{target} does not answer")),
                _ => Ok(()),
            }
        });
        claim("changed-intent-takes-effect-again", effect.map_err(|e| e.to_string()))?;
    }
    run::output(&mut rule_command(lab, "rule-rm", name)).map(drop)
}
