//! What a policy's rules did.

use serde::{Deserialize, Serialize};
use types::{Name, NodeName};
use utoipa::ToSchema;

use crate::route::{Action, Route};
use crate::{Code, schema};

/// What a policy's rules did.
pub const READ: Route = Route::get(
    "/api/v1/tenants/{tenant}/policies/{policy}/counters",
    &Action {
        operation: "readPolicyCounters",
        summary: "Says how many connections, packets and bytes each rule of a policy allowed or denied, by the counters of the switches at this moment",
        body: None,
        reply: "PolicyCounters",
        query: &[],
        refusals: &[Code::NotFound],
    },
);

pub(crate) const ROUTES: &[Route] = &[READ];

/// What a policy's rules did: the sums of what the switches count. A switch counts from when it was started, or the rule
/// was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyCounters {
    /// The rules, by name.
    pub rules: Vec<RuleCounters>,
    /// The nodes with endpoints that the policy is about, and which of them are counted.
    pub nodes: Vec<CountedNode>,
}

impl PolicyCounters {
    /// The nodes that are missing in the sums, with why.
    pub fn missing(&self) -> impl Iterator<Item = (&NodeName, &str)> {
        self.nodes.iter().filter_map(|node| Some((&node.node, node.missing.as_deref()?)))
    }
}

/// What one rule did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleCounters {
    /// The rule.
    #[schema(value_type = schema::Name)]
    pub name: Name,
    /// Connections it allowed; none for a rule that denies, which lets none come about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Packets it denied; or that passed, both ways, on connections it allowed.
    pub packets: u64,
    /// Their bytes, Ethernet headers included.
    pub bytes: u64,
}

/// A node whose switch counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CountedNode {
    /// The node.
    #[schema(value_type = schema::NodeName)]
    pub node: NodeName,
    /// Why its counters are missing in the sums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}
