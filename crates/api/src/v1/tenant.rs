//! Tenants on the wire.

use model::{Kind, Spec, TenantSpec};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use types::{DefaultAction, Name, Revision, VrfId};
use utoipa::ToSchema;

use super::body::{Body, Context, Stated};
use crate::route::Route;
use crate::{FieldProblem, schema};

/// Path of the collection.
pub const COLLECTION: &str = "/api/v1/tenants";
/// Path of one.
pub const ITEM: &str = "/api/v1/tenants/{tenant}";
/// Lists them.
pub const LIST: Route = Route::list(Kind::Tenant, COLLECTION);
/// Creates one; refused when it exists.
pub const CREATE: Route = Route::create(Kind::Tenant, COLLECTION);
/// Reads one.
pub const READ: Route = Route::read(Kind::Tenant, ITEM);
/// Creates or replaces one.
pub const REPLACE: Route = Route::replace(Kind::Tenant, ITEM);
/// Deletes one.
pub const DELETE: Route = Route::delete(Kind::Tenant, ITEM);

pub(crate) const ROUTES: &[Route] = &[LIST, CREATE, READ, REPLACE, DELETE];

/// A tenant as written.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantBody {
    /// `tenant`; needed in an apply document only.
    #[schema(value_type = Option<schema::Kind>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Its name; may be left out where the path says it.
    #[schema(value_type = Option<schema::Name>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// What happens to connections inside the tenant that no rule decides; `allow` when absent.
    #[schema(value_type = Option<schema::DefaultAction>)]
    #[serde(default)]
    pub default_action: DefaultAction,
    /// The version the writer saw; the write is refused when it is another one now.
    #[schema(value_type = Option<schema::Revision>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Ignored, so that what was read can be written back.
    #[schema(value_type = Option<Object>)]
    #[serde(default, skip_serializing)]
    pub status: Option<IgnoredAny>,
}

impl Body for TenantBody {
    const KIND: Kind = Kind::Tenant;

    fn into_spec(self, context: &Context) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>> {
        let stated =
            Stated { kind: self.kind, tenant: None, name: self.name, version: self.resource_version };
        stated.global(Self::KIND, context, |name| {
            Spec::Tenant(TenantSpec { name, default_action: self.default_action })
        })
    }
}

impl From<TenantSpec> for TenantBody {
    fn from(spec: TenantSpec) -> Self {
        Self {
            kind: Some(Kind::Tenant),
            name: Some(spec.name),
            default_action: spec.default_action,
            ..Self::default()
        }
    }
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// `tenant`.
    #[schema(value_type = schema::Kind)]
    pub kind: Kind,
    /// Its name.
    #[schema(value_type = schema::Name)]
    pub name: Name,
    /// What happens to connections inside the tenant that no rule decides.
    #[schema(value_type = schema::DefaultAction)]
    pub default_action: DefaultAction,
    /// Revision of its last change.
    #[schema(value_type = schema::Revision)]
    pub resource_version: String,
    /// What became of it.
    pub status: TenantStatus,
}

/// What became of a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Its address space and conntrack zone.
    #[schema(value_type = schema::VrfId)]
    pub vrf: VrfId,
    /// How many networks it has.
    pub networks: usize,
    /// How many groups it has.
    pub groups: usize,
    /// How many policies it has.
    pub policies: usize,
    /// How many network profiles it has.
    #[serde(default)]
    pub net_profiles: usize,
    /// How many endpoints it has.
    pub endpoints: usize,
    /// Why it cannot be compiled; absent when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}
