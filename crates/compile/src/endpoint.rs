//! Endpoints: addresses and place. Where they are decides where everything else is needed.

use std::collections::{BTreeMap, BTreeSet};

use model::{Endpoint, Kind, ObjectRef};
use node_state::Fragment;
use types::{Family, NodeName, Vni, VrfId};

use crate::Refused;
use crate::compiled::Compiled;
use crate::names::{Names, Refusals, in_tenant, refuse_duplicates};
use crate::network;

/// The nodes that host endpoints, by VRF and by network.
#[derive(Default)]
pub(crate) struct Places {
    vrfs: BTreeMap<VrfId, BTreeSet<NodeName>>,
    networks: BTreeMap<Vni, BTreeSet<NodeName>>,
}

impl Places {
    pub fn of_vrf(&self, vrf: VrfId) -> BTreeSet<NodeName> {
        self.vrfs.get(&vrf).cloned().unwrap_or_default()
    }

    pub fn of_network(&self, vni: Vni) -> BTreeSet<NodeName> {
        self.networks.get(&vni).cloned().unwrap_or_default()
    }

    fn add(&mut self, endpoint: &node_state::Endpoint) {
        self.vrfs.entry(endpoint.vrf).or_default().insert(endpoint.node.clone());
        self.networks.entry(endpoint.vni).or_default().insert(endpoint.node.clone());
    }
}

/// Compiles every endpoint; where they are.
pub(crate) fn compile(names: &Names<'_>, out: &mut Compiled) -> Places {
    let mut good = BTreeMap::new();
    for ((tenant, name), endpoint) in &names.view.endpoints {
        let object = in_tenant(Kind::Endpoint, tenant, name);
        match fragment(names, endpoint) {
            Ok(fragment) => drop(good.insert(object, fragment)),
            Err(why) => out.refuse(object, why),
        }
    }
    let mut refused = Refusals::new();
    duplicates(&good, &mut refused);
    let mut places = Places::default();
    for (object, endpoint) in good {
        match refused.remove(&object) {
            Some(why) => out.refuse(object, why),
            None => {
                places.add(&endpoint);
                out.host(&endpoint.node, endpoint.vrf);
                out.put(endpoint.vrf, object, Fragment::Endpoint(endpoint));
            }
        }
    }
    places
}

fn fragment(names: &Names<'_>, endpoint: &Endpoint) -> Result<node_state::Endpoint, Refused> {
    let spec = &endpoint.spec;
    let vrf = names.tenant(&spec.tenant)?.vrf;
    let network = names.network(&spec.tenant, &spec.network)?;
    let subnets = network::subnets(network)?;
    names.node(&spec.node)?;
    // Leaving an unresolved group out would free the endpoint of its policies.
    let group = spec.group.as_ref().map(|g| names.group(&spec.tenant, g)).transpose()?;
    if let Some(group) = group.filter(|g| g.spec.network != spec.network) {
        let text = format!("group {} is on network {}", group.spec.name, group.spec.network);
        return Err(Refused::Malformed(text));
    }
    let inside = |a: &&std::net::IpAddr| !subnets.iter().any(|s| s.cidr.contains(**a));
    if let Some(stray) = endpoint.addresses.iter().find(inside) {
        return Err(Refused::Malformed(format!("address {stray} lies in no subnet of its network")));
    }
    let families: Vec<Family> = endpoint.addresses.iter().map(|a| Family::of(*a)).collect();
    if families.is_empty() || !families.is_sorted_by(|a, b| a < b) {
        return Err(Refused::Malformed("must have one address per family, IPv4 first".to_owned()));
    }
    if endpoint.mac.is_group() {
        return Err(Refused::Malformed(format!("mac address {} is a group address", endpoint.mac)));
    }
    Ok(node_state::Endpoint {
        uid: endpoint.uid,
        name: spec.name.clone(),
        vrf,
        vni: network.vni,
        group: group.map(|g| g.id),
        mac: endpoint.mac,
        addresses: endpoint.addresses.clone(),
        node: spec.node.clone(),
    })
}

/// Numbers and addresses that two endpoints claim.
fn duplicates(good: &BTreeMap<ObjectRef, node_state::Endpoint>, refused: &mut Refusals) {
    refuse_duplicates("endpoint uid", good.iter().map(|(o, e)| (e.uid, o.clone())), refused);
    let addresses = |(o, e): (&ObjectRef, &node_state::Endpoint)| {
        let (o, vrf) = (o.clone(), e.vrf);
        e.addresses.clone().into_iter().map(move |a| (InVrf(vrf, a), o.clone()))
    };
    refuse_duplicates("address", good.iter().flat_map(addresses), refused);
    let macs = good.iter().map(|(o, e)| (InNetwork(e.vni, e.mac), o.clone()));
    refuse_duplicates("mac address", macs, refused);
}

/// An address, unique in its VRF.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct InVrf(VrfId, std::net::IpAddr);

impl std::fmt::Display for InVrf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.1.fmt(f)
    }
}

/// A MAC address, unique in its network.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct InNetwork(Vni, types::MacAddr);

impl std::fmt::Display for InNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.1.fmt(f)
    }
}
