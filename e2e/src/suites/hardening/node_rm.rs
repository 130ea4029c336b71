//! A machine is lost and taken out: cordoned, drained, removed while its agent is dead and its switch goes on forwarding;
//! shut out when the agent returns; let in again with a new token.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use test_support::wait_for_blocking;

use crate::capture::Way;
use crate::demo;
use crate::grid;
use crate::lab::{Lab, Wanted};
use crate::probe::{Answer, Kind, Question};
use crate::suite::{Context, claim, claim_none};
use crate::suites::agent::{BRIDGE, status, wait_until_current};
use crate::suites::intruder::{Batch, GATEWAY_MAC, Seen, Station, Watch, at, send, udp};
use crate::suites::runtime::{Attachment, list};

/// The machine, by its place in the lab, its name and the number of endpoints name it by.
const LOST: (usize, &str, u8) = (1, "node-2", 2);
/// The one that stays sees everything from here.
const WIRE: &str = "underlay at node-1";
/// What is said takes effect within this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody on the lost machine, and whom it talks to on the other one.
struct Pair {
    lost: Station,
    stays: Station,
}

pub(super) fn run(context: &mut Context) -> Result<()> {
    let lab = &mut context.lab;
    lab.wait_until_realized()?;
    let pairs = pairs(lab)?;
    let ports = lab.nodes[LOST.0].vsctl(&["list-ports", BRIDGE])?.lines().count();
    talk(lab, &pairs)?;
    cordoned(lab)?;
    in_use(lab)?;
    lab.nodes[LOST.0].kill_netplugin();
    removed(lab, &pairs)?;
    unheard(lab, &pairs)?;
    shut_out(lab)?;
    let gone = readmitted(lab, ports)?;
    given_out_again(lab, &gone)
}

fn lost_ones() -> impl Iterator<Item = Wanted> {
    demo::endpoints().into_iter().filter(|w| w.node == LOST.2)
}

fn pairs(lab: &Lab) -> Result<Vec<Pair>> {
    let pair = |lost: Wanted| {
        let peer = lost.id().replace("-2", "-1");
        Ok(Pair { lost: Station::of(lab, &lost.id())?, stays: Station::of(lab, &peer)? })
    };
    lost_ones().map(pair).collect()
}

/// Frames in both families from one to the other.
fn frames(from: &Station, to: &Station, first: usize) -> Batch {
    let mut batch = Batch::starting_at(first);
    // Within the network: between bridged neighbours no router's address is needed.
    batch.one(format!("{} to {} over IPv4", from.id, to.id), |m| udp(from.four(), to.four(), m));
    batch.one(format!("{} to {} over IPv6", from.id, to.id), |m| udp(from.six(), to.six(), m));
    batch
}

/// Sends what each of these has to say and listens everywhere meanwhile.
fn overheard(lab: &Lab, batches: &[(&Station, Batch)]) -> Result<Seen> {
    let watch = Watch::everywhere(lab)?.and_underlay_port(lab, "node-1", Way::Both)?;
    for (from, batch) in batches {
        send(lab, &from.netns, &batch.frames())?;
    }
    watch.stop()
}

fn missing(batch: &Batch, seen: &Seen, place: &str) -> Vec<String> {
    (0..batch.len()).filter_map(|n| batch.missing_one(seen, place, n)).collect()
}

/// Else hearing nothing later would prove nothing.
fn talk(lab: &Lab, pairs: &[Pair]) -> Result<()> {
    let batch = |(n, pair): (usize, &'_ Pair)| frames(&pair.lost, &pair.stays, n * 10);
    let batches: Vec<_> = pairs.iter().enumerate().map(|each| (&each.1.lost, batch(each))).collect();
    let seen = overheard(lab, &batches)?;
    let of = |(pair, (_, batch)): (&Pair, &(&Station, Batch))| missing(batch, &seen, &pair.stays.id);
    let silent: Vec<_> = pairs.iter().zip(&batches).flat_map(of).collect();
    claim_none("its-packets-arrive-while-it-is-a-node", &silent)
}

fn cordoned(lab: &Lab) -> Result<()> {
    lab.netctl(&["node", "cordon", LOST.1])?;
    let late = Attachment::new(lab, &lab.nodes[LOST.0], "late")?;
    let refused = match late.call("ADD", None)?.result() {
        Err(text) if text.contains("is cordoned") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    claim("cordoned-node-takes-no-new-endpoint", refused)?;
    let deleted = late.call("DEL", None)?.silent();
    ensure!(deleted.is_ok(), "DEL after a refused ADD: {deleted:?}");
    late.remove_namespace()?;
    // Cordoned, it can be waited for: what it has stays.
    let kept = list(lab, "endpoint", "blue")?.iter().filter(|e| e["node"] == LOST.1).count();
    claim("cordoned-node-keeps-what-it-has", if kept == 2 { Ok(()) } else { Err(format!("{kept} of 2")) })
}

fn in_use(lab: &Lab) -> Result<()> {
    let refused = match lab.netctl(&["node", "rm", LOST.1]) {
        Err(e) if lost_ones().any(|w| format!("{e:#}").contains(&w.id())) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    claim("node-in-use-is-not-removed-and-who-is-left-is-said", refused)
}

fn removed(lab: &mut Lab, pairs: &[Pair]) -> Result<()> {
    let gone = lab.netctl(&["node", "rm", "--drain", LOST.1]).map(drop).map_err(|e| format!("{e:#}"));
    claim("dead-node-is-drained-and-removed", gone)?;
    let freed: Vec<_> = lost_ones().flat_map(|w| w.addresses).collect();
    let cooling = cooling(lab)?;
    let unlisted: Vec<_> = freed.iter().filter(|a| !cooling.contains(&a.to_string())).collect();
    claim_none("addresses-of-its-endpoints-are-cooling", &unlisted)?;
    let left: Vec<String> = ["blue", "green"]
        .iter()
        .map(|t| list(lab, "endpoint", t))
        .collect::<Result<Vec<_>>>()?
        .concat()
        .iter()
        .filter(|e| e["node"] == LOST.1)
        .map(Value::to_string)
        .collect();
    claim_none("its-endpoints-are-gone", &left)?;
    let binaries = lab.binaries().clone();
    let vtep = format!("={}", lab.nodes[LOST.0].vtep());
    wait_until_current(&binaries, &mut lab.nodes[0])?;
    let known = wait_for_blocking("the other node to forget it", PATIENCE, || {
        let flows = lab.nodes[0].ofctl(&["-O", "OpenFlow15", "--no-stats", "dump-flows", BRIDGE]);
        let flows = flows.map_err(|e| format!("{e:#}"))?;
        let names = |text: &str, flow: &str| flow.split([',', ' ']).any(|f| f.ends_with(text));
        let of_it =
            |flow: &&str| names(&vtep, flow) || pairs.iter().any(|p| names(&format!("={}", p.lost.v4), flow));
        let left: Vec<_> = flows.lines().filter(of_it).take(4).collect();
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    });
    claim("other-nodes-have-no-flow-of-it", known.map_err(|e| e.to_string()))
}

/// Addresses listed as cooling, of all networks.
fn cooling(lab: &Lab) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for tenant in ["blue", "green"] {
        for network in list(lab, "network", tenant)? {
            let families = network["status"]["addresses"].as_array().cloned().unwrap_or_default();
            let listed = families.iter().filter_map(|f| f["cooling"].as_array()).flatten();
            found.extend(listed.filter_map(|a| a.as_str().map(str::to_owned)));
        }
    }
    Ok(found)
}

/// Its containers still run and its switch still forwards: what they send is on the wire, and arrives nowhere.
fn unheard(lab: &Lab, pairs: &[Pair]) -> Result<()> {
    let mut batches = Vec::new();
    for (n, Pair { lost, stays }) in pairs.iter().enumerate() {
        batches.push((lost, frames(lost, stays, 1000 + n * 10)));
        batches.push((stays, frames(stays, lost, 2000 + n * 10)));
    }
    let mut honest = Batch::starting_at(3000);
    let (web, db) = (Station::of(lab, "blue/web-1")?, Station::of(lab, "blue/db-1")?);
    honest.one("blue/db-1 to blue/web-1", |m| udp(db.four(), at(GATEWAY_MAC, web.v4.into()), m));
    batches.push((&db, honest));
    let seen = overheard(lab, &batches)?;
    let honest = batches.pop().map(|(_, batch)| missing(&batch, &seen, "blue/web-1")).unwrap_or_default();
    claim_none("its-neighbours-go-on-talking", &honest)?;
    let (from, to): (Vec<_>, Vec<_>) = batches.iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let unsent: Vec<_> = from.iter().flat_map(|(_, (_, batch))| missing(batch, &seen, WIRE)).collect();
    claim_none("removed-node-still-sends", &unsent)?;
    let heard: Vec<_> = from.iter().flat_map(|(_, (_, batch))| batch.arrivals_but(&seen, WIRE)).collect();
    claim_none("nothing-of-a-removed-node-is-accepted", &heard)?;
    let sent: Vec<_> = to.iter().flat_map(|(_, (_, batch))| batch.arrivals(&seen)).collect();
    claim_none("nothing-is-sent-to-a-removed-node", &sent)
}

/// The agent is back, with the certificate it had.
fn shut_out(lab: &mut Lab) -> Result<()> {
    let (binaries, failpoints) = (lab.binaries().clone(), lab.failpoints().clone());
    lab.nodes[LOST.0].start_netplugin(&failpoints)?;
    lab.nodes[LOST.0].wait_for_netplugin()?;
    let node = &lab.nodes[LOST.0];
    let said = wait_for_blocking("the removed node to be refused", PATIENCE, || {
        let status = status(&binaries, node).map_err(|e| format!("{e:#}"))?;
        let error = status["sessionError"].as_str().unwrap_or_default();
        match () {
            () if error.contains("node_unknown") => Ok(Ok(())),
            () if status["intent"] == "current" => Ok(Err(format!("it has a session: {status}"))),
            () => Err(status.to_string()),
        }
    });
    claim("removed-node-is-refused-and-says-why", said.map_err(|e| e.to_string()).flatten())?;
    // It tries its old join file once more before it asks for a new one: the log comes after the status.
    let path = node.dir.join("netplugin.log");
    let logged = wait_for_blocking("what to do in its log", PATIENCE, || {
        let log = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        let said = log.contains("node_unknown") && log.contains("netctl node join-token");
        if said { Ok(()) } else { Err(format!("not in {}", path.display())) }
    });
    let logged = logged.map_err(|e| e.to_string());
    claim("its-log-says-why-and-what-to-do", logged)?;
    let nodes: Vec<_> = lab.status()?.nodes.into_iter().map(|n| n.node.to_string()).collect();
    let alone = if nodes == ["node-1"] { Ok(()) } else { Err(format!("{nodes:?}")) };
    claim("removed-node-stays-removed", alone)
}

/// A new join file in the old one's place is all it takes. Gives the endpoints that were there.
fn readmitted(lab: &mut Lab, ports: usize) -> Result<Vec<Wanted>> {
    let file = lab.nodes[LOST.0].join_file();
    std::fs::remove_file(&file)?;
    lab.netctl(&["node", "join-token", LOST.1, "-o", &file.display().to_string()])?;
    let binaries = lab.binaries().clone();
    let current = wait_until_current(&binaries, &mut lab.nodes[LOST.0]);
    claim("new-token-readmits-the-machine", current.map(drop).map_err(|e| format!("{e:#}")))?;
    let lost: Vec<Wanted> = lost_ones().collect();
    let taken_out = wait_for_blocking("removed endpoints to be unplugged", PATIENCE, || {
        let now = lab.nodes[LOST.0].vsctl(&["list-ports", BRIDGE]).map_err(|e| format!("{e:#}"))?;
        if now.lines().count() + lost.len() == ports { Ok(()) } else { Err(now) }
    });
    claim("readmitted-node-unplugs-what-was-removed", taken_out.map_err(|e| e.to_string()))?;
    for wanted in &lost {
        let deleted = lab.detach(&wanted.id()).map_err(|e| format!("{e:#}"));
        claim("their-containers-can-be-deleted", deleted)?;
    }
    Ok(lost)
}

fn given_out_again(lab: &mut Lab, gone: &[Wanted]) -> Result<()> {
    let wanted = gone.first().context("nobody was there")?;
    let address = wanted.addresses.first().context("without address")?;
    let mut early = Attachment::new(lab, &lab.nodes[LOST.0], "early")?;
    early.environment.push(("CNI_ARGS", format!("IgnoreUnknown=1;SELVAGE_IPV4={address}")));
    let refused = match early.call("ADD", None)?.result() {
        Err(text) if text.contains("cooling down") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    claim("cooling-address-is-not-given-out", refused)?;
    early.remove_namespace()?;
    // Nobody waits for five minutes.
    let failpoints = lab.failpoints().clone();
    lab.master.kill_netmaster();
    lab.master.cool_for(Duration::from_secs(1));
    lab.master.start_netmaster(&failpoints)?;
    lab.master.wait_until_serving()?;
    let free = wait_for_blocking("addresses to have cooled", PATIENCE, || {
        let cooling = cooling(lab).map_err(|e| format!("{e:#}"))?;
        if cooling.is_empty() { Ok(()) } else { Err(format!("{cooling:?}")) }
    });
    claim("what-has-cooled-is-free", free.map_err(|e| e.to_string()))?;
    lab.wait_until_realized()?;
    let attached = lab.attach(std::slice::from_ref(wanted)).map_err(|e| format!("{e:#}"));
    claim("freed-addresses-are-given-out-again", attached)?;
    let reached = wait_for_blocking("the new endpoint to answer", PATIENCE, || {
        let question = Question { target: *address, kind: Kind::Ping };
        match grid::ask_once(lab, "blue/web-1", question).map_err(|e| format!("{e:#}"))? {
            Answer::Silence => Err("no answer".to_owned()),
            _ => Ok(()),
        }
    });
    claim("readmitted-node-forwards", reached.map_err(|e| e.to_string()))
}
