//! Address classes: the address space of each VRF cut into prefixes that lie wholly inside or outside every set that
//! policy names; prefixes in the same sets share a class.
//!
//! Policy tables match class registers, never addresses, so one more endpoint in known groups is one flow per map. Kept
//! between changes: an address that comes or goes costs itself, a set that comes or goes costs the prefixes inside it.
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
use std::sync::Arc;

use sha2::{Digest, Sha256};
use types::{AddressRange, CidrBlock, Family, GroupId, IpCidr, Vni, VrfId};

use crate::dense::Dense;
use crate::sabotage::sabotaged;
use crate::view::View;

/// A set of addresses of a VRF that policy names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressSet {
    /// The endpoints of a group.
    Group(GroupId),
    /// The subnets of a network.
    Network(Vni),
    /// A prefix, with or without parts of it.
    Cidr(CidrBlock),
    /// From the first address to the last.
    Range(AddressRange),
}

impl fmt::Display for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(id) => write!(f, "group={id}"),
            Self::Network(vni) => write!(f, "network={vni}"),
            Self::Cidr(block) => write!(f, "cidr={block}"),
            Self::Range(range) => write!(f, "range={range}"),
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
pub(crate) type Prefix = (IpAddr, u8);
/// What a set says of a prefix, unless it says something else of one inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// The set holds it.
    Inside,
    /// The set excepts it.
    Outside,
}
/// What makes a class: the VRF and the sets, sorted.
type Content = (VrfId, Vec<AddressSet>);

/// What a change of the classes touches.
#[derive(Debug, Default)]
pub(crate) struct Reclassified {
    /// Prefixes whose flows have to be rendered again.
    pub(crate) prefixes: BTreeSet<(VrfId, Prefix)>,
    /// Sets that have other classes than before.
    pub(crate) sets: BTreeSet<(VrfId, AddressSet)>,
}

/// The classes of a node.
#[derive(Debug)]
pub(crate) struct Classes {
    /// Sets that policy names, and the prefixes they are made of (groups: none, they are entered host by host).
    named: BTreeMap<(VrfId, AddressSet), Vec<(IpCidr, Extent)>>,
    /// Prefixes that are interesting whoever lives there, and the sets that name them. The roots have none.
    ranges: BTreeMap<(VrfId, Prefix), BTreeMap<AddressSet, Extent>>,
    /// How many ranges there are of each length (and family).
    lengths: BTreeMap<(VrfId, Family, u8), usize>,
    /// Every interesting prefix with what makes its class.
    parts: BTreeMap<(VrfId, Prefix), Arc<Content>>,
    /// How many prefixes have each content, and its number.
    contents: BTreeMap<Arc<Content>, (usize, ClassId)>,
    members: BTreeMap<(VrfId, AddressSet), BTreeSet<ClassId>>,
    /// Numbers in use.
    numbers: BTreeSet<ClassId>,
    /// Prefixes to look at.
    dirty: BTreeSet<(VrfId, Prefix)>,
    /// Whether some number is not its content's first choice.
    salted: bool,
    hash: fn(&Content, u32) -> u32,
}

impl Default for Classes {
    fn default() -> Self {
        Self::with_hash(hash)
    }
}

impl Classes {
    fn with_hash(hash: fn(&Content, u32) -> u32) -> Self {
        Self {
            named: BTreeMap::new(),
            ranges: BTreeMap::new(),
            lengths: BTreeMap::new(),
            parts: BTreeMap::new(),
            contents: BTreeMap::new(),
            members: BTreeMap::new(),
            numbers: BTreeSet::new(),
            dirty: BTreeSet::new(),
            salted: false,
            hash,
        }
    }

    /// Says whether policy names a set, which may consist of other prefixes than before.
    pub(crate) fn name(&mut self, view: &View, vrf: VrfId, set: AddressSet, is_named: bool) {
        let made_of = is_named.then(|| prefixes_of(view, vrf, &set));
        let key = (vrf, set);
        if self.named.get(&key) == made_of.as_ref() {
            return;
        }
        for (cidr, _) in self.named.remove(&key).unwrap_or_default() {
            self.remove_range(vrf, cidr, Some(&key.1));
        }
        for &(cidr, extent) in made_of.iter().flatten() {
            self.add_range(vrf, cidr, Some((&key.1, extent)));
        }
        self.touch_group(view, vrf, &key.1);
        self.named.extend(made_of.map(|made_of| (key, made_of)));
    }

    /// Gives back the room that was left when it grew.
    pub(crate) fn make_dense(&mut self) {
        self.parts.make_dense();
    }

    /// Says whether a VRF is here.
    pub(crate) fn enter(&mut self, vrf: VrfId, here: bool) {
        for root in [IpAddr::from([0u8; 4]), IpAddr::from([0u8; 16])] {
            match self.ranges.contains_key(&(vrf, (root, 0))) {
                false if here => self.add_range(vrf, IpCidr::containing(root, 0), None),
                true if !here => self.remove_range(vrf, IpCidr::containing(root, 0), None),
                _ => {}
            }
        }
    }

    /// An address got or lost an owner, or its owner changed its group.
    pub(crate) fn touch(&mut self, vrf: VrfId, address: IpAddr) {
        self.dirty.insert((vrf, host_prefix(address)));
    }

    fn touch_group(&mut self, view: &View, vrf: VrfId, set: &AddressSet) {
        let AddressSet::Group(group) = set else { return };
        let hosts = view.members_of(vrf, *group).flat_map(|m| m.addresses.iter());
        self.dirty.extend(hosts.map(|a| (vrf, host_prefix(*a))));
    }

    fn add_range(&mut self, vrf: VrfId, cidr: IpCidr, set: Option<(&AddressSet, Extent)>) {
        let prefix = (cidr.addr(), cidr.len());
        let sets = self.ranges.entry((vrf, prefix)).or_insert_with(|| {
            *self.lengths.entry((vrf, cidr.family(), cidr.len())).or_default() += 1;
            BTreeMap::new()
        });
        sets.extend(set.map(|(set, extent)| (set.clone(), extent)));
        self.touch_inside(vrf, cidr);
        self.dirty.insert((vrf, prefix));
    }

    fn remove_range(&mut self, vrf: VrfId, cidr: IpCidr, set: Option<&AddressSet>) {
        let prefix = (cidr.addr(), cidr.len());
        let Some(sets) = self.ranges.get_mut(&(vrf, prefix)) else { return };
        if let Some(set) = set {
            sets.remove(set);
        }
        // A root stays for as long as its VRF.
        if sets.is_empty() && (set.is_none() || !cidr.is_empty()) {
            self.ranges.remove(&(vrf, prefix));
            let length = (vrf, cidr.family(), cidr.len());
            match self.lengths.get_mut(&length) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(self.lengths.remove(&length)),
            }
        }
        self.touch_inside(vrf, cidr);
    }

    fn touch_inside(&mut self, vrf: VrfId, cidr: IpCidr) {
        let range = (vrf, (cidr.addr(), cidr.len()))..=(vrf, (cidr.last(), u8::MAX));
        self.dirty.extend(self.parts.range(range).map(|(key, _)| *key));
    }

    /// Makes the classes those of the present, and says what that touches.
    pub(crate) fn settle(&mut self, view: &View) -> Reclassified {
        let mut out = Reclassified { prefixes: std::mem::take(&mut self.dirty), ..Reclassified::default() };
        let mut fresh: BTreeSet<Arc<Content>> = BTreeSet::new();
        let mut left: BTreeSet<Arc<Content>> = BTreeSet::new();
        for key in &out.prefixes {
            let content = self.content_of(view, key.0, key.1).map(Arc::new);
            let content =
                content.map(|c| self.contents.get_key_value(&c).map_or(c, |(known, _)| known.clone()));
            let before = match &content {
                Some(content) => self.parts.insert(*key, content.clone()),
                None => self.parts.remove(key),
            };
            if before == content {
                continue;
            }
            if let Some(content) = content {
                let (count, _) = self.contents.entry(content.clone()).or_insert_with(|| {
                    fresh.insert(content);
                    (0, ClassId(ClassId::UNKNOWN))
                });
                *count += 1;
            }
            if let Some(before) = before
                && let Some((count, _)) = self.contents.get_mut(&before)
            {
                *count -= 1;
                if *count == 0 {
                    left.insert(before);
                }
            }
        }
        let mut gone = Vec::new();
        for content in left {
            // It may have come back meanwhile.
            if self.contents.get(&content).is_some_and(|(count, _)| *count == 0)
                && let Some((_, id)) = self.contents.remove(&content)
            {
                gone.push((content, id));
            }
        }
        fresh.retain(|content| self.contents.contains_key(content));
        if self.number_first(&fresh, &gone, &mut out).is_none() {
            self.number_all(&gone, &mut out);
        }
        out
    }

    /// Everybody has its first choice, and so do the fresh ones; else nothing is done.
    fn number_first(
        &mut self,
        fresh: &BTreeSet<Arc<Content>>,
        gone: &[(Arc<Content>, ClassId)],
        out: &mut Reclassified,
    ) -> Option<()> {
        if self.salted && !(fresh.is_empty() && gone.is_empty()) {
            return None;
        }
        let freed: BTreeSet<ClassId> = gone.iter().map(|(_, id)| *id).collect();
        let mut chosen = BTreeMap::new();
        for content in fresh {
            let id = ClassId::from_bits((self.hash)(content, 0))?;
            if chosen.insert(id, content).is_some() || (self.numbers.contains(&id) && !freed.contains(&id)) {
                return None;
            }
        }
        for (content, id) in gone {
            self.numbers.remove(id);
            for set in &content.1 {
                let key = (content.0, set.clone());
                if let Some(ids) = self.members.get_mut(&key) {
                    ids.remove(id);
                    if ids.is_empty() {
                        self.members.remove(&key);
                    }
                }
                out.sets.insert(key);
            }
        }
        for (id, content) in chosen {
            self.numbers.insert(id);
            self.contents.entry(content.clone()).and_modify(|(_, slot)| *slot = id);
            for set in &content.1 {
                self.members.entry((content.0, set.clone())).or_default().insert(id);
                out.sets.insert((content.0, set.clone()));
            }
        }
        Some(())
    }

    /// Two contents want one number: all are numbered in their sorted order. That is rare (a hash of 32 bits), and it may
    /// cost what it likes.
    fn number_all(&mut self, gone: &[(Arc<Content>, ClassId)], out: &mut Reclassified) {
        let contents: BTreeSet<Content> = self.contents.keys().map(|c| (**c).clone()).collect();
        let ids = assign_ids(&contents, self.hash);
        self.salted = ids.iter().any(|(content, id)| (self.hash)(content, 0) != id.get());
        self.numbers = ids.values().copied().collect();
        self.members.clear();
        let mut changed: BTreeSet<&Content> = gone.iter().map(|(content, _)| &**content).collect();
        for (content, (_, slot)) in &mut self.contents {
            let Some(id) = ids.get(&**content) else { continue };
            for set in &content.1 {
                self.members.entry((content.0, set.clone())).or_default().insert(*id);
            }
            if slot != id {
                *slot = *id;
                changed.insert(content);
            }
        }
        let sets = changed.iter().flat_map(|(vrf, sets)| sets.iter().map(move |set| (*vrf, set.clone())));
        out.sets.extend(sets);
        out.prefixes.extend(self.parts.iter().filter(|(_, c)| changed.contains(&***c)).map(|(key, _)| *key));
    }

    /// The sets a prefix lies in, if it is interesting.
    fn content_of(&self, view: &View, vrf: VrfId, prefix: Prefix) -> Option<Content> {
        let range = self.ranges.get(&(vrf, prefix));
        let owner = if prefix == host_prefix(prefix.0) { view.member_at(vrf, prefix.0) } else { None };
        if range.is_none() && owner.is_none() {
            return None;
        }
        // From the widest inwards: the narrowest prefix that a set names says whether it holds this one.
        let outer = self.outer(vrf, prefix).filter_map(|outer| self.ranges.get(&(vrf, outer)));
        let mut sets: BTreeSet<&AddressSet> = BTreeSet::new();
        for (set, extent) in outer.chain(range).flatten() {
            match extent {
                Extent::Inside => sets.insert(set),
                Extent::Outside => sets.remove(set),
            };
        }
        let group = owner.and_then(|m| m.group).map(|group| (vrf, AddressSet::Group(group)));
        let group = group.and_then(|key| self.named.get_key_value(&key));
        sets.extend(group.map(|((_, set), _)| set));
        Some((vrf, sets.into_iter().cloned().collect()))
    }

    /// The ranges a prefix lies in, itself excluded, the widest first.
    fn outer(&self, vrf: VrfId, (address, len): Prefix) -> impl DoubleEndedIterator<Item = Prefix> + '_ {
        let family = Family::of(address);
        let lengths = self.lengths.range((vrf, family, 0)..(vrf, family, len));
        let prefixes = lengths.map(move |((_, _, len), _)| (IpCidr::containing(address, *len).addr(), *len));
        prefixes.filter(move |prefix| self.ranges.contains_key(&(vrf, *prefix)))
    }

    /// The class of a prefix, if it is interesting.
    pub(crate) fn class(&self, vrf: VrfId, prefix: Prefix) -> Option<ClassId> {
        let content = self.parts.get(&(vrf, prefix))?;
        self.contents.get(content).map(|(_, id)| *id)
    }

    /// The class of a prefix that the longest-prefix map of destinations must list: not that of the next shorter one.
    pub(crate) fn listed(&self, vrf: VrfId, prefix: Prefix) -> Option<ClassId> {
        let class = self.class(vrf, prefix)?;
        let outer = self.outer(vrf, prefix).next_back().and_then(|outer| self.class(vrf, outer));
        Some(class).filter(|class| outer != Some(*class))
    }

    /// The classes inside a set.
    pub(crate) fn of(&self, vrf: VrfId, set: AddressSet) -> impl Iterator<Item = ClassId> + use<'_> {
        self.members.get(&(vrf, set)).into_iter().flatten().copied()
    }
}

/// The prefix that is one address.
pub(crate) fn host_prefix(address: IpAddr) -> Prefix {
    (address, IpCidr::host(address).len())
}

/// Prefixes that make up a set.
fn prefixes_of(view: &View, vrf: VrfId, set: &AddressSet) -> Vec<(IpCidr, Extent)> {
    let inside = |cidr| (cidr, Extent::Inside);
    match set {
        AddressSet::Cidr(block) => {
            let except = if sabotaged!("except-ignored") { &[] } else { block.except() };
            let outside = except.iter().map(|cidr| (*cidr, Extent::Outside));
            std::iter::once(inside(block.cidr())).chain(outside).collect()
        }
        AddressSet::Range(range) => range.to_prefixes().into_iter().map(inside).collect(),
        AddressSet::Network(vni) => match view.networks.get(vni).filter(|n| n.vrf == vrf) {
            Some(net) => net.subnets.iter().map(|s| inside(s.cidr)).collect(),
            None => Vec::new(),
        },
        AddressSet::Group(_) => Vec::new(),
    }
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
