//! All fragments of one node, by key.

use std::collections::BTreeMap;
use std::ops::Bound;

use types::{EndpointUid, GroupId, PolicyId, Revision, Vni, VrfId};

use crate::fragment::{Fragment, FragmentHash, FragmentKey};
use crate::span::{Endpoint, Group, Network, Node, Policy, Vrf};

/// What one node must enforce, as of one revision of intent.
///
/// References between fragments may dangle (a fragment was nacked, or has not arrived): readers treat a missing
/// fragment as "deny", never as "no restriction".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// The intent this was compiled from.
    pub revision: Revision,
    fragments: BTreeMap<FragmentKey, Fragment>,
}

/// Fragments of one kind: keys of a kind stand together, from the kind's smallest on.
macro_rules! of_kind {
    ($(#[$doc:meta])* $fn:ident, $variant:ident, $ty:ty, $from:expr) => {
        $(#[$doc])*
        pub fn $fn(&self) -> impl Iterator<Item = &$ty> {
            let from: Bound<FragmentKey> = $from;
            self.fragments.range((from, Bound::Unbounded)).map_while(|(_, f)| match f {
                Fragment::$variant(x) => Some(x),
                _ => None,
            })
        }
    };
}

impl NodeState {
    /// A state with nothing in it.
    pub fn new(revision: Revision) -> Self {
        Self { revision, fragments: BTreeMap::new() }
    }

    /// Adds or replaces a fragment under its own key.
    pub fn insert(&mut self, fragment: Fragment) {
        self.fragments.insert(fragment.key(), fragment);
    }

    /// Removes a fragment; whether it was there.
    pub fn remove(&mut self, key: &FragmentKey) -> bool {
        self.fragments.remove(key).is_some()
    }

    /// Looks a fragment up.
    pub fn get(&self, key: &FragmentKey) -> Option<&Fragment> {
        self.fragments.get(key)
    }

    /// All fragments in key order.
    pub fn fragments(&self) -> impl Iterator<Item = (&FragmentKey, &Fragment)> {
        self.fragments.iter()
    }

    /// The hash of every fragment: what a session compares.
    pub fn hashes(&self) -> BTreeMap<FragmentKey, FragmentHash> {
        self.fragments.iter().map(|(k, f)| (k.clone(), FragmentHash::of(&f.encode()))).collect()
    }

    of_kind! {
        /// Peer nodes.
        nodes, Node, Node, Bound::Unbounded
    }
    of_kind! {
        /// Address spaces.
        vrfs, Vrf, Vrf, Bound::Included(FragmentKey::Vrf(VrfId::MIN))
    }
    of_kind! {
        /// Networks.
        networks, Network, Network, Bound::Included(FragmentKey::Network(Vni::MIN))
    }
    of_kind! {
        /// Groups.
        groups, Group, Group, Bound::Included(FragmentKey::Group(GroupId::MIN))
    }
    of_kind! {
        /// Policies.
        policies, Policy, Policy, Bound::Included(FragmentKey::Policy(PolicyId::MIN))
    }
    of_kind! {
        /// Endpoints, local and remote.
        endpoints, Endpoint, Endpoint, Bound::Included(FragmentKey::Endpoint(EndpointUid::MIN))
    }
}

impl FromIterator<Fragment> for NodeState {
    fn from_iter<I: IntoIterator<Item = Fragment>>(iter: I) -> Self {
        // A tree that is made of what is sorted is full; one that grows in order is half empty.
        let fragments = iter.into_iter().map(|fragment| (fragment.key(), fragment)).collect();
        Self { revision: Revision::default(), fragments }
    }
}
