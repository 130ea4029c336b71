//! Networks: subnets, gateways, and the nodes that host an endpoint.

use model::{Kind, Network};
use node_state::{Fragment, NetworkSubnet};
use types::{Family, Name, VrfId};

use crate::Refused;
use crate::compiled::Compiled;
use crate::endpoint::Places;
use crate::names::{Names, in_tenant};

pub(crate) fn compile(names: &Names<'_>, places: &Places, out: &mut Compiled) {
    for (tenant, name) in names.view.networks.keys() {
        let object = in_tenant(Kind::Network, tenant, name);
        match fragment(names, places, tenant, name) {
            Ok((vrf, fragment)) => out.put(vrf, object, Fragment::Network(fragment)),
            Err(why) => out.refuse(object, why),
        }
    }
}

fn fragment(
    names: &Names<'_>,
    places: &Places,
    tenant: &Name,
    name: &Name,
) -> Result<(VrfId, node_state::Network), Refused> {
    let vrf = names.tenant(tenant)?.vrf;
    let network = names.network(tenant, name)?;
    let subnets = subnets(network)?;
    let nodes = places.of_network(network.vni);
    Ok((vrf, node_state::Network { vni: network.vni, vrf, name: name.clone(), subnets, nodes }))
}

/// The subnets, each of the family of the field it stands in, its gateway inside.
pub(crate) fn subnets(network: &Network) -> Result<Vec<NetworkSubnet>, Refused> {
    let subnet = |(family, s): (Family, &model::SubnetSpec)| {
        let cidr = s.subnet.cidr();
        if cidr.family() != family {
            return Err(Refused::Malformed(format!("subnet {cidr} stands in the field of the other family")));
        }
        if let Some(gateway) = s.gateway.filter(|g| !cidr.contains(*g)) {
            return Err(Refused::Malformed(format!("gateway {gateway} does not lie in {cidr}")));
        }
        Ok(NetworkSubnet { cidr, gateway: s.gateway })
    };
    let subnets: Vec<_> = network.spec.subnets().map(subnet).collect::<Result<_, _>>()?;
    if subnets.is_empty() {
        return Err(Refused::Malformed("has no subnet".to_owned()));
    }
    Ok(subnets)
}
