//! Why an object is not enforced as written. The object is denied, and the text becomes its status.

use std::net::IpAddr;

use types::{
    EndpointUid, GroupId, MacAddr, NodeName, OfPort, PolicyId, RulePriority, RuleSlot, Verdict, Vni, VrfId,
};

/// Why an object was refused. What it applies to is denied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum RenderError {
    #[error("vrf {vrf} is not known here")]
    MissingVrf { vrf: VrfId },
    #[error("network {vni} is not known here")]
    MissingNetwork { vni: Vni },
    #[error("network {vni} belongs to another vrf")]
    NetworkOfOtherVrf { vni: Vni },
    #[error("group {group} is not known here; connections of the endpoint are denied")]
    MissingGroup { group: GroupId },
    #[error("group {group} belongs to another vrf")]
    GroupOfOtherVrf { group: GroupId },
    #[error("policy {policy} is not known here; connections of the group's endpoints are denied")]
    MissingPolicy { policy: PolicyId },
    #[error("policy {policy} belongs to another vrf; connections of the group's endpoints are denied")]
    PolicyOfOtherVrf { policy: PolicyId },
    #[error("node {node} is not known here")]
    MissingNode { node: NodeName },
    #[error("node {node} has tunnel address {vtep}, not of this node's address family")]
    VtepFamily { node: NodeName, vtep: IpAddr },
    #[error("address {address} lies in no subnet of network {vni}")]
    AddressOutsideNetwork { address: IpAddr, vni: Vni },
    #[error("address {address} is the gateway's")]
    GatewayAddress { address: IpAddr },
    #[error("address {address} is also that of endpoint/{:012x}", other.get())]
    AddressConflict { address: IpAddr, other: EndpointUid },
    #[error("mac {mac} is also that of endpoint/{:012x} in the same network", other.get())]
    MacConflict { mac: MacAddr, other: EndpointUid },
    #[error("mac {mac} is a group address or the gateway's")]
    ReservedMac { mac: MacAddr },
    #[error("port {port} is also used otherwise")]
    PortConflict { port: OfPort },
    #[error("gateway {gateway} lies outside its subnet")]
    GatewayOutsideSubnet { gateway: IpAddr },
    #[error("slot {slot} is used by two rules")]
    DuplicateSlot { slot: RuleSlot },
    #[error("more than {limit} {verdict:?} rules of priority {priority} overlap one another")]
    TooManyOverlaps { priority: RulePriority, verdict: Verdict, limit: u16 },
    #[error("more than {limit} rules of one priority share a clause")]
    TooManySharers { limit: usize },
    #[error(
        "the group has a rate, and the switch of this node does not enforce meters; connections of its endpoints are denied"
    )]
    RateNotEnforced,
    #[error(
        "the group has a rate, and the switch of this node has room for {limit} meters, which other groups take; connections of its endpoints are denied"
    )]
    TooManyMeters { limit: u32 },
    #[error("a flow of table {table} has more actions than a message can carry (64 KiB), and drops instead")]
    FlowTooLarge { table: &'static str },
}
