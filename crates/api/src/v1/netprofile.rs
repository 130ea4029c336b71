//! Network profiles on the wire.

use model::{Kind, NetProfileSpec, Spec};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use types::{Bandwidth, Burst, Dscp, Name, RateShare, Revision};
use utoipa::ToSchema;

use super::body::{Body, Context, Stated};
use super::status::{NodeReport, Realization};
use crate::route::Route;
use crate::{FieldProblem, schema};

/// Path of the collection.
pub const COLLECTION: &str = "/api/v1/tenants/{tenant}/netprofiles";
/// Path of one.
pub const ITEM: &str = "/api/v1/tenants/{tenant}/netprofiles/{netprofile}";
/// Lists them.
pub const LIST: Route = Route::list(Kind::NetProfile, COLLECTION);
/// Creates one; refused when it exists.
pub const CREATE: Route = Route::create(Kind::NetProfile, COLLECTION);
/// Reads one.
pub const READ: Route = Route::read(Kind::NetProfile, ITEM);
/// Creates or replaces one.
pub const REPLACE: Route = Route::replace(Kind::NetProfile, ITEM);
/// Deletes one.
pub const DELETE: Route = Route::delete(Kind::NetProfile, ITEM);

pub(crate) const ROUTES: &[Route] = &[LIST, CREATE, READ, REPLACE, DELETE];

/// A rate, and how much may pass at once above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// The rate.
    #[schema(value_type = schema::Bandwidth)]
    pub rate: Bandwidth,
    /// Kilobytes; absent = what passes in a second at that rate. With much less, TCP does not reach the rate.
    #[schema(value_type = Option<schema::Burst>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
}

/// A network profile as written.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetProfileBody {
    /// `netprofile`; needed in an apply document only.
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
    /// How fast endpoints may send; absent = as fast as they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<RateLimit>,
    /// How fast they may receive; absent = as fast as they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<RateLimit>,
    /// What IP packets they send are marked with; absent = left as they are.
    #[schema(value_type = Option<schema::Dscp>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dscp: Option<Dscp>,
    /// Whose the rates are: each endpoint's, or all endpoints' of the group on a node together.
    #[schema(value_type = Option<schema::RateShare>)]
    #[serde(default)]
    pub share: RateShare,
    /// The version the writer saw; the write is refused when it is another one now.
    #[schema(value_type = Option<schema::Revision>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Ignored, so that what was read can be written back.
    #[schema(value_type = Option<Object>)]
    #[serde(default, skip_serializing)]
    pub status: Option<IgnoredAny>,
}

impl Body for NetProfileBody {
    const KIND: Kind = Kind::NetProfile;

    fn into_spec(self, context: &Context) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>> {
        let (tenant, name) = (self.tenant, self.name);
        let stated = Stated { kind: self.kind, tenant, name, version: self.resource_version };
        stated.in_tenant(Self::KIND, context, |tenant, name| {
            let [egress, ingress] = [self.egress, self.ingress].map(|limit| limit.map(Into::into));
            Spec::NetProfile(NetProfileSpec {
                tenant,
                name,
                egress,
                ingress,
                dscp: self.dscp,
                share: self.share,
            })
        })
    }
}

impl From<NetProfileSpec> for NetProfileBody {
    fn from(spec: NetProfileSpec) -> Self {
        Self {
            kind: Some(Kind::NetProfile),
            tenant: Some(spec.tenant),
            name: Some(spec.name),
            egress: spec.egress.map(Into::into),
            ingress: spec.ingress.map(Into::into),
            dscp: spec.dscp,
            share: spec.share,
            resource_version: None,
            status: None,
        }
    }
}

impl From<RateLimit> for types::RateLimit {
    fn from(limit: RateLimit) -> Self {
        Self { rate: limit.rate, burst: limit.burst }
    }
}

impl From<types::RateLimit> for RateLimit {
    fn from(limit: types::RateLimit) -> Self {
        Self { rate: limit.rate, burst: limit.burst }
    }
}

/// A network profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetProfile {
    /// `netprofile`.
    #[schema(value_type = schema::Kind)]
    pub kind: Kind,
    /// Owning tenant.
    #[schema(value_type = schema::Name)]
    pub tenant: Name,
    /// Its name in the tenant.
    #[schema(value_type = schema::Name)]
    pub name: Name,
    /// How fast endpoints may send; absent = as fast as they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<RateLimit>,
    /// How fast they may receive; absent = as fast as they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<RateLimit>,
    /// What IP packets they send are marked with; absent = left as they are.
    #[schema(value_type = Option<schema::Dscp>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dscp: Option<Dscp>,
    /// Whose the rates are: each endpoint's, or all endpoints' of the group on a node together.
    #[schema(value_type = schema::RateShare)]
    #[serde(default)]
    pub share: RateShare,
    /// Revision of its last change.
    #[schema(value_type = schema::Revision)]
    pub resource_version: String,
    /// What became of it.
    pub status: NetProfileStatus,
}

/// What became of a network profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetProfileStatus {
    /// Groups that have it.
    #[schema(value_type = Vec<schema::Name>)]
    pub groups: Vec<Name>,
    /// Whether every node that needs it enforces it.
    pub realization: Realization,
    /// The nodes that need it and do not enforce it, or not yet.
    pub waiting_for: Vec<NodeReport>,
    /// Why a node does not enforce it, as the node says it; absent when none refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}
