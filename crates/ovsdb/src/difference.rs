//! Differences between two values of a column, as `update2` and `update3` carry them in `modify`.
//!
//! ovsdb-server(7) section 4.1.14: a column that holds at most one element is replaced; a set's difference is
//! the symmetric difference; a map's difference has the pairs whose key is in only one of the maps, and the new
//! pair of each key whose value changed. Law: `apply(a, difference(a, b)) == b`, a property test below.

use crate::schema::ColumnType;
use crate::value::Datum;

/// The old value and the difference are not of the same kind (set or map).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("difference and value are not both sets or both maps")]
pub struct KindMismatch;

/// What turns `old` into `new`.
pub fn difference(column: &ColumnType, old: &Datum, new: &Datum) -> Result<Datum, KindMismatch> {
    if column.replaces_on_modify() {
        return Ok(new.clone());
    }
    match (old, new) {
        (Datum::Set(old), Datum::Set(new)) => {
            Ok(Datum::Set(old.symmetric_difference(new).cloned().collect()))
        }
        (Datum::Map(old), Datum::Map(new)) => {
            let changed = new.iter().filter(|&(k, v)| old.get(k) != Some(v));
            let gone = old.iter().filter(|&(k, _)| !new.contains_key(k));
            Ok(Datum::Map(changed.chain(gone).map(|(k, v)| (k.clone(), v.clone())).collect()))
        }
        _ => Err(KindMismatch),
    }
}

/// Applies a difference to the old value.
pub fn apply(column: &ColumnType, old: &Datum, difference: &Datum) -> Result<Datum, KindMismatch> {
    if column.replaces_on_modify() {
        return Ok(difference.clone());
    }
    match (old, difference) {
        (Datum::Set(old), Datum::Set(diff)) => {
            Ok(Datum::Set(old.symmetric_difference(diff).cloned().collect()))
        }
        (Datum::Map(old), Datum::Map(diff)) => {
            let mut new = old.clone();
            for (key, value) in diff {
                // An equal pair in the difference means the key is gone, anything else is its new value.
                if new.get(key) == Some(value) {
                    new.remove(key);
                } else {
                    new.insert(key.clone(), value.clone());
                }
            }
            Ok(Datum::Map(new))
        }
        _ => Err(KindMismatch),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::schema::AtomicType;
    use crate::value::Atom;

    fn small_atom() -> impl Strategy<Value = Atom> {
        (0i64..6).prop_map(Atom::Integer)
    }

    fn set() -> impl Strategy<Value = BTreeSet<Atom>> {
        proptest::collection::btree_set(small_atom(), 0..6)
    }

    fn map() -> impl Strategy<Value = BTreeMap<Atom, Atom>> {
        proptest::collection::btree_map(small_atom(), small_atom(), 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn applying_the_difference_of_sets_gives_the_new_set(a in set(), b in set()) {
            let column = ColumnType::set(AtomicType::Integer);
            let (a, b) = (Datum::Set(a), Datum::Set(b));
            let diff = difference(&column, &a, &b).unwrap();
            prop_assert_eq!(diff.is_empty(), a == b);
            prop_assert_eq!(apply(&column, &a, &diff).unwrap(), b);
        }

        #[test]
        fn applying_the_difference_of_maps_gives_the_new_map(a in map(), b in map()) {
            let column = ColumnType::map(AtomicType::Integer, AtomicType::Integer);
            let (a, b) = (Datum::Map(a), Datum::Map(b));
            let diff = difference(&column, &a, &b).unwrap();
            prop_assert_eq!(diff.is_empty(), a == b);
            prop_assert_eq!(apply(&column, &a, &diff).unwrap(), b);
        }
    }

    #[test]
    fn optional_columns_are_replaced() {
        let column = ColumnType::optional(AtomicType::Integer);
        let new = apply(&column, &Datum::scalar(5), &Datum::scalar(6)).unwrap();
        assert_eq!(new, Datum::scalar(6));
        assert_eq!(apply(&column, &new, &Datum::empty_set()).unwrap(), Datum::empty_set());
    }

    #[test]
    fn refuses_to_mix_sets_and_maps() {
        let column = ColumnType::set(AtomicType::Integer);
        assert_eq!(apply(&column, &Datum::empty_set(), &Datum::empty_map()), Err(KindMismatch));
    }
}
