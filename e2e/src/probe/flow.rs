//! A numbered flow of UDP datagrams that the server sends back: which were lost, and when.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::payload_mark;

/// What to send.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The sending tenant, whose mark the packets carry.
    #[arg(long)]
    pub tenant: String,
    /// A `serve`d UDP port.
    #[arg(long)]
    pub to: SocketAddr,
    /// Datagrams a second.
    #[arg(long, default_value_t = 1000)]
    pub rate: u32,
    /// How long to send.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
}

/// What became of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Datagrams sent.
    pub sent: u32,
    /// Of these, how many came back.
    pub received: u32,
    /// The lost ones as ranges of milliseconds since the flow's start.
    pub lost_ms: Vec<(u64, u64)>,
}

impl Report {
    /// How many did not come back.
    pub fn lost(&self) -> u32 {
        self.sent - self.received
    }
}

/// How long the last answers may take.
const LINGER: Duration = Duration::from_millis(500);

/// Sends the flow and writes the [`Report`] as JSON. Says `started` on standard error at the first datagram.
///
/// # Errors
/// When the socket cannot be made.
pub fn run(args: &Args) -> Result<()> {
    let report = send(args)?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn send(args: &Args) -> Result<Report> {
    let any = if args.to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = Arc::new(UdpSocket::bind(any).context("bind")?);
    socket.connect(args.to).with_context(|| format!("connect to {}", args.to))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let total = (f64::from(args.rate) * args.seconds) as u32;
    let done = Arc::new(AtomicBool::new(false));
    let receiver = {
        let (socket, done) = (Arc::clone(&socket), Arc::clone(&done));
        std::thread::spawn(move || receive(&socket, total, &done))
    };
    eprintln!("started");
    let mark = payload_mark(&args.tenant);
    let start = Instant::now();
    let step = Duration::from_secs(1) / args.rate;
    for n in 0..total {
        wait_until(start + step * n);
        let datagram = [&mark[..], b" ", n.to_string().as_bytes()].concat();
        // A refusal counts as a loss: nothing will come back.
        let _ = socket.send(&datagram);
    }
    wait_until(Instant::now() + LINGER);
    done.store(true, Ordering::Relaxed);
    let seen = receiver.join().unwrap_or_default();
    Ok(report(&seen, total, step))
}

fn receive(socket: &UdpSocket, total: u32, done: &AtomicBool) -> Vec<bool> {
    let mut seen = vec![false; total as usize];
    let mut buffer = [0; 512];
    while !done.load(Ordering::Relaxed) {
        let Ok(len) = socket.recv(&mut buffer) else { continue };
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let number = text.rsplit(' ').next().and_then(|n| n.parse::<usize>().ok());
        if let Some(slot) = number.and_then(|n| seen.get_mut(n)) {
            *slot = true;
        }
    }
    seen
}

fn report(seen: &[bool], sent: u32, step: Duration) -> Report {
    let mut report = Report { sent, ..Report::default() };
    let at = |n: usize| u64::try_from(step.as_micros()).unwrap_or(u64::MAX) * n as u64 / 1000;
    let mut lost: Option<(u64, u64)> = None;
    for (n, came_back) in seen.iter().enumerate() {
        if *came_back {
            report.received += 1;
            report.lost_ms.extend(lost.take());
        } else {
            lost = Some((lost.map_or(at(n), |l| l.0), at(n)));
        }
    }
    report.lost_ms.extend(lost);
    report
}

#[expect(clippy::disallowed_methods, reason = "the pace of the flow is what is being made here")]
fn wait_until(when: Instant) {
    std::thread::sleep(when.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_ranges_of_time() {
        let seen = [true, false, false, true, true, false];
        let got = report(&seen, 6, Duration::from_millis(1));
        assert_eq!(got, Report { sent: 6, received: 3, lost_ms: vec![(1, 2), (5, 5)] });
    }
}
