//! What the agent holds of intent: the last good fragments. [`super::saved`] keeps them on disk.
//!
//! An update is taken fragment by fragment: one that is not understood is refused (the nack says why) and its last
//! good version kept.

use std::collections::{BTreeMap, BTreeSet};

use node_api::{Known, Update};
use node_state::{Fragment, FragmentHash, FragmentKey, NodeState};

/// The fragments and where they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    known: Option<Known>,
    state: NodeState,
    hashes: BTreeMap<FragmentKey, FragmentHash>,
}

/// What became of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Fragments that came, changed or went.
    pub changed: BTreeSet<FragmentKey>,
    /// What was refused and why, by key.
    pub refusals: BTreeMap<String, String>,
}

impl Holding {
    /// Where the fragments come from; `None` when nothing was ever received.
    pub fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// The fragments; `None` when nothing was ever received, which is not the same as an empty state.
    pub fn state(&self) -> Option<&NodeState> {
        self.known.as_ref().map(|_| &self.state)
    }

    /// What a subscription tells.
    pub fn hashes(&self) -> &BTreeMap<FragmentKey, FragmentHash> {
        &self.hashes
    }

    /// Takes an update in.
    pub fn apply(&mut self, update: Update) -> Taken {
        let mut taken = Taken { refusals: update.unknown, ..Taken::default() };
        for (key, bytes) in update.upserts {
            match Fragment::decode(&key, &bytes) {
                Ok(fragment) => {
                    self.state.insert(fragment);
                    self.hashes.insert(key.clone(), FragmentHash::of(&bytes));
                    taken.changed.insert(key);
                }
                Err(e) => drop(taken.refusals.insert(key.to_string(), e.to_string())),
            }
        }
        for key in update.removes {
            self.forget(&key);
            taken.changed.insert(key);
        }
        self.place(Known { store_id: update.store_id, revision: update.revision });
        taken
    }

    /// Puts a fragment back that was held before.
    pub(super) fn restore(&mut self, fragment: Fragment, hash: FragmentHash) {
        self.hashes.insert(fragment.key(), hash);
        self.state.insert(fragment);
    }

    /// What was held, all of it.
    pub(super) fn whole(known: Known, fragments: Vec<(Fragment, FragmentHash)>) -> Self {
        let hashes = fragments.iter().map(|(fragment, hash)| (fragment.key(), *hash)).collect();
        let state = fragments.into_iter().map(|(fragment, _)| fragment).collect();
        let mut this = Self { known: None, state, hashes };
        this.place(known);
        this
    }

    /// Takes a fragment out that was removed before.
    pub(super) fn forget(&mut self, key: &FragmentKey) {
        self.state.remove(key);
        self.hashes.remove(key);
    }

    /// Says where what is held comes from.
    pub(super) fn place(&mut self, known: Known) {
        self.state.revision = known.revision;
        self.known = Some(known);
    }

    /// A fragment with the hash of the bytes it was received in, which need not be those we would write.
    pub(super) fn fragment(&self, key: &FragmentKey) -> Option<(&Fragment, &FragmentHash)> {
        self.state.get(key).zip(self.hashes.get(key))
    }
}

#[cfg(test)]
mod tests {
    use node_state::Node;
    use types::{Revision, StoreId};

    use super::*;

    fn node(name: &str, vtep: &str) -> (FragmentKey, Vec<u8>) {
        let node = Fragment::Node(Node { name: name.parse().unwrap(), vtep: vtep.parse().unwrap() });
        (node.key(), node.encode())
    }

    fn update(revision: u64, upserts: impl IntoIterator<Item = (FragmentKey, Vec<u8>)>) -> Update {
        Update {
            store_id: StoreId::new("0".repeat(32)).unwrap(),
            revision: Revision::new(revision),
            upserts: upserts.into_iter().map(|(key, bytes)| (key, bytes.into())).collect(),
            removes: BTreeSet::new(),
            unknown: BTreeMap::new(),
            removes_unknown: BTreeSet::new(),
        }
    }

    #[test]
    fn a_fragment_that_is_not_understood_is_refused_and_its_last_good_version_kept() {
        let mut holding = Holding::default();
        assert!(holding.state().is_none());
        let (key, good) = node("n1", "192.0.2.1");
        assert_eq!(holding.apply(update(1, [(key.clone(), good.clone())])).changed, [key.clone()].into());
        let newer =
            String::from_utf8(good.clone()).unwrap().replace("\"vtep\"", "\"encap\":\"geneve\",\"vtep\"");
        let taken = holding.apply(update(2, [(key.clone(), newer.into_bytes()), node("n2", "192.0.2.2")]));
        assert!(taken.refusals["node/n1"].contains("encap"), "{taken:?}");
        assert_eq!(taken.changed, [node("n2", "192.0.2.2").0].into());
        assert_eq!(holding.state().unwrap().get(&key), Some(&Fragment::decode(&key, &good).unwrap()));
        assert_eq!(holding.hashes()[&key], FragmentHash::of(&good));
        assert_eq!(holding.state().unwrap().nodes().count(), 2);
    }

    #[test]
    fn unknown_kinds_of_fragment_are_refused() {
        let mut u = update(1, []);
        u.unknown.insert("mirror/1".into(), "unknown kind".into());
        assert_eq!(Holding::default().apply(u).refusals["mirror/1"], "unknown kind");
    }
}
