//! Who has which address: whether connections that the switch tracks may go on.
//!
//! The switch's connection tracker outlives flows. An entry about an address allows packets of an established connection
//! without policy, so when an address gets another owner, what was allowed to the last one must be forgotten: else a
//! peer that keeps an entry alive (one datagram a minute does) reaches the new owner past its policy. The same holds
//! for an address nobody has: connections *to* it may be opened, judged as to a stranger, before it gets an owner.
//!
//! Owners are read from flows, so that what a switch enforces and what it should enforce are compared on equal terms.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use openflow::{Field, FlowKey, PackedKey};
use types::{EndpointUid, Vni, VrfId};

use crate::cookie::Object;
use crate::diff::FlowPlan;
use crate::fields;
use crate::flow_set::{FlowSet, PackedEntry};
use crate::table::Table;

/// Owner of each address of each network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners(BTreeMap<(Vni, IpAddr), EndpointUid>);

/// Tracked connections that must be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StaleConnections {
    /// The conntrack zone.
    pub vrf: VrfId,
    /// Those from and to this address; `None`: all of the zone.
    pub address: Option<IpAddr>,
}

impl Owners {
    /// The owners these flows speak of: the endpoints whose neighbours are answered.
    pub fn of(flows: &FlowSet) -> Self {
        Self(flows.packed().filter_map(|(key, entry)| owner(key, entry)).collect())
    }

    /// What must be forgotten now that these are the owners, and those of `before` were.
    ///
    /// `vrfs` says whose each network is. In a VRF that had no owner nothing tracked is worth keeping: its number may
    /// have been another tenant's.
    pub fn stale_since(&self, before: &Self, vrfs: &BTreeMap<Vni, VrfId>) -> BTreeSet<StaleConnections> {
        before.stale_if(self.0.iter().map(|(key, uid)| (*key, *uid)), vrfs)
    }

    /// Follows a plan that is carried out; what must be forgotten after it.
    pub fn follow(&mut self, plan: &FlowPlan, vrfs: &BTreeMap<Vni, VrfId>) -> BTreeSet<StaleConnections> {
        let added: Vec<_> = plan.add.iter().filter_map(|(key, entry)| owner(key, entry)).collect();
        let stale = self.stale_if(added.iter().copied(), vrfs);
        for key in plan.delete.iter().filter_map(place) {
            self.0.remove(&key);
        }
        self.0.extend(added);
        stale
    }

    /// What must be forgotten when these own what they say and the others what they do.
    fn stale_if(
        &self,
        owners: impl Iterator<Item = ((Vni, IpAddr), EndpointUid)>,
        vrfs: &BTreeMap<Vni, VrfId>,
    ) -> BTreeSet<StaleConnections> {
        let mut lived: BTreeMap<VrfId, bool> = BTreeMap::new();
        let stale = owners.filter(|(key, uid)| self.0.get(key) != Some(uid));
        stale
            .filter_map(|((vni, address), _)| {
                let vrf = *vrfs.get(&vni)?;
                let lived = *lived.entry(vrf).or_insert_with(|| {
                    let mut networks = vrfs.iter().filter(|(_, v)| **v == vrf).map(|(vni, _)| *vni);
                    networks.any(|vni| self.has_owner_in(vni))
                });
                Some(StaleConnections { vrf, address: lived.then_some(address) })
            })
            .collect()
    }

    fn has_owner_in(&self, vni: Vni) -> bool {
        let first = (vni, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        self.0.range(first..).next().is_some_and(|((v, _), _)| *v == vni)
    }
}

/// The owner a flow speaks of.
fn owner(key: &PackedKey, entry: &PackedEntry) -> Option<((Vni, IpAddr), EndpointUid)> {
    let Some(Object::Endpoint(uid)) = entry.cookie.object() else { return None };
    Some((place(key)?, uid))
}

/// The network and address an answer to neighbours is about.
fn place(key: &PackedKey) -> Option<(Vni, IpAddr)> {
    if key.table() != Table::ArpNd.number() {
        return None;
    }
    let key = key.unpack().ok()?;
    Some((vni(&key)?, address(&key)?))
}

fn vni(key: &FlowKey) -> Option<Vni> {
    let metadata = key.matches.get(Field::Metadata)?;
    let whole = metadata.mask & fields::VNI.mask() == fields::VNI.mask();
    let number = (metadata.value & fields::VNI.mask()) >> fields::VNI.offset();
    Vni::new(u64::try_from(number).ok()?).ok().filter(|_| whole)
}

/// The address asked for. Nobody is tracked by a link-local one.
fn address(key: &FlowKey) -> Option<IpAddr> {
    let v4 = key.matches.exact(Field::ArpTpa).and_then(|n| u32::try_from(n).ok());
    let v6 = || key.matches.exact(Field::NdTarget).map(Ipv6Addr::from).filter(|a| !a.is_unicast_link_local());
    v4.map(|n| IpAddr::V4(Ipv4Addr::from(n))).or_else(|| v6().map(IpAddr::V6))
}
