//! `netctl diag`.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::Terminal;
use crate::diag::redact::Redactor;
use crate::diag::{Archive, metrics, node, rest};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::setting::Connection;

/// Where the two daemons serve metrics unless they are told otherwise.
const METRICS: [&str; 2] = ["127.0.0.1:9996", "127.0.0.1:9997"];

/// Options.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netctl diag
  netctl diag -o fault.tar.gz --metrics 192.0.2.10:9997
  netctl diag --node")]
pub struct Args {
    /// Where to write it, readable by you alone; netctl-diag-TIME.tar.gz here without it.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A daemon's metrics, HOST:PORT; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Vec<String>,
    /// This machine is a node: collect what its agent, Open vSwitch and kernel have. Needs root.
    #[arg(long)]
    node: bool,
    #[command(flatten)]
    place: node::Place,
}

/// Collects, and writes the archive.
pub async fn run(args: &Args, connection: &Connection, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let redactor = Redactor::knowing(connection.secret());
    let mut archive = Archive::default();
    let client = match connection.client() {
        Ok(client) => Ok(client),
        // A node need not know how to reach the API; without either there is nothing to collect.
        Err(fault) if args.node => Err(fault.line()),
        Err(fault) => return Err(fault),
    };
    rest::collect(client, &redactor, &mut archive).await;
    let mut daemons = args.metrics.clone();
    if args.node {
        node::collect(&args.place, &redactor, &mut archive).await;
        daemons.extend(METRICS.map(str::to_owned));
    }
    metrics::collect(&daemons, &redactor, &mut archive).await;
    for (part, reason) in archive.missing() {
        // Nobody is left to tell when the terminal is gone.
        let _ = writeln!(terminal.stderr, "not collected: {part}: {reason}");
    }
    if archive.len() == 0 {
        return Err(Fault::ending(Exit::Unreachable, "nothing could be collected; no file is written"));
    }
    let now = Timestamp::now();
    let path = args.output.clone().unwrap_or_else(|| default_name(now));
    write(&archive, now, &path)?;
    super::said(terminal, &path.display().to_string(), &format!("has {} parts", archive.len()))
}

fn default_name(now: Timestamp) -> PathBuf {
    let digits: String = now.to_string().chars().take(19).filter(|c| *c != ':').collect();
    PathBuf::from(format!("netctl-diag-{digits}Z.tar.gz"))
}

/// Writes a new file that only its owner can read.
fn write(archive: &Archive, now: Timestamp, path: &Path) -> Result<(), Fault> {
    let fail = |e: std::io::Error| Fault::usage(format!("cannot write {}: {e}", path.display()));
    // One that exists may be open to others, or a link to somewhere else.
    let file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(fail)?;
    let about = format!("Collected by netctl {} at {now}.", env!("CARGO_PKG_VERSION"));
    let made = u64::try_from(now.as_second()).unwrap_or_default();
    archive.write(made, &about, std::io::BufWriter::new(file)).map_err(fail)
}
