//! Database schemas (RFC 7047 section 3.2) and the checking of values against column types.
//!
//! The schema the server reports decides how a column is read: whether `1` is a real, what the value of a
//! column left out of an insert is, and how the difference in a `modify` applies. The `version` member is
//! kept; members this crate does not use (`cksum`, `ephemeral`, `isRoot`, ...) are ignored, so newer
//! schemas parse. A column *type* that is not understood is an error.

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
            | (Self::Uuid, atom @ (Atom::Uuid(_) | Atom::NamedUuid(_))) => Ok(atom),
            _ => Err(TypeError::WrongAtom(self)),
        }
    }
}

/// The type of a column: RFC 7047 `<type>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnType {
    key: AtomicType,
    value: Option<AtomicType>,
    min: usize,
    max: usize,
}

impl ColumnType {
    /// A scalar of this type.
    pub fn scalar(key: AtomicType) -> Self {
        Self { key, value: None, min: 1, max: 1 }
    }

    /// A scalar that may be absent.
    pub fn optional(key: AtomicType) -> Self {
        Self { key, value: None, min: 0, max: 1 }
    }

    /// A set of any size.
    pub fn set(key: AtomicType) -> Self {
        Self { key, value: None, min: 0, max: usize::MAX }
    }

    /// A map of any size.
    pub fn map(key: AtomicType, value: AtomicType) -> Self {
        Self { key, value: Some(value), min: 0, max: usize::MAX }
    }

    /// Whether a `modify` carries the new value instead of a difference: at most one element
    /// (`ovsdb_type_is_composite` in OVS lib/ovsdb-types.h).
    pub fn replaces_on_modify(&self) -> bool {
        self.max <= 1
    }

    /// The value of a column an insert leaves out (RFC 7047 section 5.2.1).
    pub fn default_datum(&self) -> Result<Datum, ValueError> {
        if let Some(value) = self.value {
            return Ok(match self.min {
                0 => Datum::empty_map(),
                _ => Datum::Map(BTreeMap::from([(self.key.default_atom()?, value.default_atom()?)])),
            });
        }
        Ok(match self.min {
            0 => Datum::empty_set(),
            _ => Datum::Set(BTreeSet::from([self.key.default_atom()?])),
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
        match (datum, self.value) {
            (Datum::Set(set), None) => {
                Ok(Datum::Set(set.into_iter().map(|a| self.key.check(a)).collect::<Result<_, _>>()?))
            }
            (Datum::Map(map), Some(value)) => {
                let pairs = map.into_iter().map(|(k, v)| Ok((self.key.check(k)?, value.check(v)?)));
                Ok(Datum::Map(pairs.collect::<Result<_, TypeError>>()?))
            }
            (Datum::Map(_), None) => Err(TypeError::NotASet),
            (Datum::Set(_), Some(_)) => Err(TypeError::NotAMap),
        }
    }

    fn from_json(value: &Value) -> Option<Self> {
        let object = match value {
            Value::String(name) => return AtomicType::parse(name).map(Self::scalar),
            Value::Object(object) => object,
            _ => return None,
        };
        let count = |name: &str| match object.get(name) {
            None => Some(1),
            Some(Value::String(s)) if s == "unlimited" && name == "max" => Some(usize::MAX),
            Some(n) => n.as_u64().and_then(|n| usize::try_from(n).ok()),
        };
        let value = match object.get("value") {
            Some(base) => Some(base_type(base)?),
            None => None,
        };
        Some(Self { key: base_type(object.get("key")?)?, value, min: count("min")?, max: count("max")? })
    }
}

/// RFC 7047 `<base-type>`; its constraints (`enum`, ranges, `refTable`) are the server's to enforce.
fn base_type(value: &Value) -> Option<AtomicType> {
    match value {
        Value::String(name) => AtomicType::parse(name),
        Value::Object(object) => AtomicType::parse(object.get("type")?.as_str()?),
        _ => None,
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

/// The columns of one table.
pub type TableSchema = BTreeMap<String, ColumnType>;

/// A database schema as `get_schema` reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSchema {
    name: String,
    version: String,
    tables: BTreeMap<String, TableSchema>,
}

impl DatabaseSchema {
    /// Parses the result of `get_schema`.
    pub fn from_json(value: &Value) -> Result<Self, SchemaError> {
        let text = |name: &'static str| {
            value.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(SchemaError::Member(name))
        };
        let tables = value.get("tables").and_then(Value::as_object).ok_or(SchemaError::Member("tables"))?;
        Ok(Self {
            name: text("name")?,
            version: text("version")?,
            tables: tables
                .iter()
                .map(|(n, t)| Ok((n.clone(), table_schema(n, t)?)))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The schema's version, `x.y.z`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The columns of a table.
    pub fn table(&self, name: &str) -> Result<&TableSchema, SchemaError> {
        self.tables.get(name).ok_or_else(|| SchemaError::NoTable(name.to_owned()))
    }

    /// The type of a column.
    pub fn column(&self, table: &str, column: &str) -> Result<&ColumnType, SchemaError> {
        self.table(table)?
            .get(column)
            .ok_or_else(|| SchemaError::NoColumn { table: table.to_owned(), column: column.to_owned() })
    }
}

fn table_schema(name: &str, value: &Value) -> Result<TableSchema, SchemaError> {
    let empty = Map::new();
    let columns = match value.get("columns") {
        Some(columns) => columns.as_object().ok_or(SchemaError::Member("columns"))?,
        None => &empty,
    };
    let column = |(column, spec): (&String, &Value)| {
        let column_type = spec
            .get("type")
            .and_then(ColumnType::from_json)
            .ok_or_else(|| SchemaError::BadType { table: name.to_owned(), column: column.clone() })?;
        Ok((column.clone(), column_type))
    };
    columns.iter().map(column).collect()
}

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A required member is missing or malformed.
    #[error("schema member {0:?} is missing or malformed")]
    Member(&'static str),
    /// A column's type is not understood.
    #[error("type of column {table}.{column} is not understood")]
    BadType {
        /// Table.
        table: String,
        /// Column.
        column: String,
    },
    /// No such table.
    #[error("schema has no table {0}")]
    NoTable(String),
    /// No such column.
    #[error("schema has no column {table}.{column}")]
    NoColumn {
        /// Table.
        table: String,
        /// Column.
        column: String,
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
        assert_eq!(
            parse(json!({"key": {"type": "integer", "minInteger": 0}})),
            ColumnType::scalar(AtomicType::Integer)
        );
        assert_eq!(parse(json!({"key": "uuid", "min": 0})), ColumnType::optional(AtomicType::Uuid));
        assert_eq!(
            parse(json!({"key": "string", "value": "integer", "min": 0, "max": "unlimited"})),
            ColumnType::map(AtomicType::String, AtomicType::Integer)
        );
        assert!(ColumnType::from_json(&json!({"key": "decimal"})).is_none());
        assert!(ColumnType::from_json(&json!({"key": "string", "max": "many"})).is_none());
    }

    #[test]
    fn reads_integral_reals_as_reals() {
        let real = ColumnType::scalar(AtomicType::Real);
        assert_eq!(real.check(Datum::scalar(2)).unwrap(), Datum::scalar(Atom::Real(Real::new(2.0).unwrap())));
    }

    #[test]
    fn refuses_values_of_other_types_and_sizes() {
        let optional = ColumnType::optional(AtomicType::String);
        assert_eq!(optional.check(Datum::scalar(1)), Err(TypeError::WrongAtom(AtomicType::String)));
        assert_eq!(optional.check(Datum::empty_map()), Err(TypeError::NotASet));
        assert!(matches!(optional.check(Datum::set(["a", "b"])), Err(TypeError::WrongCount { len: 2, .. })));
        assert!(ColumnType::scalar(AtomicType::Uuid).check(Datum::empty_set()).is_err());
    }
}
