//! A port number goes from one tenant's endpoint to another tenant's, which has the same address, while both tenants
//! send to that address all the time and both containers send as soon as they can: nobody ever gets a packet of the
//! other tenant. Needs programs with failpoints: rotation of numbers, a courtesy, is switched off.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use test_support::{Daemon, wait_for_blocking};

use crate::capture::{Capture, Way};
use crate::demo;
use crate::lab::{Lab, MARK_VARIABLE, run};
use crate::suite::{Context, Extent, claim, claim_none};
use crate::suites::agent::wait_until_current;
use crate::suites::runtime::Attachment;
use crate::suites::traffic::address_of;

/// Times a number goes from blue to green, asked for by name.
const ROUNDS: u8 = 10;
/// What CI has time for.
const SOME: u8 = 3;
/// Takes the lowest free number instead of the next one.
const LOWEST: &str = "lowest-port-number";
/// On node-2: whoever sends to the containers.
const SENDERS: [&str; 2] = ["blue/web-2", "green/web-2"];
/// On node-1, as the containers: whom they send to. Both have the same address.
const RECEIVERS: [&str; 2] = ["blue/web-1", "green/web-1"];
const TENANTS: [&str; 2] = ["blue", "green"];

pub(super) fn run(context: &mut Context) -> Result<()> {
    let rounds = match context.extent {
        _ if context.lab.failpoints().any() => 1,
        Extent::Short => SOME,
        Extent::Full => ROUNDS,
    };
    let (binaries, failpoints) = (context.lab.binaries().clone(), context.lab.failpoints().with(LOWEST));
    let node = context.lab.nodes.first_mut().context("no node")?;
    node.kill_netplugin();
    node.start_netplugin(&failpoints)?;
    wait_until_current(&binaries, node)?;
    let lab = &context.lab;
    let captures: Vec<_> = RECEIVERS.map(|id| capture(lab, &lab.endpoint(id)?.netns, "eth0")).into();
    let mut foreign = Vec::new();
    let (mut reused, mut own) = (0, [0; 4]);
    let mut last = None;
    for round in 0..rounds {
        let seen = exchange(lab, round)?;
        reused +=
            usize::from(last == Some(seen.numbers[0])) + usize::from(seen.numbers[0] == seen.numbers[1]);
        last = Some(seen.numbers[1]);
        foreign.extend(seen.foreign);
        own[0] += seen.own[0];
        own[1] += seen.own[1];
    }
    for (n, capture) in captures.into_iter().enumerate() {
        let captured = capture?.stop()?;
        own[2 + n] = captured.of(TENANTS[n]);
        let others = captured.of(TENANTS[1 - n]);
        foreign.extend(
            (others > 0).then(|| format!("{others} frames of {} at {}", TENANTS[1 - n], RECEIVERS[n])),
        );
    }
    let expected = usize::from(rounds) * 2 - 1;
    eprintln!("      a number changed hands {reused} times; own frames seen: {own:?}");
    claim(
        "numbers-are-reused",
        if reused == expected { Ok(()) } else { Err(format!("{reused} of {expected}")) },
    )?;
    let heard = if own.iter().all(|n| *n > 0) { Ok(()) } else { Err(format!("{own:?}")) };
    claim("every-owner-sends-and-receives", heard)?;
    claim_none("reused-port-carries-nothing-of-its-last-owner", &foreign)
}

/// What was seen while a number went from blue to green.
struct Seen {
    numbers: [u64; 2],
    own: [usize; 2],
    foreign: Vec<String>,
}

fn exchange(lab: &Lab, round: u8) -> Result<Seen> {
    let address = IpAddr::from([10, 1, 1, 100 + round]);
    let mut blasts = Vec::new();
    for (sender, tenant) in SENDERS.iter().zip(TENANTS) {
        blasts.push(blast(lab, &lab.endpoint(sender)?.netns, tenant, address)?);
    }
    let containers = TENANTS.map(|tenant| container(lab, tenant, address, round));
    let [blue, green] = containers;
    let both = [blue?, green?];
    let mut captures = Vec::new();
    for (attachment, tenant) in both.iter().zip(TENANTS) {
        captures.push(capture(lab, &attachment.netns, "any")?);
        blasts.push(blast(lab, &attachment.netns, tenant, address_of(lab, RECEIVERS[0], false)?)?);
    }
    let mut numbers = [0; 2];
    for (n, attachment) in both.iter().enumerate() {
        let result = added(attachment)?;
        numbers[n] = number(lab, attachment)?;
        reached(attachment)?;
        let deleted = attachment.call("DEL", Some(&result))?.silent();
        ensure!(deleted.is_ok(), "DEL: {deleted:?}");
    }
    drop(blasts);
    let mut seen = Seen { numbers, own: [0; 2], foreign: Vec::new() };
    for (n, capture) in captures.into_iter().enumerate() {
        let captured = capture.stop()?;
        seen.own[n] = captured.of(TENANTS[n]);
        let others = captured.of(TENANTS[1 - n]);
        let what = format!("{others} frames of {} in a container of {}", TENANTS[1 - n], TENANTS[n]);
        seen.foreign.extend((others > 0).then_some(what));
        both[n].remove_namespace()?;
    }
    Ok(seen)
}

fn container(lab: &Lab, tenant: &str, address: IpAddr, round: u8) -> Result<Attachment> {
    let mut attachment = Attachment::new(lab, &lab.nodes[0], &format!("r{round}-{tenant}"))?;
    attachment.config["tenant"] = tenant.into();
    attachment.environment.push(("CNI_ARGS", format!("IgnoreUnknown=1;SELVAGE_IPV4={address}")));
    Ok(attachment)
}

fn added(attachment: &Attachment) -> Result<Value> {
    let result = attachment.call("ADD", None)?.result();
    result.map_err(|e| anyhow::anyhow!("ADD of {}: {e}", attachment.container))
}

/// The container's OpenFlow port number.
fn number(lab: &Lab, attachment: &Attachment) -> Result<u64> {
    let label = format!("external_ids:selvage-endpoint={}", attachment.endpoint());
    let text = lab.nodes[0].vsctl(&["--bare", "--columns=ofport", "find", "Interface", &label])?;
    text.trim().parse().with_context(|| format!("the number of {}: {text:?}", attachment.container))
}

/// Waits until something got in: the flows are in use.
fn reached(attachment: &Attachment) -> Result<()> {
    let got = wait_for_blocking("packets to arrive", Duration::from_secs(10), || {
        let text = run::output(&mut attachment.command("ip -s -j link show dev eth0"));
        let text = text.map_err(|e| format!("{e:#}"))?;
        let link: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        match link[0]["stats64"]["rx"]["packets"].as_u64() {
            Some(n) if n >= 50 => Ok(()),
            n => Err(format!("{n:?} packets")),
        }
    });
    Ok(got?)
}

/// Traffic without end.
fn blast(lab: &Lab, netns: &str, tenant: &str, to: IpAddr) -> Result<Daemon> {
    let mut command = run::in_netns(netns, lab.binaries().path("selvage-probe"));
    let to = SocketAddr::new(to, demo::UDP[0]).to_string();
    command.args(["blast", "--tenant", tenant, "--to", &to]).env(MARK_VARIABLE, lab.mark().as_str());
    Ok(Daemon::start("selvage-probe blast", &command, &lab.dir().join(format!("blast-{netns}.log")))?)
}

fn capture(lab: &Lab, netns: &str, interface: &str) -> Result<Capture> {
    Capture::start(lab, netns, interface, Way::In)
}
