//! Networks: a subnet per family and a VXLAN segment, in a tenant.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use types::{Family, Name, Subnet, Vni};

/// What people write of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkSpec {
    /// Owning tenant.
    pub tenant: Name,
    /// Its name in the tenant.
    pub name: Name,
    /// IPv4 subnet; at least one of `ipv4` and `ipv6` is present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<SubnetSpec>,
    /// IPv6 subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<SubnetSpec>,
    /// VXLAN network identifier; absent = chosen by the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<Vni>,
}

/// One subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubnetSpec {
    /// Prefix, optionally with the range endpoints are numbered from (`10.1.1.20-10.1.1.40/24`).
    pub subnet: Subnet,
    /// Address of the distributed gateway; absent = no gateway, the network is isolated from the tenant's others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// A stored network. Subnets and VNI never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// What people wrote.
    pub spec: NetworkSpec,
    /// Its VXLAN network identifier.
    pub vni: Vni,
}

impl NetworkSpec {
    /// The subnets, IPv4 first.
    pub fn subnets(&self) -> impl Iterator<Item = (Family, &SubnetSpec)> {
        let v4 = self.ipv4.iter().map(|s| (Family::V4, s));
        v4.chain(self.ipv6.iter().map(|s| (Family::V6, s)))
    }
}
