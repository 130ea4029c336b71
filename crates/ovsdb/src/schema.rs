//! Database schemas (RFC 7047 section 3.2): which tables and columns there are, and of which type.
//!
//! The schema the server reports decides how a column is read: whether `1` is a real, what the value of a
//! column left out of an insert is, and how the difference in a `modify` applies. The `version` member is
//! kept; members this crate does not use (`cksum` and whatever is invented later) are ignored, so newer
//! schemas parse. A column *type* that is not understood is an error.

mod types;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use types::{AtomicType, BaseType, ColumnType, Constraint, Strength, TypeError};

/// One column: RFC 7047 `<column-schema>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSchema {
    /// Its type.
    pub column_type: ColumnType,
    /// Whether it may change after the row was inserted.
    pub mutable: bool,
    /// Whether its value is lost when the server restarts.
    pub ephemeral: bool,
}

/// One table: RFC 7047 `<table-schema>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSchema {
    /// Its columns, `_uuid` and `_version` not among them.
    pub columns: BTreeMap<String, ColumnSchema>,
    /// Whether rows live without being referred to.
    pub is_root: bool,
    /// Most rows.
    pub max_rows: Option<u64>,
    /// Sets of columns whose values differ between any two rows.
    pub indexes: Vec<Vec<String>>,
}

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
        let table = |(name, table): (&String, &Value)| Ok((name.clone(), table_schema(name, table)?));
        let mut tables: BTreeMap<_, _> = tables.iter().map(table).collect::<Result<_, SchemaError>>()?;
        // "for compatibility with schemas created before the member was introduced" (RFC 7047 section 3.2).
        if tables.values().all(|table: &TableSchema| !table.is_root) {
            tables.values_mut().for_each(|table| table.is_root = true);
        }
        Ok(Self { name: text("name")?, version: text("version")?, tables })
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The schema's version, `x.y.z`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The tables by name.
    pub fn tables(&self) -> &BTreeMap<String, TableSchema> {
        &self.tables
    }

    /// One table.
    pub fn table(&self, name: &str) -> Result<&TableSchema, SchemaError> {
        self.tables.get(name).ok_or_else(|| SchemaError::NoTable(name.to_owned()))
    }

    /// The type of a column.
    pub fn column(&self, table: &str, column: &str) -> Result<&ColumnType, SchemaError> {
        let found = self.table(table)?.columns.get(column);
        found
            .map(|column| &column.column_type)
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
        let mutable = flag(spec, "mutable")?.unwrap_or(true);
        let ephemeral = flag(spec, "ephemeral")?.unwrap_or(false);
        Ok((column.clone(), ColumnSchema { column_type, mutable, ephemeral }))
    };
    let max_rows = match value.get("maxRows") {
        None => None,
        Some(rows) => Some(rows.as_u64().ok_or(SchemaError::Member("maxRows"))?),
    };
    Ok(TableSchema {
        columns: columns.iter().map(column).collect::<Result<_, SchemaError>>()?,
        is_root: flag(value, "isRoot")?.unwrap_or(false),
        max_rows,
        indexes: indexes(value)?,
    })
}

fn flag(value: &Value, name: &'static str) -> Result<Option<bool>, SchemaError> {
    match value.get(name) {
        None => Ok(None),
        Some(flag) => flag.as_bool().map(Some).ok_or(SchemaError::Member(name)),
    }
}

fn indexes(table: &Value) -> Result<Vec<Vec<String>>, SchemaError> {
    let Some(indexes) = table.get("indexes") else { return Ok(Vec::new()) };
    serde_json::from_value(indexes.clone()).map_err(|_| SchemaError::Member("indexes"))
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
    /// A column that cannot be read as the type this program was built for.
    #[error("column {table}.{column} is not {expected} in this schema")]
    OtherType {
        /// Table.
        table: String,
        /// Column.
        column: String,
        /// What was expected.
        expected: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(table: Value) -> Result<DatabaseSchema, SchemaError> {
        DatabaseSchema::from_json(&json!({"name": "D", "version": "1.0.0", "tables": {"T": table}}))
    }

    #[test]
    fn reads_what_a_table_says_of_its_rows() {
        let table = json!({"isRoot": true, "maxRows": 2, "indexes": [["a", "b"]], "future": 1, "columns": {
            "a": {"type": "integer", "mutable": false}, "b": {"type": "string", "ephemeral": true},
        }});
        let schema = schema(table).unwrap();
        let table = schema.table("T").unwrap();
        assert_eq!((table.is_root, table.max_rows), (true, Some(2)));
        assert_eq!(table.indexes, [["a", "b"]]);
        assert_eq!((table.columns["a"].mutable, table.columns["a"].ephemeral), (false, false));
        assert_eq!((table.columns["b"].mutable, table.columns["b"].ephemeral), (true, true));
    }

    #[test]
    fn every_table_is_a_root_when_none_is_marked() {
        assert!(schema(json!({"columns": {}})).unwrap().table("T").unwrap().is_root);
    }

    #[test]
    fn refuses_malformed_members() {
        for table in [
            json!({"columns": []}),
            json!({"columns": {"a": {}}}),
            json!({"columns": {"a": {"type": "integer", "mutable": 1}}}),
            json!({"columns": {}, "isRoot": "yes"}),
            json!({"columns": {}, "maxRows": -1}),
            json!({"columns": {}, "indexes": ["a"]}),
        ] {
            assert!(schema(table.clone()).is_err(), "{table}");
        }
    }

    #[test]
    fn the_checked_in_schema_of_the_switch_is_understood() {
        let value = serde_json::from_str(include_str!("../schema/vswitch.ovsschema")).unwrap();
        let schema = DatabaseSchema::from_json(&value).unwrap();
        assert_eq!((schema.name(), schema.version(), schema.tables().len()), ("Open_vSwitch", "8.3.1", 19));
    }
}
