//! Whether the switches do what intent says.

use serde::{Deserialize, Serialize};
use types::NodeName;
use utoipa::ToSchema;

use crate::route::{Action, Route};
use crate::schema;

/// Whether the switches do what intent says.
pub const AUDIT: Route = Route::get(
    "/api/v1/audit",
    &Action {
        operation: "audit",
        summary: "Reads the flows of every switch and says where they do another thing than intent; takes seconds to minutes",
        body: None,
        reply: "Audit",
        query: &[],
        refusals: &[],
    },
);

pub(crate) const ROUTES: &[Route] = &[AUDIT];

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// The intent that the switches were compared with.
    #[schema(value_type = schema::Revision)]
    pub revision: String,
    /// When it began (RFC 3339).
    #[schema(value_type = schema::Time)]
    pub at: String,
    /// How long it took.
    pub milliseconds: u64,
    /// How many packets were tried on the flows.
    pub packets: u64,
    /// Whether everything was asked; if not, it took too long.
    pub complete: bool,
    /// The nodes, and which of them were looked at.
    pub nodes: Vec<AuditedNode>,
    /// What the switches do that they must not, or the other way round.
    pub disagreements: Vec<Disagreement>,
    /// Packets that disagree in further ways, which are not listed.
    pub unlisted: u64,
}

impl Audit {
    /// Whether everything was looked at, and nothing found.
    pub fn is_clean(&self) -> bool {
        let seen = self.nodes.iter().all(|n| n.outcome == AuditOutcome::Audited);
        self.complete && seen && self.disagreements.is_empty() && self.unlisted == 0
    }
}

/// A node in an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditedNode {
    /// The node.
    #[schema(value_type = schema::NodeName)]
    pub node: NodeName,
    /// Whether its switch was looked at.
    pub outcome: AuditOutcome,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Flows in its switch, whosever they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<u64>,
    /// Endpoints that are plugged into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<u64>,
}

/// Whether a node's switch was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was.
    Audited,
    /// Nobody could say what it holds.
    Unseen,
    /// It does not enforce this intent yet, or refuses a part of it.
    Behind,
    /// It holds a flow whose meaning is not known here.
    Unread,
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditClaim {
    /// A new connection goes to whom policy allows it, and to nobody else.
    Policy,
    /// Packets of an allowed connection pass, both ways; what belongs to none does not.
    Connection,
    /// Who lies about where a packet comes from is not heard.
    Spoofing,
    /// Neighbours and gateways are answered for, and discovery reaches nobody.
    Neighbours,
    /// Group addresses reach their network, all of it, and nothing else.
    Multicast,
    /// Nothing goes from one tenant to another.
    Isolation,
}

/// A packet with which the switches do another thing than intent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disagreement {
    /// What does not hold.
    pub claim: AuditClaim,
    /// Who sends it, like `blue/web-1`.
    pub from: String,
    /// To whom: an endpoint with its address, an address, or a group.
    pub to: String,
    /// What it is: service and addresses.
    pub packet: String,
    /// What intent says, and why.
    pub intended: String,
    /// What the switches do.
    pub seen: String,
    /// The rules that decide by intent, as `tenant/policy/rule`: at the source, at the destination.
    pub rules: Vec<String>,
    /// The flows it meets, in order; at each node the last one decides.
    pub flows: Vec<MetFlow>,
    /// How many packets disagree in the same way.
    pub packets: u64,
}

/// A flow that a packet meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetFlow {
    /// On which node.
    #[schema(value_type = schema::NodeName)]
    pub node: NodeName,
    /// As `ovs-ofctl` writes it, table and cookie included.
    pub flow: String,
}
