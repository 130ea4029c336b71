//! Atoms and datums: the values an OVSDB column holds (RFC 7047 section 5.1).
//!
//! A [`Datum`] is a set or a map of [`Atom`]s in canonical order, so that equal values compare and print
//! equal whatever order the server sent them in. A scalar is a set of one.
//!
//! ovsdb-server writes reals with 15 digits, so a replica holds them rounded, as `ovsdb-client dump` shows them. A set
//! of two reals that are the same in 15 digits cannot be told apart on the wire and is refused as a duplicate.
//!
//! Decoding is strict and fails closed: duplicate elements, unknown tags, integers beyond 64 bits and nested
//! values are errors. JSON alone cannot tell the real `1` from the integer `1` (ovsdb-server prints both the
//! same way); [`crate::schema::ColumnType::check`] settles that with the schema in hand.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};
use uuid::Uuid;

/// A finite 64-bit floating point number with a total order.
#[derive(Clone, Copy, Debug)]
pub struct Real(f64);

impl Real {
    /// Wraps a finite number; JSON has no spelling for the others.
    pub fn new(value: f64) -> Result<Self, ValueError> {
        // `+ 0.0` folds -0.0 into 0.0, which OVSDB does not distinguish.
        if value.is_finite() { Ok(Self(value + 0.0)) } else { Err(ValueError::NotFinite) }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Real {}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Real {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The name of a row inserted earlier or later in the same transaction (RFC 7047 `<named-uuid>`, an `<id>`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UuidName(String);

impl UuidName {
    /// Accepts `[a-zA-Z_][a-zA-Z0-9_]*`.
    pub fn new(name: impl Into<String>) -> Result<Self, ValueError> {
        let name = name.into();
        let mut chars = name.chars();
        let head = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if head && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            Ok(Self(name))
        } else {
            Err(ValueError::BadUuidName(name))
        }
    }

    /// The name of the `n`th row inserted by a transaction.
    pub(crate) fn nth(n: usize) -> Self {
        Self(format!("row{n}"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One element: RFC 7047 `<atom>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// A signed 64-bit integer.
    Integer(i64),
    /// A finite real number.
    Real(Real),
    /// A boolean.
    Boolean(bool),
    /// A Unicode string.
    String(String),
    /// A row's UUID.
    Uuid(Uuid),
    /// A row inserted by the same transaction.
    NamedUuid(UuidName),
}

impl Atom {
    /// The JSON form of RFC 7047 section 5.1.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Integer(i) => json!(i),
            Self::Real(r) => json!(r.0),
            Self::Boolean(b) => json!(b),
            Self::String(s) => json!(s),
            Self::Uuid(u) => json!(["uuid", u.to_string()]),
            Self::NamedUuid(n) => json!(["named-uuid", n.0]),
        }
    }

    /// Decodes an atom; anything else is an error.
    pub fn from_json(value: &Value) -> Result<Self, ValueError> {
        match value {
            Value::Bool(b) => Ok(Self::Boolean(*b)),
            Value::String(s) => Ok(Self::String(s.clone())),
            Value::Number(n) => match n.as_i64() {
                Some(i) => Ok(Self::Integer(i)),
                None if n.is_f64() => {
                    n.as_f64().ok_or(ValueError::NotFinite).and_then(Real::new).map(Self::Real)
                }
                None => Err(ValueError::IntegerTooLarge(n.to_string())),
            },
            Value::Array(items) => match items.as_slice() {
                [Value::String(tag), Value::String(id)] if tag == "uuid" => parse_uuid(id).map(Self::Uuid),
                [Value::String(tag), Value::String(id)] if tag == "named-uuid" => {
                    UuidName::new(id.as_str()).map(Self::NamedUuid)
                }
                _ => Err(ValueError::NotAnAtom),
            },
            Value::Null | Value::Object(_) => Err(ValueError::NotAnAtom),
        }
    }
}

/// Parses the hyphenated lower or upper case form only; RFC 7047 allows no other.
pub(crate) fn parse_uuid(text: &str) -> Result<Uuid, ValueError> {
    if text.len() != 36 {
        return Err(ValueError::BadUuid(text.to_owned()));
    }
    Uuid::try_parse(text).map_err(|_| ValueError::BadUuid(text.to_owned()))
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(i) => i.fmt(f),
            Self::Real(r) => r.0.fmt(f),
            Self::Boolean(b) => b.fmt(f),
            Self::String(s) => write!(f, "{s:?}"),
            Self::Uuid(u) => u.fmt(f),
            Self::NamedUuid(n) => f.write_str(&n.0),
        }
    }
}

impl From<i64> for Atom {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Atom {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for Atom {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Atom {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<Uuid> for Atom {
    fn from(value: Uuid) -> Self {
        Self::Uuid(value)
    }
}

impl From<UuidName> for Atom {
    fn from(value: UuidName) -> Self {
        Self::NamedUuid(value)
    }
}

/// What a column holds: RFC 7047 `<value>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Datum {
    /// A set; a scalar is a set of one.
    Set(BTreeSet<Atom>),
    /// A map.
    Map(BTreeMap<Atom, Atom>),
}

impl Datum {
    /// A set of one.
    pub fn scalar(atom: impl Into<Atom>) -> Self {
        Self::Set(BTreeSet::from([atom.into()]))
    }

    /// The empty set.
    pub fn empty_set() -> Self {
        Self::Set(BTreeSet::new())
    }

    /// The empty map.
    pub fn empty_map() -> Self {
        Self::Map(BTreeMap::new())
    }

    /// A set of the given elements.
    pub fn set<A: Into<Atom>>(items: impl IntoIterator<Item = A>) -> Self {
        Self::Set(items.into_iter().map(Into::into).collect())
    }

    /// A map of the given pairs.
    pub fn map<K: Into<Atom>, V: Into<Atom>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Map(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// Number of elements or pairs.
    pub fn len(&self) -> usize {
        match self {
            Self::Set(set) => set.len(),
            Self::Map(map) => map.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The only element of a set of one.
    pub fn as_scalar(&self) -> Option<&Atom> {
        match self {
            Self::Set(set) if set.len() == 1 => set.first(),
            Self::Set(_) | Self::Map(_) => None,
        }
    }

    /// The JSON form; a set of one is written as the bare atom, as ovsdb-server does.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Set(set) => match self.as_scalar() {
                Some(atom) => atom.to_json(),
                None => json!(["set", set.iter().map(Atom::to_json).collect::<Vec<_>>()]),
            },
            Self::Map(map) => {
                json!(["map", map.iter().map(|(k, v)| json!([k.to_json(), v.to_json()])).collect::<Vec<_>>()])
            }
        }
    }

    /// Decodes a set, map or bare atom.
    pub fn from_json(value: &Value) -> Result<Self, ValueError> {
        match value {
            Value::Array(items) => match items.as_slice() {
                [Value::String(tag), Value::Array(elements)] if tag == "set" => set_from_json(elements),
                [Value::String(tag), Value::Array(pairs)] if tag == "map" => map_from_json(pairs),
                _ => Atom::from_json(value).map(Self::scalar),
            },
            _ => Atom::from_json(value).map(Self::scalar),
        }
    }
}

fn set_from_json(elements: &[Value]) -> Result<Datum, ValueError> {
    let mut set = BTreeSet::new();
    for element in elements {
        let atom = Atom::from_json(element)?;
        if let Some(duplicate) = set.replace(atom) {
            return Err(ValueError::Duplicate(duplicate.to_string()));
        }
    }
    Ok(Datum::Set(set))
}

fn map_from_json(pairs: &[Value]) -> Result<Datum, ValueError> {
    let mut map = BTreeMap::new();
    for pair in pairs {
        let Some([key, value]) = pair.as_array().map(Vec::as_slice) else { return Err(ValueError::NotAPair) };
        let key = Atom::from_json(key)?;
        if map.insert(key.clone(), Atom::from_json(value)?).is_some() {
            return Err(ValueError::Duplicate(key.to_string()));
        }
    }
    Ok(Datum::Map(map))
}

impl<A: Into<Atom>> From<A> for Datum {
    fn from(value: A) -> Self {
        Self::scalar(value)
    }
}

/// Why a JSON value is not an OVSDB value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not one of the atom forms.
    #[error("not an OVSDB atom")]
    NotAnAtom,
    /// A map element that is not a two-element array.
    #[error("map element is not a pair")]
    NotAPair,
    /// An element or key given twice.
    #[error("duplicate element {0}")]
    Duplicate(String),
    /// Beyond the signed 64-bit range.
    #[error("integer {0} does not fit 64 bits")]
    IntegerTooLarge(String),
    /// Infinite or not a number.
    #[error("real is not finite")]
    NotFinite,
    /// Not an RFC 4122 UUID.
    #[error("{0:?} is not a UUID")]
    BadUuid(String),
    /// Not an RFC 7047 `<id>`.
    #[error("{0:?} is not a valid uuid-name")]
    BadUuidName(String),
}

#[cfg(test)]
pub(crate) mod strategies {
    //! Generators of values for property tests.
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn atom() -> impl Strategy<Value = Atom> {
        prop_oneof![
            any::<i64>().prop_map(Atom::Integer),
            (-1_000_000i32..1_000_000).prop_map(|n| Atom::Real(Real(f64::from(n) / 8.0 + 0.0625))),
            any::<bool>().prop_map(Atom::Boolean),
            "[ -~\u{e9}\u{1f980}\\n\"\\\\{}\\[\\]]{0,8}".prop_map(Atom::String),
            any::<u128>().prop_map(|n| Atom::Uuid(Uuid::from_u128(n))),
            "[a-z_][a-z0-9_]{0,6}".prop_map(|n| Atom::NamedUuid(UuidName(n))),
        ]
    }

    pub(crate) fn datum() -> impl Strategy<Value = Datum> {
        prop_oneof![
            proptest::collection::btree_set(atom(), 0..5).prop_map(Datum::Set),
            proptest::collection::btree_map(atom(), atom(), 0..5).prop_map(Datum::Map),
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn json_round_trips_every_datum(datum in strategies::datum()) {
            let text = datum.to_json().to_string();
            let back: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(Datum::from_json(&back).unwrap(), datum);
        }
    }

    fn decode(text: &str) -> Result<Datum, ValueError> {
        Datum::from_json(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn bare_atom_and_set_of_one_are_equal() {
        assert_eq!(decode("7"), decode(r#"["set",[7]]"#));
        assert_eq!(decode(r#"["set",[7]]"#).unwrap().to_json(), json!(7));
    }

    #[test]
    fn order_on_the_wire_does_not_matter() {
        assert_eq!(decode(r#"["set",["b","a"]]"#), decode(r#"["set",["a","b"]]"#));
        assert_eq!(decode(r#"["map",[["b",1],["a",2]]]"#), decode(r#"["map",[["a",2],["b",1]]]"#));
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for text in [
            "null",
            "{}",
            "[]",
            r#"["uuid"]"#,
            r#"["uuid","no-uuid"]"#,
            r#"["uuid","0123456789abcdef0123456789abcdef"]"#,
            r#"["named-uuid","9x"]"#,
            r#"["set",[["set",[1]]]]"#,
            r#"["set",[1,1]]"#,
            r#"["map",[["a",1],["a",2]]]"#,
            r#"["map",[["a"]]]"#,
            r#"["bag",[1]]"#,
            "9223372036854775808",
        ] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
