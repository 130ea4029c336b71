//! Rust types of columns: what each is read from and how.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Ref;
use crate::schema::{AtomicType, ColumnType};
use crate::value::{Atom, Datum, Real};

/// How many elements a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    /// Exactly one.
    One,
    /// None or one.
    Optional,
    /// Any number.
    Any,
}

/// What a Rust type can be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// How many elements.
    pub count: Count,
    /// The elements, or a map's keys.
    pub key: AtomicType,
    /// A map's values.
    pub value: Option<AtomicType>,
}

impl Shape {
    /// Whether every value of a column of this type can be read.
    pub fn fits(&self, column: &ColumnType) -> bool {
        let counted = match self.count {
            Count::One => column.min() == 1 && column.max() == 1,
            Count::Optional => column.max() == 1,
            Count::Any => true,
        };
        counted && column.key().atomic == self.key && column.value().map(|base| base.atomic) == self.value
    }

    /// In words.
    pub fn describe(&self) -> &'static str {
        use AtomicType::{Boolean, Integer, Real, String, Uuid};
        match (self.count, self.key, self.value) {
            (_, Integer, Some(Uuid)) => "a map of integers to rows",
            (_, String, Some(String)) => "a map of strings",
            (_, String, Some(Integer)) => "a map of strings to integers",
            (_, String, Some(Uuid)) => "a map of strings to rows",
            (_, _, Some(_)) => "a map",
            (Count::One, Integer, None) => "an integer",
            (Count::One, Real, None) => "a real",
            (Count::One, Boolean, None) => "a boolean",
            (Count::One, String, None) => "a string",
            (Count::One, Uuid, None) => "a row",
            (Count::Optional, Integer, None) => "an optional integer",
            (Count::Optional, Real, None) => "an optional real",
            (Count::Optional, Boolean, None) => "an optional boolean",
            (Count::Optional, String, None) => "an optional string",
            (Count::Optional, Uuid, None) => "an optional row",
            (Count::Any, Integer, None) => "a set of integers",
            (Count::Any, Real, None) => "a set of reals",
            (Count::Any, Boolean, None) => "a set of booleans",
            (Count::Any, String, None) => "a set of strings",
            (Count::Any, Uuid, None) => "a set of rows",
        }
    }
}

/// One element of a column.
pub trait Element: Ord + Sized {
    /// Its atomic type.
    const ATOMIC: AtomicType;
    /// Reads it; `None` for another type.
    fn from_atom(atom: &Atom) -> Option<Self>;
    /// Writes it.
    fn to_atom(&self) -> Atom;
}

macro_rules! elements {
    ($($rust:ty = $variant:ident),*) => {$(
        impl Element for $rust {
            const ATOMIC: AtomicType = AtomicType::$variant;

            fn from_atom(atom: &Atom) -> Option<Self> {
                if let Atom::$variant(value) = atom { Some(value.clone()) } else { None }
            }

            fn to_atom(&self) -> Atom {
                Atom::$variant(self.clone())
            }
        }
    )*};
}

elements!(i64 = Integer, Real = Real, bool = Boolean, String = String, Uuid = Uuid);

impl<T: 'static> Element for Ref<T> {
    const ATOMIC: AtomicType = AtomicType::Uuid;

    fn from_atom(atom: &Atom) -> Option<Self> {
        if let Atom::Uuid(uuid) = atom { Some(Self::new(*uuid)) } else { None }
    }

    fn to_atom(&self) -> Atom {
        Atom::Uuid(self.uuid())
    }
}

/// The values of a column.
pub trait ColumnValue: Sized {
    /// What they are read from.
    const SHAPE: Shape;
    /// Reads one; `None` for another shape.
    fn from_datum(datum: &Datum) -> Option<Self>;
    /// Writes it.
    fn to_datum(&self) -> Datum;
}

impl<E: Element> ColumnValue for E {
    const SHAPE: Shape = Shape { count: Count::One, key: E::ATOMIC, value: None };

    fn from_datum(datum: &Datum) -> Option<Self> {
        datum.as_scalar().and_then(E::from_atom)
    }

    fn to_datum(&self) -> Datum {
        Datum::scalar(self.to_atom())
    }
}

impl<E: Element> ColumnValue for Option<E> {
    const SHAPE: Shape = Shape { count: Count::Optional, key: E::ATOMIC, value: None };

    fn from_datum(datum: &Datum) -> Option<Self> {
        match datum {
            Datum::Set(set) if set.is_empty() => Some(None),
            datum => E::from_datum(datum).map(Some),
        }
    }

    fn to_datum(&self) -> Datum {
        Datum::set(self.as_ref().map(E::to_atom))
    }
}

impl<E: Element> ColumnValue for BTreeSet<E> {
    const SHAPE: Shape = Shape { count: Count::Any, key: E::ATOMIC, value: None };

    fn from_datum(datum: &Datum) -> Option<Self> {
        let Datum::Set(set) = datum else { return None };
        set.iter().map(E::from_atom).collect()
    }

    fn to_datum(&self) -> Datum {
        Datum::set(self.iter().map(E::to_atom))
    }
}

impl<K: Element, V: Element> ColumnValue for BTreeMap<K, V> {
    const SHAPE: Shape = Shape { count: Count::Any, key: K::ATOMIC, value: Some(V::ATOMIC) };

    fn from_datum(datum: &Datum) -> Option<Self> {
        let Datum::Map(map) = datum else { return None };
        map.iter().map(|(k, v)| K::from_atom(k).zip(V::from_atom(v))).collect()
    }

    fn to_datum(&self) -> Datum {
        Datum::map(self.iter().map(|(k, v)| (k.to_atom(), v.to_atom())))
    }
}
