//! What a view knows beside its objects, so that a check looks at what it is about and at nothing else.
//!
//! Kept by [`IntentView`](crate::IntentView) with every change, derived from its objects alone.
//!
//! # Invariants
//! A view's index is the one its objects would have in any order they came in (tested). It relies on what checks and
//! claims in the store guarantee of stored intent: no number is held twice, subnets of a tenant do not overlap.

use std::net::IpAddr;

use types::{Family, IpCidr, MacAddr, Name, NodeName, Vni};

use crate::runs::{Pool, Runs, address_number};
use crate::{Endpoint, Group, Kind, Map, Network, Node, Object, ObjectRef, Peer, Policy};

/// Objects that are counted where they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Objects of a kind in a tenant.
    Tenant(Name, Kind),
    /// Endpoints of a network.
    Network(Name, Name),
    /// Endpoints of a group.
    Group(Name, Name),
    /// Endpoints on a node.
    Node(NodeName),
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// Numbers and addresses in use; addresses by tenant.
    pub(crate) numbers: Runs<Name>,
    /// The tenant of the network that has a VNI.
    vnis: Map<Vni, Name>,
    /// Subnets by tenant, family and first address, with their network.
    subnets: Map<(Name, Family, u128), (IpCidr, Name)>,
    /// Nodes by tunnel endpoint.
    vteps: Map<IpAddr, NodeName>,
    /// MAC addresses folded from IPv6 addresses, by tenant and network: those that may meet.
    folded: Map<(Name, Name, MacAddr), ()>,
    counts: Map<Place, usize>,
    /// Groups and policies by what they name: a network, a group, a policy, a network profile.
    users: Map<(ObjectRef, ObjectRef), ()>,
}

impl Index {
    pub(crate) fn insert(&mut self, object: &Object) {
        match object {
            Object::Node(o) => self.vteps.insert(o.spec.vtep, o.spec.name.clone()),
            Object::Tenant(o) => self.numbers.insert(&Pool::Vrf, u64::from(o.vrf).into()),
            Object::Network(o) => self.insert_network(o),
            Object::Policy(o) => self.numbers.insert(&Pool::Policy, u64::from(o.id).into()),
            Object::NetProfile(_) => {}
            Object::Group(o) => self.numbers.insert(&Pool::Group, u64::from(o.id).into()),
            Object::Endpoint(o) => self.insert_endpoint(o),
        }
        for place in places(object) {
            let count = self.counts.get(&place).copied().unwrap_or_default();
            self.counts.insert(place, count.saturating_add(1));
        }
        let user = object.object_ref();
        for target in named(object) {
            self.users.insert((target, user.clone()), ());
        }
    }

    pub(crate) fn remove(&mut self, object: &Object) {
        match object {
            Object::Node(o) => self.remove_node(o),
            Object::Tenant(o) => self.numbers.remove(&Pool::Vrf, u64::from(o.vrf).into()),
            Object::Network(o) => self.remove_network(o),
            Object::Policy(o) => self.numbers.remove(&Pool::Policy, u64::from(o.id).into()),
            Object::NetProfile(_) => {}
            Object::Group(o) => self.numbers.remove(&Pool::Group, u64::from(o.id).into()),
            Object::Endpoint(o) => self.remove_endpoint(o),
        }
        for place in places(object) {
            match self.counts.get(&place).copied().unwrap_or_default() {
                0 | 1 => drop(self.counts.remove(&place)),
                count => self.counts.insert(place, count - 1),
            }
        }
        let user = object.object_ref();
        for target in named(object) {
            self.users.remove(&(target, user.clone()));
        }
    }

    fn remove_node(&mut self, node: &Node) {
        // A node may have come by this address since.
        if self.vteps.get(&node.spec.vtep) == Some(&node.spec.name) {
            self.vteps.remove(&node.spec.vtep);
        }
    }

    fn insert_network(&mut self, network: &Network) {
        let spec = &network.spec;
        self.numbers.insert(&Pool::Vni, u64::from(network.vni).into());
        self.vnis.insert(network.vni, spec.tenant.clone());
        for (family, subnet) in spec.subnets() {
            let cidr = subnet.subnet.cidr();
            let key = (spec.tenant.clone(), family, address_number(cidr.addr()));
            self.subnets.insert(key, (cidr, spec.name.clone()));
        }
    }

    fn remove_network(&mut self, network: &Network) {
        let spec = &network.spec;
        self.numbers.remove(&Pool::Vni, u64::from(network.vni).into());
        self.vnis.remove(&network.vni);
        for (family, subnet) in spec.subnets() {
            let first = address_number(subnet.subnet.cidr().addr());
            self.subnets.remove(&(spec.tenant.clone(), family, first));
        }
    }

    fn insert_endpoint(&mut self, endpoint: &Endpoint) {
        let spec = &endpoint.spec;
        for address in &endpoint.addresses {
            let pool = Pool::Address(spec.tenant.clone(), Family::of(*address));
            self.numbers.insert(&pool, address_number(*address));
        }
        if is_folded(&endpoint.addresses) {
            self.folded.insert((spec.tenant.clone(), spec.network.clone(), endpoint.mac), ());
        }
    }

    fn remove_endpoint(&mut self, endpoint: &Endpoint) {
        let spec = &endpoint.spec;
        for address in &endpoint.addresses {
            let pool = Pool::Address(spec.tenant.clone(), Family::of(*address));
            self.numbers.remove(&pool, address_number(*address));
        }
        if is_folded(&endpoint.addresses) {
            self.folded.remove(&(spec.tenant.clone(), spec.network.clone(), endpoint.mac));
        }
    }

    /// The tenant of the network that has this VNI.
    pub(crate) fn vni_tenant(&self, vni: Vni) -> Option<&Name> {
        self.vnis.get(&vni)
    }

    /// A network of the tenant that a subnet overlaps, and its subnet: the one that begins first.
    pub(crate) fn overlapping(&self, tenant: &Name, cidr: IpCidr) -> Option<(IpCidr, &Name)> {
        let (family, first) = (cidr.family(), address_number(cidr.addr()));
        let key = |number| (tenant.clone(), family, number);
        // Those there do not overlap each other: of those that begin before, only the last can reach here.
        let before = self.subnets.range(key(0)..=key(first)).next_back();
        let after = || self.subnets.range(key(first)..=key(address_number(cidr.last()))).next();
        let found = before.filter(|(_, (other, _))| other.overlaps(cidr)).or_else(after);
        found.map(|(_, (other, network))| (*other, network))
    }

    /// The node that has this tunnel endpoint.
    pub(crate) fn vtep_owner(&self, vtep: IpAddr) -> Option<&NodeName> {
        self.vteps.get(&vtep)
    }

    /// Whether an endpoint of the network has this MAC address, folded from an IPv6 address.
    pub(crate) fn has_folded(&self, tenant: &Name, network: &Name, mac: MacAddr) -> bool {
        self.folded.contains_key(&(tenant.clone(), network.clone(), mac))
    }

    pub(crate) fn count(&self, place: &Place) -> usize {
        self.counts.get(place).copied().unwrap_or_default()
    }

    /// Groups and policies that name an object.
    pub(crate) fn users<'a>(&'a self, object: &'a ObjectRef) -> impl Iterator<Item = &'a ObjectRef> {
        let least = ObjectRef { kind: Kind::Node, tenant: None, name: String::new() };
        let of_object = self.users.range((object.clone(), least)..);
        of_object.take_while(move |((target, _), ())| target == object).map(|((_, user), ())| user)
    }
}

/// Whether an endpoint's MAC address is made of an IPv6 address.
pub(crate) fn is_folded(addresses: &[IpAddr]) -> bool {
    addresses.iter().all(IpAddr::is_ipv6)
}

fn places(object: &Object) -> Vec<Place> {
    let tenant = |tenant: &Name, kind| Place::Tenant(tenant.clone(), kind);
    match object {
        Object::Node(_) | Object::Tenant(_) => Vec::new(),
        Object::Network(o) => vec![tenant(&o.spec.tenant, Kind::Network)],
        Object::Policy(o) => vec![tenant(&o.spec.tenant, Kind::Policy)],
        Object::NetProfile(o) => vec![tenant(&o.spec.tenant, Kind::NetProfile)],
        Object::Group(o) => vec![tenant(&o.spec.tenant, Kind::Group)],
        Object::Endpoint(o) => {
            let spec = &o.spec;
            let group = spec.group.iter().map(|group| Place::Group(spec.tenant.clone(), group.clone()));
            let network = Place::Network(spec.tenant.clone(), spec.network.clone());
            let others = [tenant(&spec.tenant, Kind::Endpoint), network, Place::Node(spec.node.clone())];
            others.into_iter().chain(group).collect()
        }
    }
}

/// What a group or a policy names. Endpoints are counted instead ([`Place`]): there may be very many.
fn named(object: &Object) -> Vec<ObjectRef> {
    let reference = |tenant: &Name, kind, name: &Name| ObjectRef {
        kind,
        tenant: Some(tenant.clone()),
        name: name.to_string(),
    };
    match object {
        Object::Group(Group { spec, .. }) => {
            let policies = spec.policies.iter().map(|p| reference(&spec.tenant, Kind::Policy, p));
            let profile = spec.net_profile.iter().map(|p| reference(&spec.tenant, Kind::NetProfile, p));
            let network = reference(&spec.tenant, Kind::Network, &spec.network);
            policies.chain(profile).chain([network]).collect()
        }
        Object::Policy(Policy { spec, .. }) => {
            let peers = spec.rules.iter().filter_map(|rule| match &rule.peer {
                Peer::Group(group) => Some(reference(&spec.tenant, Kind::Group, group)),
                Peer::Network(network) => Some(reference(&spec.tenant, Kind::Network, network)),
                Peer::Any | Peer::Cidr(_) | Peer::Range(_) => None,
            });
            peers.collect()
        }
        Object::Node(_)
        | Object::Tenant(_)
        | Object::Network(_)
        | Object::NetProfile(_)
        | Object::Endpoint(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
