//! Network profiles, measured: rates of UDP and TCP over ten seconds after three of settling, DSCP seen on the wire, a rate
//! changed under traffic, a rate that a group shares.
//!
//! UDP is offered at twice the rate, and counted in frames, as a meter counts it; TCP is what it achieves by itself.
//! CI has time for two rounds, in which different endpoints are measured at once: each has meters of its own.

use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use test_support::wait_for_blocking;

use crate::capture::{Capture, Way};
use crate::lab::{Lab, MARK_VARIABLE, Wanted};
use crate::probe::payload_mark;
use crate::probe::rate::{Counted, HEADERS};
use crate::suite::{Context, Extent, claim, claim_none};
use crate::suites::traffic::{address_of, claim_no_loss};

/// Who has the profile is in green's group web: on both nodes, with nothing in its way.
const GROUP: [&str; 2] = ["web", "front"];
const SECONDS: f64 = 10.0;
const SKIP: f64 = 3.0;
/// Expedited forwarding, RFC 3246.
const DSCP: u8 = 46;
/// So many rate changes in one flow.
const CHANGES: usize = 4;

/// One measurement.
#[derive(Clone, Copy, Debug)]
struct Stream {
    from: &'static str,
    to: &'static str,
    udp: bool,
}

const fn udp(from: &'static str, to: &'static str) -> Stream {
    Stream { from, to, udp: true }
}

const fn tcp(from: &'static str, to: &'static str) -> Stream {
    Stream { from, to, udp: false }
}

/// Near and far, each way, UDP and TCP, at both rates: no two of a round share a meter.
const SHORT: [(u32, &[Stream]); 2] = [
    (10, &[udp("green/web-1", "green/db-1"), tcp("green/db-1", "green/web-2")]),
    (100, &[tcp("green/web-1", "green/db-2"), udp("green/db-2", "green/web-2")]),
];

const ALL: [Stream; 8] = [
    udp("green/web-1", "green/db-1"),
    tcp("green/web-1", "green/db-1"),
    udp("green/web-1", "green/db-2"),
    tcp("green/web-1", "green/db-2"),
    udp("green/db-1", "green/web-1"),
    tcp("green/db-1", "green/web-1"),
    udp("green/db-2", "green/web-1"),
    tcp("green/db-2", "green/web-1"),
];

pub(super) fn run(context: &mut Context) -> Result<()> {
    profile(&context.lab, &["-b", "10Mbps", "--ingress-bandwidth", "10Mbps"])?;
    group(&context.lab, Some("rated"))?;
    let lab = &context.lab;
    let mut wrong = Vec::new();
    let mut round = |mbps: u32, streams: &[Stream]| -> Result<()> {
        let rate = format!("{mbps}Mbps");
        profile(lab, &["-b", &rate, "--ingress-bandwidth", &rate])?;
        wrong.extend(measure(lab, mbps, streams)?);
        Ok(())
    };
    match context.extent {
        Extent::Short => SHORT.into_iter().try_for_each(|(mbps, streams)| round(mbps, streams))?,
        Extent::Full => {
            for mbps in [10, 100] {
                ALL.iter().try_for_each(|stream| round(mbps, std::slice::from_ref(stream)))?;
            }
        }
    }
    claim_none("rates-are-kept", &wrong)?;
    claim("status-says-that-the-profile-is-realized", realized(&context.lab))?;
    claim_no_loss(context, "rate-change-loses-nothing", 4.0, &mut |_| Ok(()), &mut change)?;
    marked(&context.lab)?;
    shared(context)
}

/// Other rates, one after the other, while traffic flows.
fn change(context: &mut Context) -> Result<()> {
    for n in 0..CHANGES {
        let rate = ["20Mbps", "50Mbps"][n % 2];
        profile(&context.lab, &["-b", rate, "--ingress-bandwidth", rate])?;
    }
    Ok(())
}

fn profile(lab: &Lab, options: &[&str]) -> Result<()> {
    lab.netctl(&[&["netprofile", "create", "-t", "green", "rated"], options].concat())?;
    lab.wait_until_realized()
}

fn group(lab: &Lab, profile: Option<&str>) -> Result<()> {
    let [name, network] = GROUP;
    let mut args = vec!["group", "create", "-t", "green", network, name];
    args.extend(profile.iter().flat_map(|p| ["--networkprofile", *p]));
    lab.netctl(&args)?;
    lab.wait_until_realized()
}

fn realized(lab: &Lab) -> Result<(), String> {
    let profile: api::v1::NetProfile =
        lab.inspect("netprofile", "green", "rated").map_err(|e| format!("{e:#}"))?;
    match profile.status.realization {
        api::v1::Realization::Realized => Ok(()),
        _ => Err(format!("{:?}", profile.status)),
    }
}

/// Measures streams at once; those that do not have the rate, in words.
fn measure(lab: &Lab, mbps: u32, streams: &[Stream]) -> Result<Vec<String>> {
    let measured = rates(lab, mbps * 2, streams)?;
    let mut wrong = Vec::new();
    for (stream, got) in streams.iter().zip(measured) {
        let (want, within) = (f64::from(mbps), if stream.udp { 0.05 } else { 0.2 });
        let line = format!("{stream}: {got:.2} of {mbps} Mbit/s");
        eprintln!("      {line}");
        if (got / want - 1.0).abs() > within {
            wrong.push(line);
        }
    }
    Ok(wrong)
}

/// Megabits a second that each stream achieves.
fn rates(lab: &Lab, offered: u32, streams: &[Stream]) -> Result<Vec<f64>> {
    let mut running = Vec::new();
    for (n, stream) in streams.iter().enumerate() {
        running.push(start(lab, *stream, 6000 + u16::try_from(n)?, offered)?);
    }
    let mut rates = Vec::new();
    for (stream, (mut pouring, drain)) in streams.iter().zip(running) {
        let out = drain.wait_with_output()?;
        pouring.kill()?;
        pouring.wait()?;
        let text = String::from_utf8_lossy(&out.stdout);
        let counted: Counted = serde_json::from_str(&text).with_context(|| format!("{stream}: {text}"))?;
        let headers = if stream.udp { counted.reads * HEADERS } else { 0 };
        rates.push((counted.payload + headers) as f64 * 8.0 / SECONDS / 1e6);
    }
    Ok(rates)
}

fn start(lab: &Lab, stream: Stream, port: u16, offered: u32) -> Result<(Child, Child)> {
    let transport = if stream.udp { "udp" } else { "tcp" };
    let probe = lab.binaries().path("selvage-probe");
    let log = lab.dir().join(format!("drain-{port}.log"));
    let mut drain = lab.endpoint(stream.to)?.command(&probe);
    drain.args(["drain", "--transport", transport, "--port", &port.to_string()]);
    drain.args(["--skip", &SKIP.to_string(), "--seconds", &SECONDS.to_string()]);
    drain.env(MARK_VARIABLE, lab.mark().as_str()).stdin(Stdio::null()).stdout(Stdio::piped());
    let drain = drain.stderr(std::fs::File::create(&log)?).spawn().context("selvage-probe drain")?;
    wait_for_blocking(&format!("the end of {stream}"), Duration::from_secs(10), || {
        let text = std::fs::read_to_string(&log).map_err(|e| e.to_string())?;
        if text.contains("listening") { Ok(()) } else { Err(text) }
    })?;
    let to = std::net::SocketAddr::new(address_of(lab, stream.to, false)?, port).to_string();
    let mut pour = lab.endpoint(stream.from)?.command(&probe);
    pour.args(["pour", "--tenant", "green", "--to", &to, "--transport", transport]);
    pour.args(["--mbps", &offered.to_string(), "--seconds", "20"]);
    pour.env(MARK_VARIABLE, lab.mark().as_str()).stdin(Stdio::null()).stdout(Stdio::null());
    Ok((pour.spawn().context("selvage-probe pour")?, drain))
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let transport = if self.udp { "UDP" } else { "TCP" };
        write!(f, "{transport} {} -> {}", self.from, self.to)
    }
}

/// What web-1 sends has the mark, at an endpoint and inside the tunnel; what it is sent has none.
fn marked(lab: &Lab) -> Result<()> {
    profile(lab, &["--dscp", &DSCP.to_string()])?;
    let near = lab.endpoint("green/db-1")?;
    let underlay = lab.mark().netns(crate::lab::fabric::FABRIC);
    let captures = [
        (Capture::start(lab, &near.netns, "eth0", Way::In)?, 14, DSCP),
        (Capture::start(lab, &underlay, "node-1", Way::In)?, 64, DSCP),
        (Capture::start(lab, &lab.endpoint("green/web-1")?.netns, "eth0", Way::In)?, 14, 0),
    ];
    for (to, v6) in [("green/db-1", false), ("green/db-2", false), ("green/db-1", true), ("green/db-2", true)]
    {
        let stream = crate::suites::traffic::Stream { from: "green/web-1", to, v6 };
        let (_, report) = crate::suites::traffic::Flow::start(lab, stream, 1.0)?.finish()?;
        ensure!(report.received > 0, "nothing of the flow to {to} came back");
    }
    let mark = payload_mark("green");
    let mut wrong = Vec::new();
    for (capture, ip, dscp) in captures {
        let captured = capture.stop()?;
        let ours = captured.frames.iter().filter(|f| f.windows(mark.len()).any(|w| w == mark));
        let marks: Vec<(u8, u8)> = ours.filter_map(|f| code_point(f.get(ip..)?)).collect();
        for version in [4, 6] {
            let of_version = || marks.iter().filter(|(v, _)| *v == version);
            let (all, other) = (of_version().count(), of_version().filter(|(_, seen)| *seen != dscp).count());
            ensure!(all > 0, "nothing of green over IPv{version} on {}", captured.what);
            let line =
                format!("{}: {other} of {all} IPv{version} packets without DSCP {dscp}", captured.what);
            eprintln!("      {line}");
            if other > 0 {
                wrong.push(line);
            }
        }
    }
    claim_none("marks-are-on-the-wire", &wrong)
}

/// An IP packet's version and code point: RFC 2474 section 3, RFC 8200 section 3.
fn code_point(packet: &[u8]) -> Option<(u8, u8)> {
    let (first, second) = (*packet.first()?, *packet.get(1)?);
    match first >> 4 {
        4 => Some((4, second >> 2)),
        6 => Some((6, (first & 0xf) << 2 | second >> 6)),
        _ => None,
    }
}

/// Two endpoints of one node have one rate together.
fn shared(context: &mut Context) -> Result<()> {
    let third = Wanted {
        tenant: "green".into(),
        name: "web-3".into(),
        network: "front".into(),
        group: Some("web".into()),
        node: 1,
        addresses: Vec::new(),
    };
    context.lab.attach(&[third])?;
    let lab = &context.lab;
    profile(lab, &["-b", "10Mbps", "--share", "group"])?;
    let got = rates(lab, 10, &[udp("green/web-1", "green/db-1"), udp("green/web-3", "green/db-2")])?;
    let sum: f64 = got.iter().sum();
    eprintln!("      together {sum:.2} of 10 Mbit/s: {got:.2?}");
    let kept = (sum / 10.0 - 1.0).abs() <= 0.05;
    claim("shared-rate-is-kept-by-all-together", if kept { Ok(()) } else { Err(format!("{got:.2?}")) })?;
    group(lab, None)?;
    lab.netctl(&["netprofile", "rm", "-t", "green", "rated"])?;
    let left =
        lab.nodes.iter().map(|n| n.ofctl(&["-O", "OpenFlow15", "dump-meters", crate::suites::agent::BRIDGE]));
    let left = left.collect::<Result<Vec<_>>>()?.concat();
    let gone = if left.contains("rate=") { Err(left) } else { Ok(()) };
    claim("nothing-is-metered-when-nobody-asks-for-it", gone)
}
