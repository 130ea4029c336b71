//! Endpoint groups: the policies attached to their endpoints.

use std::collections::BTreeSet;

use model::Kind;
use node_state::Fragment;
use types::{Name, PolicyId, VrfId};

use crate::Refused;
use crate::compiled::Compiled;
use crate::names::{Names, in_tenant};

pub(crate) fn compile(names: &Names<'_>, out: &mut Compiled) {
    for (tenant, name) in names.view.groups.keys() {
        let object = in_tenant(Kind::Group, tenant, name);
        match fragment(names, tenant, name) {
            Ok((vrf, fragment)) => out.put(vrf, object, Fragment::Group(fragment)),
            Err(why) => out.refuse(object, why),
        }
    }
}

fn fragment(names: &Names<'_>, tenant: &Name, name: &Name) -> Result<(VrfId, node_state::Group), Refused> {
    let vrf = names.tenant(tenant)?.vrf;
    let group = names.group(tenant, name)?;
    names.network(tenant, &group.spec.network)?;
    // A policy that does not resolve cannot be left out: it may be the one that denies. The group then has no
    // fragment, and its endpoints are denied.
    let id = |policy: &Name| names.policy(tenant, policy).map(|p| p.id);
    let policies: BTreeSet<PolicyId> = group.spec.policies.iter().map(id).collect::<Result<_, _>>()?;
    Ok((vrf, node_state::Group { id: group.id, vrf, name: name.clone(), policies }))
}
