//! Tenants: the VRF and the nodes that have a part of it.

use model::Tenant;
use node_state::Fragment;

use crate::places::Places;

pub(crate) fn fragment(tenant: &Tenant, places: &Places) -> Fragment {
    Fragment::Vrf(node_state::Vrf {
        id: tenant.vrf,
        tenant: tenant.spec.name.clone(),
        default_action: tenant.spec.default_action,
        nodes: places.of_vrf(tenant.vrf),
    })
}
