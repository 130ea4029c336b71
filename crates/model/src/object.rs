//! Any object: kind, reference, and the closed enums over all nouns.

use serde::{Deserialize, Serialize};
use types::Name;

use crate::{
    Endpoint, EndpointSpec, Group, GroupSpec, NetProfile, NetProfileSpec, Network, NetworkSpec, Node,
    NodeSpec, Policy, PolicySpec, Tenant, TenantSpec,
};

/// The kinds of object, in the order an `apply` creates them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A node.
    Node,
    /// A tenant.
    Tenant,
    /// A network.
    Network,
    /// A policy.
    Policy,
    /// A network profile.
    NetProfile,
    /// An endpoint group.
    Group,
    /// An endpoint.
    Endpoint,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Tenant => "tenant",
            Self::Network => "network",
            Self::Policy => "policy",
            Self::NetProfile => "netprofile",
            Self::Group => "group",
            Self::Endpoint => "endpoint",
        })
    }
}

/// Names one object, in errors and change records: `network blue/web`, `tenant blue`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its tenant, for kinds that live in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Name>,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.tenant {
            Some(t) => write!(f, "{} {t}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// What people write, of any kind: one document of an `apply` file, told apart by its `kind` field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Spec {
    /// A node.
    Node(NodeSpec),
    /// A tenant.
    Tenant(TenantSpec),
    /// A network.
    Network(NetworkSpec),
    /// A policy.
    Policy(PolicySpec),
    /// A network profile.
    NetProfile(NetProfileSpec),
    /// An endpoint group.
    Group(GroupSpec),
    /// An endpoint.
    Endpoint(EndpointSpec),
}

/// A stored object of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A node.
    Node(Node),
    /// A tenant.
    Tenant(Tenant),
    /// A network.
    Network(Network),
    /// A policy.
    Policy(Policy),
    /// A network profile.
    NetProfile(NetProfile),
    /// An endpoint group.
    Group(Group),
    /// An endpoint.
    Endpoint(Endpoint),
}

impl Spec {
    /// Which object this is about.
    pub fn object_ref(&self) -> ObjectRef {
        let (kind, tenant, name) = match self {
            Self::Node(s) => (Kind::Node, None, s.name.to_string()),
            Self::Tenant(s) => (Kind::Tenant, None, s.name.to_string()),
            Self::Network(s) => (Kind::Network, Some(&s.tenant), s.name.to_string()),
            Self::Policy(s) => (Kind::Policy, Some(&s.tenant), s.name.to_string()),
            Self::NetProfile(s) => (Kind::NetProfile, Some(&s.tenant), s.name.to_string()),
            Self::Group(s) => (Kind::Group, Some(&s.tenant), s.name.to_string()),
            Self::Endpoint(s) => (Kind::Endpoint, Some(&s.tenant), s.name.to_string()),
        };
        ObjectRef { kind, tenant: tenant.cloned(), name }
    }
}

impl Object {
    /// Its reference.
    pub fn object_ref(&self) -> ObjectRef {
        self.spec().object_ref()
    }

    /// Whether it lives in this tenant.
    pub fn in_tenant(&self, tenant: &Name) -> bool {
        match self {
            Self::Node(_) | Self::Tenant(_) => false,
            Self::Network(o) => o.spec.tenant == *tenant,
            Self::Policy(o) => o.spec.tenant == *tenant,
            Self::NetProfile(o) => o.spec.tenant == *tenant,
            Self::Group(o) => o.spec.tenant == *tenant,
            Self::Endpoint(o) => o.spec.tenant == *tenant,
        }
    }

    /// What people wrote.
    pub fn spec(&self) -> Spec {
        match self {
            Self::Node(o) => Spec::Node(o.spec.clone()),
            Self::Tenant(o) => Spec::Tenant(o.spec.clone()),
            Self::Network(o) => Spec::Network(o.spec.clone()),
            Self::Policy(o) => Spec::Policy(o.spec.clone()),
            Self::NetProfile(o) => Spec::NetProfile(o.spec.clone()),
            Self::Group(o) => Spec::Group(o.spec.clone()),
            Self::Endpoint(o) => Spec::Endpoint(o.spec.clone()),
        }
    }
}
