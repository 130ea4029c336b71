//! A thousand rules are replaced by a thousand others, again and again, under traffic: no packet is ever judged by a policy
//! that is half installed.
//!
//! Both sets say the same of the traffic that runs, by rules of other names: what they allow lies in what they deny, and
//! what they deny in what they allow. So whichever rule were there without the others, packets would arrive that neither set
//! lets through, or be lost that both do.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use crate::lab::{Lab, run};
use crate::suite::{Context, Extent, claim, claim_none};
use crate::suites::traffic::{Flow, Stream};

const RULES: usize = 1000;
/// As many replacements as there is time for in so many seconds, and no fewer than this.
const fn time(extent: Extent) -> (f64, u32) {
    match extent {
        Extent::Short => (8.0, 3),
        Extent::Full => (60.0, 20),
    }
}

/// Packets a busy machine may lose for each: half a set lasts more than a tenth of a second, at a thousand packets a second.
const STRAY: u32 = 10;

/// Near and through the tunnel. IPv4 is allowed, IPv6 is not.
const STREAMS: [Stream; 4] = [
    Stream { from: "blue/web-1", to: "blue/db-1", v6: false },
    Stream { from: "blue/web-2", to: "blue/db-1", v6: false },
    Stream { from: "blue/web-1", to: "blue/db-1", v6: true },
    Stream { from: "blue/web-2", to: "blue/db-1", v6: true },
];

pub(super) fn run(context: &mut Context) -> Result<()> {
    let (lab, (seconds, least)) = (&context.lab, time(context.extent));
    replace(lab, "a")?;
    let quiet = flows(lab, 3.0)?;
    let control = quiet.into_iter().map(Flow::finish).collect::<Result<Vec<_>>>()?;
    for (stream, report) in &control {
        let as_meant = if stream.v6 { report.received == 0 } else { report.lost() < report.sent / 10 };
        ensure!(as_meant, "before anything is replaced: {stream}: {report:?}");
    }
    let flows = flows(lab, seconds)?;
    let mut replaced = 0;
    while flows.iter().all(Flow::runs) {
        replace(lab, if replaced % 2 == 0 { "b" } else { "a" })?;
        replaced += 1;
    }
    eprintln!("      {replaced} times {RULES} rules replaced in {seconds} s");
    let enough = if replaced >= least { Ok(()) } else { Err(format!("{replaced} times")) };
    claim("rules-are-replaced-under-traffic", enough)?;
    let (mut through, mut lost) = (Vec::new(), Vec::new());
    for flow in flows {
        let (stream, report) = flow.finish()?;
        eprintln!(
            "      {stream}: {} of {} answered, lost at ms {:?}",
            report.received, report.sent, report.lost_ms
        );
        if stream.v6 && report.received > 0 {
            through.push(format!("{stream}: {} of {}", report.received, report.sent));
        }
        if !stream.v6 && report.lost() > STRAY * replaced {
            lost.push(format!("{stream}: {} of {} at ms {:?}", report.lost(), report.sent, report.lost_ms));
        }
    }
    claim_none("what-is-denied-is-denied-at-every-moment", &through)?;
    claim_none("what-is-allowed-is-allowed-at-every-moment", &lost)
}

fn flows(lab: &Lab, seconds: f64) -> Result<Vec<Flow>> {
    STREAMS.into_iter().map(|stream| Flow::start(lab, stream, seconds)).collect()
}

/// Puts one of the sets in place of the other; returns when both switches enforce it.
fn replace(lab: &Lab, set: &str) -> Result<()> {
    let document = rules(set)?;
    run::output_with_input(&mut lab.master.netctl(&["apply", "-f", "-"]), document.as_bytes())?;
    lab.wait_until_realized()
}

/// A set: IPv6 from the web servers is denied, UDP to the port is allowed, all other UDP denied; the rest is about ports and
/// addresses nobody uses.
fn rules(set: &str) -> Result<String> {
    let mut text = String::from("kind: policy\ntenant: blue\nname: db-access\nrules:\n");
    let mut rule = |name: &str, rest: &str| {
        writeln!(text, "  - {{ name: {name}-{set}, direction: ingress, {rest}, protocol: udp }}")
    };
    rule("no-v6", "priority: 50, peer: { cidr: \"fd00:1:1::/64\" }, action: deny")?;
    rule("echo", "priority: 40, port: \"5000\", action: allow")?;
    rule("no-udp", "priority: 5, action: deny")?;
    for n in 3..RULES {
        let (port, priority) = (20_000 + n, 1 + n % 100);
        let peer = match n % 3 {
            0 => String::new(),
            1 => "peer: { group: web }, ".to_owned(),
            _ => format!("peer: {{ cidr: 10.9.{}.0/24 }}, ", n % 200),
        };
        rule(&format!("r{n}"), &format!("priority: {priority}, {peer}port: \"{port}\", action: deny"))?;
    }
    Ok(text)
}
