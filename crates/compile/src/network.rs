//! Networks: subnets and gateways.

use model::Network;
use node_state::Fragment;
use types::VrfId;

use crate::Refused;
use crate::facts::Facts;

pub(crate) fn fragment(network: &Network, facts: &Facts) -> Result<(VrfId, Fragment), Refused> {
    let spec = &network.spec;
    let vrf = facts.tenant(&spec.tenant)?;
    let fact = facts.network(&spec.tenant, &spec.name)?;
    let (vni, subnets) = (fact.vni, fact.subnets.clone()?);
    Ok((vrf, Fragment::Network(node_state::Network { vni, vrf, name: spec.name.clone(), subnets })))
}
