//! What a batch changed: fragments, and which nodes need which.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use node_state::{FragmentHash, FragmentKey};
use types::{NodeName, Revision, VrfId};

use crate::compiled::{Compiled, Encoded};
use crate::places::Moved;

/// How much was done. The law is that this depends on the change and never on how much there is; tests assert it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Objects looked at, each time they were.
    pub visited: usize,
    /// Fragments encoded.
    pub encoded: usize,
}

/// The difference a batch made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The intent reached.
    pub revision: Revision,
    /// Fragments that are new, other or gone, with what they were before.
    pub(crate) fragments: BTreeMap<FragmentKey, Option<Encoded>>,
    /// Nodes that host a VRF now and did not before, or the other way round.
    pub(crate) hosts: Moved,
    /// What it took.
    pub work: Work,
}

/// Before and after, as far as it is needed to tell a node's span.
struct Spans<'a> {
    after: &'a Compiled,
    changed: &'a Changed,
    /// By node, VRFs it came to host (true) or does not host any more.
    by_node: BTreeMap<&'a NodeName, BTreeMap<VrfId, bool>>,
}

impl Changed {
    /// Fragments that are new, other or gone.
    pub fn fragments(&self) -> impl Iterator<Item = &FragmentKey> {
        self.fragments.keys()
    }

    /// Whether no fragment and no span is different.
    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty() && self.hosts.is_empty()
    }

    /// What is different for each node: key, and the hash it had to hold before. `compiled` is the result right after
    /// this change. Costs what it says; a key may be said twice.
    pub fn spans(
        &self,
        compiled: &Compiled,
        mut say: impl FnMut(&NodeName, &FragmentKey, Option<FragmentHash>),
    ) {
        let mut by_node: BTreeMap<&NodeName, BTreeMap<VrfId, bool>> = BTreeMap::new();
        for (vrf, node, hosts) in self.moves() {
            by_node.entry(node).or_default().insert(vrf, hosts);
        }
        let spans = Spans { after: compiled, changed: self, by_node };
        for (key, before) in &self.fragments {
            spans.fragment(key, before.as_ref(), &mut say);
        }
        for (vrf, node, hosts) in self.moves() {
            spans.hosting(vrf, node, hosts, &mut say);
        }
    }

    fn moves(&self) -> impl Iterator<Item = (VrfId, &NodeName, bool)> {
        self.hosts.iter().flat_map(|(vrf, nodes)| nodes.iter().map(move |(node, hosts)| (*vrf, node, *hosts)))
    }
}

impl Spans<'_> {
    /// A fragment that is another now: whoever had it, and whoever has it.
    fn fragment(
        &self,
        key: &FragmentKey,
        before: Option<&Encoded>,
        say: &mut impl FnMut(&NodeName, &FragmentKey, Option<FragmentHash>),
    ) {
        let after = self.after.fragments().get(key);
        let (had, have) = match key {
            FragmentKey::Node(node) => (
                before.map(|_| Cow::Owned(self.peers_before(node))).unwrap_or_default(),
                after.map(|_| Cow::Owned(self.peers_after(node))).unwrap_or_default(),
            ),
            _ => (
                before.and_then(|f| f.vrf).map(|v| self.hosts_before(v)).unwrap_or_default(),
                after.and_then(|f| f.vrf).map(|v| self.hosts_after(v)).unwrap_or_default(),
            ),
        };
        had.iter().for_each(|node| say(node, key, before.map(|f| f.hash)));
        have.difference(&had).for_each(|node| say(node, key, None));
    }

    /// A node that came to host a VRF, or does not any more: everything in it that did not change itself.
    fn hosting(
        &self,
        vrf: VrfId,
        node: &NodeName,
        hosts: bool,
        say: &mut impl FnMut(&NodeName, &FragmentKey, Option<FragmentHash>),
    ) {
        let hash = |key: &FragmentKey| self.after.fragments().get(key).map(|f| f.hash);
        let same = |key: &&FragmentKey| !self.changed.fragments.contains_key(*key);
        for key in self.after.keys_of(vrf).filter(same) {
            say(node, key, if hosts { None } else { hash(key) });
        }
        let peers = if hosts { self.hosts_after(vrf) } else { self.hosts_before(vrf) };
        for peer in peers.iter().filter(|p| *p != node) {
            let (before, after) = (self.met_before(node, peer), self.met_after(node, peer));
            if before != after {
                for (who, whom) in [(node, peer), (peer, node)] {
                    let key = FragmentKey::Node(whom.clone());
                    if same(&&key) {
                        say(who, &key, if before { hash(&key) } else { None });
                    }
                }
            }
        }
    }

    fn hosts_after(&self, vrf: VrfId) -> Cow<'_, BTreeSet<NodeName>> {
        self.after.hosts_of(vrf).map(Cow::Borrowed).unwrap_or_default()
    }

    fn hosts_before(&self, vrf: VrfId) -> Cow<'_, BTreeSet<NodeName>> {
        let mut hosts = self.hosts_after(vrf);
        for (node, hosts_now) in self.changed.hosts.get(&vrf).into_iter().flatten() {
            if *hosts_now {
                hosts.to_mut().remove(node);
            } else {
                hosts.to_mut().insert(node.clone());
            }
        }
        hosts
    }

    fn hosted_after(&self, node: &NodeName) -> Cow<'_, BTreeSet<VrfId>> {
        self.after.hosted_by(node).map(Cow::Borrowed).unwrap_or_default()
    }

    fn hosted_before(&self, node: &NodeName) -> Cow<'_, BTreeSet<VrfId>> {
        let mut hosted = self.hosted_after(node);
        for (vrf, hosts_now) in self.by_node.get(node).into_iter().flatten() {
            if *hosts_now {
                hosted.to_mut().remove(vrf);
            } else {
                hosted.to_mut().insert(*vrf);
            }
        }
        hosted
    }

    fn met_after(&self, a: &NodeName, b: &NodeName) -> bool {
        !self.hosted_after(a).is_disjoint(&self.hosted_after(b))
    }

    fn met_before(&self, a: &NodeName, b: &NodeName) -> bool {
        !self.hosted_before(a).is_disjoint(&self.hosted_before(b))
    }

    /// Whoever holds a node's fragment: the node itself, and those it shares a VRF with.
    fn peers_after(&self, node: &NodeName) -> BTreeSet<NodeName> {
        let hosted = self.hosted_after(node);
        let peers = hosted.iter().flat_map(|vrf| self.hosts_after(*vrf).into_owned());
        peers.chain([node.clone()]).collect()
    }

    fn peers_before(&self, node: &NodeName) -> BTreeSet<NodeName> {
        let hosted = self.hosted_before(node);
        let peers = hosted.iter().flat_map(|vrf| self.hosts_before(*vrf).into_owned());
        peers.chain([node.clone()]).collect()
    }
}
