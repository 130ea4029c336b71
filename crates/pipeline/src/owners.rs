//! Who has which address: whether connections that the switch tracks may go on.
//!
//! The switch's connection tracker outlives flows. An entry about an address allows packets of an established connection
//! without policy, so when an address gets another owner, what was allowed to the last one must be forgotten: else a
//! peer that keeps an entry alive (one datagram a minute does) reaches the new owner past its policy. The same holds
//! for an address nobody has: connections *to* it may be opened, judged as to a stranger, before it gets an owner.
//! What was tracked of an address goes with its owner, too: an idle TCP connection would be kept for a day.
//!
//! Owners are read from flows, so that what a switch enforces and what it should enforce are compared on equal terms.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use openflow::{Field, FlowKey, PackedKey};
use types::{EndpointUid, Vni, VrfId};

use crate::cookie::{Cookie, Object};
use crate::diff::FlowPlan;
use crate::fields;
use crate::flow_set::{FlowSet, PackedEntry};
use crate::table::Table;

/// An address of a network.
type Place = (Vni, IpAddr);

/// Owner of each address of each network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners(BTreeMap<Place, EndpointUid>);

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

    /// One more flow that may speak of an owner.
    pub(crate) fn see(&mut self, key: &FlowKey, cookie: Cookie) {
        if key.table == Table::ArpNd.number()
            && let Some(Object::Endpoint(uid)) = cookie.object()
        {
            self.0.extend(place_of(key).map(|place| (place, uid)));
        }
    }

    /// What must be forgotten now that these are the owners, and those of `before` were: connections of every address
    /// that has another owner, or none any more.
    ///
    /// `vrfs` says whose each network is, or was. In a VRF that had no owner nothing tracked is worth keeping, because
    /// its number may have been another tenant's; nor in one that has none now.
    pub fn stale_since(&self, before: &Self, vrfs: &BTreeMap<Vni, VrfId>) -> BTreeSet<StaleConnections> {
        let both = self.0.keys().chain(before.0.keys());
        let changed = both.filter(|place| self.0.get(place) != before.0.get(place)).copied().collect();
        stale(&changed, vrfs, &before.living(&changed, vrfs), &self.living(&changed, vrfs))
    }

    /// Follows a plan that is carried out; what must be forgotten after it, as [`Owners::stale_since`] says.
    pub fn follow(&mut self, plan: &FlowPlan, vrfs: &BTreeMap<Vni, VrfId>) -> BTreeSet<StaleConnections> {
        let left = plan.delete.iter().filter_map(place).map(|place| (place, None));
        let came =
            plan.add.iter().filter_map(|(key, entry)| owner(key, entry)).map(|(p, uid)| (p, Some(uid)));
        // Whoever is both deleted and added is there.
        let mut changes: BTreeMap<Place, Option<EndpointUid>> = left.chain(came).collect();
        changes.retain(|place, owner| self.0.get(place) != owner.as_ref());
        let changed: BTreeSet<Place> = changes.keys().copied().collect();
        let lived = self.living(&changed, vrfs);
        for (place, owner) in changes {
            match owner {
                Some(uid) => drop(self.0.insert(place, uid)),
                None => drop(self.0.remove(&place)),
            }
        }
        stale(&changed, vrfs, &lived, &self.living(&changed, vrfs))
    }

    /// The VRFs of these places that have an owner anywhere.
    fn living(&self, places: &BTreeSet<Place>, vrfs: &BTreeMap<Vni, VrfId>) -> BTreeSet<VrfId> {
        let asked: BTreeSet<VrfId> = places.iter().filter_map(|(vni, _)| vrfs.get(vni).copied()).collect();
        let networks = vrfs.iter().filter(|(_, vrf)| asked.contains(vrf));
        networks.filter(|(vni, _)| self.has_owner_in(**vni)).map(|(_, vrf)| *vrf).collect()
    }

    fn has_owner_in(&self, vni: Vni) -> bool {
        let first = (vni, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        self.0.range(first..).next().is_some_and(|((v, _), _)| *v == vni)
    }
}

/// What places of changed owners leave behind, in VRFs that had owners before and that have some now.
fn stale(
    changed: &BTreeSet<Place>,
    vrfs: &BTreeMap<Vni, VrfId>,
    lived: &BTreeSet<VrfId>,
    live: &BTreeSet<VrfId>,
) -> BTreeSet<StaleConnections> {
    let stale = |(vni, address): &Place| {
        let vrf = *vrfs.get(vni)?;
        let goes_on = lived.contains(&vrf) && live.contains(&vrf);
        Some(StaleConnections { vrf, address: goes_on.then_some(*address) })
    };
    changed.iter().filter_map(stale).collect()
}

/// The owner a flow speaks of.
fn owner(key: &PackedKey, entry: &PackedEntry) -> Option<(Place, EndpointUid)> {
    let Some(Object::Endpoint(uid)) = entry.cookie.object() else { return None };
    Some((place(key)?, uid))
}

/// The network and address an answer to neighbours is about.
fn place(key: &PackedKey) -> Option<Place> {
    if key.table() != Table::ArpNd.number() {
        return None;
    }
    place_of(&key.unpack().ok()?)
}

fn place_of(key: &FlowKey) -> Option<Place> {
    Some((vni(key)?, address(key)?))
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
