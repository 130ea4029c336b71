//! Behind which tunnel addresses the members of a network and of a VRF are.
//!
//! Why: only these nodes may send for a network of the VRF, and only they are sent what is flooded in the network. It is
//! counted from members and said by nobody, so whoever hosts no endpoint that is rendered here is not listened to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use types::{Vni, VrfId};

/// Orders before and after every other address.
const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const LAST: IpAddr = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX));

/// How many members are behind each address.
#[derive(Debug, Default)]
pub(super) struct Sites {
    networks: BTreeMap<(Vni, IpAddr), u32>,
    vrfs: BTreeMap<(VrfId, IpAddr), u32>,
}

/// Where a remote member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) vrf: VrfId,
    pub(super) vni: Vni,
    pub(super) vtep: IpAddr,
}

/// What one member's coming or going changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shift {
    /// The network's first member there came, or its last one went.
    pub(super) network: bool,
    /// Likewise the VRF's.
    pub(super) vrf: bool,
}

impl Sites {
    pub(super) fn enter(&mut self, at: Site) -> Shift {
        let network = up(&mut self.networks, (at.vni, at.vtep));
        Shift { network, vrf: up(&mut self.vrfs, (at.vrf, at.vtep)) }
    }

    pub(super) fn leave(&mut self, at: Site) -> Shift {
        let network = down(&mut self.networks, (at.vni, at.vtep));
        Shift { network, vrf: down(&mut self.vrfs, (at.vrf, at.vtep)) }
    }

    pub(super) fn hosts(&self, vrf: VrfId, vtep: IpAddr) -> bool {
        self.vrfs.contains_key(&(vrf, vtep))
    }

    pub(super) fn of_network(&self, vni: Vni) -> impl Iterator<Item = IpAddr> + '_ {
        self.networks.range((vni, FIRST)..=(vni, LAST)).map(|((_, vtep), _)| *vtep)
    }

    pub(super) fn of_vrf(&self, vrf: VrfId) -> impl Iterator<Item = IpAddr> + '_ {
        self.vrfs.range((vrf, FIRST)..=(vrf, LAST)).map(|((_, vtep), _)| *vtep)
    }
}

/// Whether it is the first.
fn up<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K) -> bool {
    let count = counts.entry(key).or_default();
    *count += 1;
    *count == 1
}

/// Whether it was the last.
fn down<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K) -> bool {
    let Some(count) = counts.get_mut(&key) else { return false };
    *count -= 1;
    let last = *count == 0;
    if last {
        counts.remove(&key);
    }
    last
}
