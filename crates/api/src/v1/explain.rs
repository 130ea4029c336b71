//! `explain`: what intent says to one connection, rule by rule, and what the switches do with it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use types::{Direction, EndpointName, Family, Invalid, Name, NodeName, RulePriority, Traffic, Verdict};
use utoipa::ToSchema;

use crate::route::{Action, Route};
use crate::v1::{AuditedNode, MetFlow};
use crate::{Code, schema};

/// Asks what becomes of a connection.
pub const EXPLAIN: Route = Route::post(
    "/api/v1/tenants/{tenant}/explain",
    &Action {
        operation: "explainConnection",
        summary: "Says what policy makes of a connection between two endpoints of a tenant, rule by rule, and on request what the switches do with it; changes nothing",
        body: Some("ExplainBody"),
        reply: "Explanation",
        query: &[],
        refusals: &[
            Code::Malformed,
            Code::UnsupportedMediaType,
            Code::BodyTooLarge,
            Code::Invalid,
            Code::NotFound,
        ],
    },
);

pub(crate) const ROUTES: &[Route] = &[EXPLAIN];

/// One end of a connection, as it is asked for: an endpoint's name, or an address in the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Party {
    /// What reads as an address is one.
    Address(IpAddr),
    /// An endpoint.
    Endpoint(EndpointName),
}

impl std::str::FromStr for Party {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        match s.parse::<IpAddr>() {
            Ok(address) => Ok(Self::Address(address)),
            Err(_) => EndpointName::new(s).map(Self::Endpoint),
        }
    }
}

impl TryFrom<String> for Party {
    type Error = Invalid;
    fn try_from(s: String) -> Result<Self, Invalid> {
        s.parse()
    }
}

impl From<Party> for String {
    fn from(party: Party) -> Self {
        party.to_string()
    }
}

impl std::fmt::Display for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Endpoint(name) => name.fmt(f),
        }
    }
}

/// Which connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExplainBody {
    /// Who opens it: an endpoint of the tenant, or an endpoint's address.
    #[schema(value_type = schema::Party)]
    pub from: Party,
    /// To whom: an endpoint of the tenant, or an address.
    #[schema(value_type = schema::Party)]
    pub to: Party,
    /// With what.
    #[schema(value_type = schema::Traffic)]
    pub traffic: Traffic,
    /// `v4` or `v6`, between endpoints that have addresses of both. Absent = IPv4 where both have it.
    #[schema(value_type = Option<schema::FamilyName>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Whether the switches of both ends are asked, too: their nodes read their flows back, which takes up to seconds.
    #[serde(default)]
    pub switches: bool,
}

/// What policy makes of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The intent that was read.
    #[schema(value_type = schema::Revision)]
    pub resource_version: String,
    /// The address that opens it.
    #[schema(value_type = schema::Address)]
    pub from: IpAddr,
    /// The address it goes to.
    #[schema(value_type = schema::Address)]
    pub to: IpAddr,
    /// With what.
    #[schema(value_type = schema::Traffic)]
    pub traffic: Traffic,
    /// `allow` when its packets arrive.
    #[schema(value_type = schema::Verdict)]
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub reason: String,
    /// The ends that have a say, in the order they are asked: the source, then the destination if an endpoint has its address.
    pub ends: Vec<ExplainedEnd>,
    /// Why switches may do something else than this now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the switches do, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switches: Option<ExplainedSwitches>,
}

/// What switches do with the packet that opens a connection: it is sent through the flows they hold now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedSwitches {
    /// The intent they were compared with: that of the explanation, or a newer one.
    #[schema(value_type = schema::Revision)]
    pub revision: String,
    /// Whether they do what it says.
    pub agreement: SwitchAgreement,
    /// What they do.
    pub seen: String,
    /// The nodes, and whether their switches were looked at.
    pub nodes: Vec<AuditedNode>,
    /// The flows the packet meets, in order; at each node the last one decides.
    pub flows: Vec<MetFlow>,
}

/// Whether switches do what intent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SwitchAgreement {
    /// They do.
    Agree,
    /// They do not.
    Disagree,
    /// A switch that has a say could not be looked at.
    Unknown,
}

/// What one end of a connection says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedEnd {
    /// `egress` at the source, `ingress` at the destination.
    #[schema(value_type = schema::Direction)]
    pub direction: Direction,
    /// The endpoint.
    #[schema(value_type = schema::EndpointName)]
    pub endpoint: EndpointName,
    /// Its network.
    #[schema(value_type = schema::Name)]
    pub network: Name,
    /// Its group, whose policies are asked.
    #[schema(value_type = Option<schema::Name>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Name>,
    /// The node whose switch asks them.
    #[schema(value_type = schema::NodeName)]
    pub node: NodeName,
    /// What it says.
    #[schema(value_type = schema::Verdict)]
    pub verdict: Verdict,
    /// What decided: a rule, the tenant's default, or what is missing.
    pub reason: String,
    /// Every rule of the group's policies, in the order they are asked.
    pub rules: Vec<ConsideredRule>,
}

/// A rule that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsideredRule {
    /// Its policy.
    #[schema(value_type = schema::Name)]
    pub policy: Name,
    /// The rule.
    #[schema(value_type = schema::Name)]
    pub rule: Name,
    /// Its priority.
    #[schema(value_type = schema::Priority)]
    pub priority: RulePriority,
    /// What it says.
    #[schema(value_type = schema::Verdict)]
    pub action: Verdict,
    /// What became of it.
    pub outcome: RuleOutcome,
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleOutcome {
    /// It decided.
    Decided,
    /// It fits; one before it decided.
    Overruled,
    /// It speaks of connections the other way.
    OtherDirection,
    /// It speaks of other peers.
    OtherPeer,
    /// It speaks of other services.
    OtherService,
}
