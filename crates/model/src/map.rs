//! The map intent is kept in: ordered, and cheap to copy.
//!
//! A view of all intent is handed to many readers while it goes on changing. With a persistent map (`rpds`) a copy costs
//! nothing and shares everything, and a change copies the path to what changed (Okasaki, *Purely Functional Data
//! Structures*, chapter 3). So one more endpoint costs the logarithm of their number, whoever still looks at the view of
//! before.
//!
//! # Invariants
//! Iteration is in key order, as that of a `BTreeMap`. A copy never sees a later change.

use std::fmt;
use std::ops::{Index, RangeBounds};

use rpds::RedBlackTreeMapSync;

/// An ordered map whose copies share what is equal.
#[derive(Clone)]
pub struct Map<K: Ord, V>(RedBlackTreeMapSync<K, V>);

impl<K: Ord, V> Map<K, V> {
    /// An empty one.
    pub fn new() -> Self {
        Self(RedBlackTreeMapSync::new_sync())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.size()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// Pairs in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().inspect(|_| visited())
    }

    /// Pairs whose key lies in a range, in key order; found without looking at the others.
    pub fn range(&self, range: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.range(range).inspect(|_| visited())
    }

    /// Keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys().inspect(|_| visited())
    }

    /// Values in key order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values().inspect(|_| visited())
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: K, value: V) {
        self.0.insert_mut(key, value);
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, key: &K) -> bool {
        self.0.remove_mut(key)
    }
}

impl<K: Ord, V> Default for Map<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord + fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord, V: PartialEq> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K: Ord, V: Eq> Eq for Map<K, V> {}

impl<K: Ord, V> Index<&K> for Map<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        &self.0[key]
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut map = Self::new();
        pairs.into_iter().for_each(|(key, value)| map.insert(key, value));
        map
    }
}

impl<'a, K: Ord, V> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Box<dyn Iterator<Item = (&'a K, &'a V)> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

/// Notes that an entry was looked at while all or some are gone through.
#[cfg(not(test))]
const fn visited() {}

#[cfg(test)]
use tests::visited;

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    std::thread_local! {
        /// Each test has a thread of its own.
        static VISITS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn visited() {
        VISITS.set(VISITS.get() + 1);
    }

    /// How many entries this looks at by going through maps.
    pub(crate) fn visits(work: impl FnOnce()) -> usize {
        let before = VISITS.get();
        work();
        VISITS.get() - before
    }

    proptest! {
        /// Any history leaves what it leaves in a `BTreeMap`, and copies taken on the way stay as they were.
        #[test]
        fn agrees_with_a_plain_map(steps in proptest::collection::vec((0_u8..40, any::<bool>()), 0..200)) {
            let (mut map, mut plain) = (Map::new(), BTreeMap::new());
            let mut copies = Vec::new();
            for (n, (key, put)) in steps.into_iter().enumerate() {
                if put {
                    map.insert(key, n);
                    plain.insert(key, n);
                } else {
                    prop_assert_eq!(map.remove(&key), plain.remove(&key).is_some());
                }
                if n % 16 == 0 {
                    copies.push((map.clone(), plain.clone()));
                }
            }
            copies.push((map, plain));
            for (map, plain) in copies {
                prop_assert!(map.iter().eq(plain.iter()));
                prop_assert!(map.range(10..20).eq(plain.range(10..20)));
                prop_assert_eq!(map.len(), plain.len());
            }
        }
    }

    #[test]
    fn a_change_leaves_other_values_shared() {
        let mut map: Map<u32, Arc<u32>> = (0..1_000).map(|n| (n, Arc::new(n))).collect();
        let before = map.clone();
        map.insert(500, Arc::new(0));
        map.remove(&1);
        let owners: Vec<usize> = before.values().map(Arc::strong_count).collect();
        assert_eq!(owners.iter().max(), Some(&1), "a value that did not change was copied");
        assert_eq!((before.len(), map.len()), (1_000, 999));
    }
}
