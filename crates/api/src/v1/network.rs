//! Networks on the wire.

use std::net::IpAddr;

use model::{Kind, NetworkSpec, Spec, SubnetSpec};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use types::{Family, Name, Revision, Vni};
use utoipa::ToSchema;

use super::body::{Body, Context, Stated};
use crate::route::Route;
use crate::{FieldProblem, schema};

/// Path of the collection.
pub const COLLECTION: &str = "/api/v1/tenants/{tenant}/networks";
/// Path of one.
pub const ITEM: &str = "/api/v1/tenants/{tenant}/networks/{network}";
/// Lists them.
pub const LIST: Route = Route::list(Kind::Network, COLLECTION);
/// Creates one; refused when it exists.
pub const CREATE: Route = Route::create(Kind::Network, COLLECTION);
/// Reads one.
pub const READ: Route = Route::read(Kind::Network, ITEM);
/// Creates or replaces one.
pub const REPLACE: Route = Route::replace(Kind::Network, ITEM);
/// Deletes one.
pub const DELETE: Route = Route::delete(Kind::Network, ITEM);

pub(crate) const ROUTES: &[Route] = &[LIST, CREATE, READ, REPLACE, DELETE];

/// A network as written.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkBody {
    /// `network`; needed in an apply document only.
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
    /// IPv4 subnet; at least one of `ipv4` and `ipv6` is present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Subnet>,
    /// IPv6 subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Subnet>,
    /// VXLAN network identifier; chosen by the server when absent.
    #[schema(value_type = Option<schema::Vni>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<Vni>,
    /// The version the writer saw; the write is refused when it is another one now.
    #[schema(value_type = Option<schema::Revision>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Ignored, so that what was read can be written back.
    #[schema(value_type = Option<Object>)]
    #[serde(default, skip_serializing)]
    pub status: Option<IgnoredAny>,
}

impl Body for NetworkBody {
    const KIND: Kind = Kind::Network;

    fn into_spec(self, context: &Context) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>> {
        let (tenant, name) = (self.tenant, self.name);
        let stated = Stated { kind: self.kind, tenant, name, version: self.resource_version };
        stated.in_tenant(Self::KIND, context, |tenant, name| {
            Spec::Network(NetworkSpec {
                tenant,
                name,
                ipv4: self.ipv4.map(Into::into),
                ipv6: self.ipv6.map(Into::into),
                vni: self.vni,
            })
        })
    }
}

impl From<NetworkSpec> for NetworkBody {
    fn from(spec: NetworkSpec) -> Self {
        Self {
            kind: Some(Kind::Network),
            tenant: Some(spec.tenant),
            name: Some(spec.name),
            ipv4: spec.ipv4.map(Into::into),
            ipv6: spec.ipv6.map(Into::into),
            vni: spec.vni,
            resource_version: None,
            status: None,
        }
    }
}

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// `network`.
    #[schema(value_type = schema::Kind)]
    pub kind: Kind,
    /// Owning tenant.
    #[schema(value_type = schema::Name)]
    pub tenant: Name,
    /// Its name in the tenant.
    #[schema(value_type = schema::Name)]
    pub name: Name,
    /// IPv4 subnet; at least one of `ipv4` and `ipv6` is present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Subnet>,
    /// IPv6 subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Subnet>,
    /// VXLAN network identifier, as asked for.
    #[schema(value_type = Option<schema::Vni>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<Vni>,
    /// Revision of its last change.
    #[schema(value_type = schema::Revision)]
    pub resource_version: String,
    /// What became of it.
    pub status: NetworkStatus,
}

/// What became of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// Its VXLAN network identifier.
    #[schema(value_type = schema::Vni)]
    pub vni: Vni,
    /// How many endpoints it has.
    pub endpoints: usize,
    /// Addresses per family.
    pub addresses: Vec<AddressUse>,
    /// Why it cannot be compiled; absent when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// One subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subnet {
    /// Prefix, optionally with the range endpoints are numbered from.
    #[schema(value_type = schema::SubnetRange)]
    pub subnet: types::Subnet,
    /// Address of the distributed gateway; without one the network is isolated from the tenant's others.
    #[schema(value_type = Option<schema::Address>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

impl From<Subnet> for SubnetSpec {
    fn from(s: Subnet) -> Self {
        Self { subnet: s.subnet, gateway: s.gateway }
    }
}

impl From<SubnetSpec> for Subnet {
    fn from(s: SubnetSpec) -> Self {
        Self { subnet: s.subnet, gateway: s.gateway }
    }
}

/// How a network's addresses of one family are used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressUse {
    /// `v4` or `v6`.
    #[schema(value_type = String)]
    pub family: Family,
    /// Addresses endpoints have.
    pub used: usize,
    /// Addresses that were freed a moment ago and are not handed out yet.
    #[schema(value_type = Vec<schema::Address>)]
    pub cooling: Vec<IpAddr>,
}
