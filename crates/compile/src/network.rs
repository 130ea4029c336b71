//! Networks: subnets, gateways, and the nodes that host an endpoint.

use model::Network;
use node_state::Fragment;
use types::VrfId;

use crate::Refused;
use crate::facts::Facts;
use crate::places::Places;

pub(crate) fn fragment(
    network: &Network,
    facts: &Facts,
    places: &Places,
) -> Result<(VrfId, Fragment), Refused> {
    let spec = &network.spec;
    let vrf = facts.tenant(&spec.tenant)?;
    let fact = facts.network(&spec.tenant, &spec.name)?;
    let (vni, subnets) = (fact.vni, fact.subnets.clone()?);
    let nodes = places.of_network(vni);
    Ok((vrf, Fragment::Network(node_state::Network { vni, vrf, name: spec.name.clone(), subnets, nodes })))
}
