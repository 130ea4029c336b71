//! Certificates that live for seconds are renewed again and again while they are used: nobody who asks netmaster is
//! refused, an agent goes on with its new certificate, no packet is lost, and nothing is said to be wrong.
//!
//! node-1 has such a certificate. node-2 keeps its own of ninety days: its session shows that netmaster's renewals end
//! none. Needs programs with failpoints: certificates live for months.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use test_support::{Daemon, wait_for_blocking};

use super::outage::{visitor, without_loss};
use crate::lab::https::Certificate;
use crate::lab::{Lab, MARK_VARIABLE, run};
use crate::suite::{Context, claim, claim_none};
use crate::suites::agent::wait_until_current;

/// How long certificates live, instead of a year and ninety days.
const LIVE: (&str, u64) = ("certificates-live", 6);
/// From any moment on, the certificate of that moment has ended within this time.
const FLOW_SECONDS: f64 = 8.0;
/// What follows from something that happened is there within this time.
const PATIENCE: Duration = Duration::from_secs(20);
/// Nobody has to be told of a renewal that went well (the telemetry crate's levels, and what a lost session says).
const COMPLAINTS: [&str; 3] = [" WARN ", " ERROR ", "no session with netmaster"];

pub(super) fn run(context: &mut Context) -> Result<()> {
    short_lives(&mut context.lab)?;
    let said = Said::until_now(&context.lab)?;
    let since = since(&context.lab, "node-2")?;
    let mut watch = Watch::start(&context.lab)?;
    without_loss(context, "renewals-lose-no-packet", FLOW_SECONDS, &mut nothing, &mut renewed)?;
    let now = self::since(&context.lab, "node-2")?;
    let kept = if now == since { Ok(()) } else { Err(format!("since {now}, before since {since}")) };
    claim("renewal-of-netmasters-certificate-ends-no-session", kept)?;
    let attached = context.lab.attach(&[visitor()]).map_err(|e| format!("{e:#}"));
    claim("endpoints-can-be-added-after-renewals", attached)?;
    claim("watch-goes-on-through-renewals", watch.tells_of("visitor"))?;
    context.lab.detach(&visitor().id())?;
    claim_none("renewals-are-no-trouble-to-anybody", &said.since_then()?)
}

fn nothing(_: &mut Context) -> Result<()> {
    Ok(())
}

/// From now on certificates live for seconds, and node-1 has such a one.
fn short_lives(lab: &mut Lab) -> Result<()> {
    let (binaries, failpoints) = (lab.binaries().clone(), lab.failpoints().clone());
    lab.master.kill_netmaster();
    lab.master.start_netmaster(&failpoints.with_number(LIVE.0, LIVE.1))?;
    lab.master.wait_until_serving()?;
    let node = lab.nodes.first_mut().context("no node")?;
    node.kill_netplugin();
    // Without its certificate it joins anew, with the key it has.
    let file = node.join_file();
    for gone in [&file, &certificate_file(node)] {
        std::fs::remove_file(gone).with_context(|| format!("cannot remove {}", gone.display()))?;
    }
    run::output(&mut lab.master.netctl(&[
        "node",
        "join-token",
        &node.name,
        "-o",
        &file.display().to_string(),
    ]))?;
    node.start_netplugin(&failpoints)?;
    for node in &mut lab.nodes {
        wait_until_current(&binaries, node)?;
    }
    lab.wait_until_realized()
}

fn certificate_file(node: &crate::lab::Node) -> PathBuf {
    node.dir.join("state/node.crt")
}

/// The certificates that are used now: netmaster's, and node-1's.
fn used(lab: &Lab) -> Result<[Certificate; 2]> {
    let node = lab.nodes.first().context("no node")?;
    Ok([
        lab.master.get("/livez", false)?.certificate,
        Certificate::of_pem(&std::fs::read(certificate_file(node))?)?,
    ])
}

/// Waits until what is used now has ended. Somebody asks all the time; `netctl` believes no certificate that has ended.
fn renewed(context: &mut Context) -> Result<()> {
    let lab = &context.lab;
    let first = used(lab)?;
    let (mut asked, mut refused) = (0, Vec::new());
    wait_for_blocking("certificates to end", PATIENCE, || {
        // Looked at first: who asks last asks after the end.
        let ended = first.iter().map(Certificate::has_ended).collect::<Result<Vec<_>>>();
        let ended = ended.map_err(|e| e.to_string())?;
        asked += 1;
        refused.extend(lab.netctl(&["version"]).err().map(|e| format!("{e:#}")));
        if ended.iter().all(|e| *e) || !refused.is_empty() { Ok(()) } else { Err(format!("{ended:?}")) }
    })?;
    eprintln!("      netctl asked {asked} times");
    claim_none("netctl-is-answered-whenever-it-asks", &refused)?;
    let connected = wait_for_blocking("the session of node-1", PATIENCE, || {
        let status = lab.status().map_err(|e| format!("{e:#}"))?;
        let node = status.nodes.iter().find(|n| n.node.as_str() == "node-1");
        if node.is_some_and(|n| n.connected) { Ok(()) } else { Err(format!("{node:?}")) }
    });
    claim("agent-has-a-session-after-its-certificate-ended", connected.map_err(|e| e.to_string()))?;
    let now = used(lab)?;
    ensure!(first.iter().zip(&now).all(|(a, b)| a != b), "still the first ones are used: {now:?}");
    Ok(())
}

/// Since when a node has the session it has.
fn since(lab: &Lab, name: &str) -> Result<String> {
    let node = lab.status()?.nodes.into_iter().find(|n| n.node.as_str() == name);
    let node = node.filter(|n| n.connected).with_context(|| format!("{name} has no session"))?;
    node.since.with_context(|| format!("{name} was never connected"))
}

/// Somebody who watches a tenant's endpoints all the time, on one connection.
struct Watch {
    log: PathBuf,
    daemon: Daemon,
}

impl Watch {
    fn start(lab: &Lab) -> Result<Self> {
        let log = lab.dir().join("watch.log");
        let mut command = lab.master.netctl(&["get", "endpoint", "-t", "blue", "--watch", "-o", "json"]);
        command.env(MARK_VARIABLE, lab.mark().as_str()).stdin(Stdio::null());
        let mut watch = Self { daemon: Daemon::start("netctl get --watch", &command, &log)?, log };
        watch.tells_of("web-1").map_err(anyhow::Error::msg)?;
        Ok(watch)
    }

    /// Waits until it has told of an endpoint.
    fn tells_of(&mut self, name: &str) -> Result<(), String> {
        let told = wait_for_blocking("the watch", PATIENCE, || {
            self.daemon.running().map_err(|e| e.to_string())?;
            let text = std::fs::read_to_string(&self.log).map_err(|e| e.to_string())?;
            if text.contains(&format!("\"{name}\"")) { Ok(()) } else { Err(text) }
        });
        told.map_err(|e| e.to_string())
    }
}

/// How much everybody had written when it began.
struct Said(BTreeMap<PathBuf, usize>);

impl Said {
    fn until_now(lab: &Lab) -> Result<Self> {
        let logs = lab.nodes.iter().map(|n| n.dir.join("netplugin.log")).chain([lab.master.log()]);
        let length = |log: PathBuf| Ok((log.clone(), std::fs::read(&log)?.len()));
        Ok(Self(logs.map(length).collect::<Result<_>>()?))
    }

    /// Complaints of since then.
    fn since_then(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for (log, before) in &self.0 {
            let bytes = std::fs::read(log)?;
            let text = String::from_utf8_lossy(bytes.get(*before..).unwrap_or_default()).into_owned();
            let bad = text.lines().filter(|line| COMPLAINTS.iter().any(|c| line.contains(c)));
            found.extend(bad.map(|line| format!("{}: {line}", log.display())));
        }
        Ok(found)
    }
}
