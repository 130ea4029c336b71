//! Who is who around the spoofing endpoint.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use types::Family;

use crate::frame::{BROADCAST, End, Mac};
use crate::lab::Lab;
use crate::suites::intruder::{GATEWAY_MAC, Station, at, host_mac, node_address, underlay_mac};

/// The spoofing endpoint and those around it.
pub(super) struct Cast {
    /// The one that spoofs: `blue/web-1` on node 1.
    pub(super) me: Station,
    /// In its network, on its node.
    pub(super) local: Station,
    /// In its network, on the other node.
    pub(super) remote: Station,
    /// In another network of its tenant, on its node.
    pub(super) routed: Station,
    /// Another tenant's, with an address its own tenant does not have.
    pub(super) foreign: Station,
    /// Its gateway's addresses.
    pub(super) gateway: (Ipv4Addr, Ipv6Addr),
    /// The node's end of its cable.
    pub(super) host_mac: Mac,
    /// The node's tunnel address.
    pub(super) vtep: End,
    /// The other node's tunnel address.
    pub(super) far_vtep: End,
    /// netmaster's address, which the node could forward to.
    pub(super) master: Ipv4Addr,
    /// The node's address on the management network.
    pub(super) management: Ipv4Addr,
}

/// A MAC that nobody has.
pub(super) const STRANGER: Mac = [0x02, 0xba, 0xd0, 0, 0, 1];

impl Cast {
    pub(super) fn new(lab: &Lab) -> Result<Self> {
        let station = |id| Station::of(lab, id);
        let vtep = |n: usize| Ok::<_, anyhow::Error>(at(underlay_mac(lab, n)?, lab.nodes[n].vtep().into()));
        Ok(Self {
            me: station("blue/web-1")?,
            local: station("blue/web-3")?,
            remote: station("blue/web-2")?,
            routed: station("blue/db-1")?,
            foreign: station("green/db-2")?,
            gateway: (Ipv4Addr::new(10, 1, 1, 1), Ipv6Addr::new(0xfd00, 1, 1, 0, 0, 0, 0, 1)),
            host_mac: host_mac(lab, lab.endpoint("blue/web-1")?)?,
            vtep: vtep(0)?,
            far_vtep: vtep(1)?,
            master: master_address(lab)?,
            management: node_address(lab, 0, "mgmt0")?,
        })
    }

    /// Its own honest end.
    pub(super) fn own(&self, family: Family) -> End {
        of(&self.me, family)
    }

    /// Honest destinations with what they are and where frames to them turn up.
    pub(super) fn destinations(&self, family: Family) -> Vec<(&'static str, End, &str)> {
        let routed = of(&self.routed, family).ip;
        let mut all = vec![
            ("a neighbour here", of(&self.local, family), self.local.id.as_str()),
            ("a neighbour there", of(&self.remote, family), self.remote.id.as_str()),
            ("another network", at(GATEWAY_MAC, routed), self.routed.id.as_str()),
            ("a multicast group", multicast(family), self.remote.id.as_str()),
        ];
        if family == Family::V4 {
            all.push(("broadcast", at(BROADCAST, Ipv4Addr::BROADCAST.into()), self.local.id.as_str()));
        }
        all
    }

    /// Addresses that are not its own.
    pub(super) fn addresses(&self, family: Family) -> Vec<(&'static str, IpAddr)> {
        let neighbours = [
            ("a neighbour here", of(&self.local, family).ip),
            ("a neighbour there", of(&self.remote, family).ip),
            ("an endpoint of another network", of(&self.routed, family).ip),
            ("another tenant's endpoint", of(&self.foreign, family).ip),
        ];
        let text: &[(&str, &str)] = match family {
            Family::V4 => &[
                ("the gateway", "10.1.1.1"),
                ("nobody in the subnet", "10.1.1.77"),
                ("somebody outside", "198.51.100.7"),
                ("no address", "0.0.0.0"),
                ("loopback", "127.0.0.1"),
                ("a group", "224.0.0.1"),
                ("broadcast", "255.255.255.255"),
                ("the subnet's broadcast", "10.1.1.255"),
            ],
            Family::V6 => &[
                ("the gateway", "fd00:1:1::1"),
                ("nobody in the subnet", "fd00:1:1::77"),
                ("somebody outside", "2001:db8::7"),
                ("no address", "::"),
                ("loopback", "::1"),
                ("a group", "ff02::1"),
                ("somebody's link-local address", "fe80::1"),
                ("a neighbour's IPv4 address", "::ffff:10.1.1.13"),
            ],
        };
        let parsed = text.iter().filter_map(|(name, a)| Some((*name, a.parse().ok()?)));
        neighbours.into_iter().chain(parsed).collect()
    }

    /// MACs that are not its own.
    pub(super) fn macs(&self) -> [(&'static str, Mac); 6] {
        [
            ("a neighbour here", self.local.mac),
            ("a neighbour there", self.remote.mac),
            ("the gateway", GATEWAY_MAC),
            ("nobody", STRANGER),
            ("broadcast", BROADCAST),
            ("the node's end of the cable", self.host_mac),
        ]
    }
}

/// An endpoint's end in a family.
pub(super) fn of(station: &Station, family: Family) -> End {
    match family {
        Family::V4 => station.four(),
        Family::V6 => station.six(),
    }
}

/// A multicast destination that is no protocol's (RFC 5771 section 9, RFC 4291 section 2.7).
pub(super) fn multicast(family: Family) -> End {
    match family {
        Family::V4 => at([1, 0, 0x5e, 0x7f, 0, 1], Ipv4Addr::new(239, 255, 0, 1).into()),
        Family::V6 => at([0x33, 0x33, 0, 0, 0, 0x77], Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0, 0x77).into()),
    }
}

/// All nodes on the link (RFC 4291 section 2.7.1).
pub(super) const ALL_NODES: End =
    End { mac: [0x33, 0x33, 0, 0, 0, 1], ip: IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)) };

/// netmaster's address, out of its URL.
fn master_address(lab: &Lab) -> Result<Ipv4Addr> {
    let api = lab.master.api();
    let host = api.split("//").nth(1).and_then(|rest| rest.split(':').next());
    host.and_then(|h| h.parse().ok()).with_context(|| format!("no IPv4 address in {api}"))
}
