//! Endpoints: addresses and place. Where they are decides where everything else is needed.
//!
//! There are many of them and nobody refers to them, so inside this crate they are numbers, reused when free.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{Endpoint, ObjectRef};
use types::{EndpointUid, Family, MacAddr, NodeName, Vni, VrfId};

use crate::Refused;
use crate::claims::Claims;
use crate::facts::Facts;
use crate::id::{EndpointKey, endpoint_object};

/// An endpoint, while it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(u32);

/// What an endpoint that compiles takes up.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub uid: EndpointUid,
    pub vrf: VrfId,
    vni: Vni,
    /// Where it is.
    pub node: NodeName,
    mac: MacAddr,
    addresses: [Option<IpAddr>; Family::ALL.len()],
}

#[derive(Clone, Debug)]
struct Slot {
    key: EndpointKey,
    seat: Option<Seat>,
    published: bool,
}

/// Every endpoint, and what it claims.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endpoints {
    slots: Vec<Option<Slot>>,
    free: Vec<Number>,
    by_name: BTreeMap<EndpointKey, Number>,
    uids: Claims<EndpointUid, Number>,
    addresses: Claims<(VrfId, IpAddr), Number>,
    macs: Claims<(Vni, MacAddr), Number>,
}

impl Seat {
    pub fn of(endpoint: &node_state::Endpoint) -> Self {
        let mut addresses = endpoint.addresses.iter().copied();
        Self {
            uid: endpoint.uid,
            vrf: endpoint.vrf,
            vni: endpoint.vni,
            node: endpoint.node.clone(),
            mac: endpoint.mac,
            addresses: std::array::from_fn(|_| addresses.next()),
        }
    }
}

impl Endpoints {
    pub fn is_empty(&self) -> bool {
        let claims = self.uids.is_empty() && self.addresses.is_empty() && self.macs.is_empty();
        claims && self.by_name.is_empty() && self.free.len() == self.slots.len()
    }

    /// The number of an endpoint; a new one when it has none.
    pub fn admit(&mut self, key: EndpointKey) -> Number {
        if let Some(number) = self.by_name.get(&key) {
            return *number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // More endpoints than addresses of 32 bits do not fit into memory.
            Number(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        });
        if let Some(slot) = self.slots.get_mut(number.0 as usize) {
            *slot = Some(Slot { key: key.clone(), seat: None, published: false });
        }
        self.by_name.insert(key, number);
        number
    }

    /// Gives the number of an endpoint that is gone back. It must have been unseated.
    pub fn forget(&mut self, number: Number) {
        if let Some(slot) = self.slots.get_mut(number.0 as usize).and_then(Option::take) {
            self.by_name.remove(&slot.key);
            self.free.push(number);
        }
    }

    fn slot(&self, number: Number) -> Option<&Slot> {
        self.slots.get(number.0 as usize)?.as_ref()
    }

    pub fn key(&self, number: Number) -> Option<&EndpointKey> {
        Some(&self.slot(number)?.key)
    }

    /// What it takes up, unless it does not compile.
    pub fn seat(&self, number: Number) -> Option<&Seat> {
        self.slot(number)?.seat.as_ref()
    }

    /// Its seat, when it has a fragment.
    pub fn published(&self, number: Number) -> Option<&Seat> {
        self.slot(number).filter(|s| s.published)?.seat.as_ref()
    }

    pub fn publish(&mut self, number: Number, published: bool) {
        if let Some(Some(slot)) = self.slots.get_mut(number.0 as usize) {
            slot.published = published;
        }
    }

    /// Changes what it takes up; `others` hears of whoever claims a part of the old or the new.
    pub fn take_seat(&mut self, number: Number, seat: Option<Seat>, others: &mut impl FnMut(Number)) {
        let Some(Some(slot)) = self.slots.get_mut(number.0 as usize) else { return };
        if let Some(old) = std::mem::replace(&mut slot.seat, seat.clone()) {
            let Seat { vrf, vni, .. } = old;
            self.uids.release(&old.uid, &number, others);
            old.addresses
                .into_iter()
                .flatten()
                .for_each(|a| self.addresses.release(&(vrf, a), &number, others));
            self.macs.release(&(vni, old.mac), &number, others);
        }
        if let Some(new) = seat {
            let Seat { vrf, vni, .. } = new;
            self.uids.claim(new.uid, number, others);
            new.addresses.into_iter().flatten().for_each(|a| self.addresses.claim((vrf, a), number, others));
            self.macs.claim((vni, new.mac), number, others);
        }
    }

    /// Why it cannot have its seat: somebody else claims a part of it.
    pub fn conflict(&self, number: Number) -> Option<Refused> {
        let seat = self.seat(number)?;
        // As nearly always.
        if self.uids.is_settled() && self.addresses.is_settled() && self.macs.is_settled() {
            return None;
        }
        let Seat { vrf, vni, .. } = *seat;
        let ambiguous = |what, value: &dyn std::fmt::Display, other| Refused::Ambiguous {
            what,
            value: value.to_string(),
            other,
        };
        if let Some(other) = self.first(self.uids.rivals(&seat.uid, &number)) {
            return Some(ambiguous("endpoint uid", &seat.uid, other));
        }
        for address in seat.addresses.iter().flatten() {
            if let Some(other) = self.first(self.addresses.rivals(&(vrf, *address), &number)) {
                return Some(ambiguous("address", address, other));
            }
        }
        let other = self.first(self.macs.rivals(&(vni, seat.mac), &number))?;
        Some(ambiguous("mac address", &seat.mac, other))
    }

    /// The first by name: numbers depend on history, refusals must not.
    fn first<'a>(&self, numbers: impl Iterator<Item = &'a Number>) -> Option<ObjectRef> {
        numbers.filter_map(|n| self.key(*n)).min().map(endpoint_object)
    }
}

/// An endpoint's content, provided that nobody else claims a part of it.
pub(crate) fn fragment(endpoint: &Endpoint, facts: &Facts) -> Result<node_state::Endpoint, Refused> {
    let spec = &endpoint.spec;
    let vrf = facts.tenant(&spec.tenant)?;
    let network = facts.network(&spec.tenant, &spec.network)?;
    let subnets = network.subnets.as_ref().map_err(Clone::clone)?;
    facts.node(&spec.node)?;
    // Leaving an unresolved group out would free the endpoint of its policies.
    let group = spec.group.as_ref().map(|g| facts.group(&spec.tenant, g).map(|f| (g, f))).transpose()?;
    if let Some((name, group)) = group.filter(|(_, g)| g.network != spec.network) {
        return Err(Refused::Malformed(format!("group {name} is on network {}", group.network)));
    }
    let outside = |a: &&IpAddr| !subnets.iter().any(|s| s.cidr.contains(**a));
    if let Some(stray) = endpoint.addresses.iter().find(outside) {
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
        group: group.map(|(_, g)| g.id),
        moves: endpoint.moves.clone(),
        mac: endpoint.mac,
        addresses: endpoint.addresses.clone(),
        node: spec.node.clone(),
    })
}
