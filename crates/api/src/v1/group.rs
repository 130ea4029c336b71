//! Endpoint groups on the wire.

use std::collections::BTreeSet;

use model::{GroupSpec, Kind, Spec};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use types::{GroupId, Name, Revision};
use utoipa::ToSchema;

use super::body::{Body, Context, Stated};
use crate::route::Route;
use crate::{FieldProblem, schema};

/// Path of the collection.
pub const COLLECTION: &str = "/api/v1/tenants/{tenant}/groups";
/// Path of one.
pub const ITEM: &str = "/api/v1/tenants/{tenant}/groups/{group}";
/// Lists them.
pub const LIST: Route = Route::list(Kind::Group, COLLECTION);
/// Creates one; refused when it exists.
pub const CREATE: Route = Route::create(Kind::Group, COLLECTION);
/// Reads one.
pub const READ: Route = Route::read(Kind::Group, ITEM);
/// Creates or replaces one.
pub const REPLACE: Route = Route::replace(Kind::Group, ITEM);
/// Deletes one.
pub const DELETE: Route = Route::delete(Kind::Group, ITEM);

pub(crate) const ROUTES: &[Route] = &[LIST, CREATE, READ, REPLACE, DELETE];

/// An endpoint group as written.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupBody {
    /// `group`; needed in an apply document only.
    #[schema(value_type = Option<schema::Kind>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Owning tenant; may be left out where the path says it.
    #[schema(value_type = Option<schema::Name>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Name>,
    /// Its name in the tenant; may be left out where the path says it.
    #[schema(value_type = Option<schema::Name>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The network its endpoints are on; never changes.
    #[schema(value_type = schema::Name)]
    pub network: Name,
    /// Policies that apply to its endpoints.
    #[schema(value_type = Vec<schema::Name>)]
    #[serde(default)]
    pub policies: BTreeSet<Name>,
    /// The network profile whose rates and marks its endpoints have.
    #[schema(value_type = Option<schema::Name>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_profile: Option<Name>,
    /// The version the writer saw; the write is refused when it is another one now.
    #[schema(value_type = Option<schema::Revision>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Ignored, so that what was read can be written back.
    #[schema(value_type = Option<Object>)]
    #[serde(default, skip_serializing)]
    pub status: Option<IgnoredAny>,
}

impl Body for GroupBody {
    const KIND: Kind = Kind::Group;

    fn into_spec(self, context: &Context) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>> {
        let (tenant, name) = (self.tenant, self.name);
        let stated = Stated { kind: self.kind, tenant, name, version: self.resource_version };
        stated.in_tenant(Self::KIND, context, |tenant, name| {
            let (network, policies, net_profile) = (self.network, self.policies, self.net_profile);
            Spec::Group(GroupSpec { tenant, name, network, policies, net_profile })
        })
    }
}

impl From<GroupSpec> for GroupBody {
    fn from(spec: GroupSpec) -> Self {
        Self {
            kind: Some(Kind::Group),
            tenant: Some(spec.tenant),
            name: Some(spec.name),
            network: spec.network,
            policies: spec.policies,
            net_profile: spec.net_profile,
            resource_version: None,
            status: None,
        }
    }
}

/// An endpoint group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// `group`.
    #[schema(value_type = schema::Kind)]
    pub kind: Kind,
    /// Owning tenant.
    #[schema(value_type = schema::Name)]
    pub tenant: Name,
    /// Its name in the tenant.
    #[schema(value_type = schema::Name)]
    pub name: Name,
    /// The network its endpoints are on; never changes.
    #[schema(value_type = schema::Name)]
    pub network: Name,
    /// Policies that apply to its endpoints.
    #[schema(value_type = Vec<schema::Name>)]
    #[serde(default)]
    pub policies: BTreeSet<Name>,
    /// The network profile whose rates and marks its endpoints have.
    #[schema(value_type = Option<schema::Name>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_profile: Option<Name>,
    /// Revision of its last change.
    #[schema(value_type = schema::Revision)]
    pub resource_version: String,
    /// What became of it.
    pub status: GroupStatus,
}

/// What became of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// Its number in the data plane.
    #[schema(value_type = schema::GroupId)]
    pub id: GroupId,
    /// How many endpoints it has.
    pub endpoints: usize,
    /// Why it cannot be compiled; absent when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}
