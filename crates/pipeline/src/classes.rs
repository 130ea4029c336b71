//! Address classes: the address space of each VRF cut into prefixes that lie wholly inside or outside every set that
//! policy names; prefixes in the same sets share a class.
//!
//! Policy tables match class registers, never addresses, so one more endpoint in known groups is one flow per map.
//!
//! # Invariants
//! * The longest interesting prefix that holds an address has exactly the sets of that address (property test
//!   against brute force).
//! * Class ids are unique in the whole node, VRFs included, and follow from content: a hash of VRF and sets, re-salted
//!   in the sorted order of colliding contents. A collision never merges two classes and an unrelated change never
//!   renumbers one. 0 means "no known address".

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use node_state::Endpoint;
use sha2::{Digest, Sha256};
use types::{GroupId, IpCidr, Vni, VrfId};

use crate::view::View;

/// A set of addresses of a VRF that policy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressSet {
    /// The endpoints of a group.
    Group(GroupId),
    /// The subnets of a network.
    Network(Vni),
    /// A prefix.
    Cidr(IpCidr),
}

impl fmt::Display for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(id) => write!(f, "group={id}"),
            Self::Network(vni) => write!(f, "network={vni}"),
            Self::Cidr(cidr) => write!(f, "cidr={cidr}"),
        }
    }
}

/// A class's number in a register; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(u32);

impl ClassId {
    /// The register value of addresses that belong to no known endpoint.
    pub const UNKNOWN: u32 = 0;

    /// Reads a register; `None` for [`ClassId::UNKNOWN`].
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits == Self::UNKNOWN { None } else { Some(Self(bits)) }
    }

    /// The register value.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// A prefix as a sort key: parents stand before what they contain.
type Prefix = (IpAddr, u8);
/// What makes a class: the VRF and the sets, sorted.
type Content = (VrfId, Vec<AddressSet>);

/// The classes of a node.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    /// Longest-prefix map of destinations. A prefix of the same class as the next shorter one is left out.
    pub(crate) prefixes: BTreeMap<(VrfId, Prefix), ClassId>,
    /// Class of each known endpoint address.
    pub(crate) hosts: BTreeMap<(VrfId, IpAddr), ClassId>,
    members: BTreeMap<(VrfId, AddressSet), BTreeSet<ClassId>>,
}

impl Classes {
    /// Cuts the address space of every VRF by the sets named there.
    pub(crate) fn build(view: &View<'_>, named: &BTreeMap<VrfId, BTreeSet<AddressSet>>) -> Self {
        let none = BTreeSet::new();
        let mut members: BTreeMap<VrfId, Vec<&Endpoint>> = BTreeMap::new();
        for member in view.members.values() {
            members.entry(member.endpoint.vrf).or_default().push(member.endpoint);
        }
        let mut vrfs = Vec::new();
        for vrf in view.vrfs.keys() {
            let members = members.remove(vrf).unwrap_or_default();
            let parts = partition(view, *vrf, &members, named.get(vrf).unwrap_or(&none));
            vrfs.push((*vrf, members, parts));
        }
        let contents =
            vrfs.iter().flat_map(|(vrf, _, parts)| parts.values().map(|sets| (*vrf, sets.clone())));
        let ids = assign_ids(&contents.collect(), hash);

        let mut classes = Self::default();
        for (content, id) in &ids {
            for set in &content.1 {
                classes.members.entry((content.0, *set)).or_default().insert(*id);
            }
        }
        for (vrf, members, parts) in vrfs {
            let id_of = |sets: Vec<AddressSet>| ids.get(&(vrf, sets)).copied();
            let parts = parts.into_iter().filter_map(|(prefix, sets)| id_of(sets).map(|id| (prefix, id)));
            classes.add_vrf(vrf, &members, parts.collect());
        }
        classes
    }

    fn add_vrf(&mut self, vrf: VrfId, members: &[&Endpoint], parts: BTreeMap<Prefix, ClassId>) {
        for &address in members.iter().flat_map(|e| &e.addresses) {
            let id = parts.get(&(address, IpCidr::host(address).len()));
            self.hosts.extend(id.map(|id| ((vrf, address), *id)));
        }
        let mut above: Vec<(IpCidr, ClassId)> = Vec::new();
        for ((addr, len), id) in parts {
            let cidr = IpCidr::containing(addr, len);
            above.retain(|(outer, _)| outer.contains_cidr(cidr));
            if above.last().is_none_or(|(_, outer)| *outer != id) {
                self.prefixes.insert((vrf, (addr, len)), id);
            }
            above.push((cidr, id));
        }
    }

    /// The classes inside a set.
    pub(crate) fn of(&self, vrf: VrfId, set: AddressSet) -> impl Iterator<Item = ClassId> + '_ {
        self.members.get(&(vrf, set)).into_iter().flatten().copied()
    }
}

/// Prefixes that make up a set.
fn prefixes_of(view: &View<'_>, vrf: VrfId, set: AddressSet) -> Vec<IpCidr> {
    match set {
        AddressSet::Cidr(cidr) => vec![cidr],
        AddressSet::Network(vni) => match view.networks.get(&vni).filter(|n| n.vrf == vrf) {
            Some(network) => network.subnets.iter().map(|s| s.cidr).collect(),
            None => Vec::new(),
        },
        // Groups are entered host by host in `partition`.
        AddressSet::Group(_) => Vec::new(),
    }
}

/// Every interesting prefix of a VRF with the sets it lies in.
fn partition(
    view: &View<'_>,
    vrf: VrfId,
    members: &[&Endpoint],
    named: &BTreeSet<AddressSet>,
) -> BTreeMap<Prefix, Vec<AddressSet>> {
    let mut own: BTreeMap<Prefix, BTreeSet<AddressSet>> = BTreeMap::new();
    own.entry((IpAddr::from([0u8; 4]), 0)).or_default();
    own.entry((IpAddr::from([0u8; 16]), 0)).or_default();
    for &set in named {
        for cidr in prefixes_of(view, vrf, set) {
            own.entry((cidr.addr(), cidr.len())).or_default().insert(set);
        }
    }
    for endpoint in members {
        let group = endpoint.group.map(AddressSet::Group).filter(|set| named.contains(set));
        for &address in &endpoint.addresses {
            let host = IpCidr::host(address);
            own.entry((host.addr(), host.len())).or_default().extend(group);
        }
    }
    let mut above: Vec<(IpCidr, BTreeSet<AddressSet>)> = Vec::new();
    let mut parts = BTreeMap::new();
    for ((addr, len), mut sets) in own {
        let cidr = IpCidr::containing(addr, len);
        while above.last().is_some_and(|(outer, _)| !outer.contains_cidr(cidr)) {
            above.pop();
        }
        sets.extend(above.last().into_iter().flat_map(|(_, sets)| sets.iter().copied()));
        parts.insert((addr, len), sets.iter().copied().collect());
        above.push((cidr, sets));
    }
    parts
}

/// Gives each content a number from its hash; contents that collide are salted again in their sorted order.
fn assign_ids(
    contents: &BTreeSet<Content>,
    hash: impl Fn(&Content, u32) -> u32,
) -> BTreeMap<Content, ClassId> {
    let mut taken = BTreeSet::new();
    let mut ids = BTreeMap::new();
    for content in contents {
        let free =
            (0u32..).find_map(|salt| ClassId::from_bits(hash(content, salt)).filter(|id| taken.insert(*id)));
        ids.extend(free.map(|id| (content.clone(), id)));
    }
    ids
}

fn hash((vrf, sets): &Content, salt: u32) -> u32 {
    let mut text = format!("selvage class 1 salt={salt} vrf={vrf}");
    for set in sets {
        text.push_str(&format!(" {set}"));
    }
    let digest = Sha256::digest(text.as_bytes());
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

#[cfg(test)]
mod tests;
