//! Intent: tenants, networks, policies, network profiles, endpoint groups, endpoints, nodes — and the checks that keep it sound.
//!
//! Each noun has a `…Spec`, what people write (its fields cannot hold a wrong value, but may name things that do not
//! exist), and a stored object, the spec plus the numbers the data plane knows it by. [`IntentView`] is all of them
//! at one revision. Every cross-object decision is a pure function here; nothing is stored that did not pass it.
//!
//! # Invariants
//! * No I/O, no clock, no randomness: allocated numbers are handed in.
//! * [`Validated`] can only be made by this crate, and `store` writers take nothing else.
//! * JSON is camelCase, strict (unknown fields are errors), the same in REST, `apply` files and the store.
//!
//! # Failure
//! [`Rejection`] lists every field that is wrong, with value and reason; [`InUse`] lists who still needs an object.

mod context;
mod endpoint;
mod error;
mod group;
mod index;
mod map;
mod netprofile;
mod network;
mod node;
mod object;
mod plan;
mod policy;
mod runs;
mod tenant;
mod validated;
mod view;

pub use context::{Guard, Supply};
pub use endpoint::{Endpoint, EndpointSpec, check_same_endpoint, endpoint_mac};
pub use error::{FieldError, InUse, Rejection};
pub use group::{Group, GroupSpec};
pub use map::Map;
pub use netprofile::{NetProfile, NetProfileSpec};
pub use network::{Network, NetworkSpec, SubnetSpec};
pub use node::{Node, NodeSpec};
pub use object::{Kind, Object, ObjectRef, Spec};
pub use plan::{
    DeleteError, Outcome, Plan, Removal, Step, plan_apply, plan_cordon, plan_delete, plan_fence, plan_node,
};
pub use policy::{Peer, Policy, PolicySpec, RuleSpec};
pub use runs::{Number, Taken};
pub use tenant::{Tenant, TenantSpec};
pub use validated::Validated;
pub use view::{IntentView, ViewEvent};
