//! Who claims a value that only one object may have.
//!
//! Why: the data plane knows numbers only. Two tenants with one VRF id would be one address space, two endpoints with
//! one address one endpoint. The model and the store never let that happen; should it happen nevertheless (a defect, a
//! store edited by hand), every object concerned is refused rather than any of them guessed right.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use types::IpCidr;

/// The claimants of every value; nearly always one each.
#[derive(Clone, Debug)]
pub(crate) struct Claims<V, W> {
    one: BTreeMap<V, W>,
    /// The second and later claimants.
    more: BTreeMap<V, BTreeSet<W>>,
}

impl<V, W> Default for Claims<V, W> {
    fn default() -> Self {
        Self { one: BTreeMap::new(), more: BTreeMap::new() }
    }
}

impl<V: Ord + Clone, W: Ord + Clone> Claims<V, W> {
    /// Whether nobody claims anything.
    pub fn is_empty(&self) -> bool {
        self.one.is_empty() && self.more.is_empty()
    }

    /// Adds a claim; `others` hears of whoever claims the value too.
    pub fn claim(&mut self, value: V, who: W, others: &mut impl FnMut(W)) {
        match self.one.entry(value) {
            Entry::Vacant(nobody) => drop(nobody.insert(who)),
            Entry::Occupied(first) => {
                let more = self.more.entry(first.key().clone()).or_default();
                std::iter::once(first.get()).chain(&*more).cloned().for_each(others);
                more.insert(who);
            }
        }
    }

    /// Takes a claim back; `others` hears of whoever else claims the value.
    pub fn release(&mut self, value: &V, who: &W, others: &mut impl FnMut(W)) {
        if let Some(more) = self.more.get_mut(value) {
            // Who moves up to the first place does not matter: readers order claimants themselves.
            if !more.remove(who)
                && let Some(next) = more.pop_first()
            {
                self.one.insert(value.clone(), next);
            }
            if more.is_empty() {
                self.more.remove(value);
            }
        } else if self.one.get(value) == Some(who) {
            self.one.remove(value);
        }
        self.claimants(value).cloned().for_each(others);
    }

    /// Whether no value has two claimants: then nobody who claims something has a rival.
    pub fn is_settled(&self) -> bool {
        self.more.is_empty()
    }

    /// Everybody who claims the value besides `who`.
    pub fn rivals<'a>(&'a self, value: &V, who: &'a W) -> impl Iterator<Item = &'a W> {
        self.claimants(value).filter(move |w| *w != who)
    }

    /// Everybody who claims the value.
    pub fn claimants<'a>(&'a self, value: &V) -> impl Iterator<Item = &'a W> + use<'a, V, W> {
        self.one.get(value).into_iter().chain(self.more.get(value).into_iter().flatten())
    }
}

/// The subnets of one tenant, and who has them.
#[derive(Clone, Debug)]
pub(crate) struct Subnets<W> {
    /// By address, then length: of prefixes, the wider comes before those inside it.
    by_address: BTreeMap<(IpAddr, u8), BTreeSet<W>>,
}

impl<W> Default for Subnets<W> {
    fn default() -> Self {
        Self { by_address: BTreeMap::new() }
    }
}

impl<W: Ord + Clone> Subnets<W> {
    /// Adds a subnet; `others` hears of whoever has a part of it.
    pub fn claim(&mut self, cidr: IpCidr, who: &W, others: &mut impl FnMut(W)) {
        self.overlapping(cidr).cloned().for_each(others);
        self.by_address.entry((cidr.addr(), cidr.len())).or_default().insert(who.clone());
    }

    /// Takes a subnet out; `others` hears of whoever has a part of it.
    pub fn release(&mut self, cidr: IpCidr, who: &W, others: &mut impl FnMut(W)) {
        let at = (cidr.addr(), cidr.len());
        if let Some(owners) = self.by_address.get_mut(&at) {
            owners.remove(who);
            if owners.is_empty() {
                self.by_address.remove(&at);
            }
        }
        self.overlapping(cidr).cloned().for_each(others);
    }

    /// Whether nobody has any.
    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    /// Who else has a part of this subnet, the widest first.
    pub fn rival(&self, cidr: IpCidr, who: &W) -> Option<&W> {
        self.overlapping(cidr).find(|w| *w != who)
    }

    /// Who has a subnet that holds this one (at most one of each length), then who has it or one inside it.
    fn overlapping(&self, cidr: IpCidr) -> impl Iterator<Item = &W> {
        let wider = (0..cidr.len()).filter_map(move |len| {
            let wide = IpCidr::containing(cidr.addr(), len);
            self.by_address.get(&(wide.addr(), len))
        });
        let inside = self.by_address.range((cidr.addr(), cidr.len())..);
        let inside = inside.take_while(move |((address, _), _)| cidr.contains(*address)).map(|(_, w)| w);
        wider.chain(inside).flatten()
    }
}
