//! Tenants: the VRF and the nodes that have a part of it.

use model::Kind;
use node_state::Fragment;

use crate::compiled::Compiled;
use crate::endpoint::Places;
use crate::names::{Names, global};

pub(crate) fn compile(names: &Names<'_>, places: &Places, out: &mut Compiled) {
    for name in names.view.tenants.keys() {
        if let Ok(tenant) = names.tenant(name) {
            let fragment = node_state::Vrf {
                id: tenant.vrf,
                tenant: name.clone(),
                default_action: tenant.spec.default_action,
                nodes: places.of_vrf(tenant.vrf),
            };
            out.put(tenant.vrf, global(Kind::Tenant, name), Fragment::Vrf(fragment));
        }
    }
}
