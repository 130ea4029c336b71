//! What ADD and VERSION print. CNI specification 1.1.0, section 5 "Result Types".

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use types::{HostCidr, IpCidr, MacAddr};

/// The success result of ADD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddResult {
    /// The version the runtime asked for.
    #[serde(rename = "cniVersion")]
    pub cni_version: String,
    /// The interfaces made: the endpoint's (the host end is the switch's business).
    pub interfaces: Vec<Interface>,
    /// The endpoint's addresses.
    pub ips: Vec<Ip>,
    /// Routes set in the endpoint.
    pub routes: Vec<Route>,
    /// Name servers: none, Selvage gives none.
    #[serde(default)]
    pub dns: serde_json::Map<String, serde_json::Value>,
}

/// An interface in the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its MTU. New in 1.1.0, left out in 1.0.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The namespace it lives in; absent = the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
}

/// An address in the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ip {
    /// Address and prefix length.
    pub address: HostCidr,
    /// The gateway, when the network has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Index into `interfaces`.
    pub interface: u32,
}

/// A route in the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub dst: IpCidr,
    /// Next hop.
    pub gw: IpAddr,
}

impl AddResult {
    /// The same result in the form of the version the runtime asked for.
    #[must_use]
    pub fn for_version(mut self, version: &str) -> Self {
        self.cni_version = version.into();
        if version == "1.0.0" {
            self.interfaces.iter_mut().for_each(|i| i.mtu = None);
        }
        self
    }
}

/// What VERSION prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionResult {
    /// The newest version we speak.
    #[serde(rename = "cniVersion")]
    pub cni_version: String,
    /// Every version we speak.
    #[serde(rename = "supportedVersions")]
    pub supported_versions: Vec<String>,
}

impl Default for VersionResult {
    fn default() -> Self {
        Self {
            cni_version: crate::VERSIONS[crate::VERSIONS.len() - 1].into(),
            supported_versions: crate::VERSIONS.iter().map(ToString::to_string).collect(),
        }
    }
}
