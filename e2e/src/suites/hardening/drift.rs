//! Somebody deletes and alters by hand what Selvage has in a switch, and the rows it has in the database: it is put
//! right, and told. What others have there is theirs.
//!
//! Times are printed, from the moment before the hand to the look that finds all as before; the promise is a second, a
//! busy machine is given more.

mod edits;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use test_support::wait_for_blocking;

use self::edits::{After, Edit, FOREIGN_COOKIE, Facts, Tool};
use super::host;
use crate::grid;
use crate::lab::{Lab, Node};
use crate::probe::{Answer, Kind, Question};
use crate::suite::{Context, claim, claim_none};
use crate::suites::agent::{BRIDGE, FlowMonitor, wait_until_current};
use crate::suites::traffic::{Flow, STREAMS, address_of};

const REPAIRED: Duration = Duration::from_secs(6);
/// Reports reach netmaster on their own way.
const TOLD: Duration = Duration::from_secs(7);
const FORWARDS: Duration = Duration::from_secs(10);
/// Packets flow for at least so long while rows are put right.
const FLOW_SECONDS: f64 = 6.0;
const FOREIGN_PORT: &str = "foreign0";
const FOREIGN_BRIDGE: &str = "br-foreign";
const FLOW: &str = "flow";
/// Selvage has no groups.
const FOREIGN_GROUP: &str = "group_id=77,type=all";

pub(super) fn run(context: &mut Context) -> Result<()> {
    let bench = Bench::set_up(&context.lab)?;
    let few = context.lab.failpoints().any();
    // With a defect switched on, the first of each kind shows it.
    let chosen =
        |edits: Vec<Edit>| edits.into_iter().take(if few { 1 } else { usize::MAX }).collect::<Vec<_>>();
    bench.each(&context.lab, "flows-altered-by-hand-are-put-right", &chosen(bench.facts.of_flows()))?;
    bench.rows(&context.lab, &chosen(bench.facts.of_rows()))?;
    bench.each(
        &context.lab,
        "ports-and-bridge-altered-by-hand-are-put-right",
        &chosen(bench.facts.of_ports()),
    )?;
    away(context, &bench)?;
    uproot(node_of(&context.lab)?)
}

fn node_of(lab: &Lab) -> Result<&Node> {
    lab.nodes.first().context("no node")
}

/// A node as it was before anybody touched it.
struct Bench {
    facts: Facts,
    flows: BTreeSet<String>,
    rows: BTreeSet<String>,
    /// What others have.
    others: BTreeSet<String>,
}

impl Bench {
    fn set_up(lab: &Lab) -> Result<Self> {
        let node = node_of(lab)?;
        let others = plant(node)?;
        let (flows, rows) = (settled(node, host::flows)?, settled(node, host::rows)?);
        let facts = Facts::find(node, flows.iter().cloned())?;
        let bench = Self { facts, flows, rows, others };
        bench.claim_others(lab, After::AllAsBefore)?;
        Ok(bench)
    }

    /// Rows that forwarding does not depend on: packets flow meanwhile, and no flow is touched.
    fn rows(&self, lab: &Lab, edits: &[Edit]) -> Result<()> {
        let flow = Flow::start(lab, STREAMS[0], if edits.len() > 1 { FLOW_SECONDS } else { 1.0 })?;
        let monitor = FlowMonitor::start(lab, node_of(lab)?)?;
        self.each(lab, "rows-altered-by-hand-are-put-right", edits)?;
        claim_none("no-flow-is-touched-for-a-row", &monitor.others(node_of(lab)?)?)?;
        let (stream, report) = flow.finish()?;
        eprintln!("      {stream}: {} of {} lost meanwhile", report.lost(), report.sent);
        let most = if report.received > report.sent / 2 { Ok(()) } else { Err(format!("{report:?}")) };
        claim("packets-flow-while-rows-are-put-right", most)
    }

    /// One after the other, each put right, told and survived before the next.
    fn each(&self, lab: &Lab, name: &'static str, edits: &[Edit]) -> Result<()> {
        let mut slowest = (Duration::ZERO, "");
        for edit in edits {
            let before = drift(lab)?;
            let node = node_of(lab)?;
            let start = Instant::now();
            carry_out(node, edit).with_context(|| edit.name)?;
            let took = match self.put_right(node, edit.after, start) {
                Ok(took) => took,
                Err(seen) => return claim(name, Err(format!("{}: {seen}", edit.name))),
            };
            eprintln!("      {}: put right after {} ms", edit.name, took.as_millis());
            slowest = slowest.max((took, edit.name));
            told(lab, edit, &before)?;
            self.claim_others(lab, edit.after)?;
            if edit.after == After::SwitchEmptied {
                plant_flows(node)?;
            }
            forwards(lab).with_context(|| edit.name)?;
        }
        claim(name, Ok(()))?;
        claim("drift-is-reported", Ok(()))?;
        eprintln!(
            "      {} edits, the slowest put right after {} ms: {}",
            edits.len(),
            slowest.0.as_millis(),
            slowest.1
        );
        Ok(())
    }

    /// Waits until flows and rows are as before; how long ago `start` is then.
    fn put_right(&self, node: &Node, after: After, start: Instant) -> Result<Duration, String> {
        self.wait(node, after)?;
        if after == After::SwitchEmptied {
            // ovs-vswitchd may still have to act on the repair, and empties the bridge again.
            reconfigured(node).map_err(|e| format!("{e:#}"))?;
            self.wait(node, after)?;
        }
        Ok(start.elapsed())
    }

    fn wait(&self, node: &Node, after: After) -> Result<(), String> {
        let right = wait_for_blocking("it to be put right", REPAIRED, || {
            let now = (host::flows(node), host::rows(node));
            let (Ok(flows), Ok(rows)) = now else { return Err("the switch does not answer".to_owned()) };
            self.differs(flows, rows, after).map_or(Ok(()), Err)
        });
        right.map_err(|e| e.to_string())
    }

    /// A line that is missing, or that is too much.
    fn differs(&self, flows: Vec<String>, rows: Vec<String>, after: After) -> Option<String> {
        let counts = |line: &&String| !may_differ(line, after);
        let compare = |before: &BTreeSet<String>, now: Vec<String>| {
            let now: BTreeSet<String> = now.into_iter().collect();
            let missing = before.difference(&now).find(counts).map(|l| format!("missing: {l}"));
            missing.or_else(|| now.difference(before).find(counts).map(|l| format!("there is {l}")))
        };
        compare(&self.flows, flows).or_else(|| compare(&self.rows, rows))
    }

    fn claim_others(&self, lab: &Lab, after: After) -> Result<()> {
        let there = foreign(node_of(lab)?)?;
        let lost = self.others.difference(&there);
        // With flows went those of others and maybe groups, with the bridge what was in it.
        let lost = lost.filter(|l| match after {
            After::AllAsBefore | After::FlowsUntouched => true,
            After::SwitchEmptied => !l.starts_with(FLOW) && *l != FOREIGN_GROUP,
            After::OthersGone => l.contains(FOREIGN_BRIDGE),
        });
        let lost: Vec<_> = lost.map(|l| format!("gone: {l}")).collect();
        if lost.is_empty() { Ok(()) } else { claim_none("foreign-things-survive", &lost) }
    }
}

/// While the agent is away, nobody puts anything right; when it starts it does, and says so.
fn away(context: &mut Context, bench: &Bench) -> Result<()> {
    let (binaries, failpoints) = (context.lab.binaries().clone(), context.lab.failpoints().clone());
    let edit = bench.facts.meanwhile();
    let node = context.lab.nodes.first_mut().context("no node")?;
    node.kill_netplugin();
    carry_out(node, &edit)?;
    let start = Instant::now();
    node.start_netplugin(&failpoints)?;
    wait_until_current(&binaries, node)?;
    // The bridge was deleted before: what others had in it is gone.
    let took = bench.put_right(node, After::OthersGone, start);
    if let Ok(took) = took {
        eprintln!("      {}: put right {} ms after the agent's start", edit.name, took.as_millis());
    }
    claim("what-was-altered-while-the-agent-was-away-is-put-right", took.map(drop))?;
    told(&context.lab, &edit, &[])?;
    forwards(&context.lab)?;
    claim("drift-is-reported", Ok(()))?;
    claim("foreign-things-survive", Ok(()))
}

/// What others have: a port, flows above and below ours, a group and a setting in our bridge; a bridge.
fn plant(node: &Node) -> Result<BTreeSet<String>> {
    node.vsctl(&["add-port", BRIDGE, FOREIGN_PORT, "--", "set", "Interface", FOREIGN_PORT, "type=internal"])?;
    node.vsctl(&["add-br", FOREIGN_BRIDGE, "--", "set", "Bridge", FOREIGN_BRIDGE, "datapath_type=netdev"])?;
    node.vsctl(&["set", "Bridge", BRIDGE, "external_ids:others=theirs"])?;
    reconfigured(node)?;
    plant_flows(node)?;
    let all = [7, 61_000].map(flow_of_others);
    let rows =
        [format!("Port {FOREIGN_PORT}"), format!("Bridge {FOREIGN_BRIDGE}"), "others=theirs".to_owned()];
    Ok(all.into_iter().chain(rows).chain([FOREIGN_GROUP.to_owned()]).collect())
}

fn plant_flows(node: &Node) -> Result<()> {
    for priority in [7, 61_000] {
        let flow = format!("cookie={FOREIGN_COOKIE},table=0,priority={priority},in_port=65001,actions=drop");
        node.ofctl(&["-O", "OpenFlow15", "add-flow", BRIDGE, &flow])?;
    }
    node.ofctl(&["-O", "OpenFlow15", "--may-create", "mod-group", BRIDGE, FOREIGN_GROUP]).map(drop)
}

fn flow_of_others(priority: u16) -> String {
    format!("{FLOW} of priority {priority}")
}

/// Waits until ovs-vswitchd has acted on everything in the database.
fn reconfigured(node: &Node) -> Result<()> {
    node.vsctl(&["set", "Open_vSwitch", ".", "external_ids:others=theirs"]).map(drop)
}

fn uproot(node: &Node) -> Result<()> {
    node.vsctl(&["--if-exists", "del-br", FOREIGN_BRIDGE]).map(drop)
}

/// What is there of [`plant`].
fn foreign(node: &Node) -> Result<BTreeSet<String>> {
    let (all, rows) = (host::flows(node)?, host::rows(node)?);
    let theirs = |l: &&String| l.starts_with(BRIDGE) && l.contains(&format!("cookie={FOREIGN_COOKIE},"));
    let theirs: Vec<&String> = all.iter().filter(theirs).collect();
    let flows =
        [7, 61_000].into_iter().filter(|p| theirs.iter().any(|l| l.contains(&format!("priority={p},"))));
    let there = |what: &String| rows.iter().any(|l| l.starts_with(&format!("{what}: name = ")));
    let named =
        [format!("Port {FOREIGN_PORT}"), format!("Bridge {FOREIGN_BRIDGE}")].into_iter().filter(there);
    let ids = format!("Bridge {BRIDGE}: external_ids = ");
    let setting = rows.iter().any(|l| l.starts_with(&ids) && l.contains("theirs"));
    let setting = setting.then(|| "others=theirs".to_owned());
    let group = all.iter().any(|l| l.contains(FOREIGN_GROUP)).then(|| FOREIGN_GROUP.to_owned());
    Ok(flows.map(flow_of_others).chain(named).chain(setting).chain(group).collect())
}

/// A line that need not come back as it was: what Open vSwitch chooses anew whenever it makes an interface or a bridge;
/// what others had, when that went, too.
fn may_differ(line: &str, after: After) -> bool {
    let of_bridge =
        |columns: &[&str]| columns.iter().any(|c| line.starts_with(&format!("Bridge {BRIDGE}: {c} = ")));
    let of_others = || [FOREIGN_PORT, FOREIGN_COOKIE, FOREIGN_GROUP].iter().any(|w| line.contains(w));
    line.contains(": mac_in_use = ")
        || match after {
            After::AllAsBefore | After::FlowsUntouched => false,
            After::SwitchEmptied => of_bridge(&["datapath_id"]) || of_others(),
            After::OthersGone => of_bridge(&["datapath_id", "ports", "external_ids"]) || of_others(),
        }
}

/// What a look gives twice in a row.
fn settled(node: &Node, look: fn(&Node) -> Result<Vec<String>>) -> Result<BTreeSet<String>> {
    let mut last = BTreeSet::new();
    let settled = wait_for_blocking("the node to settle", Duration::from_secs(10), || {
        let now: BTreeSet<String> = look(node).map_err(|e| format!("{e:#}"))?.into_iter().collect();
        if now == last { Ok(now) } else { Err(format!("{} lines", std::mem::replace(&mut last, now).len())) }
    });
    Ok(settled?)
}

/// `ovs-vsctl` returns when ovs-vswitchd has acted on it, or on what became of it meanwhile.
fn carry_out(node: &Node, edit: &Edit) -> Result<()> {
    let words: Vec<&str> = edit.words.iter().map(String::as_str).collect();
    match edit.tool {
        Tool::Ofctl => node.ofctl(&[&["-O", "OpenFlow15"], &words[..]].concat()),
        Tool::Vsctl => node.vsctl(&words),
    }
    .map(drop)
}

/// What `netctl status` says of drift on node-1.
fn drift(lab: &Lab) -> Result<Vec<String>> {
    let status = lab.status()?;
    let node = status.nodes.iter().find(|n| n.node.as_str() == "node-1").context("no node-1")?;
    Ok(node.warnings.iter().filter(|w| w.code.as_str() == "drift").map(|w| w.text.clone()).collect())
}

/// netmaster names it, and says more than before.
fn told(lab: &Lab, edit: &Edit, before: &[String]) -> Result<()> {
    let told = wait_for_blocking("netctl status to name it", TOLD, || {
        let now = drift(lab).map_err(|e| format!("{e:#}"))?;
        let named = now.iter().any(|text| text.contains(&edit.says));
        if named && now != before { Ok(()) } else { Err(format!("no \"{}\" in {now:?}", edit.says)) }
    });
    match told {
        Ok(()) => Ok(()),
        Err(e) => claim("drift-is-reported", Err(format!("{}: {e}", edit.name))),
    }
}

/// The endpoint whose port and flows are altered is answered by one of the other node.
fn forwards(lab: &Lab) -> Result<()> {
    let question = Question { target: address_of(lab, "blue/db-2", false)?, kind: Kind::Tcp(5432) };
    let answered = wait_for_blocking("web-1 to be answered", FORWARDS, || {
        match grid::ask_once(lab, "blue/web-1", question).map_err(|e| format!("{e:#}"))? {
            Answer::Silence => Err("silence".to_owned()),
            _ => Ok(()),
        }
    });
    match answered {
        Ok(()) => Ok(()),
        Err(e) => claim("forwarding-goes-on-after-a-repair", Err(e.to_string())),
    }
}
