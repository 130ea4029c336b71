//! Version 1: `/api/v1`.

use crate::Route;

pub mod apply;
pub mod audit;
mod body;
pub mod counters;
pub mod endpoint;
pub mod explain;
pub mod group;
mod list;
pub mod netprofile;
pub mod network;
pub mod node;
pub mod peer;
pub mod policy;
pub mod service;
pub mod status;
pub mod tenant;
pub mod watch;

pub use apply::{Apply, ApplyBody, ApplyResult, Change, Document};
pub use audit::{Audit, AuditClaim, AuditOutcome, AuditedNode, Disagreement, MetFlow};
pub use body::{Body, Context};
pub use counters::{CountedNode, PolicyCounters, RuleCounters};
pub use endpoint::{Endpoint, EndpointBody, EndpointStatus};
pub use explain::{
    ConsideredRule, ExplainBody, ExplainedEnd, ExplainedSwitches, Explanation, Party, RuleOutcome,
    SwitchAgreement,
};
pub use group::{Group, GroupBody, GroupStatus};
pub use list::{Item, List};
pub use netprofile::{NetProfile, NetProfileBody, NetProfileStatus, RateLimit};
pub use network::{AddressUse, Network, NetworkBody, NetworkStatus, Subnet};
pub use node::{JoinFile, Node, NodeBody, NodeStatus};
pub use peer::Peer;
pub use policy::{Policy, PolicyBody, PolicyStatus, Rule};
pub use service::{Ports, Protocol, Service};
pub use status::{
    Check, FailedEndpoint, Health, Leader, NodeReport, Probe, Realization, RefusedObject, Status, Version,
    Warning,
};
pub use tenant::{Tenant, TenantBody, TenantStatus};
pub use watch::{Bookmark, EventType};

/// Every endpoint.
pub fn routes() -> Vec<Route> {
    [
        tenant::ROUTES,
        network::ROUTES,
        policy::ROUTES,
        netprofile::ROUTES,
        group::ROUTES,
        endpoint::ROUTES,
        node::ROUTES,
        apply::ROUTES,
        counters::ROUTES,
        explain::ROUTES,
        status::ROUTES,
        audit::ROUTES,
    ]
    .concat()
}
