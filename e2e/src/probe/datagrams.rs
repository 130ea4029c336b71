//! UDP datagrams with any payload: how a machine on the underlay forges tunnel packets.

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context, Result};

/// Where they go.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Address and port.
    #[arg(long)]
    pub to: SocketAddr,
}

/// Reads payloads on standard input, one line of hexadecimal digits each, and sends them.
///
/// # Errors
/// When a line is no payload or the kernel refuses one.
pub fn run(args: &Args) -> Result<()> {
    let any = if args.to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).context("bind")?;
    for (number, line) in std::io::stdin().lines().enumerate() {
        let payload = hex::decode(line?.trim()).with_context(|| format!("line {}", number + 1))?;
        socket.send_to(&payload, args.to).with_context(|| format!("line {}", number + 1))?;
    }
    Ok(())
}
