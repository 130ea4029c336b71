//! Endpoints on the wire.

use std::net::IpAddr;

use model::{EndpointSpec, Kind, Spec};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use types::{EndpointName, MacAddr, Name, NodeName, Revision};
use utoipa::ToSchema;

use super::body::{Body, Context, Stated};
use super::status::Realization;
use crate::route::Route;
use crate::{FieldProblem, schema};

/// Path of the collection.
pub const COLLECTION: &str = "/api/v1/tenants/{tenant}/endpoints";
/// Path of one.
pub const ITEM: &str = "/api/v1/tenants/{tenant}/endpoints/{endpoint}";
/// Lists them.
pub const LIST: Route = Route::list(Kind::Endpoint, COLLECTION);
/// Creates one; refused when it exists.
pub const CREATE: Route = Route::create(Kind::Endpoint, COLLECTION);
/// Reads one.
pub const READ: Route = Route::read(Kind::Endpoint, ITEM);
/// Creates or replaces one.
pub const REPLACE: Route = Route::replace(Kind::Endpoint, ITEM);
/// Deletes one.
pub const DELETE: Route = Route::delete(Kind::Endpoint, ITEM);

pub(crate) const ROUTES: &[Route] = &[LIST, CREATE, READ, REPLACE, DELETE];

/// An endpoint as written.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointBody {
    /// `endpoint`; needed in an apply document only.
    #[schema(value_type = Option<schema::Kind>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Owning tenant; may be left out where the path says it.
    #[schema(value_type = Option<schema::Name>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Name>,
    /// Its name in the tenant; may be left out where the path says it.
    #[schema(value_type = Option<schema::EndpointName>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<EndpointName>,
    /// Its network.
    #[schema(value_type = schema::Name)]
    pub network: Name,
    /// Its group, a group of that network.
    #[schema(value_type = Option<schema::Name>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Name>,
    /// The node that hosts it.
    #[schema(value_type = schema::NodeName)]
    pub node: NodeName,
    /// A wanted IPv4 address; chosen by the server when absent.
    #[schema(value_type = Option<schema::Address>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<IpAddr>,
    /// A wanted IPv6 address; chosen by the server when absent.
    #[schema(value_type = Option<schema::Address>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<IpAddr>,
    /// The version the writer saw; the write is refused when it is another one now.
    #[schema(value_type = Option<schema::Revision>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Ignored, so that what was read can be written back.
    #[schema(value_type = Option<Object>)]
    #[serde(default, skip_serializing)]
    pub status: Option<IgnoredAny>,
}

impl Body for EndpointBody {
    const KIND: Kind = Kind::Endpoint;

    fn into_spec(self, context: &Context) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>> {
        let (tenant, name) = (self.tenant, self.name);
        let stated = Stated { kind: self.kind, tenant, name, version: self.resource_version };
        stated.in_tenant(Self::KIND, context, |tenant, name| {
            Spec::Endpoint(EndpointSpec {
                tenant,
                name,
                network: self.network,
                group: self.group,
                node: self.node,
                ipv4: self.ipv4,
                ipv6: self.ipv6,
            })
        })
    }
}

impl From<EndpointSpec> for EndpointBody {
    fn from(spec: EndpointSpec) -> Self {
        Self {
            kind: Some(Kind::Endpoint),
            tenant: Some(spec.tenant),
            name: Some(spec.name),
            network: spec.network,
            group: spec.group,
            node: spec.node,
            ipv4: spec.ipv4,
            ipv6: spec.ipv6,
            resource_version: None,
            status: None,
        }
    }
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// `endpoint`.
    #[schema(value_type = schema::Kind)]
    pub kind: Kind,
    /// Owning tenant.
    #[schema(value_type = schema::Name)]
    pub tenant: Name,
    /// Its name in the tenant.
    #[schema(value_type = schema::EndpointName)]
    pub name: EndpointName,
    /// Its network.
    #[schema(value_type = schema::Name)]
    pub network: Name,
    /// Its group, a group of that network.
    #[schema(value_type = Option<schema::Name>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Name>,
    /// The node that hosts it.
    #[schema(value_type = schema::NodeName)]
    pub node: NodeName,
    /// A wanted IPv4 address, as asked for.
    #[schema(value_type = Option<schema::Address>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<IpAddr>,
    /// A wanted IPv6 address, as asked for.
    #[schema(value_type = Option<schema::Address>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<IpAddr>,
    /// Revision of its last change.
    #[schema(value_type = schema::Revision)]
    pub resource_version: String,
    /// What became of it.
    pub status: EndpointStatus,
}

/// What became of an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// Its number: in flow cookies and fragment keys.
    #[schema(value_type = schema::Uid)]
    pub uid: String,
    /// Its MAC address.
    #[schema(value_type = schema::Mac)]
    pub mac: MacAddr,
    /// Its addresses, IPv4 first.
    #[schema(value_type = Vec<schema::Address>)]
    pub addresses: Vec<IpAddr>,
    /// Whether its node enforces its latest state.
    pub realization: Realization,
    /// Why it cannot be compiled; absent when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}
