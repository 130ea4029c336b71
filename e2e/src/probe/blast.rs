//! Datagrams without end, and without listening: traffic that is there before and after whoever it is meant for.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{pause, payload_mark};

/// Where to, as whom.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The sending tenant, whose mark the packets carry.
    #[arg(long)]
    pub tenant: String,
    /// Whom to send to.
    #[arg(long)]
    pub to: SocketAddr,
    /// Datagrams a second.
    #[arg(long, default_value_t = 500)]
    pub rate: u32,
}

/// Sends until killed. No route yet, or none any more: the next datagram may have one.
///
/// # Errors
/// When there is no socket.
pub fn run(args: &Args) -> Result<()> {
    let any = if args.to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).context("bind")?;
    let mark = payload_mark(&args.tenant);
    loop {
        let _ = socket.send_to(&mark, args.to);
        pause(Duration::from_secs(1) / args.rate);
    }
}
