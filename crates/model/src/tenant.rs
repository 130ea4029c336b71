//! Tenants: an address space and a default for what no rule decides.

use serde::{Deserialize, Serialize};
use types::{DefaultAction, Name, VrfId};

use crate::context::Context;
use crate::runs::Pool;
use crate::{Kind, ObjectRef};

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

/// Checks a tenant, and gives a new one its address space.
pub(crate) fn plan(cx: &mut Context<'_>, spec: TenantSpec) -> Option<Tenant> {
    if let Some(stored) = cx.tenant_object(&spec.name) {
        return Some(Tenant { vrf: stored.vrf, spec });
    }
    let range = (VrfId::MIN.into(), VrfId::MAX.into());
    let vrf = cx.lowest_free_number((&Pool::Vrf, &Pool::Vrf), range, |_| true);
    let vrf = vrf.and_then(|n| VrfId::new(n).ok());
    let Some(vrf) = vrf else {
        let object = ObjectRef { kind: Kind::Tenant, tenant: None, name: spec.name.to_string() };
        cx.refuse(&object, "name", &spec.name, format!("there is room for {} tenants", VrfId::MAX));
        return None;
    };
    Some(Tenant { spec, vrf })
}
