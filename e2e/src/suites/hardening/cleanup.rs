//! A machine that Selvage was on and is not any more: it is as it was, and what others have on it is untouched.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use test_support::wait_for_blocking;

use super::host;
use crate::lab::{Lab, Node, run};
use crate::suite::{Context, claim, claim_none};
use crate::suites::agent::wait_until_current;
use crate::suites::runtime::Attachment;

/// What stays in the state directory, because the machine has not left the cluster: who it is.
const IDENTITY: [&str; 5] =
    ["state/", "state/ca.crt", "state/netmaster.json", "state/node.crt", "state/node.key"];
/// What the lab itself puts beside an agent.
const OF_THE_LAB: [&str; 2] = ["join.json", "netplugin.log"];
/// ovs-vswitchd takes a bridge away after the database has.
const SETTLES: Duration = Duration::from_secs(5);
/// So many lines at least tell of an agent with endpoints.
const TRACES: usize = 50;

pub(super) fn run(context: &mut Context) -> Result<()> {
    let lab = &context.lab;
    let mut node = lab.bare_node(3)?;
    plant(&node)?;
    let before = look(&node)?;
    lab.join(&mut node)?;
    wait_until_current(lab.binaries(), &mut node)?;
    let containers = (0..3).map(|n| attach(lab, &node, n)).collect::<Result<Vec<_>>>()?;
    refused(lab, &node)?;
    node.kill_netplugin();
    // Of a container that went while no agent was there, a deletion is written down.
    let deleted = containers.first().context("three containers")?.call("DEL", None)?;
    claim("deletion-is-written-down", deleted.silent())?;
    let during = look(&node)?;
    let more = during.difference(&before).count();
    claim("selvage-leaves-traces", if more > TRACES { Ok(()) } else { Err(format!("{more} lines")) })?;
    let foretold = dry(lab, &node, &during, &[])?;
    let done = clean(lab, &node, &[])?;
    claim("dry-run-says-what-is-done", same(&foretold, &done))?;
    let who = IDENTITY.map(str::to_owned).into();
    claim("cleaned-machine-is-as-it-was", comes_to(&node, &before, &who))?;
    let interfaces: Vec<_> = containers.iter().filter_map(Attachment::interface).collect();
    claim_none("containers-have-no-interface-after-cleanup", &interfaces)?;
    let again = clean(lab, &node, &[])?;
    claim(
        "second-cleanup-finds-nothing",
        same("nothing to do: nothing of the agent is on this host\n", &again),
    )?;
    let foretold = dry(lab, &node, &look(&node)?, &["--all"])?;
    claim("dry-run-says-what-is-done", same(&foretold, &clean(lab, &node, &["--all"])?))?;
    claim("machine-that-left-is-as-it-was", comes_to(&node, &before, &BTreeSet::new()))?;
    containers.iter().try_for_each(Attachment::remove_namespace)
}

/// What others have.
fn plant(node: &Node) -> Result<()> {
    node.vsctl(&["add-br", "br-others", "--", "set", "Bridge", "br-others", "datapath_type=netdev"])?;
    node.vsctl(&["add-port", "br-others", "others2", "--", "set", "Interface", "others2", "type=internal"])?;
    node.vsctl(&["set", "Open_vSwitch", ".", "external_ids:others=theirs"])?;
    node.ofctl(&["add-flow", "br-others", "cookie=0x7e57,priority=7,in_port=9,actions=drop"])?;
    let netns = node.netns();
    run::output(&mut run::words_in(&netns, "nft add table inet others"))?;
    run::output(&mut run::words_in(&netns, "nft add table netdev others"))?;
    run::ip_batch(Some(&netns), &["link add others0 type veth peer name others1".into()])
}

fn attach(lab: &Lab, node: &Node, number: usize) -> Result<Attachment> {
    let attachment = Attachment::new(lab, node, &format!("clean-{number}"))?;
    let added = attachment.call("ADD", None)?.result();
    added.map_err(|e| anyhow::anyhow!("ADD of {}: {e}", attachment.container))?;
    Ok(attachment)
}

/// While the agent runs nothing is removed.
fn refused(lab: &Lab, node: &Node) -> Result<()> {
    let before = look(node)?;
    let refusal = match clean(lab, node, &[]) {
        Err(e) if format!("{e:#}").contains("stop the agent first") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    claim("cleanup-beside-an-agent-is-refused", refusal)?;
    claim("refused-cleanup-changes-nothing", unchanged(node, &before)?)
}

/// What a dry run says it would do, as what then is said to be done; it changes nothing.
fn dry(lab: &Lab, node: &Node, before: &BTreeSet<String>, options: &[&str]) -> Result<String> {
    let text = clean(lab, node, &[options, &["--dry-run"]].concat())?;
    claim("dry-run-changes-nothing", unchanged(node, before)?)?;
    Ok(text.replace("would remove", "removed"))
}

fn unchanged(node: &Node, before: &BTreeSet<String>) -> Result<Result<(), String>> {
    let now = look(node)?;
    let changed: Vec<_> = before.symmetric_difference(&now).take(10).cloned().collect();
    Ok(if changed.is_empty() { Ok(()) } else { Err(changed.join("\n        ")) })
}

fn same(wanted: &str, seen: &str) -> Result<(), String> {
    if wanted == seen { Ok(()) } else { Err(format!("\n{seen}        instead of\n{wanted}")) }
}

fn clean(lab: &Lab, node: &Node, options: &[&str]) -> Result<String> {
    let mut command: Command = run::in_netns(&node.netns(), lab.binaries().path("netplugin"));
    command.arg("cleanup").arg("--state-dir").arg(node.dir.join("state"));
    command.args(["--bridge", "br-selvage"]).arg("--ovs-run-dir").arg(&node.dir);
    command.arg("--cni-socket").arg(node.cni_socket()).args(options);
    lab.failpoints().set(&mut command);
    run::output(&mut command)
}

/// Waits until the machine is as it was but for this.
fn comes_to(node: &Node, before: &BTreeSet<String>, but: &BTreeSet<String>) -> Result<(), String> {
    let wanted: BTreeSet<String> = before.union(but).cloned().collect();
    let restored = wait_for_blocking("the machine to be as it was", SETTLES, || {
        let now = look(node).map_err(|e| format!("{e:#}"))?;
        let left = now.difference(&wanted).map(|l| format!("left: {l}"));
        let missing = wanted.difference(&now).map(|l| format!("missing: {l}"));
        let all: Vec<_> = left.chain(missing).take(10).collect();
        if all.is_empty() { Ok(()) } else { Err(all.join("\n        ")) }
    });
    restored.map_err(|e| e.to_string())
}

fn look(node: &Node) -> Result<BTreeSet<String>> {
    let mut lines: BTreeSet<String> = host::everything_in(&node.dir)?.into_iter().collect();
    lines.retain(|line| !OF_THE_LAB.contains(&line.as_str()));
    lines.extend(host::rows(node)?);
    lines.extend(host::flows(node)?);
    lines.extend(host::nftables(node)?);
    lines.extend(host::links(&node.netns())?);
    lines.extend(sysctl(node)?);
    Ok(lines)
}

/// Kernel parameters of the network, those of every interface among them.
fn sysctl(node: &Node) -> Result<Vec<String>> {
    let words = "sysctl -a --pattern ^net\\.(ipv[46]\\.(conf|neigh|ip_forward)|netfilter)";
    let text = run::output(&mut run::words_in(&node.netns(), words))?;
    // It counts.
    Ok(text
        .lines()
        .filter(|l| !l.starts_with("net.netfilter.nf_conntrack_count"))
        .map(str::to_owned)
        .collect())
}
