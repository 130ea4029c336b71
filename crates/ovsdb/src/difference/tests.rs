//! The rule of ovsdb-server(7) section 4.1.14 against a model that has neither sets nor maps, for every shape of column.

use proptest::prelude::*;

use super::*;
use crate::schema::{AtomicType, ColumnType};
use crate::value::{Atom, Real};

const ATOMS: [AtomicType; 5] =
    [AtomicType::Integer, AtomicType::Real, AtomicType::Boolean, AtomicType::String, AtomicType::Uuid];

fn atom(of: AtomicType) -> BoxedStrategy<Atom> {
    match of {
        AtomicType::Integer => (0i64..6).prop_map(Atom::Integer).boxed(),
        AtomicType::Real => {
            (0i32..6).prop_map(|n| Atom::Real(Real::new(f64::from(n) / 2.0).unwrap())).boxed()
        }
        AtomicType::Boolean => any::<bool>().prop_map(Atom::Boolean).boxed(),
        AtomicType::String => "[a-c]{0,2}".prop_map(Atom::String).boxed(),
        AtomicType::Uuid => (0u128..6).prop_map(|n| Atom::Uuid(uuid::Uuid::from_u128(n))).boxed(),
    }
}

/// A column of any shape and a strategy for its values.
fn column() -> impl Strategy<Value = (ColumnType, BoxedStrategy<Datum>)> {
    let max = prop_oneof![Just(1usize), Just(2), Just(3), Just(usize::MAX)];
    let types =
        (proptest::sample::select(&ATOMS[..]), proptest::option::of(proptest::sample::select(&ATOMS[..])));
    (types, 0usize..2, max).prop_map(|((key, value), min, max)| {
        let column = ColumnType::sized(key, value, min, max);
        let size = min..=max.min(5);
        let values = match value {
            None => proptest::collection::btree_set(atom(key), size).prop_map(Datum::Set).boxed(),
            Some(value) => {
                proptest::collection::btree_map(atom(key), atom(value), size).prop_map(Datum::Map).boxed()
            }
        };
        (column, values)
    })
}

fn change() -> impl Strategy<Value = (ColumnType, Datum, Datum)> {
    column().prop_flat_map(|(column, values)| (Just(column), values.clone(), values))
}

/// The elements as pairs, in no particular structure; a set's have no second half.
fn pairs(datum: &Datum) -> Vec<(Atom, Option<Atom>)> {
    match datum {
        Datum::Set(set) => set.iter().map(|atom| (atom.clone(), None)).collect(),
        Datum::Map(map) => map.iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect(),
    }
}

/// "The difference between two sets are all elements that only belong to one of the sets. The difference between two
/// maps are all key-value pairs whose keys appears in only one of the maps, plus the key-value pairs whose keys appear
/// in both maps but with different values. For the latter elements, the difference includes the value from the new
/// column."
fn documented(old: &Datum, new: &Datum) -> Vec<(Atom, Option<Atom>)> {
    let (old, new) = (pairs(old), pairs(new));
    let has_key = |pairs: &[(Atom, Option<Atom>)], key: &Atom| pairs.iter().any(|(k, _)| k == key);
    let gone = old.iter().filter(|(key, _)| !has_key(&new, key));
    let added = new.iter().filter(|(key, _)| !has_key(&old, key));
    let changed = new.iter().filter(|pair| has_key(&old, &pair.0) && !old.contains(pair));
    let mut difference: Vec<_> = gone.chain(added).chain(changed).cloned().collect();
    difference.sort();
    difference
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn applying_the_difference_gives_the_new_value((column, old, new) in change()) {
        let diff = difference(&column, &old, &new).unwrap();
        prop_assert_eq!(apply(&column, &old, &diff).unwrap(), new);
    }

    #[test]
    fn difference_is_the_documented_one((column, old, new) in change()) {
        let diff = difference(&column, &old, &new).unwrap();
        if column.max() == 1 {
            prop_assert_eq!(diff, new);
        } else {
            let mut mine = pairs(&diff);
            mine.sort();
            prop_assert_eq!(mine, documented(&old, &new));
        }
    }

    #[test]
    fn equal_values_and_no_others_have_an_empty_difference((column, old, new) in change()) {
        let diff = difference(&column, &old, &new).unwrap();
        prop_assert!(column.max() == 1 || diff.is_empty() == (old == new));
        // It can be sent: a difference of the column's own elements, whatever their number.
        prop_assert!(column.check_difference(diff).is_ok());
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
fn maps_of_one_pair_are_replaced() {
    let column = ColumnType::sized(AtomicType::String, Some(AtomicType::String), 0, 1);
    let (old, new) = (Datum::map([("a", "b")]), Datum::map([("a", "c")]));
    assert_eq!(apply(&column, &old, &new).unwrap(), new);
    assert_eq!(apply(&column, &old, &old).unwrap(), old, "an equal pair does not remove");
}

#[test]
fn refuses_to_mix_sets_and_maps() {
    let column = ColumnType::set(AtomicType::Integer);
    assert_eq!(apply(&column, &Datum::empty_set(), &Datum::empty_map()), Err(DifferenceError::Kind));
}

#[test]
fn refuses_a_difference_that_leads_out_of_the_type() {
    let three = ColumnType::sized(AtomicType::Integer, None, 1, 3);
    let (old, full) = (Datum::set([1, 2]), Datum::set([3, 4]));
    assert_eq!(apply(&three, &old, &full), Err(DifferenceError::Count { len: 4, min: 1, max: 3 }));
    assert_eq!(apply(&three, &old, &old), Err(DifferenceError::Count { len: 0, min: 1, max: 3 }));
}
