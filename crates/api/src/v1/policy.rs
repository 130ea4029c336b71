//! Policies on the wire.

use model::{Kind, PolicySpec, RuleSpec, Spec};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use types::{Direction, Name, PolicyId, Revision, RulePriority, Verdict};
use utoipa::ToSchema;

use super::body::{Body, Context, Stated, Wrong};
use super::peer::Peer;
use super::service::{Ports, Protocol, Said, Service, icmp_number};
use super::status::{NodeReport, Realization};
use crate::route::Route;
use crate::{FieldProblem, schema};

/// Path of the collection.
pub const COLLECTION: &str = "/api/v1/tenants/{tenant}/policies";
/// Path of one.
pub const ITEM: &str = "/api/v1/tenants/{tenant}/policies/{policy}";
/// Lists them.
pub const LIST: Route = Route::list(Kind::Policy, COLLECTION);
/// Creates one; refused when it exists.
pub const CREATE: Route = Route::create(Kind::Policy, COLLECTION);
/// Reads one.
pub const READ: Route = Route::read(Kind::Policy, ITEM);
/// Creates or replaces one.
pub const REPLACE: Route = Route::replace(Kind::Policy, ITEM);
/// Deletes one.
pub const DELETE: Route = Route::delete(Kind::Policy, ITEM);

pub(crate) const ROUTES: &[Route] = &[LIST, CREATE, READ, REPLACE, DELETE];

/// A policy as written.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyBody {
    /// `policy`; needed in an apply document only.
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
    /// Its rules; names are unique inside the policy, order has no meaning.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// The version the writer saw; the write is refused when it is another one now.
    #[schema(value_type = Option<schema::Revision>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Ignored, so that what was read can be written back.
    #[schema(value_type = Option<Object>)]
    #[serde(default, skip_serializing)]
    pub status: Option<IgnoredAny>,
}

impl Body for PolicyBody {
    const KIND: Kind = Kind::Policy;

    fn into_spec(self, context: &Context) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>> {
        let (tenant, name) = (self.tenant, self.name);
        let stated = Stated { kind: self.kind, tenant, name, version: self.resource_version };
        let (mut rules, mut wrong) = (Vec::new(), Vec::new());
        for (i, rule) in self.rules.into_iter().enumerate() {
            match rule.into_spec(&format!("rules[{i}]")) {
                Ok(rule) => rules.push(rule),
                Err(e) => wrong.push(e),
            }
        }
        let spec = |tenant, name| Spec::Policy(PolicySpec { tenant, name, rules });
        stated.in_tenant_but(Self::KIND, context, wrong, spec)
    }
}

impl From<PolicySpec> for PolicyBody {
    fn from(spec: PolicySpec) -> Self {
        Self {
            kind: Some(Kind::Policy),
            tenant: Some(spec.tenant),
            name: Some(spec.name),
            rules: spec.rules.into_iter().map(Into::into).collect(),
            resource_version: None,
            status: None,
        }
    }
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// `policy`.
    #[schema(value_type = schema::Kind)]
    pub kind: Kind,
    /// Owning tenant.
    #[schema(value_type = schema::Name)]
    pub tenant: Name,
    /// Its name in the tenant.
    #[schema(value_type = schema::Name)]
    pub name: Name,
    /// Its rules; names are unique inside the policy, order has no meaning.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Revision of its last change.
    #[schema(value_type = schema::Revision)]
    pub resource_version: String,
    /// What became of it.
    pub status: PolicyStatus,
}

/// What became of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// Its number in the data plane.
    #[schema(value_type = schema::PolicyId)]
    pub id: PolicyId,
    /// Groups it is attached to.
    #[schema(value_type = Vec<schema::Name>)]
    pub groups: Vec<Name>,
    /// Whether every node that needs it enforces it.
    pub realization: Realization,
    /// The nodes that need it and do not enforce it yet.
    pub waiting_for: Vec<NodeReport>,
    /// Why it cannot be compiled; absent when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Its name in the policy.
    #[schema(value_type = schema::Name)]
    pub name: Name,
    /// Relative to the endpoints of the groups the policy is attached to; `in` and `out` are understood.
    #[schema(value_type = schema::Direction)]
    pub direction: Direction,
    /// 1 to 100, 1 when absent; the higher number wins, deny wins ties.
    #[schema(value_type = Option<schema::Priority>)]
    #[serde(default = "lowest_priority")]
    pub priority: RulePriority,
    /// The other end; `any` when absent.
    #[serde(default)]
    #[schema(required = false)]
    pub peer: Peer,
    /// Absent = every protocol.
    #[schema(value_type = Option<schema::Protocol>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Destination port, range of ports, or list of these; needs a protocol that has ports. Absent = every port.
    #[schema(value_type = Option<schema::Ports>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Ports>,
    /// Type of ICMP message; needs protocol icmp (then IPv4's) or icmpv6. Absent = every type.
    #[schema(value_type = Option<schema::IcmpNumber>)]
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "icmp_number")]
    pub icmp_type: Option<u8>,
    /// Code of the ICMP message; needs a type. Absent = every code.
    #[schema(value_type = Option<schema::IcmpNumber>)]
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "icmp_number")]
    pub icmp_code: Option<u8>,
    /// Several services instead of one; none of the four fields above stands beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<Service>>,
    /// The decision.
    #[schema(value_type = schema::Verdict)]
    pub action: Verdict,
}

fn lowest_priority() -> RulePriority {
    RulePriority::MIN
}

impl Rule {
    /// What the model checks; `at` is where the rule stands.
    fn into_spec(self, at: &str) -> Result<RuleSpec, Wrong> {
        let Self { name, direction, priority, peer, action, .. } = self;
        let said = Said {
            protocol: self.protocol,
            port: self.port,
            icmp_type: self.icmp_type,
            icmp_code: self.icmp_code,
            services: self.services,
        };
        let (peer, services) = (peer.into_spec(&format!("{at}.peer"))?, said.into_spec(at)?);
        Ok(RuleSpec { name, direction, priority, peer, services, action })
    }
}

impl From<RuleSpec> for Rule {
    fn from(r: RuleSpec) -> Self {
        let RuleSpec { name, direction, priority, peer, services, action } = r;
        let Said { protocol, port, icmp_type, icmp_code, services } = services.into();
        let peer = peer.into();
        Self { name, direction, priority, peer, protocol, port, icmp_type, icmp_code, services, action }
    }
}
