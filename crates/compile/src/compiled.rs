//! The result: every fragment once, encoded and hashed, and which node needs which.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use model::{Map, ObjectRef};
use node_state::{Fragment, FragmentHash, FragmentKey};
use types::{NodeName, Revision, VrfId};

use crate::Refused;
use crate::changed::{Changed, Work};
use crate::places::Moved;

/// Largest encoded fragment: with its frame it stays well below the 4 MiB that a gRPC message may have.
pub const MAX_FRAGMENT_BYTES: usize = 2 * 1024 * 1024 - 128 * 1024;

/// Objects that have no fragment, and why.
/// Copies cost nothing.
pub type Refusals = Map<ObjectRef, Refused>;

/// A fragment as it travels.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Content hash of the bytes.
    pub hash: FragmentHash,
    /// [`Fragment::encode`], once: every node in span is sent these very bytes.
    pub bytes: Bytes,
    /// The address space it belongs to; none for a node.
    pub vrf: Option<VrfId>,
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes))
    }
}

/// All of intent, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    revision: Revision,
    fragments: BTreeMap<FragmentKey, Encoded>,
    /// Keys of every VRF but its peer nodes.
    vrfs: BTreeMap<VrfId, BTreeSet<FragmentKey>>,
    /// The VRFs a node hosts endpoints of.
    hosted: BTreeMap<NodeName, BTreeSet<VrfId>>,
    /// The same, by VRF.
    hosts: BTreeMap<VrfId, BTreeSet<NodeName>>,
    refused: Refusals,
}

/// What a batch wants published; taken in at its end, so that a number that moves from one object to another in one
/// batch does not depend on who comes first.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    put: BTreeMap<FragmentKey, Encoded>,
    withdrawn: BTreeSet<FragmentKey>,
}

impl Stage {
    /// The fragment of an object that has, or may have, another one or none now.
    pub fn withdraw(&mut self, key: FragmentKey) {
        self.withdrawn.insert(key);
    }

    /// An object's fragment.
    pub fn put(&mut self, vrf: Option<VrfId>, fragment: &Fragment, work: &mut Work) -> Result<(), Refused> {
        let bytes = fragment.encode();
        work.encoded += 1;
        if bytes.len() > MAX_FRAGMENT_BYTES {
            return Err(Refused::TooLarge { bytes: bytes.len(), max: MAX_FRAGMENT_BYTES });
        }
        let hash = FragmentHash::of(&bytes);
        // Without spare capacity: there may be very many.
        let bytes = Bytes::from(bytes.into_boxed_slice());
        self.put.insert(fragment.key(), Encoded { hash, bytes, vrf });
        Ok(())
    }
}

impl Compiled {
    /// What no intent at all compiles to.
    pub fn nothing(revision: Revision) -> Self {
        Self { revision, ..Self::default() }
    }

    /// The intent this was compiled from.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Every fragment.
    pub fn fragments(&self) -> &BTreeMap<FragmentKey, Encoded> {
        &self.fragments
    }

    /// Objects that have no fragment, and why: their status.
    pub fn refused(&self) -> &Refusals {
        &self.refused
    }

    /// What this node must hold. A node that intent does not know must hold nothing.
    pub fn node(&self, node: &NodeName) -> BTreeMap<FragmentKey, FragmentHash> {
        let own = FragmentKey::Node(node.clone());
        if !self.fragments.contains_key(&own) {
            return BTreeMap::new();
        }
        let vrfs = self.vrfs_of(node);
        let peers = vrfs.iter().filter_map(|v| self.hosts_of(*v)).flatten().cloned().map(FragmentKey::Node);
        let shared = vrfs.iter().flat_map(|v| self.keys_of(*v)).cloned();
        let keys: BTreeSet<FragmentKey> = peers.chain(shared).chain([own]).collect();
        keys.into_iter().filter_map(|k| self.fragments.get(&k).map(|f| f.hash).map(|h| (k, h))).collect()
    }

    /// The fragment of this key, when this node must hold it.
    pub fn of_node(&self, node: &NodeName, key: &FragmentKey) -> Option<&Encoded> {
        let fragment = self.fragments.get(key)?;
        let hosted = self.hosted.get(node);
        let needed = match (key, fragment.vrf) {
            (FragmentKey::Node(peer), _) => peer == node || self.share_vrf(node, peer),
            (_, Some(vrf)) => hosted.is_some_and(|vrfs| vrfs.contains(&vrf)),
            (_, None) => false,
        };
        needed.then_some(fragment)
    }

    fn share_vrf(&self, a: &NodeName, b: &NodeName) -> bool {
        let (Some(a), Some(b)) = (self.hosted.get(a), self.hosted.get(b)) else { return false };
        let (few, many) = if a.len() < b.len() { (a, b) } else { (b, a) };
        few.iter().any(|vrf| many.contains(vrf))
    }

    fn vrfs_of(&self, node: &NodeName) -> BTreeSet<VrfId> {
        // Defect for tests: every tenant's state on every node.
        fail::fail_point!("span-ignores-tenant", |_| self.vrfs.keys().copied().collect());
        self.hosted_by(node).cloned().unwrap_or_default()
    }

    /// VRFs a node hosts endpoints of.
    pub(crate) fn hosted_by(&self, node: &NodeName) -> Option<&BTreeSet<VrfId>> {
        self.hosted.get(node)
    }

    /// Nodes that host endpoints of a VRF.
    pub(crate) fn hosts_of(&self, vrf: VrfId) -> Option<&BTreeSet<NodeName>> {
        self.hosts.get(&vrf)
    }

    /// Fragments of a VRF.
    pub(crate) fn keys_of(&self, vrf: VrfId) -> impl Iterator<Item = &FragmentKey> {
        self.vrfs.get(&vrf).into_iter().flatten()
    }

    /// An object has no fragment because of this, or is fine.
    pub(crate) fn set_refused(&mut self, object: impl FnOnce() -> Option<ObjectRef>, why: Option<Refused>) {
        if self.refused.is_empty() && why.is_none() {
            return;
        }
        let Some(object) = object() else { return };
        match why {
            Some(why) => self.refused.insert(object, why),
            None => drop(self.refused.remove(&object)),
        }
    }

    /// Publishes a batch.
    pub(crate) fn commit(&mut self, revision: Revision, stage: Stage, moved: Moved, work: Work) -> Changed {
        let Stage { put, withdrawn } = stage;
        let mut fragments = BTreeMap::new();
        for key in withdrawn.into_iter().filter(|key| !put.contains_key(key)) {
            if let Some(old) = self.remove(&key) {
                fragments.insert(key, Some(old));
            }
        }
        for (key, new) in put {
            if self.fragments.get(&key) != Some(&new) {
                let old = self.remove(&key);
                self.insert(key.clone(), new);
                fragments.insert(key, old);
            }
        }
        let moves = moved.iter().flat_map(|(vrf, nodes)| nodes.iter().map(move |(n, h)| (vrf, n, h)));
        for (vrf, node, hosts) in moves {
            if *hosts {
                self.hosted.entry(node.clone()).or_default().insert(*vrf);
                self.hosts.entry(*vrf).or_default().insert(node.clone());
            } else {
                remove(&mut self.hosted, node, vrf);
                remove(&mut self.hosts, vrf, node);
            }
        }
        self.revision = revision;
        Changed { revision, fragments, hosts: moved, work }
    }

    fn insert(&mut self, key: FragmentKey, fragment: Encoded) {
        if let Some(vrf) = fragment.vrf {
            self.vrfs.entry(vrf).or_default().insert(key.clone());
        }
        self.fragments.insert(key, fragment);
    }

    fn remove(&mut self, key: &FragmentKey) -> Option<Encoded> {
        let old = self.fragments.remove(key)?;
        if let Some(vrf) = old.vrf {
            remove(&mut self.vrfs, &vrf, key);
        }
        Some(old)
    }
}

fn remove<K: Ord, V: Ord>(sets: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]
    use node_state::Group;
    use types::{GroupId, PolicyId};

    use super::*;

    #[test]
    fn fragment_above_the_limit_is_refused_and_not_published() {
        let group = |policies: u64| {
            Fragment::Group(Group {
                id: GroupId::new(1).unwrap(),
                vrf: VrfId::MIN,
                name: "g".parse().unwrap(),
                policies: (1..=policies).map(|id| PolicyId::new(id).unwrap()).collect(),
                qos: None,
            })
        };
        let (mut stage, mut work) = (Stage::default(), Work::default());
        let why = stage.put(Some(VrfId::MIN), &group(300_000), &mut work).unwrap_err();
        assert!(
            matches!(why, Refused::TooLarge { bytes, max: MAX_FRAGMENT_BYTES } if bytes > MAX_FRAGMENT_BYTES)
        );
        assert!(stage.put.is_empty());
        stage.put(Some(VrfId::MIN), &group(100), &mut work).unwrap();
        assert_eq!(stage.put.len(), 1);
    }
}
