//! The vocabulary of Selvage: small values that cannot hold a wrong state.
//!
//! Every type has private fields, one checked constructor, and deserializes *through* that constructor
//! (`serde(try_from)`), so no document, store value or wire frame can bypass the check. No I/O.
//!
//! # Failure
//! Every constructor returns [`Invalid`]: the field's type, the value as given, and the reason.

mod addr;
mod block;
mod id;
mod moves;
mod name;
mod num;
mod policy;
mod port;
mod qos;
mod rule_count;
mod service;
mod traffic;

pub use addr::{AddressRange, Family, HostCidr, IpCidr, MacAddr, Subnet};
pub use block::{CidrBlock, NotExceptable};
pub use id::{EndpointUid, FencingToken, GroupId, PolicyId, RuleId, RuleSlot, StoreId, VrfId};
pub use moves::GroupMoves;
pub use name::{EndpointName, Name, NodeName};
pub use num::{OfPort, Revision, RulePriority, VlanId, Vni};
pub use policy::{DefaultAction, Direction, IpProtocol, Verdict};
pub use port::{L4Port, PortMatch, PortRange};
pub use qos::{Bandwidth, Burst, Dscp, RateLimit, RateShare};
pub use rule_count::RuleCount;
pub use service::{IcmpMessage, PortProtocol, Ports, Service, Services};
pub use traffic::Traffic;

/// Why a value was refused: `<what> "<value>": <reason>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?}: {reason}")]
pub struct Invalid {
    /// The kind of value, in glossary words ("vni", "name", "subnet").
    pub what: &'static str,
    /// The value as given.
    pub value: String,
    /// Why it was refused.
    pub reason: String,
}

impl Invalid {
    /// Builds a refusal.
    pub fn new(what: &'static str, value: impl ToString, reason: impl Into<String>) -> Self {
        Self { what, value: value.to_string(), reason: reason.into() }
    }
}
