//! Tenants: an address space and a default for what no rule decides.

use serde::{Deserialize, Serialize};
use types::{DefaultAction, Name, VrfId};

/// What people write of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantSpec {
    /// Its name.
    pub name: Name,
    /// What happens to connections inside the tenant that no rule decides.
    #[serde(default)]
    pub default_action: DefaultAction,
}

/// A stored tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tenant {
    /// What people wrote.
    pub spec: TenantSpec,
    /// Its address space and conntrack zone; never changes.
    pub vrf: VrfId,
}
