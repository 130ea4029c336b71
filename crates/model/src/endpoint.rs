//! Endpoints: an interface of a container on a node, in a network and optionally a group.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use types::{EndpointName, EndpointUid, Family, MacAddr, Name, NodeName};

/// What a node (or a person) asks for when an endpoint is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointSpec {
    /// Owning tenant.
    pub tenant: Name,
    /// Its name in the tenant.
    pub name: EndpointName,
    /// Its network.
    pub network: Name,
    /// Its group; the group's network is the endpoint's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Name>,
    /// The node that hosts it.
    pub node: NodeName,
    /// A wanted IPv4 address; absent = chosen by the store when the network has IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<IpAddr>,
    /// A wanted IPv6 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<IpAddr>,
}

/// A stored endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// What was asked for.
    pub spec: EndpointSpec,
    /// Its number.
    pub uid: EndpointUid,
    /// Its MAC address: made of its first address, so unique in its network.
    pub mac: MacAddr,
    /// Its addresses, one per family of the network, IPv4 first.
    pub addresses: Vec<IpAddr>,
}

/// The MAC address of an endpoint with these addresses: `0a:58` and the IPv4 address, or `0a:59` and 32 bits folded
/// from the IPv6 address. Never the gateway's (`0a:58:00:00:00:01` would be the address 0.0.0.1).
pub fn endpoint_mac(addresses: &[IpAddr]) -> Option<MacAddr> {
    let first = addresses.iter().min_by_key(|a| Family::of(**a))?;
    Some(match first {
        IpAddr::V4(v4) => MacAddr::from_u32(u32::from(*v4)),
        IpAddr::V6(v6) => {
            let folded = v6.segments().chunks(2).fold(0_u32, |acc, pair| {
                let word = pair.iter().fold(0_u32, |w, s| w << 16 | u32::from(*s));
                acc.rotate_left(7) ^ word
            });
            let [a, b, c, d] = folded.to_be_bytes();
            MacAddr::new([0x0a, 0x59, a, b, c, d])
        }
    })
}
