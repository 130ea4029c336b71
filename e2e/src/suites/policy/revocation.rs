//! Established connections after policy changed: what is forbidden now is cut, whatever packet is the next, and nothing
//! else; what is allowed again goes on where it was.
//!
//! Connections are to blue's database at node 1: from web-1 at the same node, from web-2 through the tunnel, and between
//! databases, which no change is about. A stream is a server that sends without being asked again: its replies are the
//! only packets there are.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use test_support::{Daemon, wait_for_blocking};

use crate::lab::{Lab, MARK_VARIABLE};
use crate::suite::{Context, claim, claim_none};
use crate::suites::agent::BRIDGE;
use crate::suites::traffic::{address_of, claim_no_loss};
use crate::suites::verdicts::wait_until;

/// How long a change may take to reach every switch, counted from the command's return.
const EFFECTIVE: Duration = Duration::from_secs(1);
/// A connection that has no answer for so long is cut.
const QUIET: Duration = Duration::from_millis(1500);
/// TCP asks again after up to so long.
const AGAIN: Duration = Duration::from_secs(40);
const POSTGRES: u16 = 5432;
const STREAM: u16 = 5900;

/// A connection that is kept.
struct Held {
    name: &'static str,
    log: std::path::PathBuf,
    _probe: Daemon,
}

impl Held {
    fn start(
        lab: &Lab,
        name: &'static str,
        (from, to): (&str, &str),
        v6: bool,
        stream: bool,
    ) -> Result<Self> {
        let port = if stream { STREAM } else { POSTGRES };
        let to = SocketAddr::new(address_of(lab, to, v6)?, port).to_string();
        let endpoint = lab.endpoint(from)?;
        let log = lab.dir().join(format!("held-{name}.log"));
        let mut command = endpoint.command(&lab.binaries().path("selvage-probe"));
        command.args(["hold", "--tenant", &endpoint.wanted.tenant, "--to", &to]);
        if stream {
            command.arg("--stream");
        }
        command.env(MARK_VARIABLE, lab.mark().as_str());
        let probe = Daemon::start(name, &command, &log)?;
        let held = Self { name, log, _probe: probe };
        held.goes_on(Duration::from_secs(10)).map_err(|e| anyhow::anyhow!(e))?;
        Ok(held)
    }

    /// Answers so far.
    fn answers(&self) -> usize {
        std::fs::read_to_string(&self.log).map_or(0, |text| text.lines().count())
    }

    /// There are new answers, within this time.
    fn goes_on(&self, within: Duration) -> Result<(), String> {
        let before = self.answers();
        let more = || if self.answers() > before + 2 { Ok(()) } else { Err(self.answers().to_string()) };
        wait_for_blocking(&format!("{} to go on", self.name), within, more).map_err(|e| e.to_string())
    }
}

/// Those of `held` that have no new answers for a while although they should, or that have some and should not.
fn wrong(held: &[Held], cut: &[&str]) -> Vec<String> {
    wait_until(Instant::now() + EFFECTIVE);
    let before: Vec<usize> = held.iter().map(Held::answers).collect();
    wait_until(Instant::now() + QUIET);
    let judge = |(held, before): (&Held, usize)| {
        let more = held.answers() - before;
        (cut.contains(&held.name) != (more == 0)).then(|| format!("{}: {more} answers", held.name))
    };
    held.iter().zip(before).filter_map(judge).collect()
}

/// Those of `held` that do not go on, given time.
fn dead(held: &[Held]) -> Vec<String> {
    held.iter().filter_map(|held| held.goes_on(AGAIN).err()).collect()
}

pub(super) fn run(context: &mut Context) -> Result<()> {
    let _server = stream_server(&context.lab)?;
    let lab = &context.lab;
    let held = [
        Held::start(lab, "near", ("blue/web-1", "blue/db-1"), false, false)?,
        Held::start(lab, "far", ("blue/web-2", "blue/db-1"), true, false)?,
        Held::start(lab, "near-stream", ("blue/web-1", "blue/db-1"), false, true)?,
        Held::start(lab, "far-stream", ("blue/web-2", "blue/db-1"), false, true)?,
        Held::start(lab, "other-tenant", ("green/web-2", "green/db-1"), false, false)?,
    ];
    let all_tcp = ["near", "far"];
    tightened(context, &held, "rule-added", NO_POSTGRES, &all_tcp)?;
    tightened(context, &held, "rule-for-replies-only-traffic", NO_STREAM, &["near-stream", "far-stream"])?;
    at_the_source(context, &held)?;
    regrouped(context, &held)?;
    restarted(context, &held)?;
    neighbours(context)
}

const NO_POSTGRES: &str =
    "policy rule-add -t blue db-access lockdown --from-group web -l tcp -P 5432 -p 50 -j deny";
const NO_STREAM: &str =
    "policy rule-add -t blue db-access lockdown --from-group web -l udp -P 5900 -p 50 -j deny";
const LOOSEN: &str = "policy rule-rm -t blue db-access lockdown";

fn netctl(lab: &Lab, words: &str) -> Result<()> {
    lab.netctl(&words.split_whitespace().collect::<Vec<_>>())?;
    lab.wait_until_realized()
}

/// One rule more cuts these; without it they go on.
fn tightened(context: &Context, held: &[Held], what: &str, rule: &str, cut: &[&str]) -> Result<()> {
    eprintln!("      {what}");
    netctl(&context.lab, rule)?;
    claim_none("what-is-forbidden-now-is-cut-and-nothing-else", &wrong(held, cut))?;
    netctl(&context.lab, LOOSEN)?;
    claim_none("what-is-allowed-again-goes-on", &dead(held))
}

/// A rule about what leaves: judged at the source's node, where only one side of each connection is.
fn at_the_source(context: &Context, held: &[Held]) -> Result<()> {
    eprintln!("      rule-at-the-source");
    let lab = &context.lab;
    apply(lab, &format!("{WEB_OUT}---\n{}", web_group("web-out")))?;
    let cut = ["near-stream", "far-stream"];
    claim_none("what-is-forbidden-now-is-cut-and-nothing-else", &wrong(held, &cut))?;
    apply(lab, &web_group(""))?;
    claim_none("what-is-allowed-again-goes-on", &dead(held))?;
    netctl(lab, "policy rm -t blue web-out")
}

const WEB_OUT: &str = "kind: policy
tenant: blue
name: web-out
rules:
  - { name: no-stream, direction: egress, priority: 5, protocol: udp, port: \"5900\", action: deny }
";

fn web_group(policies: &str) -> String {
    format!("kind: group\ntenant: blue\nname: web\nnetwork: front\npolicies: [{policies}]\n")
}

/// An endpoint that leaves the group a rule allows; whoever stays in it notices nothing.
fn regrouped(context: &Context, held: &[Held]) -> Result<()> {
    eprintln!("      endpoint-leaves-its-group");
    let group = |name: &str| apply(&context.lab, &format!("{GUEST}---\n{}", web_2(name)));
    group("guest")?;
    claim_none("what-is-forbidden-now-is-cut-and-nothing-else", &wrong(held, &["far"]))?;
    group("web")?;
    claim_none("what-is-allowed-again-goes-on", &dead(held))
}

const GUEST: &str = "kind: group\ntenant: blue\nname: guest\nnetwork: front\n";

fn web_2(group: &str) -> String {
    format!(
        "kind: endpoint\ntenant: blue\nname: web-2\nnetwork: front\nnode: node-2\ngroup: {group}\nipv4: 10.1.1.12\nipv6: \"fd00:1:1::12\"\n"
    )
}

fn apply(lab: &Lab, document: &str) -> Result<()> {
    let path = lab.dir().join("revocation.yaml");
    std::fs::write(&path, document)?;
    lab.netctl(&["apply", "-f", path.to_str().context("path")?])?;
    lab.wait_until_realized()
}

/// Agents that start again find the very same flows; what was forbidden while they were away is cut when they are back.
fn restarted(context: &mut Context, held: &[Held]) -> Result<()> {
    eprintln!("      agents-away");
    let before = flows(&context.lab)?;
    restart(context, &mut |_| Ok(()))?;
    let same = if flows(&context.lab)? == before { Ok(()) } else { Err("they differ".to_owned()) };
    claim("restarted-agent-renders-the-very-same-flows", same)?;
    claim_none("restart-cuts-nothing", &wrong(held, &[]))?;
    restart(context, &mut |lab| lab.netctl(&NO_POSTGRES.split_whitespace().collect::<Vec<_>>()).map(drop))?;
    context.lab.wait_until_realized()?;
    claim_none("what-was-forbidden-meanwhile-is-cut", &wrong(held, &["near", "far"]))?;
    netctl(&context.lab, LOOSEN)?;
    claim_none("what-is-allowed-again-goes-on", &dead(held))
}

/// The flows of every node.
fn flows(lab: &Lab) -> Result<Vec<BTreeSet<String>>> {
    let dump = |node: &crate::lab::Node| {
        let text = node.ofctl(&["-O", "OpenFlow15", "--no-stats", "dump-flows", BRIDGE])?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    lab.nodes.iter().map(dump).collect()
}

fn restart(context: &mut Context, meanwhile: &mut dyn FnMut(&Lab) -> Result<()>) -> Result<()> {
    context.lab.nodes.iter_mut().for_each(crate::lab::Node::kill_netplugin);
    meanwhile(&context.lab)?;
    let failpoints = context.lab.failpoints().clone();
    for node in &mut context.lab.nodes {
        node.start_netplugin(&failpoints)?;
        node.wait_for_netplugin()?;
    }
    context.lab.wait_until_realized()
}

/// Flows that are judged again and allowed again lose nothing.
fn neighbours(context: &mut Context) -> Result<()> {
    let mut change = |context: &mut Context| {
        for _ in 0..2 {
            netctl(&context.lab, NO_POSTGRES)?;
            netctl(&context.lab, LOOSEN)?;
        }
        Ok(())
    };
    claim_no_loss(
        context,
        "what-is-judged-again-and-allowed-loses-nothing",
        6.0,
        &mut |_| Ok(()),
        &mut change,
    )
}

/// Streams from blue's database.
fn stream_server(lab: &Lab) -> Result<Daemon> {
    let mut command = lab.endpoint("blue/db-1")?.command(&lab.binaries().path("selvage-probe"));
    command.args(["stream", "--tenant", "blue", "--port", &STREAM.to_string()]);
    let log = lab.dir().join("stream.log");
    command.env(MARK_VARIABLE, lab.mark().as_str());
    let server = Daemon::start("stream", &command, &log)?;
    wait_for_blocking("the stream to be served", Duration::from_secs(10), || {
        let text = std::fs::read_to_string(&log).map_err(|e| e.to_string())?;
        if text.contains("ready") { Ok(()) } else { Err(text) }
    })?;
    Ok(server)
}
