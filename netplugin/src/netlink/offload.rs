//! Transmit checksum offload in an endpoint.
//!
//! With it on, a veth hands frames on with the checksum not yet computed. The kernel datapath completes it; OVS's
//! userspace datapath does not, and the receiver drops every TCP and UDP segment while ping works.
//! Spoken over generic netlink: kernel Documentation/networking/ethtool-netlink.rst (Linux 5.8 and later).

use std::io;

use super::raw::{self, Attributes};

const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
const ETHTOOL_MSG_FEATURES_SET: u8 = 12;
const ETHTOOL_A_FEATURES_HEADER: u16 = 1;
const ETHTOOL_A_FEATURES_WANTED: u16 = 3;
const ETHTOOL_A_FEATURES_ACTIVE: u16 = 4;
const ETHTOOL_A_HEADER_DEV_NAME: u16 = 2;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BITS_BIT: u16 = 1;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;

/// What `ethtool -K DEV tx off` clears; segmentation offloads depend on these and fall with them.
const CHECKSUMS: [&str; 4] =
    ["tx-checksum-ipv4", "tx-checksum-ip-generic", "tx-checksum-ipv6", "tx-checksum-sctp"];

/// Turns transmit checksum offload off on a link of the calling thread's namespace.
pub(super) fn turn_off(ifname: &str) -> io::Result<()> {
    let bits = CHECKSUMS.iter().fold(Attributes::default(), |bits, name| {
        // A bit that is named and has no value flag is to be cleared.
        bits.nest(ETHTOOL_A_BITSET_BITS_BIT, &Attributes::default().text(ETHTOOL_A_BITSET_BIT_NAME, name))
    });
    let wanted = Attributes::default().nest(ETHTOOL_A_BITSET_BITS, &bits);
    let request = header(ifname).nest(ETHTOOL_A_FEATURES_WANTED, &wanted);
    raw::generic(raw::family("ethtool")?, ETHTOOL_MSG_FEATURES_SET, &request).map(drop)
}

/// Whether it is on.
pub(super) fn is_on(ifname: &str) -> io::Result<bool> {
    let replies = raw::generic(raw::family("ethtool")?, ETHTOOL_MSG_FEATURES_GET, &header(ifname))?;
    Ok(replies.iter().filter_map(|r| r.get(4..)).flat_map(active).any(|name| CHECKSUMS.contains(&name)))
}

fn header(ifname: &str) -> Attributes {
    Attributes::default()
        .nest(ETHTOOL_A_FEATURES_HEADER, &Attributes::default().text(ETHTOOL_A_HEADER_DEV_NAME, ifname))
}

/// The names of the features that are on.
fn active(reply: &[u8]) -> Vec<&str> {
    let bits =
        raw::find(reply, ETHTOOL_A_FEATURES_ACTIVE).and_then(|set| raw::find(set, ETHTOOL_A_BITSET_BITS));
    raw::attributes(bits.unwrap_or_default())
        .filter_map(|(_, bit)| raw::find(bit, ETHTOOL_A_BITSET_BIT_NAME))
        .filter_map(|name| std::str::from_utf8(name).ok())
        .map(|name| name.trim_end_matches('\0'))
        .collect()
}
