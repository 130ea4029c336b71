//! Networks.

use api::v1::{AddressUse, Network, NetworkBody, NetworkStatus};
use model::{IntentView, Kind, Object};
use types::{Family, Name};

use super::noun::in_tenant;
use super::{Noun, Scene};

/// Networks.
pub struct Networks;

impl Noun for Networks {
    const KIND: Kind = Kind::Network;
    const COLLECTION: &'static str = api::v1::network::COLLECTION;
    const ITEM: &'static str = api::v1::network::ITEM;
    type Body = NetworkBody;
    type Object = Network;

    fn list<'a>(view: &'a IntentView, tenant: Option<&'a Name>) -> Box<dyn Iterator<Item = Object> + 'a> {
        in_tenant(&view.networks, tenant.map(|tenant| view.networks_of(tenant)), Object::Network)
    }

    fn condition(object: &Network) -> String {
        object.status.refused.clone().unwrap_or_default()
    }

    fn describe(object: Object, scene: &Scene<'_>) -> Option<Network> {
        let reference = object.object_ref();
        let Object::Network(network) = object else { return None };
        let spec = &network.spec;
        let status = NetworkStatus {
            vni: network.vni,
            endpoints: scene.snapshot.view().count_on_network(&spec.tenant, &spec.name),
            addresses: addresses(&network, scene),
            refused: scene.refused(&reference),
        };
        Some(Network {
            kind: Kind::Network,
            resource_version: scene.version(&reference),
            tenant: network.spec.tenant,
            name: network.spec.name,
            ipv4: network.spec.ipv4.map(Into::into),
            ipv6: network.spec.ipv6.map(Into::into),
            vni: network.spec.vni,
            status,
        })
    }
}

/// Which addresses of each family are taken or cooling.
fn addresses(network: &model::Network, scene: &Scene<'_>) -> Vec<AddressUse> {
    let spec = &network.spec;
    let vrf = scene.snapshot.view().tenants.get(&spec.tenant).map(|t| t.vrf);
    let cooling = |cidr| {
        let of_vrf = vrf.map(|vrf| scene.snapshot.cooling_addresses(vrf, cidr).collect());
        of_vrf.unwrap_or_default()
    };
    // Each of its endpoints has an address of each of its families.
    let used = scene.snapshot.view().count_on_network(&spec.tenant, &spec.name);
    let of = |family: Family, cidr: types::IpCidr| AddressUse { family, used, cooling: cooling(cidr) };
    spec.subnets().map(|(family, subnet)| of(family, subnet.subnet.cidr())).collect()
}
