//! Version 1: `/api/v1`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Route;
use crate::schema;

pub mod apply;
mod body;
pub mod endpoint;
pub mod group;
pub mod network;
pub mod node;
pub mod policy;
pub mod status;
pub mod tenant;

pub use apply::{Apply, ApplyBody, ApplyResult, Change, Document};
pub use body::{Body, Context};
pub use endpoint::{Endpoint, EndpointBody, EndpointStatus};
pub use group::{Group, GroupBody, GroupStatus};
pub use network::{AddressUse, Network, NetworkBody, NetworkStatus, Subnet};
pub use node::{JoinFile, Node, NodeBody, NodeStatus};
pub use policy::{Peer, Policy, PolicyBody, PolicyStatus, Rule};
pub use status::{Health, Leader, NodeReport, Realization, RefusedObject, Status, Version, Warning};
pub use tenant::{Tenant, TenantBody, TenantStatus};

/// A list: every object, and the revision of the view it shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// The objects, by name.
    pub items: Vec<T>,
    /// The revision they were read at.
    #[schema(value_type = schema::Revision)]
    pub resource_version: String,
}

/// Every endpoint.
pub fn routes() -> Vec<Route> {
    [
        tenant::ROUTES,
        network::ROUTES,
        policy::ROUTES,
        group::ROUTES,
        endpoint::ROUTES,
        node::ROUTES,
        apply::ROUTES,
        status::ROUTES,
    ]
    .concat()
}
