//! Connections that are kept: a line each way over TCP, or one datagram that a server answers without end.
//!
//! Each answer is a line on standard output, its number: whoever reads them sees a connection go on, or not.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{pause, payload_mark};

/// What connection to keep.
#[derive(Clone, Debug, clap::Args)]
pub struct Hold {
    /// The asking tenant, whose mark the packets carry.
    #[arg(long)]
    pub tenant: String,
    /// A `serve`d TCP port, or the port of a `stream`.
    #[arg(long)]
    pub to: SocketAddr,
    /// Ask once, and then only listen.
    #[arg(long)]
    pub stream: bool,
}

/// Where to stream from.
#[derive(Clone, Debug, clap::Args)]
pub struct Stream {
    /// The streaming tenant, whose mark the packets carry.
    #[arg(long)]
    pub tenant: String,
    /// The UDP port.
    #[arg(long)]
    pub port: u16,
}

/// Between two lines, or two datagrams.
const STEP: Duration = Duration::from_millis(20);

/// Keeps a connection until killed.
///
/// # Errors
/// When the connection cannot be made, or ends.
pub fn hold(args: &Hold) -> Result<()> {
    if args.stream { listen(args) } else { converse(args) }
}

fn tell(number: u64) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{number}")?;
    Ok(out.flush()?)
}

fn converse(args: &Hold) -> Result<()> {
    let stream = TcpStream::connect(args.to).with_context(|| format!("connect to {}", args.to))?;
    let mark = payload_mark(&args.tenant);
    let mut answers = BufReader::new(&stream).lines();
    for number in 1.. {
        (&stream).write_all(&[&mark[..], b"\n"].concat())?;
        answers.next().context("the server hung up")??;
        tell(number)?;
        pause(STEP);
    }
    Ok(())
}

fn listen(args: &Hold) -> Result<()> {
    let any = if args.to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).context("bind")?;
    socket.connect(args.to)?;
    socket.send(&payload_mark(&args.tenant))?;
    let mut buffer = [0; 512];
    for number in 1.. {
        socket.recv(&mut buffer)?;
        tell(number)?;
    }
    Ok(())
}

/// Sends datagrams without end to everybody who asked.
///
/// # Errors
/// When the port cannot be opened.
pub fn stream(args: &Stream) -> Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", args.port)).context("bind")?;
    println!("ready");
    std::io::stdout().flush()?;
    let mark = payload_mark(&args.tenant);
    let mut askers = BTreeSet::new();
    socket.set_nonblocking(true)?;
    loop {
        if let Ok((_, from)) = socket.recv_from(&mut [0; 512]) {
            askers.insert(from);
        }
        for asker in &askers {
            // No answer is waited for, and a refusal is nobody's answer.
            let _ = socket.send_to(&mark, asker);
        }
        pause(STEP);
    }
}
