//! How much gets through: one end pours as much as it is told to, the other counts what arrives once it has settled.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{pause, payload_mark};

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// As fast as TCP finds it can.
    Tcp,
    /// At a pace that does not care.
    Udp,
}

/// Where to, as whom, how much.
#[derive(Clone, Debug, clap::Args)]
pub struct Pour {
    /// The sending tenant, whose mark the packets carry.
    #[arg(long)]
    pub tenant: String,
    /// A `drain`.
    #[arg(long)]
    pub to: SocketAddr,
    /// How.
    #[arg(long, value_enum)]
    pub transport: Transport,
    /// Megabits of frames a second, over UDP.
    #[arg(long, default_value_t = 10)]
    pub mbps: u32,
    /// For how long.
    #[arg(long)]
    pub seconds: f64,
}

/// What to count.
#[derive(Clone, Debug, clap::Args)]
pub struct Drain {
    /// The port to listen at.
    #[arg(long)]
    pub port: u16,
    /// How it comes.
    #[arg(long, value_enum)]
    pub transport: Transport,
    /// What comes so soon after the first is not counted.
    #[arg(long, default_value_t = 3.0)]
    pub skip: f64,
    /// For how long it is counted.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Bytes of payload.
    pub payload: u64,
    /// Reads: datagrams, over UDP.
    pub reads: u64,
}

/// Payload of a datagram; with its headers it fits every link of a lab.
pub const PAYLOAD: usize = 1400;
/// What Ethernet, IPv4 and UDP put before it (RFC 894, RFC 791, RFC 768).
pub const HEADERS: u64 = 14 + 20 + 8;
/// Datagrams go out in bursts of so long.
const BURST: Duration = Duration::from_millis(2);
/// Nobody came, or whoever came is gone.
const NOBODY: Duration = Duration::from_secs(20);

/// Pours until the time is over, or the other end has had enough.
///
/// # Errors
/// When there is no socket, or nobody to connect to.
pub fn pour(args: &Pour) -> Result<()> {
    let chunk: Vec<u8> = payload_mark(&args.tenant).into_iter().cycle().take(PAYLOAD).collect();
    let (start, length) = (Instant::now(), Duration::from_secs_f64(args.seconds));
    match args.transport {
        Transport::Tcp => {
            let mut stream =
                TcpStream::connect(args.to).with_context(|| format!("connect to {}", args.to))?;
            stream.set_write_timeout(Some(Duration::from_secs(2)))?;
            // The other end closes when it has counted.
            while start.elapsed() < length && stream.write_all(&chunk).is_ok() {}
        }
        Transport::Udp => {
            let any = if args.to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).context("bind")?;
            let (mut sent, frame) = (0.0, (PAYLOAD as u64 + HEADERS) as f64 * 8.0);
            while start.elapsed() < length {
                let due = start.elapsed().as_secs_f64() * f64::from(args.mbps) * 1e6 / frame;
                while sent < due {
                    let _ = socket.send_to(&chunk, args.to);
                    sent += 1.0;
                }
                pause(BURST);
            }
        }
    }
    Ok(())
}

/// Counts, and writes [`Counted`] as JSON. Says `listening` on standard error.
///
/// # Errors
/// When nobody comes.
pub fn drain(args: &Drain) -> Result<()> {
    let at = SocketAddr::from((Ipv6Addr::UNSPECIFIED, args.port));
    let counted = match args.transport {
        Transport::Udp => {
            let socket = UdpSocket::bind(at).context("bind")?;
            socket.set_read_timeout(Some(NOBODY))?;
            eprintln!("listening");
            count(args, |buffer| socket.recv(buffer))
        }
        Transport::Tcp => {
            let listener = TcpListener::bind(at).context("bind")?;
            eprintln!("listening");
            let (mut stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(NOBODY))?;
            count(args, move |buffer| stream.read(buffer))
        }
    }?;
    println!("{}", serde_json::to_string(&counted)?);
    Ok(())
}

fn count(args: &Drain, mut read: impl FnMut(&mut [u8]) -> std::io::Result<usize>) -> Result<Counted> {
    let mut buffer = vec![0; 65536];
    ensure!(read(&mut buffer).context("nobody came")? > 0, "whoever came sent nothing");
    let from = Instant::now() + Duration::from_secs_f64(args.skip);
    let until = from + Duration::from_secs_f64(args.seconds);
    let mut counted = Counted { payload: 0, reads: 0 };
    loop {
        let len = read(&mut buffer).context("it ended before it was counted")?;
        let now = Instant::now();
        if now >= until {
            return Ok(counted);
        }
        ensure!(len > 0, "it ended before it was counted");
        if now >= from {
            counted.payload += len as u64;
            counted.reads += 1;
        }
    }
}
