//! What a guard against lies must not break: duplicate address detection and neighbour discovery.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Result;
use test_support::wait_for_blocking;

use super::cast::Cast;
use crate::frame::odd::Arp;
use crate::frame::{BROADCAST, Mac};
use crate::lab::{Lab, run};
use crate::suite::{claim, claim_none};
use crate::suites::intruder::{Batch, GATEWAY_MAC, Seen, Station, Watch, send};

const PATIENCE: Duration = Duration::from_secs(8);

/// Right after the runtime's ADD: no address is tentative, none failed detection.
pub(super) fn configured(station: &Station) -> Result<()> {
    let mut wrong = Vec::new();
    for state in ["tentative", "dadfailed"] {
        let text = run::output(&mut run::words_in(
            &station.netns,
            &format!("ip -6 -o addr show {state} scope global"),
        ))?;
        wrong.extend(text.lines().map(|l| format!("{state}: {l}")));
    }
    claim_none("configured-addresses-are-not-tentative", &wrong)
}

/// Somebody else's addresses fail detection; its own, taken away and given back, pass.
pub(super) fn detection(cast: &Cast) -> Result<()> {
    let mut wrong = Vec::new();
    for (who, address) in [
        ("a neighbour here", cast.local.v6),
        ("a neighbour there", cast.remote.v6),
        ("the gateway", cast.gateway.1),
    ] {
        if let Err(e) = detects(&cast.me, address.into(), "dadfailed") {
            wrong.push(format!("the address of {who}: {e:#}"));
        }
        address_of(&cast.me, "del", address.into())?;
    }
    claim_none("duplicate-addresses-are-detected", &wrong)?;
    let mut refused = Vec::new();
    address_of(&cast.me, "del", cast.me.v6.into())?;
    let free = "fd00:1:1::99".parse()?;
    for address in [cast.me.v6.into(), free] {
        if let Err(e) = detects(&cast.me, address, "-tentative") {
            refused.push(format!("{e:#}"));
        }
    }
    address_of(&cast.me, "del", free)?;
    claim_none("unique-addresses-pass-detection", &refused)
}

/// Adds the address and waits until it is in this state, and not failed when it should be fine.
fn detects(me: &Station, address: IpAddr, state: &str) -> Result<()> {
    address_of(me, "add", address)?;
    let line = format!("ip -6 -o addr show dev eth0 {state}");
    wait_for_blocking(&format!("{address} to be {state}"), PATIENCE, || {
        let text = run::output(&mut run::words_in(&me.netns, &line)).map_err(|e| e.to_string())?;
        let found = text.lines().find(|l| l.contains(&format!(" {address}/")));
        let failed = |l: &str| l.contains("dadfailed") && state == "-tentative";
        if found.is_some_and(|l| !failed(l)) { Ok(()) } else { Err(text) }
    })?;
    Ok(())
}

fn address_of(me: &Station, verb: &str, address: IpAddr) -> Result<()> {
    run::output(&mut run::words_in(&me.netns, &format!("ip addr {verb} {address}/64 dev eth0"))).map(drop)
}

/// The kernel itself resolves global and link-local addresses, without a packet of anybody else's.
pub(super) fn resolution(cast: &Cast) -> Result<()> {
    let wanted: [(IpAddr, Mac, bool); 6] = [
        (cast.local.v6.into(), cast.local.mac, false),
        (cast.remote.v6.into(), cast.remote.mac, false),
        (cast.local.link_local().into(), cast.local.mac, false),
        (cast.remote.link_local().into(), cast.remote.mac, false),
        (cast.gateway.1.into(), GATEWAY_MAC, true),
        (cast.remote.v4.into(), cast.remote.mac, false),
    ];
    let mut wrong = Vec::new();
    for (address, mac, router) in wanted {
        if let Err(e) = resolves(&cast.me, address, mac, router) {
            wrong.push(format!("{e:#}"));
        }
    }
    claim_none("neighbours-resolve-link-local-ones-too", &wrong)
}

/// `use` makes the kernel send its solicitation (ip-neighbour(8)).
fn resolves(me: &Station, address: IpAddr, mac: Mac, router: bool) -> Result<()> {
    let ip = |line: String| run::output(&mut run::words_in(&me.netns, &line));
    // An entry of earlier traffic would prove nothing; there may be none.
    let _ = ip(format!("ip neigh del {address} dev eth0"));
    ip(format!("ip neigh replace {address} dev eth0 use"))?;
    let mac = mac.map(|o| format!("{o:02x}")).join(":");
    wait_for_blocking(&format!("{address} to be reachable at {mac}"), PATIENCE, || {
        let text = ip(format!("ip neigh show to {address} dev eth0")).map_err(|e| e.to_string())?;
        let right = text.contains(&mac) && text.contains("REACHABLE");
        let is_router = text.split_whitespace().any(|w| w == "router");
        if right && (is_router == router || address.is_ipv4()) { Ok(()) } else { Err(text) }
    })?;
    Ok(())
}

/// ARP's detection (RFC 5227): a probe for somebody's address is answered, one for its own or a free one is not.
pub(super) fn arp_probes(lab: &Lab, cast: &Cast, first: usize) -> Result<()> {
    let me = &cast.me;
    let mut batch = Batch::starting_at(first);
    let free = Ipv4Addr::new(10, 1, 1, 99);
    let about = [
        (cast.local.v4, Some(cast.local.mac)),
        (cast.remote.v4, Some(cast.remote.mac)),
        (cast.gateway.0, Some(GATEWAY_MAC)),
        (me.v4, None),
        (free, None),
    ];
    for (ip, _) in about {
        let probe = Arp { operation: 1, sender: (me.mac, Ipv4Addr::UNSPECIFIED), target: ([0; 6], ip) };
        batch.one(format!("probe for {ip}"), |m| probe.frame(me.mac, BROADCAST, m));
    }
    let watch = Watch::everywhere(lab)?;
    send(lab, &me.netns, &batch.frames())?;
    // The answers come from the switch; a question of the kernel's own comes back after them.
    resolves(me, cast.local.v4.into(), cast.local.mac, false)?;
    let seen = watch.stop()?;
    let wrong: Vec<_> =
        about.iter().filter(|(ip, mac)| answer(&seen, me, *ip) != *mac).map(|(ip, _)| ip).collect();
    claim_none("arp-probes-are-answered-for-others-only", &wrong)?;
    let elsewhere: Vec<_> =
        batch.arrivals(&seen).into_iter().filter(|a| !a.ends_with(&format!(": on {}", me.id))).collect();
    claim("arp-reaches-nobody-else", if elsewhere.is_empty() { Ok(()) } else { Err(elsewhere.join(", ")) })
}

/// The MAC that an ARP reply at this station gave for an address.
fn answer(seen: &Seen, me: &Station, ip: Ipv4Addr) -> Option<Mac> {
    let replies = seen
        .frames(&me.id)
        .iter()
        .filter(|f| f.get(12..14) == Some(&[8, 6]) && f.get(20..22) == Some(&[0, 2]));
    let mut about = replies.filter(|f| f.get(28..32) == Some(&ip.octets()[..]));
    about.find_map(|f| Mac::try_from(f.get(22..28)?).ok())
}
