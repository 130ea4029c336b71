//! The kinds of fragment: one plain struct per noun.
//!
//! Which nodes host a network or a VRF is said nowhere: it follows from the endpoints, all of which a node in span holds.
//! A list would be as long as the cluster and change with every further node, for everybody.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use types::{
    AddressRange, CidrBlock, DefaultAction, Direction, Dscp, EndpointName, EndpointUid, GroupId, GroupMoves,
    IpCidr, MacAddr, Name, NodeName, PolicyId, RateLimit, RateShare, RulePriority, RuleSlot, Services,
    Verdict, Vni, VrfId,
};

/// A peer node of the overlay. Key `node/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The node's name.
    pub name: NodeName,
    /// Its tunnel endpoint address (RFC 7348 VTEP) on the underlay.
    pub vtep: IpAddr,
}

/// A tenant's address space. Key `vrf/<id>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vrf {
    /// VRF id and conntrack zone.
    pub id: VrfId,
    /// The tenant, for explanations.
    pub tenant: Name,
    /// What happens to connections no rule decides.
    pub default_action: DefaultAction,
}

/// A network. Key `network/<vni>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// VXLAN network identifier; also the network's number in the pipeline.
    pub vni: Vni,
    /// Its VRF.
    pub vrf: VrfId,
    /// Its name, for explanations.
    pub name: Name,
    /// One subnet per family, IPv4 first.
    pub subnets: Vec<NetworkSubnet>,
}

/// One subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSubnet {
    /// The prefix.
    pub cidr: IpCidr,
    /// The distributed gateway's address, when the network has one.
    pub gateway: Option<IpAddr>,
}

/// An endpoint, local or remote. Key `endpoint/<uid in hex>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its number.
    pub uid: EndpointUid,
    /// Its name in the tenant, for explanations.
    pub name: EndpointName,
    /// Its VRF.
    pub vrf: VrfId,
    /// Its network.
    pub vni: Vni,
    /// Its group, when it has one.
    pub group: Option<GroupId>,
    /// Groups it entered or left since it exists: connections of theirs may have been judged otherwise.
    #[serde(default, skip_serializing_if = "GroupMoves::is_empty")]
    pub moves: GroupMoves,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its addresses: at most one per family, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// The node that hosts it.
    pub node: NodeName,
}

/// An endpoint group. Key `group/<id>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its number.
    pub id: GroupId,
    /// Its VRF.
    pub vrf: VrfId,
    /// Its name, for explanations.
    pub name: Name,
    /// The policies attached to it.
    pub policies: BTreeSet<PolicyId>,
    /// Limits and marks of its endpoints' traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<Qos>,
}

/// Limits and marks of the traffic of a group's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Qos {
    /// What they send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<RateLimit>,
    /// What they receive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<RateLimit>,
    /// What IP packets they send are marked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dscp: Option<Dscp>,
    /// Whose the rates are.
    pub share: RateShare,
}

/// A policy with its rules. Key `policy/<id>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its number.
    pub id: PolicyId,
    /// Its VRF.
    pub vrf: VrfId,
    /// Its name, for explanations.
    pub name: Name,
    /// Its rules in slot order.
    pub rules: Vec<PolicyRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRule {
    /// Place in the policy.
    pub slot: RuleSlot,
    /// Its name, for explanations.
    pub name: Name,
    /// Relative to the endpoints of the groups the policy is attached to.
    pub direction: Direction,
    /// Higher wins; deny wins ties.
    pub priority: RulePriority,
    /// The other end.
    pub peer: RulePeer,
    /// What they carry.
    pub service: RuleService,
    /// The decision.
    pub verdict: Verdict,
}

impl PolicyRule {
    /// What it does, as bytes: all of it but its name.
    pub fn content(&self) -> Vec<u8> {
        let Self { slot, name: _, direction, priority, peer, service, verdict } = self;
        // Serializing plain structs with string keys into memory has no failing path in serde_json.
        serde_json::to_vec(&(slot, direction, priority, peer, service, verdict)).unwrap_or_default()
    }
}

/// The other end of a rule's connections. "Any" is spelled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum RulePeer {
    /// Everything in the VRF and outside.
    Any,
    /// The endpoints of a group.
    Group(GroupId),
    /// Every address of a network's subnets.
    Network(Vni),
    /// A prefix, with or without parts of it.
    Cidr(CidrBlock),
    /// Addresses from the first to the last.
    Range(AddressRange),
}

/// What a rule's connections carry. "Any" is spelled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum RuleService {
    /// Every protocol.
    Any,
    /// One of these.
    Of(Services),
}
