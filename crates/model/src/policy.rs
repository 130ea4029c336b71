//! Policies: ordered rules, one stored object with all of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::{Direction, IpCidr, IpProtocol, Name, PolicyId, PortRange, RulePriority, RuleSlot, Verdict};

/// What people write of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// Owning tenant.
    pub tenant: Name,
    /// Its name in the tenant.
    pub name: Name,
    /// Its rules; names are unique inside the policy, order has no meaning.
    #[serde(default)]
    pub rules: Vec<RuleSpec>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleSpec {
    /// Its name in the policy (Contiv: rule id).
    pub name: Name,
    /// Relative to the endpoints of the groups the policy is attached to.
    pub direction: Direction,
    /// 1 to 100, higher wins, deny wins ties.
    #[serde(default = "lowest_priority")]
    pub priority: RulePriority,
    /// The other end.
    #[serde(default)]
    pub peer: Peer,
    /// Absent = every protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<IpProtocol>,
    /// Destination port or ports; needs a protocol that has ports. Absent = every port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortRange>,
    /// The decision.
    pub action: Verdict,
}

/// The other end of a rule's connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Peer {
    /// Everything.
    #[default]
    Any,
    /// The endpoints of a group of the same tenant.
    Group(Name),
    /// Every address of a network of the same tenant.
    Network(Name),
    /// A prefix.
    Cidr(IpCidr),
}

fn lowest_priority() -> RulePriority {
    RulePriority::MIN
}

/// A stored policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// What people wrote.
    pub spec: PolicySpec,
    /// Its number; never changes.
    pub id: PolicyId,
    /// The slot of every rule, by rule name: a rule keeps its slot while it exists.
    pub slots: BTreeMap<Name, RuleSlot>,
}
