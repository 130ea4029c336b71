//! The result: every fragment once, encoded and hashed, and which node needs which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::ObjectRef;
use node_state::{Fragment, FragmentHash, FragmentKey};
use types::{NodeName, Revision, VrfId};

use crate::Refused;
use crate::names::Refusals;

/// Largest encoded fragment: with its frame it stays below the 2 MiB of a session message.
pub const MAX_FRAGMENT_BYTES: usize = 2 * 1024 * 1024 - 128 * 1024;

/// A fragment as it travels.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Content hash of the bytes.
    pub hash: FragmentHash,
    /// [`Fragment::encode`], shared by every node in span.
    pub bytes: Arc<[u8]>,
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

impl Compiled {
    pub(crate) fn new(revision: Revision, refused: Refusals) -> Self {
        Self { revision, refused, ..Self::default() }
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
    pub fn refused(&self) -> &BTreeMap<ObjectRef, Refused> {
        &self.refused
    }

    /// What this node must hold. A node that intent does not know must hold nothing.
    pub fn node(&self, node: &NodeName) -> BTreeMap<FragmentKey, FragmentHash> {
        let own = FragmentKey::Node(node.clone());
        if !self.fragments.contains_key(&own) {
            return BTreeMap::new();
        }
        let vrfs = self.vrfs_of(node);
        let peers = vrfs.iter().filter_map(|v| self.hosts.get(v)).flatten().cloned().map(FragmentKey::Node);
        let shared = vrfs.iter().filter_map(|v| self.vrfs.get(v)).flatten().cloned();
        let keys: BTreeSet<FragmentKey> = peers.chain(shared).chain([own]).collect();
        keys.into_iter().filter_map(|k| self.fragments.get(&k).map(|f| f.hash).map(|h| (k, h))).collect()
    }

    fn vrfs_of(&self, node: &NodeName) -> BTreeSet<VrfId> {
        // Defect for tests: every tenant's state on every node.
        fail::fail_point!("span-ignores-tenant", |_| self.vrfs.keys().copied().collect());
        self.hosted.get(node).cloned().unwrap_or_default()
    }

    pub(crate) fn refuse(&mut self, object: ObjectRef, why: Refused) {
        self.refused.entry(object).or_insert(why);
    }

    /// An endpoint of this VRF is on this node.
    pub(crate) fn host(&mut self, node: &NodeName, vrf: VrfId) {
        self.hosted.entry(node.clone()).or_default().insert(vrf);
        self.hosts.entry(vrf).or_default().insert(node.clone());
    }

    /// Adds a fragment of a VRF.
    pub(crate) fn put(&mut self, vrf: VrfId, object: ObjectRef, fragment: Fragment) {
        let key = fragment.key();
        if self.encode(object, &fragment) {
            self.vrfs.entry(vrf).or_default().insert(key);
        }
    }

    /// Adds a node's fragment.
    pub(crate) fn put_node(&mut self, object: ObjectRef, fragment: Fragment) {
        self.encode(object, &fragment);
    }

    fn encode(&mut self, object: ObjectRef, fragment: &Fragment) -> bool {
        let bytes = fragment.encode();
        if bytes.len() > MAX_FRAGMENT_BYTES {
            self.refuse(object, Refused::TooLarge { bytes: bytes.len(), max: MAX_FRAGMENT_BYTES });
            return false;
        }
        let hash = FragmentHash::of(&bytes);
        self.fragments.insert(fragment.key(), Encoded { hash, bytes: bytes.into() });
        true
    }
}
