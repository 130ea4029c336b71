//! Raw frames: what an endpoint that does not play by the rules puts on its wire.

use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};

use super::pause;

/// Where frames leave.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The interface.
    #[arg(long, default_value = "eth0")]
    pub interface: String,
    /// Microseconds between two frames: who reads the other end from a packet socket has a small buffer.
    #[arg(long, default_value_t = 700)]
    pub pace_us: u64,
}

/// Reads frames on standard input, one line of hexadecimal digits each, and sends them as they are.
///
/// # Errors
/// When a line is no frame or the kernel refuses one.
pub fn run(args: &Args) -> Result<()> {
    let link = link_addr(&args.interface)?;
    let raw = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
        .context("packet socket")?;
    for (number, line) in std::io::stdin().lines().enumerate() {
        let frame = hex::decode(line?.trim()).with_context(|| format!("line {}", number + 1))?;
        sendto(raw.as_raw_fd(), &frame, &link, MsgFlags::empty())
            .with_context(|| format!("line {}", number + 1))?;
        pause(Duration::from_micros(args.pace_us));
    }
    Ok(())
}

/// The interface's link-layer address, which names its index: all that packet(7) wants of a destination.
fn link_addr(interface: &str) -> Result<LinkAddr> {
    let all = nix::ifaddrs::getifaddrs().context("interfaces")?;
    let own = all.filter(|i| i.interface_name == interface);
    own.filter_map(|i| i.address?.as_link_addr().copied())
        .next()
        .with_context(|| format!("no interface {interface} here"))
}
