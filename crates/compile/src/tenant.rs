//! Tenants: the VRF and its default.

use model::Tenant;
use node_state::Fragment;

pub(crate) fn fragment(tenant: &Tenant) -> Fragment {
    Fragment::Vrf(node_state::Vrf {
        id: tenant.vrf,
        tenant: tenant.spec.name.clone(),
        default_action: tenant.spec.default_action,
    })
}
