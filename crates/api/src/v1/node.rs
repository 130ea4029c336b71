//! Nodes on the wire. A node comes to be by joining; people list, read and remove them.

use std::net::IpAddr;

use model::{Kind, NodeSpec, Spec};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use types::{NodeName, Revision};
use utoipa::ToSchema;

use super::body::{Body, Context, Stated};
use super::status::Warning;
use crate::route::{Action, CHANGE, Route};
use crate::{Code, FieldProblem, schema};

/// Path of the collection.
pub const COLLECTION: &str = "/api/v1/nodes";
/// Path of one.
pub const ITEM: &str = "/api/v1/nodes/{node}";
/// Lists them.
pub const LIST: Route = Route::list(Kind::Node, COLLECTION);
/// Reads one.
pub const READ: Route = Route::read(Kind::Node, ITEM);
/// Deletes one.
pub const DELETE: Route = Route::delete(Kind::Node, ITEM);

/// Makes a join file.
pub const JOIN_TOKEN: Route = Route::post(
    "/api/v1/nodes/{node}/join-token",
    &Action {
        operation: "createJoinToken",
        summary: "Makes a join file for a node: good for one join within an hour",
        body: None,
        reply: "JoinFile",
        query: &[],
        refusals: &[Code::Invalid, Code::ApplyTooLarge, Code::AllocationBusy, Code::StoreIndeterminate],
    },
);

/// Lets a node take no new endpoints.
pub const CORDON: Route = Route::post(
    "/api/v1/nodes/{node}/cordon",
    &Action {
        operation: "cordonNode",
        summary: "Lets a node take no new endpoints; those it has stay",
        body: None,
        reply: "Node",
        query: &[],
        refusals: CHANGE,
    },
);

/// Lets a cordoned node take endpoints again.
pub const UNCORDON: Route = Route::post(
    "/api/v1/nodes/{node}/uncordon",
    &Action {
        operation: "uncordonNode",
        summary: "Lets a cordoned node take new endpoints again",
        body: None,
        reply: "Node",
        query: &[],
        refusals: CHANGE,
    },
);

/// Cordons a node and deletes its endpoints.
pub const DRAIN: Route = Route::post(
    "/api/v1/nodes/{node}/drain",
    &Action {
        operation: "drainNode",
        summary: "Cordons a node and deletes its endpoints: their containers lose their network, their addresses are free after cooling",
        body: None,
        reply: "Node",
        query: &[],
        refusals: CHANGE,
    },
);

pub(crate) const ROUTES: &[Route] = &[LIST, READ, DELETE, JOIN_TOKEN, CORDON, UNCORDON, DRAIN];

/// A node in an apply document: it may repeat what a node said, so that what was read can be written back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeBody {
    /// `node`.
    #[schema(value_type = Option<schema::Kind>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Its name.
    #[schema(value_type = Option<schema::NodeName>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<NodeName>,
    /// Its tunnel endpoint address on the underlay.
    #[schema(value_type = schema::Address)]
    pub vtep: IpAddr,
    /// Ignored: cordoning is an act, not a field people write.
    #[serde(default, skip_serializing)]
    pub cordoned: Option<bool>,
    /// The version the writer saw.
    #[schema(value_type = Option<schema::Revision>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Ignored.
    #[schema(value_type = Option<Object>)]
    #[serde(default, skip_serializing)]
    pub status: Option<IgnoredAny>,
}

impl Body for NodeBody {
    const KIND: Kind = Kind::Node;

    fn into_spec(self, context: &Context) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>> {
        let stated =
            Stated { kind: self.kind, tenant: None, name: self.name, version: self.resource_version };
        stated.global(Self::KIND, context, |name| Spec::Node(NodeSpec { name, vtep: self.vtep }))
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// `node`.
    #[schema(value_type = schema::Kind)]
    pub kind: Kind,
    /// Its name: the common name of its certificate.
    #[schema(value_type = schema::NodeName)]
    pub name: NodeName,
    /// Its tunnel endpoint address on the underlay.
    #[schema(value_type = schema::Address)]
    pub vtep: IpAddr,
    /// Takes no new endpoints.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cordoned: bool,
    /// Revision of its last change.
    #[schema(value_type = schema::Revision)]
    pub resource_version: String,
    /// What became of it.
    pub status: NodeStatus,
}

/// What a node is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Whether its agent has a session now.
    pub connected: bool,
    /// Version of its agent, as it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// The newest intent its switch enforces, as it said last.
    #[schema(value_type = Option<schema::Revision>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realized_revision: Option<String>,
    /// Flows in its switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<u64>,
    /// How many endpoints it hosts.
    pub endpoints: usize,
    /// What it complains about.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// Why it cannot be compiled; absent when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// All a new node needs to join, once. Secret: it holds the token.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinFile {
    /// Address of the node API, HOST:PORT.
    pub server: String,
    /// The certificate authority, PEM.
    pub ca: String,
    /// The node that may join with it.
    #[schema(value_type = schema::NodeName)]
    pub node: NodeName,
    /// The one-time token.
    pub token: String,
}

impl std::fmt::Debug for JoinFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinFile")
            .field("server", &self.server)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
