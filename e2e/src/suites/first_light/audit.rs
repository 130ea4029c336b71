//! `netctl audit` on two real switches: clean when all is well, and what somebody alters by hand is named.
//!
//! What is altered in [`run`] are flows with cookies of nobody of ours, above ours: the agent leaves those alone, so that nothing
//! is put right while the audit looks. In [`of_ours`] it is a flow of ours, and the agent is told not to put it right.

use std::process::Command;

use anyhow::{Context as _, Result};
use api::v1::{Audit, AuditClaim, AuditOutcome, Disagreement, MetFlow};

use crate::lab::{Failpoints, Lab, Node};
use crate::suite::{Context, claim};
use crate::suites::agent::{BRIDGE, wait_until_current};

/// A cookie nobody of ours has.
const COOKIE: &str = "0xf00d";
/// `netctl`'s word for what is not clean.
const UNHEALTHY: i32 = 7;
/// Of what is not as it should be, so much is shown.
const SHOWN: usize = 3000;

pub(super) fn run(context: &mut Context) -> Result<()> {
    let lab = &context.lab;
    lab.wait_until_realized()?;
    claim("audit-of-what-is-well-is-clean", clean(lab))?;
    let node = lab.nodes.first().context("no node")?;
    let (blue, green) = (port(node, "blue", "web-1")?, port(node, "green", "web-1")?);

    let drop = format!("table=0,priority=60000,in_port={blue},tcp,tp_dst=5432,actions=drop");
    let is_it = |d: &Disagreement| {
        d.claim == AuditClaim::Policy
            && (d.from.as_str(), d.rules.as_slice())
                == ("blue/web-1", &["blue/db-access/web-postgres".to_owned()][..])
            && d.to.starts_with("blue/db-")
            && d.packet.starts_with("tcp/5432 ")
            && d.seen == "delivered to nobody"
    };
    claim(
        "audit-names-whom-a-flow-cuts-off-and-by-which-rule-it-should-not",
        named(lab, node, &drop, is_it),
    )?;

    let leak = format!("table=0,priority=60000,in_port={blue},actions=output:{green}");
    let is_it = |d: &Disagreement| d.claim == AuditClaim::Isolation && d.intended == "stays in blue";
    claim("audit-names-a-way-from-tenant-to-tenant", named(lab, node, &leak, is_it))?;
    claim("audit-is-clean-again-when-the-flow-is-gone", clean(lab))?;

    let far = context.lab.nodes.get_mut(1).context("no second node")?;
    far.kill_netplugin();
    let unseen = |(audit, _): (Audit, String)| match audit.nodes.get(1) {
        Some(node) if node.outcome == AuditOutcome::Unseen && audit.disagreements.is_empty() => Ok(()),
        _ => Err(format!("{audit:?}")),
    };
    let outcome = audit(&context.lab, UNHEALTHY).map_err(|e| format!("{e:#}")).and_then(unseen);
    claim("audit-names-the-node-it-cannot-see", outcome)
}

/// A flow of ours is altered while the agent does not look at drift; when it does again, it is put right.
pub(super) fn of_ours(context: &mut Context) -> Result<()> {
    let usual = context.lab.failpoints().clone();
    restart(context, &usual.with("ignore-flow-drift"))?;
    let node = context.lab.nodes.first().context("no node")?;
    let at = format!("table=0,in_port={}", port(node, "blue", "web-1")?);
    let flows = node.ofctl(&["-O", "OpenFlow15", "--no-stats", "--no-names", "dump-flows", BRIDGE, &at])?;
    let ours = flows.lines().find_map(|l| l.split_once(" actions=")).context("no flow of the port")?.0;
    let words = ours.split([',', ' ']).filter(|w| !w.is_empty() && !w.starts_with("cookie="));
    let key = words.collect::<Vec<_>>().join(",");
    let drop = format!("{key},actions=drop");
    node.ofctl(&["-O", "OpenFlow15", "--strict", "mod-flows", BRIDGE, &drop])?;
    let is_it = |d: &&Disagreement| {
        let met =
            d.flows.last().is_some_and(|met| met.node.as_str() == node.name && met.flow.ends_with("=drop"));
        d.from == "blue/web-1" && d.seen == "delivered to nobody" && met
    };
    let outcome = audit(&context.lab, UNHEALTHY).map_err(|e| format!("{e:#}"));
    let outcome = outcome.and_then(|(audit, table)| match audit.disagreements.iter().find(is_it) {
        Some(_) => Ok(()),
        None => Err(format!("{drop}: {table}")),
    });
    claim("audit-names-a-flow-of-ours-that-was-altered", outcome)?;
    restart(context, &usual)?;
    claim("audit-is-clean-again-when-the-flow-is-put-right", clean(&context.lab))
}

/// Starts the first node's agent anew, with these failpoints.
fn restart(context: &mut Context, failpoints: &Failpoints) -> Result<()> {
    let binaries = context.lab.binaries().clone();
    let node = context.lab.nodes.first_mut().context("no node")?;
    node.kill_netplugin();
    node.start_netplugin(failpoints)?;
    wait_until_current(&binaries, node)?;
    context.lab.wait_until_realized()
}

/// Whether everything was looked at, and nothing found.
fn clean(lab: &Lab) -> Result<(), String> {
    let (audit, table) = audit(lab, 0).map_err(|e| format!("{e:#}"))?;
    eprintln!("      {}, {} ms", table.trim_end(), audit.milliseconds);
    let endpoints: Vec<_> = audit.nodes.iter().map(|n| n.endpoints).collect();
    let whole = audit.is_clean() && endpoints == [Some(4), Some(4)] && audit.packets > 1000;
    if whole { Ok(()) } else { Err(format!("{audit:?}")) }
}

/// Whether the audit finds this with the flow added, and says by which flow, to programs and people.
fn named(lab: &Lab, node: &Node, flow: &str, is_it: impl Fn(&Disagreement) -> bool) -> Result<(), String> {
    let text = |e: anyhow::Error| format!("{e:#}");
    let ofctl = |verb: &str, flow: &str| node.ofctl(&["-O", "OpenFlow15", verb, BRIDGE, flow]).map_err(text);
    ofctl("add-flow", &format!("cookie={COOKIE},{flow}"))?;
    let found = audit(lab, UNHEALTHY).map_err(text);
    ofctl("del-flows", &format!("cookie={COOKIE}/-1"))?;
    let (audit, table) = found?;
    let is_ours = |met: &MetFlow| met.node.as_str() == node.name && met.flow.contains("priority=60000");
    let by_it = |d: &&Disagreement| d.flows.iter().any(is_ours);
    let named = audit.disagreements.iter().filter(by_it).find(|d| is_it(d));
    let named = named.ok_or_else(|| format!("{audit:?}"))?;
    if table.contains(&named.intended) && table.contains("priority=60000") { Ok(()) } else { Err(table) }
}

/// What netctl says to programs and to people; both must end with this status.
fn audit(lab: &Lab, status: i32) -> Result<(Audit, String)> {
    let said = |args: &[&str]| -> Result<String> {
        let mut command: Command = lab.master.netctl(args);
        let out = command.output().context("netctl audit")?;
        let (text, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        let beginning: String = text.chars().take(SHOWN).collect();
        anyhow::ensure!(out.status.code() == Some(status), "{}: {error}{beginning}", out.status);
        Ok(text.into_owned())
    };
    let table = said(&["audit"])?;
    Ok((serde_json::from_str(&said(&["audit", "-o", "json"])?)?, table))
}

/// The number of an endpoint's port.
fn port(node: &Node, tenant: &str, endpoint: &str) -> Result<u16> {
    let labels = [
        format!("external_ids:selvage-tenant={tenant}"),
        format!("external_ids:selvage-endpoint={endpoint}"),
    ];
    let find = ["--bare", "--columns=ofport", "find", "Interface", &labels[0], &labels[1]];
    node.vsctl(&find)?.trim().parse().with_context(|| format!("no port of {tenant}/{endpoint}"))
}
