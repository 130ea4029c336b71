//! netplugin dies between any two steps of ADD and of DEL: nothing leaks, nothing is given out twice. Needs programs
//! with kill points.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use test_support::wait_for_blocking;

use crate::suite::{Context, claim};
use crate::suites::agent::wait_until_current;
use crate::suites::runtime::{Attachment, list, traces, wait_for_traces};

/// Steps of ADD after which the agent may die; those before the link is set up.
const DARK: [&str; 6] =
    ["cni-add-attach", "cni-add-known", "cni-add-flows", "cni-add-interface", "cni-add-port", "cni-add-seen"];
/// The last one: only the answer is missing.
const UP: &str = "cni-add-up";
const DEL: [&str; 3] = ["cni-del-flows", "cni-del-port", "cni-del-interface"];

pub(super) fn run(context: &mut Context) -> Result<()> {
    let before = traces(&context.lab)?;
    for point in DARK.into_iter().chain([UP]) {
        // What runtimes do after a failed ADD: some clean up with DEL, some ask again first.
        add(context, &before, point, false)?;
        add(context, &before, point, true)?;
    }
    for point in DEL {
        del(context, &before, point)?;
    }
    Ok(())
}

/// The agent of node-1, started anew with this kill point or none.
fn restart(context: &mut Context, point: Option<&str>) -> Result<()> {
    let failpoints = context.lab.failpoints().clone();
    let failpoints = point.map_or(failpoints.clone(), |p| failpoints.with(p));
    let binaries = context.lab.binaries().clone();
    let node = context.lab.nodes.first_mut().context("no node")?;
    node.kill_netplugin();
    node.start_netplugin(&failpoints)?;
    wait_until_current(&binaries, node).map(drop)
}

/// It must have died of the kill point by now: else the test tests nothing.
fn wait_for_death(context: &mut Context, point: &str) -> Result<()> {
    let node = context.lab.nodes.first_mut().context("no node")?;
    let dead =
        wait_for_blocking(&format!("the agent to die at {point}"), std::time::Duration::from_secs(5), || {
            if node.netplugin_runs().is_err() { Ok(()) } else { Err("it runs") }
        });
    Ok(dead?)
}

fn add(context: &mut Context, before: &BTreeSet<String>, point: &'static str, again: bool) -> Result<()> {
    eprintln!("      {point}, then {}", if again { "ADD" } else { "DEL" });
    restart(context, Some(point))?;
    let name = format!("k-{point}-{}", if again { "add" } else { "del" });
    let attachment = Attachment::new(&context.lab, &context.lab.nodes[0], &name)?;
    let died = attachment.call("ADD", None)?;
    claim("add-whose-agent-died-is-an-error", died.error("1.1.0", 11))?;
    wait_for_death(context, point)?;
    if DARK.contains(&point) {
        let dark = has_carrier(&attachment).map_or(Ok(()), |link| Err(format!("at {point}: {link}")));
        claim("link-is-down-until-its-flows-are-there", dark)?;
    }
    restart(context, None)?;
    if again {
        let added = attachment.call("ADD", None)?.result();
        let added =
            added.and_then(|r| attachment.call("CHECK", Some(&r)).map_err(|e| e.to_string())?.silent());
        claim("add-works-after-a-killed-add", added.map_err(|e| format!("after {point}: {e}")))?;
        let lit = has_carrier(&attachment).map_or_else(|| Err("no carrier".to_owned()), |_| Ok(()));
        claim("link-is-up-after-add", lit)?;
        no_address_twice(context, &attachment)?;
    }
    let deleted = attachment.call("DEL", None)?.silent();
    claim("del-works-after-a-killed-add", deleted.map_err(|e| format!("after {point}: {e}")))?;
    let clean = wait_for_traces(&context.lab, before);
    claim("nothing-leaks-after-a-killed-add", clean.map_err(|e| format!("after {point}: {e}")))?;
    attachment.remove_namespace()
}

/// The container's interface, if both ends of it are up (IFF_LOWER_UP, netdevice(7)): only then can it send.
fn has_carrier(attachment: &Attachment) -> Option<serde_json::Value> {
    let up = |link: &serde_json::Value| {
        link["flags"].as_array().is_some_and(|flags| flags.iter().any(|f| f == "LOWER_UP"))
    };
    attachment.interface().filter(up)
}

/// One endpoint of that name, and no address in the tenant twice.
fn no_address_twice(context: &Context, attachment: &Attachment) -> Result<()> {
    let all = list(&context.lab, "endpoint", "blue")?;
    let named = all.iter().filter(|e| e["name"] == attachment.endpoint()).count();
    let mut seen = BTreeSet::new();
    let addresses = all.iter().flat_map(|e| e["status"]["addresses"].as_array().cloned().unwrap_or_default());
    let twice: Vec<String> = addresses.map(|a| a.to_string()).filter(|a| !seen.insert(a.clone())).collect();
    let outcome = if named == 1 && twice.is_empty() && !seen.is_empty() {
        Ok(())
    } else {
        Err(format!("{named} endpoints {}, addresses twice: {twice:?}", attachment.endpoint()))
    };
    claim("killed-add-gives-no-address-twice", outcome)
}

fn del(context: &mut Context, before: &BTreeSet<String>, point: &'static str) -> Result<()> {
    eprintln!("      {point}");
    restart(context, Some(point))?;
    let attachment = Attachment::new(&context.lab, &context.lab.nodes[0], &format!("k-{point}"))?;
    let Ok(result) = attachment.call("ADD", None)?.result() else { bail!("ADD failed before {point}") };
    let deleted = attachment.call("DEL", Some(&result))?.silent();
    claim("del-succeeds-although-the-agent-dies", deleted.map_err(|e| format!("at {point}: {e}")))?;
    wait_for_death(context, point)?;
    ensure!(attachment.interface().is_none(), "the interface is still there: {:?}", attachment.interface());
    restart(context, None)?;
    let clean = wait_for_traces(&context.lab, before);
    claim("nothing-leaks-after-a-killed-del", clean.map_err(|e| format!("after {point}: {e}")))?;
    attachment.remove_namespace()
}
