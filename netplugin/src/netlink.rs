//! Interfaces of endpoints: veth pairs, addresses, routes, offloads, by netlink; never by calling `ip`.
//!
//! A veth pair has its host end in the node's network namespace, as a port of the bridge, and its other end in the
//! endpoint's. The host end is a wire into the switch and nothing else: IPv6 is off on it, it has no address, and on
//! the userspace datapath an nftables chain drops what the node's own stack would otherwise also receive.
//!
//! # Invariants
//! * The host end's name is derived from the endpoint's uid: a restarted agent finds what it made.
//! * [`Interfaces::create`] leaves the host end **down**: no frame passes before [`Interfaces::set_up`], which is
//!   called when the endpoint's flows are in the switch. The drop chain exists before that, too.
//! * No thread of the runtime ever changes its namespace: [`netns`] uses a thread of its own.
//!
//! # Failure
//! [`NetlinkError`] names the step, the interface and the kernel's answer. A `create` that fails leaves nothing behind
//! that a following `create` or `delete` of the same endpoint would trip over.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use types::{EndpointUid, HostCidr, MacAddr};

mod host_drop;
mod leaving;
mod netns;
mod nftables;
mod offload;
pub mod raw;
pub mod uplink;
mod veth;

pub use host_drop::{exists as has_host_drops, remove_all as remove_host_drops};
pub use raw::family_exists;
pub use veth::Veths;

/// What an endpoint's interface must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceSpec {
    /// The endpoint.
    pub uid: EndpointUid,
    /// Path of its network namespace.
    pub netns: PathBuf,
    /// The interface's name there.
    pub ifname: String,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its MTU.
    pub mtu: u32,
    /// Its addresses.
    pub addresses: Vec<HostCidr>,
    /// Next hops of its default routes, one per family at most.
    pub gateways: Vec<IpAddr>,
}

/// Name of the host end of an endpoint's veth pair. 14 characters; the kernel takes 15 (IFNAMSIZ).
pub fn host_name(uid: EndpointUid) -> String {
    format!("sv{:012x}", uid.get())
}

/// The endpoint a host end belongs to, when the name is one of ours.
pub fn uid_of(host_name: &str) -> Option<EndpointUid> {
    let digits = host_name.strip_prefix("sv").filter(|d| d.len() == 12)?;
    EndpointUid::new(u64::from_str_radix(digits, 16).ok()?).ok()
}

/// Makes and removes endpoint interfaces. A trait so that the agent's scenarios run without root.
#[async_trait]
pub trait Interfaces: Send + Sync {
    /// Makes the pair, host end down, replacing what is left of an earlier attempt. Returns the host end's name.
    async fn create(&self, spec: &InterfaceSpec) -> Result<String, NetlinkError>;
    /// Takes the host end up and waits until the endpoint's addresses are usable (duplicate address detection).
    async fn set_up(&self, spec: &InterfaceSpec) -> Result<(), NetlinkError>;
    /// Removes the pair; succeeds when it is not there.
    async fn delete(&self, uid: EndpointUid) -> Result<(), NetlinkError>;
    /// Verifies that the interface is as `create` and `set_up` left it.
    async fn check(&self, spec: &InterfaceSpec) -> Result<(), NetlinkError>;
    /// The MTU of the interface that has this address: the uplink of the tunnels.
    async fn mtu_of_address(&self, address: IpAddr) -> Result<u32, NetlinkError>;
    /// Puts back what keeps the node's own stack away from these endpoints' frames, where somebody removed it; returns
    /// where.
    async fn protect(&self, uids: &BTreeSet<EndpointUid>) -> Result<BTreeSet<EndpointUid>, NetlinkError>;
    /// Whether transmit checksum offload is on in the endpoint although the datapath cannot bear it.
    async fn offload_on(&self, spec: &InterfaceSpec) -> Result<bool, NetlinkError>;
}

/// Why an interface could not be made, changed or found.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// A system call failed.
    #[error("{step} {object}: {cause}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// To what.
        object: String,
        /// The system's answer.
        cause: std::io::Error,
    },
    /// The kernel refused a netlink request.
    #[error("{step} {object}: {cause}")]
    Kernel {
        /// What was being done.
        step: &'static str,
        /// To what.
        object: String,
        /// The kernel's answer.
        cause: rtnetlink::Error,
    },
    /// Found, but not as it must be.
    #[error("{object}: {reason}")]
    Unexpected {
        /// The interface.
        object: String,
        /// What is wrong.
        reason: String,
    },
}

impl NetlinkError {
    fn io(step: &'static str, object: impl ToString) -> impl FnOnce(std::io::Error) -> Self {
        let object = object.to_string();
        move |cause| Self::Io { step, object, cause }
    }

    fn kernel(step: &'static str, object: impl ToString) -> impl FnOnce(rtnetlink::Error) -> Self {
        let object = object.to_string();
        move |cause| Self::Kernel { step, object, cause }
    }

    fn unexpected(object: impl ToString, reason: impl Into<String>) -> Self {
        Self::Unexpected { object: object.to_string(), reason: reason.into() }
    }

    /// Whether the namespace itself is gone: DEL then has nothing to do in it.
    pub fn is_missing_namespace(&self) -> bool {
        matches!(self, Self::Io { step, cause, .. }
            if *step == netns::OPEN && cause.kind() == std::io::ErrorKind::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_name_names_its_endpoint() {
        let uid = EndpointUid::new(0xbeef).unwrap();
        assert_eq!(host_name(uid), "sv00000000beef");
        assert_eq!(uid_of("sv00000000beef"), Some(uid));
        for foreign in ["eth0", "sv", "sv00000000000g", "sv000000000000", "svbeef"] {
            assert_eq!(uid_of(foreign), None, "{foreign}");
        }
    }
}
