//! Endpoint groups: endpoints of one network that policies apply to.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use types::{GroupId, Name};

/// What people write of an endpoint group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupSpec {
    /// Owning tenant.
    pub tenant: Name,
    /// Its name in the tenant.
    pub name: Name,
    /// The network its endpoints are on; never changes.
    pub network: Name,
    /// Policies that apply to its endpoints.
    #[serde(default)]
    pub policies: BTreeSet<Name>,
}

/// A stored endpoint group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Group {
    /// What people wrote.
    pub spec: GroupSpec,
    /// Its number; never changes.
    pub id: GroupId,
}
