//! `kill -9` of each process in turn: what keeps going, what comes back by itself, what must never happen meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use test_support::wait_for_blocking;

use crate::capture::{Capture, Way};
use crate::lab::{Lab, Wanted};
use crate::probe::flow::Report;
use crate::probe::{Answer, Kind, Question};
use crate::suite::{Context, claim, claim_none};
use crate::suites::agent::{FlowMonitor, wait_until_current};
use crate::suites::runtime::list;
use crate::suites::traffic::{Flow, STREAMS, claim_no_loss};
use crate::suites::verdicts::{foreign, wait_until, wrong};
use crate::{demo, grid};

const TENANTS: [&str; 2] = ["blue", "green"];
/// Long enough for an agent or a server to come back on a busy machine.
const FLOW_SECONDS: f64 = 8.0;
/// Forwarding must be back so soon after `ovs-vswitchd` was killed: a new process, ports, flows, a tunnel neighbour.
const BACK: Duration = Duration::from_secs(5);

/// Everyone asks everyone of the own tenant, both families.
fn verdicts(context: &Context) -> Result<Vec<String>> {
    let ids: Vec<String> = context.intent.parties.iter().map(crate::expect::Party::id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    wrong(context, &ids, &[Kind::Tcp(80), Kind::Tcp(5432), Kind::Udp(5000)])
}

fn nothing(_: &mut Context) -> Result<()> {
    Ok(())
}

/// `kill -9` of netplugin on both nodes.
pub(super) fn netplugin(context: &mut Context) -> Result<()> {
    claim_no_loss(
        context,
        "netplugin-restart-loses-nothing",
        FLOW_SECONDS,
        &mut nothing,
        &mut restart_netplugin,
    )?;
    claim_none("forwarding-as-intended-after-netplugin-restart", &verdicts(context)?)?;
    exchanged_numbers(context)
}

fn restart_netplugin(context: &mut Context) -> Result<()> {
    let lab = &mut context.lab;
    let monitors = lab.nodes.iter().map(|n| FlowMonitor::start(lab, n)).collect::<Result<Vec<_>>>();
    let monitors = monitors?;
    claim("flow-monitor-reports-a-deliberate-edit", Ok(()))?;
    lab.nodes.iter_mut().for_each(crate::lab::Node::kill_netplugin);
    let (binaries, failpoints) = (lab.binaries().clone(), lab.failpoints().clone());
    let mut sent = Vec::new();
    for node in &mut lab.nodes {
        node.start_netplugin(&failpoints)?;
    }
    for node in &mut lab.nodes {
        let status = wait_until_current(&binaries, node)?;
        if status["flowMods"] != 0 {
            sent.push(format!("{}: the agent itself says {}", node.name, status["flowMods"]));
        }
    }
    let mut reports = Vec::new();
    for (monitor, node) in monitors.into_iter().zip(&lab.nodes) {
        reports.extend(monitor.others(node)?);
    }
    claim_none("netplugin-restart-changes-no-flow", &reports)?;
    claim_none("netplugin-restart-sends-no-flow", &sent)?;
    let checked = lab.endpoints.values().map(|e| e.check(lab.node_of(e)?, lab.binaries()));
    let failed: Vec<_> = checked.filter_map(|c| c.err().map(|e| format!("{e:#}"))).collect();
    claim_none("cni-check-passes-after-netplugin-restart", &failed)
}

/// While the agent is away, somebody exchanges the port numbers of two endpoints that have the same addresses and the
/// same MAC: whoever believed the numbers written down would let each send as the other.
fn exchanged_numbers(context: &mut Context) -> Result<()> {
    let (lab, ids) = (&mut context.lab, ["blue/web-1", "green/web-1"]);
    let binaries = lab.binaries().clone();
    let ports = ids.map(|id| port_of(lab, id));
    let [a, b] = ports;
    let ((a, a_number), (b, b_number)) = (a?, b?);
    let failpoints = lab.failpoints().clone();
    let node = lab.nodes.first_mut().context("no node")?;
    node.kill_netplugin();
    let request = |number: &str| format!("ofport_request={number}");
    let (first, second) = (request(&b_number), request(&a_number));
    node.vsctl(&["set", "Interface", &a, &first, "--", "set", "Interface", &b, &second])?;
    wait_for_blocking("the numbers to be exchanged", Duration::from_secs(10), || {
        let now = node.vsctl(&["get", "Interface", &a, "ofport"]).map_err(|e| format!("{e:#}"))?;
        if now.trim() == b_number { Ok(()) } else { Err(now) }
    })?;
    node.start_netplugin(&failpoints)?;
    wait_until_current(&binaries, node)?;
    claim_none("endpoint-is-known-by-its-real-port-number", &verdicts(context)?)
}

/// The endpoint's interface in the bridge and its OpenFlow number, as the database has them.
fn port_of(lab: &Lab, id: &str) -> Result<(String, String)> {
    let (tenant, name) = id.split_once('/').context("an endpoint id has a slash")?;
    let node = lab.node_of(lab.endpoint(id)?)?;
    let labels =
        [format!("external_ids:selvage-tenant={tenant}"), format!("external_ids:selvage-endpoint={name}")];
    let find = ["--bare", "--columns=name,ofport", "find", "Interface", &labels[0], &labels[1]];
    let text = node.vsctl(&find)?;
    let mut words = text.split_whitespace();
    let mut word = || words.next().map(str::to_owned).with_context(|| format!("no port of {id}: {text}"));
    Ok((word()?, word()?))
}

/// `kill -9` of netmaster.
pub(super) fn netmaster(context: &mut Context) -> Result<()> {
    claim_no_loss(
        context,
        "netmaster-restart-loses-nothing",
        FLOW_SECONDS + 4.0,
        // Ports come and go in both runs: that costs the switch a few packets of its own.
        &mut visit,
        &mut restart_netmaster,
    )
}

/// An endpoint that comes and goes, with addresses netmaster chooses.
fn visitor() -> Wanted {
    Wanted {
        tenant: "blue".into(),
        name: "visitor".into(),
        network: "front".into(),
        group: Some("web".into()),
        node: 1,
        addresses: Vec::new(),
    }
}

fn visit(context: &mut Context) -> Result<()> {
    let visitor = visitor();
    context.lab.attach(std::slice::from_ref(&visitor))?;
    context.lab.detach(&visitor.id())
}

fn restart_netmaster(context: &mut Context) -> Result<()> {
    let lab = &mut context.lab;
    let visitor = visitor();
    lab.attach(std::slice::from_ref(&visitor))?;
    lab.master.kill_netmaster();
    let detached = lab.detach(&visitor.id()).map_err(|e| format!("{e:#}"));
    claim("cni-del-works-without-netmaster", detached)?;
    let ports = lab.nodes[0].vsctl(&["find", "Interface", "external_ids:selvage-endpoint=visitor"])?;
    claim("endpoint-is-gone-from-its-node-at-once", if ports.is_empty() { Ok(()) } else { Err(ports) })?;
    let failpoints = lab.failpoints().clone();
    lab.master.start_netmaster(&failpoints)?;
    lab.master.wait_until_serving()?;
    claim("agents-resume", wait_for_agents(lab).map_err(|e| e.to_string()))?;
    let gone = wait_for_blocking("netmaster to hear of the deletion", Duration::from_secs(30), || {
        let all = list(lab, "endpoint", "blue").map_err(|e| format!("{e:#}"))?;
        let names: Vec<_> = all.iter().map(|e| e["name"].to_string()).collect();
        if all.iter().any(|e| e["name"] == "visitor") { Err(names.join(", ")) } else { Ok(()) }
    });
    claim("deletion-without-netmaster-reaches-it-later", gone.map_err(|e| e.to_string()))?;
    change_takes_effect(context)
}

/// Both agents have a session and enforce the newest revision.
fn wait_for_agents(lab: &Lab) -> Result<(), test_support::TimedOut> {
    wait_for_blocking("the agents' sessions", Duration::from_secs(30), || {
        let text = lab.netctl(&["status", "-o", "json"]).map_err(|e| format!("{e:#}"))?;
        let status: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        let up = nodes.len() == lab.nodes.len() && nodes.iter().all(|n| n["connected"] == true);
        if up { Ok(()) } else { Err(text) }
    })
}

/// A rule is added and removed again. How soon a rule has its effect the scenario `policy` says.
fn change_takes_effect(context: &mut Context) -> Result<()> {
    let lab = &context.lab;
    let addresses = lab.endpoint("blue/db-2")?.addresses.clone();
    lab.netctl(
        &"policy rule-add -t blue db-access late -g web -l tcp -P 80 -p 20".split(' ').collect::<Vec<_>>(),
    )?;
    for target in addresses {
        let answered = wait_for_blocking("the rule's effect", BACK, || {
            let question = Question { target, kind: Kind::Tcp(80) };
            match grid::ask_once(lab, "blue/web-1", question).map_err(|e| format!("{e:#}"))? {
                Answer::Silence => Err(format!("{target} does not answer")),
                _ => Ok(()),
            }
        });
        claim("change-after-netmasters-return-takes-effect", answered.map_err(|e| e.to_string()))?;
    }
    lab.netctl(&["policy", "rule-rm", "-t", "blue", "db-access", "late"]).map(drop)
}

/// `kill -9` of ovsdb-server on both nodes; the service manager starts it again.
///
/// A userspace switch forwards nothing while it is without its database (docs/testing.md): the lab's databases connect
/// to their switches, which makes that as short as the restart of ovsdb-server, and sockets buffer it.
pub(super) fn ovsdb(context: &mut Context) -> Result<()> {
    let monitors = context.lab.nodes.iter().map(|n| FlowMonitor::start(&context.lab, n));
    let monitors = monitors.collect::<Result<Vec<_>>>()?;
    let name = "ovsdb-restart-loses-nothing";
    claim_no_loss(context, name, FLOW_SECONDS, &mut nothing, &mut restart_ovsdb)?;
    let lab = &mut context.lab;
    let mut reports = Vec::new();
    for (monitor, node) in monitors.into_iter().zip(&lab.nodes) {
        reports.extend(monitor.others(node)?);
    }
    claim_none("ovsdb-restart-changes-no-flow", &reports)?;
    let visitor = visitor();
    let added = lab.attach(std::slice::from_ref(&visitor)).map_err(|e| format!("{e:#}"));
    claim("cni-add-works-after-ovsdb-restart", added)?;
    lab.detach(&visitor.id())?;
    claim_none("forwarding-as-intended-after-ovsdb-restart", &verdicts(context)?)
}

fn restart_ovsdb(context: &mut Context) -> Result<()> {
    for node in &context.lab.nodes {
        node.kill_supervised("ovsdb-server")?;
    }
    for node in &context.lab.nodes {
        // Without --no-wait: returns when ovs-vswitchd has acted on it.
        let back = || node.vsctl(&["set", "Open_vSwitch", ".", "external_ids:selvage-lab=back"]);
        wait_for_blocking("ovs-vswitchd to be back at its database", Duration::from_secs(5), back)?;
    }
    Ok(())
}

/// What a flow lost before the kill or after the pause, if that is more than a packet now and then.
fn outside(report: &Report, killed: Duration, pause: Duration) -> Option<String> {
    const MARGIN: Duration = Duration::from_millis(500);
    const STRAY: u64 = 20;
    let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let (from, to) = (ms(killed.saturating_sub(MARGIN)), ms(killed + pause + MARGIN));
    let lost = report.lost_ms.iter().filter(|(a, b)| *a < from || *b > to).map(|(a, b)| b - a + 1);
    let lost: u64 = lost.sum();
    (lost > STRAY).then(|| format!("{lost} lost outside of ms {from} to {to}: {:?}", report.lost_ms))
}

/// `kill -9` of ovs-vswitchd on node-1: the userspace datapath dies with it.
pub(super) fn vswitchd(context: &mut Context) -> Result<()> {
    let all = |context: &Context| grid::measure(&context.lab, &context.intent, &demo::KINDS);
    let captures = captures(&context.lab)?;
    let flows = STREAMS.map(|s| Flow::start(&context.lab, s, 12.0));
    let flows = flows.into_iter().collect::<Result<Vec<_>>>()?;
    wait_until(Instant::now() + Duration::from_secs(1));
    let killed = flows.first().context("no flow")?.age();
    context.lab.nodes[0].kill_supervised("ovs-vswitchd")?;
    // Asked while there is no datapath, while it is empty, and while it fills.
    let meanwhile = all(context)?;
    claim_none("nothing-foreign-answers-while-vswitchd-is-away", &foreign(&meanwhile))?;
    let mut late = Vec::new();
    let mut lost = 0;
    for flow in flows {
        let (stream, report) = flow.finish()?;
        eprintln!("      {stream}: lost {} at ms {:?}", report.lost(), report.lost_ms);
        lost += report.lost();
        late.extend(outside(&report, killed, BACK).map(|l| format!("{stream}: {l}")));
    }
    claim("kill-of-vswitchd-is-noticed", if lost > 0 { Ok(()) } else { Err("no packet was lost".into()) })?;
    claim_none("forwarding-is-back-by-itself-after-vswitchd-kill", &late)?;
    let wrong: Vec<_> = all(context)?.into_iter().filter(|c| !c.holds()).collect();
    claim_none("forwarding-as-intended-after-vswitchd-kill", &wrong)?;
    judge(captures)
}

fn captures(lab: &Lab) -> Result<Vec<(String, Capture)>> {
    let start = |e: &crate::lab::Endpoint| {
        Ok((e.wanted.tenant.clone(), Capture::start(lab, &e.netns, "eth0", Way::In)?))
    };
    lab.endpoints.values().map(start).collect()
}

fn judge(captures: Vec<(String, Capture)>) -> Result<()> {
    let (mut strangers, mut own) = (Vec::new(), 0);
    for (tenant, capture) in captures {
        let captured = capture.stop()?;
        own += captured.of(&tenant);
        for other in TENANTS.iter().filter(|t| **t != tenant && captured.of(t) > 0) {
            strangers.push(format!("{} frames of {other} on {}", captured.of(other), captured.what));
        }
    }
    claim("captures-saw-own-payload", if own > 0 { Ok(()) } else { Err("none at all".into()) })?;
    claim_none("nothing-foreign-arrives-around-vswitchd-kill", &strangers)
}
