//! What the system is doing.

use serde::{Deserialize, Serialize};
use types::NodeName;
use utoipa::ToSchema;

use crate::route::{Action, Parameter, Route};
use crate::{Code, schema};

/// What the system is doing.
pub const STATUS: Route = Route::get(
    "/api/v1/status",
    &Action {
        operation: "readStatus",
        summary: "Says what the store, the nodes and refused objects are doing",
        body: None,
        reply: "Status",
        query: &[],
        refusals: &[],
    },
);
/// Which release answers.
pub const VERSION: Route = Route::get(
    "/api/v1/version",
    &Action {
        operation: "readVersion",
        summary: "Says which release answers",
        body: None,
        reply: "Version",
        query: &[],
        refusals: &[],
    },
)
.public();
/// This document.
pub const OPENAPI: Route = Route::get(
    "/api/v1/openapi.json",
    &Action {
        operation: "readOpenapi",
        summary: "This document",
        body: None,
        reply: "OpenApi",
        query: &[],
        refusals: &[],
    },
)
.public();
/// For whoever restarts what hangs.
pub const LIVEZ: Route = Route::get(
    "/livez",
    &Action {
        operation: "readLiveness",
        summary: "Says that this process answers; what it depends on is not asked",
        body: None,
        reply: "Probe",
        query: &[],
        refusals: &[],
    },
)
.public();
/// For load balancers.
pub const READYZ: Route = Route::get(
    "/readyz",
    &Action {
        operation: "readReadiness",
        summary: "Says whether this process can serve: the store answers, and intent is followed",
        body: None,
        reply: "Probe",
        query: &[Parameter::Verbose],
        refusals: &[Code::Malformed, Code::Unauthorized, Code::StoreUnavailable],
    },
)
.public();

pub(crate) const ROUTES: &[Route] = &[STATUS, VERSION, OPENAPI, LIVEZ, READYZ];

/// What the system is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Identity of the store's history.
    pub store_id: String,
    /// Whether the store answers.
    pub store: Health,
    /// The newest intent this process has seen.
    #[schema(value_type = schema::Revision)]
    pub revision: String,
    /// The replica that does what must be done once; absent while none does, as after its death.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Leader>,
    /// The nodes.
    pub nodes: Vec<NodeReport>,
    /// Objects that cannot be compiled; what refers to them is denied.
    pub refused: Vec<RefusedObject>,
    /// Endpoints that their node cannot serve.
    #[serde(default)]
    pub failed: Vec<FailedEndpoint>,
}

/// The replica that leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leader {
    /// Its name: host and port of its REST API.
    pub name: String,
    /// The revision since which it leads.
    #[schema(value_type = schema::Revision)]
    pub since: String,
}

/// Whether something can serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Whether it can.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether this process is alive, or can serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Whether it is.
    pub ok: bool,
    /// What was looked at; with `verbose` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// `store`: it answers. `intent`: this process follows it.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A node's last report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// The node.
    #[schema(value_type = schema::NodeName)]
    pub node: NodeName,
    /// Whether its agent has a session now.
    pub connected: bool,
    /// Since when it is connected, or not (RFC 3339); absent before its first session with this process.
    #[schema(value_type = Option<schema::Time>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The newest intent its switch enforces.
    #[schema(value_type = Option<schema::Revision>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realized_revision: Option<String>,
    /// What it complains about.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// Something a node complains about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// Stable: `tunnel_neighbor_cold`, `offload_on`, `fragment_refused`, ...
    pub code: String,
    /// For people.
    pub text: String,
}

/// An object that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedObject {
    /// The object, like `policy blue/guard`.
    pub object: String,
    /// Revision of its last change.
    #[schema(value_type = schema::Revision)]
    #[serde(default)]
    pub resource_version: String,
    /// Why.
    pub reason: String,
}

/// An endpoint that its node cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedEndpoint {
    /// The endpoint, like `endpoint blue/web-1`.
    pub object: String,
    /// The node that hosts it.
    #[schema(value_type = schema::NodeName)]
    pub node: NodeName,
    /// Revision of its last change.
    #[schema(value_type = schema::Revision)]
    pub resource_version: String,
    /// Why, as the node says it.
    pub reason: String,
}

/// Whether the switches enforce what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Realization {
    /// Every node that needs it has acknowledged it.
    Realized,
    /// Some node has not acknowledged it yet, or is away.
    Pending,
    /// No node needs it.
    Unused,
    /// It cannot be compiled, or a node refuses it; what refers to it is denied.
    Refused,
}

/// Which release answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// `netmaster`.
    pub name: String,
    /// The release.
    pub version: String,
}
