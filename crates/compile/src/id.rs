//! Names of objects, typed: what indexes are made of.

use model::{IntentView, Kind, ObjectRef};
use types::{EndpointName, Name, NodeName};

/// An endpoint's tenant and name.
pub(crate) type EndpointKey = (Name, EndpointName);

/// An object that others refer to: all but endpoints. Ordered as [`ObjectRef`] is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Id {
    Node(NodeName),
    Tenant(Name),
    Network(Name, Name),
    Policy(Name, Name),
    NetProfile(Name, Name),
    Group(Name, Name),
}

/// Any object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Head(Id),
    Endpoint(EndpointKey),
}

impl Id {
    pub fn object(&self) -> ObjectRef {
        let (kind, tenant, name) = match self {
            Self::Node(n) => (Kind::Node, None, n.to_string()),
            Self::Tenant(n) => (Kind::Tenant, None, n.to_string()),
            Self::Network(t, n) => (Kind::Network, Some(t), n.to_string()),
            Self::Policy(t, n) => (Kind::Policy, Some(t), n.to_string()),
            Self::NetProfile(t, n) => (Kind::NetProfile, Some(t), n.to_string()),
            Self::Group(t, n) => (Kind::Group, Some(t), n.to_string()),
        };
        ObjectRef { kind, tenant: tenant.cloned(), name }
    }
}

/// An endpoint's reference.
pub(crate) fn endpoint_object((tenant, name): &EndpointKey) -> ObjectRef {
    ObjectRef { kind: Kind::Endpoint, tenant: Some(tenant.clone()), name: name.to_string() }
}

impl Subject {
    /// `None` for a reference that no object can have.
    pub fn of(object: &ObjectRef) -> Option<Self> {
        let name = || Name::new(object.name.as_str()).ok();
        let tenant = || object.tenant.clone();
        Some(match object.kind {
            Kind::Node => Self::Head(Id::Node(NodeName::new(object.name.as_str()).ok()?)),
            Kind::Tenant => Self::Head(Id::Tenant(name()?)),
            Kind::Network => Self::Head(Id::Network(tenant()?, name()?)),
            Kind::Policy => Self::Head(Id::Policy(tenant()?, name()?)),
            Kind::NetProfile => Self::Head(Id::NetProfile(tenant()?, name()?)),
            Kind::Group => Self::Head(Id::Group(tenant()?, name()?)),
            Kind::Endpoint => Self::Endpoint((tenant()?, EndpointName::new(object.name.as_str()).ok()?)),
        })
    }

    /// Every object of a view.
    pub fn all(view: &IntentView) -> impl Iterator<Item = Self> {
        let nodes = view.nodes.keys().map(|n| Id::Node(n.clone()));
        let tenants = view.tenants.keys().map(|n| Id::Tenant(n.clone()));
        let networks = view.networks.keys().map(|(t, n)| Id::Network(t.clone(), n.clone()));
        let policies = view.policies.keys().map(|(t, n)| Id::Policy(t.clone(), n.clone()));
        let profiles = view.netprofiles.keys().map(|(t, n)| Id::NetProfile(t.clone(), n.clone()));
        let groups = view.groups.keys().map(|(t, n)| Id::Group(t.clone(), n.clone()));
        let heads = nodes.chain(tenants).chain(networks).chain(policies).chain(profiles).chain(groups);
        let heads = heads.map(Self::Head);
        heads.chain(view.endpoints.keys().cloned().map(Self::Endpoint))
    }
}
