//! Column types (RFC 7047 section 3.2 `<type>`): element types with their constraints, and element counts.
//!
//! Kind, element type and count of every value are checked here. Constraints (`enum`, ranges, `refTable`) are parsed,
//! because the generated tables are made of them, and left to the server to enforce: a default value may break the
//! `enum` of its own column (RFC 7047 section 5.2.1), so a client that enforced them would refuse what a server holds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::value::{Atom, Datum, Real, ValueError};

/// The type of an atom: RFC 7047 `<atomic-type>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AtomicType {
    /// A signed 64-bit integer.
    Integer,
    /// A real number.
    Real,
    /// A boolean.
    Boolean,
    /// A string.
    String,
    /// A UUID.
    Uuid,
}

impl AtomicType {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "integer" => Self::Integer,
            "real" => Self::Real,
            "boolean" => Self::Boolean,
            "string" => Self::String,
            "uuid" => Self::Uuid,
            _ => return None,
        })
    }

    /// The spelling in a schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Uuid => "uuid",
        }
    }

    fn default_atom(self) -> Result<Atom, ValueError> {
        Ok(match self {
            Self::Integer => Atom::Integer(0),
            Self::Real => Atom::Real(Real::new(0.0)?),
            Self::Boolean => Atom::Boolean(false),
            Self::String => Atom::String(String::new()),
            Self::Uuid => Atom::Uuid(Uuid::nil()),
        })
    }

    fn check(self, atom: Atom) -> Result<Atom, TypeError> {
        match (self, atom) {
            // ovsdb-server prints integral reals without a decimal point.
            #[expect(clippy::cast_precision_loss, reason = "the wire form was a rounded real")]
            (Self::Real, Atom::Integer(i)) => {
                Real::new(i as f64).map(Atom::Real).map_err(|_| TypeError::WrongAtom(self))
            }
            (Self::Integer, atom @ Atom::Integer(_))
            | (Self::Real, atom @ Atom::Real(_))
            | (Self::Boolean, atom @ Atom::Boolean(_))
            | (Self::String, atom @ Atom::String(_))
            | (Self::Uuid, atom @ Atom::Uuid(_)) => Ok(atom),
            _ => Err(TypeError::WrongAtom(self)),
        }
    }
}

/// What a reference does to the row it points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Keeps the row alive; a transaction that would leave it dangling fails.
    Strong,
    /// Is removed by the server together with the row.
    Weak,
}

/// What a base type allows beyond its atomic type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constraint {
    /// Everything.
    None,
    /// These values only.
    Enum(BTreeSet<Atom>),
    /// Integers of this range.
    Integers {
        /// Least.
        min: Option<i64>,
        /// Greatest.
        max: Option<i64>,
    },
    /// Reals of this range.
    Reals {
        /// Least.
        min: Option<Real>,
        /// Greatest.
        max: Option<Real>,
    },
    /// Strings of this many characters.
    Length {
        /// Fewest.
        min: Option<u64>,
        /// Most.
        max: Option<u64>,
    },
    /// UUIDs of rows of this table.
    Rows {
        /// Table.
        table: String,
        /// Kind of reference.
        strength: Strength,
    },
}

/// RFC 7047 `<base-type>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseType {
    /// The elements' type.
    pub atomic: AtomicType,
    /// Which of them are allowed.
    pub constraint: Constraint,
}

impl From<AtomicType> for BaseType {
    fn from(atomic: AtomicType) -> Self {
        Self { atomic, constraint: Constraint::None }
    }
}

impl BaseType {
    fn from_json(value: &Value) -> Option<Self> {
        let object = match value {
            Value::String(name) => return AtomicType::parse(name).map(Self::from),
            Value::Object(object) => object,
            _ => return None,
        };
        let atomic = AtomicType::parse(object.get("type")?.as_str()?)?;
        Some(Self { atomic, constraint: constraint(atomic, object)? })
    }
}

/// `None` when a constraint of this type is malformed. Members for other types are not looked at, as in OVS.
fn constraint(atomic: AtomicType, object: &Map<String, Value>) -> Option<Constraint> {
    if let Some(values) = object.get("enum") {
        let Datum::Set(values) = Datum::from_json(values).ok()? else { return None };
        let values: BTreeSet<_> =
            values.into_iter().map(|a| atomic.check(a)).collect::<Result<_, _>>().ok()?;
        return (!values.is_empty()).then_some(Constraint::Enum(values));
    }
    match atomic {
        AtomicType::Integer => {
            let (min, max) = bounds(object, "minInteger", "maxInteger", Value::as_i64)?;
            Some(if min.is_none() && max.is_none() {
                Constraint::None
            } else {
                Constraint::Integers { min, max }
            })
        }
        AtomicType::Real => {
            let real = |value: &Value| value.as_f64().and_then(|number| Real::new(number).ok());
            let (min, max) = bounds(object, "minReal", "maxReal", real)?;
            Some(if min.is_none() && max.is_none() {
                Constraint::None
            } else {
                Constraint::Reals { min, max }
            })
        }
        AtomicType::String => {
            let (min, max) = bounds(object, "minLength", "maxLength", Value::as_u64)?;
            Some(if min.is_none() && max.is_none() {
                Constraint::None
            } else {
                Constraint::Length { min, max }
            })
        }
        AtomicType::Boolean => Some(Constraint::None),
        AtomicType::Uuid => {
            let Some(table) = object.get("refTable") else { return Some(Constraint::None) };
            let strength = match object.get("refType").map(Value::as_str) {
                None | Some(Some("strong")) => Strength::Strong,
                Some(Some("weak")) => Strength::Weak,
                Some(_) => return None,
            };
            Some(Constraint::Rows { table: table.as_str()?.to_owned(), strength })
        }
    }
}

fn bounds<T>(
    object: &Map<String, Value>,
    min: &str,
    max: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Option<(Option<T>, Option<T>)> {
    let bound = |name| match object.get(name) {
        None => Some(None),
        Some(value) => read(value).map(Some),
    };
    Some((bound(min)?, bound(max)?))
}

/// The type of a column: RFC 7047 `<type>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnType {
    key: BaseType,
    value: Option<BaseType>,
    min: usize,
    max: usize,
}

impl ColumnType {
    /// A scalar of this type.
    pub fn scalar(key: AtomicType) -> Self {
        Self { key: key.into(), value: None, min: 1, max: 1 }
    }

    /// A scalar that may be absent.
    pub fn optional(key: AtomicType) -> Self {
        Self { key: key.into(), value: None, min: 0, max: 1 }
    }

    /// A set of any size.
    pub fn set(key: AtomicType) -> Self {
        Self { key: key.into(), value: None, min: 0, max: usize::MAX }
    }

    /// A set or map of `min` to `max` elements.
    #[cfg(test)]
    pub(crate) fn sized(key: AtomicType, value: Option<AtomicType>, min: usize, max: usize) -> Self {
        Self { key: key.into(), value: value.map(BaseType::from), min, max }
    }

    /// A map of any size.
    pub fn map(key: AtomicType, value: AtomicType) -> Self {
        Self { key: key.into(), value: Some(value.into()), min: 0, max: usize::MAX }
    }

    /// The elements, or a map's keys.
    pub fn key(&self) -> &BaseType {
        &self.key
    }

    /// A map's values; `None` for a set.
    pub fn value(&self) -> Option<&BaseType> {
        self.value.as_ref()
    }

    /// Fewest elements: 0 or 1.
    pub fn min(&self) -> usize {
        self.min
    }

    /// Most elements; `usize::MAX` stands for `unlimited`.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Whether a `modify` carries the new value instead of a difference: at most one element
    /// (`ovsdb_type_is_composite` in OVS lib/ovsdb-types.h).
    pub fn replaces_on_modify(&self) -> bool {
        self.max <= 1
    }

    /// The value of a column an insert leaves out (RFC 7047 section 5.2.1).
    pub fn default_datum(&self) -> Result<Datum, ValueError> {
        if let Some(value) = &self.value {
            return Ok(match self.min {
                0 => Datum::empty_map(),
                _ => Datum::Map(BTreeMap::from([(
                    self.key.atomic.default_atom()?,
                    value.atomic.default_atom()?,
                )])),
            });
        }
        Ok(match self.min {
            0 => Datum::empty_set(),
            _ => Datum::Set(BTreeSet::from([self.key.atomic.default_atom()?])),
        })
    }

    /// Checks kind, element types and count; turns integers into reals where the type says so.
    pub fn check(&self, datum: Datum) -> Result<Datum, TypeError> {
        let datum = self.check_elements(datum)?;
        if datum.len() < self.min || datum.len() > self.max {
            return Err(TypeError::WrongCount { len: datum.len(), min: self.min, max: self.max });
        }
        Ok(datum)
    }

    /// [`Self::check`] for the difference in a `modify`, whose size the type does not bound.
    pub fn check_difference(&self, datum: Datum) -> Result<Datum, TypeError> {
        if self.replaces_on_modify() { self.check(datum) } else { self.check_elements(datum) }
    }

    fn check_elements(&self, datum: Datum) -> Result<Datum, TypeError> {
        match (datum, &self.value) {
            (Datum::Set(set), None) => {
                let len = set.len();
                let set: BTreeSet<_> =
                    set.into_iter().map(|a| self.key.atomic.check(a)).collect::<Result<_, _>>()?;
                // `1` and `1.0` are two atoms until the type is known.
                if set.len() == len { Ok(Datum::Set(set)) } else { Err(TypeError::Duplicate) }
            }
            (Datum::Map(map), Some(value)) => {
                let len = map.len();
                let pairs =
                    map.into_iter().map(|(k, v)| Ok((self.key.atomic.check(k)?, value.atomic.check(v)?)));
                let map: BTreeMap<_, _> = pairs.collect::<Result<_, TypeError>>()?;
                if map.len() == len { Ok(Datum::Map(map)) } else { Err(TypeError::Duplicate) }
            }
            (Datum::Map(_), None) => Err(TypeError::NotASet),
            (Datum::Set(_), Some(_)) => Err(TypeError::NotAMap),
        }
    }

    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let object = match value {
            Value::String(name) => return AtomicType::parse(name).map(Self::scalar),
            Value::Object(object) => object,
            _ => return None,
        };
        let min = match object.get("min").map(Value::as_u64) {
            None => 1,
            Some(Some(min @ (0 | 1))) => usize::try_from(min).ok()?,
            Some(_) => return None,
        };
        let max = match object.get("max") {
            None => 1,
            Some(Value::String(text)) if text == "unlimited" => usize::MAX,
            Some(number) => usize::try_from(number.as_u64().filter(|max| *max >= 1)?).ok()?,
        };
        let value = match object.get("value") {
            Some(base) => Some(BaseType::from_json(base)?),
            None => None,
        };
        Some(Self { key: BaseType::from_json(object.get("key")?)?, value, min, max })
    }
}

/// Why a value does not fit its column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// A map where a set belongs.
    #[error("expected a set, found a map")]
    NotASet,
    /// A set where a map belongs.
    #[error("expected a map, found a set")]
    NotAMap,
    /// An element of another type.
    #[error("expected elements of type {0:?}")]
    WrongAtom(AtomicType),
    /// Two elements that are one number.
    #[error("an element is given twice")]
    Duplicate,
    /// Too few or too many elements.
    #[error("{len} elements where {min} to {max} are allowed")]
    WrongCount {
        /// Elements found.
        len: usize,
        /// Fewest allowed.
        min: usize,
        /// Most allowed.
        max: usize,
    },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> ColumnType {
        ColumnType::from_json(&value).unwrap()
    }

    #[test]
    fn parses_the_forms_of_a_column_type() {
        assert_eq!(parse(json!("integer")), ColumnType::scalar(AtomicType::Integer));
        assert_eq!(parse(json!({"key": "uuid", "min": 0})), ColumnType::optional(AtomicType::Uuid));
        assert_eq!(
            parse(json!({"key": "string", "value": "integer", "min": 0, "max": "unlimited"})),
            ColumnType::map(AtomicType::String, AtomicType::Integer)
        );
    }

    #[test]
    fn parses_constraints() {
        let constraint = |base: Value| parse(json!({ "key": base })).key.constraint;
        assert_eq!(
            constraint(json!({"type": "integer", "minInteger": 0})),
            Constraint::Integers { min: Some(0), max: None }
        );
        assert_eq!(
            constraint(json!({"type": "string", "enum": ["set", ["b", "a"]]})),
            Constraint::Enum(BTreeSet::from(["a".into(), "b".into()]))
        );
        let rows = |strength| Constraint::Rows { table: "T".into(), strength };
        assert_eq!(constraint(json!({"type": "uuid", "refTable": "T"})), rows(Strength::Strong));
        assert_eq!(
            constraint(json!({"type": "uuid", "refTable": "T", "refType": "weak"})),
            rows(Strength::Weak)
        );
    }

    #[test]
    fn refuses_types_it_does_not_understand() {
        for value in [
            json!(1),
            json!({"key": "decimal"}),
            json!({"key": "string", "max": "many"}),
            json!({"key": "string", "max": 0}),
            json!({"key": "string", "min": 2, "max": 3}),
            json!({"key": "string", "value": "decimal"}),
            json!({"key": {"type": "integer", "minInteger": "one"}}),
            json!({"key": {"type": "uuid", "refTable": 1}}),
            json!({"key": {"type": "uuid", "refTable": "T", "refType": "firm"}}),
            json!({"key": {"type": "string", "enum": ["set", [1]]}}),
            json!({"key": {"type": "string", "enum": ["set", []]}}),
        ] {
            assert!(ColumnType::from_json(&value).is_none(), "{value}");
        }
    }

    #[test]
    fn reads_integral_reals_as_reals() {
        let real = ColumnType::scalar(AtomicType::Real);
        assert_eq!(real.check(Datum::scalar(2)).unwrap(), Datum::scalar(Atom::Real(Real::new(2.0).unwrap())));
    }

    #[test]
    fn refuses_numbers_that_are_one_once_their_type_is_known() {
        let one = Atom::Real(Real::new(1.0).unwrap());
        let set = Datum::Set(BTreeSet::from([Atom::Integer(1), one.clone()]));
        assert_eq!(ColumnType::set(AtomicType::Real).check(set), Err(TypeError::Duplicate));
        let map = Datum::map([(Atom::Integer(1), 1), (one, 2)]);
        let column = ColumnType::map(AtomicType::Real, AtomicType::Integer);
        assert_eq!(column.check(map), Err(TypeError::Duplicate));
    }

    #[test]
    fn refuses_values_of_other_types_and_sizes() {
        let optional = ColumnType::optional(AtomicType::String);
        assert_eq!(optional.check(Datum::scalar(1)), Err(TypeError::WrongAtom(AtomicType::String)));
        assert_eq!(optional.check(Datum::empty_map()), Err(TypeError::NotASet));
        assert!(matches!(optional.check(Datum::set(["a", "b"])), Err(TypeError::WrongCount { len: 2, .. })));
        assert!(ColumnType::scalar(AtomicType::Uuid).check(Datum::empty_set()).is_err());
    }

    #[test]
    fn refuses_the_name_of_a_row_where_a_row_is_stored() {
        let name = Datum::scalar(crate::value::UuidName::new("row0").unwrap());
        let column = ColumnType::scalar(AtomicType::Uuid);
        assert_eq!(column.check(name), Err(TypeError::WrongAtom(AtomicType::Uuid)));
    }
}
