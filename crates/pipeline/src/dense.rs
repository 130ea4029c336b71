//! Trees without room to spare.
//!
//! What is inserted into a B-tree in order leaves every node but the last half empty, and a node's whole state comes in
//! order when the agent starts. A tree that is made of what is sorted is full; so the large ones are made anew, once, after
//! the first rendering, and later changes find them as any tree is.

use std::collections::{BTreeMap, BTreeSet};

/// A tree that can be made anew.
pub(crate) trait Dense {
    /// Makes it anew, of what it holds: full nodes, the same content.
    fn make_dense(&mut self);
}

impl<K: Ord, V> Dense for BTreeMap<K, V> {
    fn make_dense(&mut self) {
        *self = std::mem::take(self).into_iter().collect();
    }
}

impl<K: Ord> Dense for BTreeSet<K> {
    fn make_dense(&mut self) {
        *self = std::mem::take(self).into_iter().collect();
    }
}
