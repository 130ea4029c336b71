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

use openflow::{Field, FlowKey};
use types::{EndpointUid, Vni, VrfId};

use crate::cookie::Object;
use crate::fields;
use crate::flow_set::FlowSet;
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
        let answers = flows.iter().filter(|(key, _)| key.table == Table::ArpNd.number());
        let owner = |(key, entry): (&FlowKey, &crate::FlowEntry)| {
            let Some(Object::Endpoint(uid)) = entry.cookie.object() else { return None };
            Some(((vni(key)?, address(key)?), uid))
        };
        Self(answers.filter_map(owner).collect())
    }

    /// What must be forgotten now that these are the owners, and those of `before` were.
    ///
    /// `vrfs` says whose each network is. In a VRF that had no owner nothing tracked is worth keeping: its number may
    /// have been another tenant's.
    pub fn stale_since(&self, before: &Self, vrfs: &BTreeMap<Vni, VrfId>) -> BTreeSet<StaleConnections> {
        let lived: BTreeSet<VrfId> = before.0.keys().filter_map(|(vni, _)| vrfs.get(vni).copied()).collect();
        let new = self.0.iter().filter(|(key, uid)| before.0.get(key) != Some(uid));
        new.filter_map(|((vni, address), _)| {
            let vrf = *vrfs.get(vni)?;
            Some(StaleConnections { vrf, address: lived.contains(&vrf).then_some(*address) })
        })
        .collect()
    }
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
