//! Numbered flows beside an event, and the same flows in a control run without it.
//!
//! "No loss" means: each flow loses no more than the same flow, for the same time, in the same lab, lost while nothing
//! happened. A busy machine drops a packet now and then in either run, so a comparison that fails is repeated, both
//! runs of it: what the event really costs, it costs every time. One whose control run lost something as well says that
//! the machine is busy and little else: there may be more of these.

use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use test_support::wait_for_blocking;

use crate::demo;
use crate::lab::{Lab, MARK_VARIABLE};
use crate::probe::flow::Report;
use crate::suite::{Context, claim};

/// Both runs are made at most so often when nothing is lost while nothing happens,
const ATTEMPTS: usize = 3;
/// and so often in all.
const MOST: usize = 6;
/// The loss that shows that a flow says nothing: it never worked.
const BROKEN: u32 = 2;

/// From one endpoint to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// `tenant/name`.
    pub from: &'static str,
    /// `tenant/name`.
    pub to: &'static str,
    /// Over IPv6.
    pub v6: bool,
}

/// Both tenants, both families, one node and two.
pub(super) const STREAMS: [Stream; 3] = [
    Stream { from: "blue/web-1", to: "blue/db-1", v6: false },
    Stream { from: "blue/web-2", to: "blue/db-1", v6: true },
    Stream { from: "green/web-1", to: "green/db-2", v6: false },
];

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {} over IPv{}", self.from, self.to, if self.v6 { 6 } else { 4 })
    }
}

/// A flow that runs.
pub(super) struct Flow {
    stream: Stream,
    child: Child,
    started: Instant,
    seconds: f64,
}

impl Flow {
    /// Starts 1,000 packets a second for so long; returns when the first is on its way.
    pub fn start(lab: &Lab, stream: Stream, seconds: f64) -> Result<Self> {
        let address = address_of(lab, stream.to, stream.v6)?;
        let from = lab.endpoint(stream.from)?;
        let log = lab.dir().join(format!("flow-{}-{}.log", stream.from, stream.to).replace('/', "-"));
        let to = std::net::SocketAddr::new(address, demo::UDP[0]).to_string();
        let mut command = from.command(&lab.binaries().path("selvage-probe"));
        command.args(["flow", "--tenant", &from.wanted.tenant, "--to", &to]);
        command.args(["--seconds", &seconds.to_string()]).env(MARK_VARIABLE, lab.mark().as_str());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log)?);
        let child = command.spawn().context("selvage-probe flow")?;
        wait_for_blocking(&format!("the flow {stream}"), Duration::from_secs(10), || {
            let text = std::fs::read_to_string(&log).map_err(|e| e.to_string())?;
            if text.contains("started") { Ok(()) } else { Err(text) }
        })?;
        Ok(Self { stream, child, started: Instant::now(), seconds })
    }

    /// Whether it is still sending.
    pub fn runs(&self) -> bool {
        self.started.elapsed().as_secs_f64() < self.seconds
    }

    /// How long it has been sending.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits for its end.
    pub fn finish(self) -> Result<(Stream, Report)> {
        let out = self.child.wait_with_output()?;
        let text = String::from_utf8_lossy(&out.stdout);
        let report = serde_json::from_str(&text).with_context(|| format!("flow {}: {text}", self.stream))?;
        Ok((self.stream, report))
    }
}

/// The address of an endpoint in a family.
pub(super) fn address_of(lab: &Lab, id: &str, v6: bool) -> Result<IpAddr> {
    let endpoint = lab.endpoint(id)?;
    let address = endpoint.addresses.iter().find(|a| a.is_ipv6() == v6);
    address.copied().with_context(|| format!("{id} has no address of that family"))
}

/// All flows of [`STREAMS`] while something happens.
pub(super) fn during(
    context: &mut Context,
    seconds: f64,
    event: &mut dyn FnMut(&mut Context) -> Result<()>,
) -> Result<Vec<(Stream, Report)>> {
    let flows = STREAMS.map(|s| Flow::start(&context.lab, s, seconds));
    let flows = flows.into_iter().collect::<Result<Vec<_>>>()?;
    event(context)?;
    let covered = flows.iter().all(Flow::runs);
    let reports = flows.into_iter().map(Flow::finish).collect::<Result<Vec<_>>>()?;
    ensure!(covered, "the event took longer than the flows of {seconds} s: they say nothing about its end");
    Ok(reports)
}

/// Claims that the event costs no packet. `rest` is what the control run does instead.
pub(super) fn claim_no_loss(
    context: &mut Context,
    name: &'static str,
    seconds: f64,
    rest: &mut dyn FnMut(&mut Context) -> Result<()>,
    event: &mut dyn FnMut(&mut Context) -> Result<()>,
) -> Result<()> {
    let mut outcome = Ok(());
    let mut left = ATTEMPTS;
    for _ in 0..MOST {
        let control = during(context, seconds, rest)?;
        let broken = control.iter().find(|(_, r)| r.received < r.sent / BROKEN);
        if let Some((stream, report)) = broken {
            ensure!(false, "control run: {stream} lost {} of {}", report.lost(), report.sent);
        }
        let event = during(context, seconds, event)?;
        let worse: Vec<_> =
            control.iter().zip(&event).filter(|((_, c), (_, e))| e.lost() > c.lost()).map(describe).collect();
        for pair in control.iter().zip(&event) {
            eprintln!("      {}", describe(pair));
        }
        if worse.is_empty() {
            outcome = Ok(());
            break;
        }
        outcome = Err(worse.join("; "));
        left -= usize::from(control.iter().all(|(_, report)| report.lost() == 0));
        if left == 0 {
            break;
        }
    }
    claim(name, outcome)
}

fn describe(((stream, control), (_, event)): (&(Stream, Report), &(Stream, Report))) -> String {
    let when = if event.lost() > 0 { format!(" (at ms {:?})", event.lost_ms) } else { String::new() };
    let (lost, sent) = (event.lost(), event.sent);
    format!("{stream}: {lost} of {sent} lost{when}, {} in the control run", control.lost())
}
