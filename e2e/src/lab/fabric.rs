//! The two networks machines hang on: the underlay (a bridge named after nothing but itself, in a namespace) and
//! management, which the user's own namespace reaches too.

use std::net::Ipv4Addr;

use anyhow::{Result, bail};

use super::mark::Mark;
use super::run::{ip_batch, output, sysctl, words};

/// Name of the underlay's namespace.
pub const FABRIC: &str = "fabric";
/// Name of the management namespace; netmaster and etcd run there.
pub const MANAGEMENT: &str = "mgmt";
/// The bridge of either.
const BRIDGE: &str = "br0";

/// The management network of a lab: a /26.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Management(Ipv4Addr);

impl Management {
    fn host(self, n: u8) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.0) + u32::from(n))
    }

    /// netmaster's address.
    pub fn master(self) -> Ipv4Addr {
        self.host(1)
    }

    /// The address of the machine's own end, from where people reach netmaster.
    fn machine(self) -> Ipv4Addr {
        self.host(2)
    }

    /// The address of a node, counted from 1.
    pub fn node(self, n: u8) -> Ipv4Addr {
        self.host(10 + n)
    }
}

/// Makes both networks.
///
/// # Errors
/// When the kernel refuses something.
pub fn make(mark: &Mark) -> Result<Management> {
    let (fabric, mgmt) = (mark.netns(FABRIC), mark.netns(MANAGEMENT));
    let both = [&fabric, &mgmt];
    ip_batch(None, &both.map(|n| format!("netns add {n}")))?;
    for netns in both {
        // IPv6 off: neither network has any, and its router solicitations would be noise in captures.
        sysctl(netns, &["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])?;
        let bridge = format!("link add {BRIDGE} type bridge stp_state 0 forward_delay 0");
        ip_batch(Some(netns), &["link set lo up".into(), bridge, format!("link set {BRIDGE} up")])?;
        bridge_without_netfilter(netns);
    }
    let block = free_block(mark)?;
    ip_batch(
        None,
        &[
            format!("link add {mark} type veth peer name machine netns {mgmt}"),
            format!("addr add {}/26 dev {mark}", block.machine()),
            format!("link set dev {mark} up"),
        ],
    )?;
    ip_batch(
        Some(&mgmt),
        &[
            format!("link set dev machine master {BRIDGE} up"),
            format!("addr add {}/26 dev {BRIDGE}", block.master()),
        ],
    )?;
    Ok(block)
}

/// Where br_netfilter is loaded, a bridge hands frames to the machine's iptables rules unless told not to.
fn bridge_without_netfilter(netns: &str) {
    let names = ["iptables", "ip6tables", "arptables"];
    for name in names {
        // Fails where the module is absent: then there is nothing to switch off.
        let _ = sysctl(netns, &[&format!("net.bridge.bridge-nf-call-{name}=0")]);
    }
}

/// The first block of which the machine has no address yet.
fn free_block(mark: &Mark) -> Result<Management> {
    let taken = output(&mut words("ip -4 -o addr show"))?;
    for base in mark.management_blocks() {
        let block = Management(base);
        if !taken.contains(&format!(" {}/", block.machine())) {
            return Ok(block);
        }
    }
    bail!("every /26 of 198.18.0.0/15 is in use on this machine: other labs left behind?")
}

/// Hangs a new interface `ifname` of `netns` on the underlay or management; `port` names the bridge's side.
///
/// # Errors
/// When the kernel refuses it.
pub fn plug(
    mark: &Mark,
    network: &str,
    netns: &str,
    ifname: &str,
    port: &str,
    mac: Option<&str>,
) -> Result<()> {
    let bridge_ns = mark.netns(network);
    let mac = mac.map(|m| format!("address {m}")).unwrap_or_default();
    // Made inside the bridge's namespace: the machine's own never sees either end.
    ip_batch(
        Some(&bridge_ns),
        &[
            format!("link add dev {port} type veth peer name {ifname} netns {netns} {mac}"),
            format!("link set dev {port} master {BRIDGE} up"),
        ],
    )
}
