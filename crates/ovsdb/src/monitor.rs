//! Monitor requests and the updates they bring: `monitor` (RFC 7047 section 4.1.5), `monitor_cond` and
//! `monitor_cond_since` (ovsdb-server(7) sections 4.1.12 and 4.1.15).
//!
//! All three kinds of update decode into one form, [`Updates`], checked against the schema: unknown tables,
//! columns that were not asked for and values of the wrong type are errors, because a cache that silently
//! skips something is a cache that lies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::operation::{Condition, Row, conditions_to_json};
use crate::schema::{DatabaseSchema, SchemaError, TypeError};
use crate::typed::{Column, ColumnValue, Shape, Table};
use crate::value::{Datum, ValueError, parse_uuid};

/// What to replicate of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSpec {
    /// Columns.
    pub columns: BTreeSet<String>,
    /// Those of them that the server need not have.
    pub optional: BTreeSet<String>,
    /// What the typed ones of them are read from.
    pub shapes: BTreeMap<String, Shape>,
    /// Those of them by whose values rows are found ([`crate::Database::find`]).
    pub lookups: BTreeSet<String>,
    /// A row is replicated when any of these holds; `None` replicates all rows. Servers without `monitor_cond`
    /// ignore it and send all rows.
    pub conditions: Option<Vec<Condition>>,
}

/// What to replicate, by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonitorSpec {
    tables: BTreeMap<String, TableSpec>,
}

impl MonitorSpec {
    /// Replicates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all rows of a table.
    #[must_use]
    pub fn table(mut self, table: &str, columns: &[&str]) -> Self {
        let entry = self.tables.entry(table.to_owned()).or_default();
        entry.columns.extend(columns.iter().map(|c| (*c).to_owned()));
        self
    }

    /// Adds a typed column of all rows of its table. A server whose schema lacks it, or has another type, is refused.
    #[must_use]
    pub fn column<T: Table, V: ColumnValue>(mut self, column: Column<T, V>) -> Self {
        let entry = self.tables.entry(T::TABLE.to_owned()).or_default();
        entry.columns.insert(column.name().to_owned());
        entry.shapes.insert(column.name().to_owned(), V::SHAPE);
        self
    }

    /// [`Self::column`] that the server's schema need not have: then it is absent from every row.
    #[must_use]
    pub fn optional_column<T: Table, V: ColumnValue>(mut self, column: Column<T, V>) -> Self {
        self = self.column(column);
        let entry = self.tables.entry(T::TABLE.to_owned()).or_default();
        entry.optional.insert(column.name().to_owned());
        self
    }

    /// Has the replica find rows by the values of these columns, or by their elements or keys. Says nothing of what is
    /// replicated.
    #[must_use]
    pub fn lookup(mut self, table: &str, columns: &[&str]) -> Self {
        let entry = self.tables.entry(table.to_owned()).or_default();
        entry.lookups.extend(columns.iter().map(|c| (*c).to_owned()));
        self
    }

    /// Replaces the conditions of a table already present.
    pub fn set_conditions(
        &mut self,
        table: &str,
        conditions: Option<Vec<Condition>>,
    ) -> Result<(), MonitorError> {
        let entry = self.tables.get_mut(table).ok_or_else(|| MonitorError::UnknownTable(table.to_owned()))?;
        entry.conditions = conditions;
        Ok(())
    }

    /// The tables.
    pub fn tables(&self) -> &BTreeMap<String, TableSpec> {
        &self.tables
    }

    /// What of this a server with the given schema has. A column it lacks is an error unless it is optional, and so is
    /// one whose values could not be read.
    pub fn resolve(&self, schema: &DatabaseSchema) -> Result<Self, SchemaError> {
        let mut resolved = Self::new();
        for (table, wanted) in &self.tables {
            let mut spec = TableSpec { columns: BTreeSet::new(), ..wanted.clone() };
            for column in &wanted.columns {
                let found = match schema.column(table, column) {
                    Err(_) if wanted.optional.contains(column) => continue,
                    found => found?,
                };
                if let Some(shape) = wanted.shapes.get(column).filter(|shape| !shape.fits(found)) {
                    let (table, column) = (table.clone(), column.clone());
                    return Err(SchemaError::OtherType { table, column, expected: shape.describe() });
                }
                spec.columns.insert(column.clone());
            }
            // A table of which nothing is there need not be there either.
            if !spec.columns.is_empty() || wanted.columns.is_empty() {
                schema.table(table)?;
                resolved.tables.insert(table.clone(), spec);
            }
        }
        Ok(resolved)
    }

    /// The columns this asks for and `resolved` has not, as `Table.column`.
    pub fn absent_from(&self, resolved: &Self) -> BTreeSet<String> {
        let has = |table: &str, column: &str| {
            resolved.tables.get(table).is_some_and(|spec| spec.columns.contains(column))
        };
        let columns = self.tables.iter().flat_map(|(t, spec)| spec.columns.iter().map(move |c| (t, c)));
        columns.filter(|(t, c)| !has(t, c)).map(|(t, c)| format!("{t}.{c}")).collect()
    }

    fn requests(&self, method: MonitorMethod) -> Value {
        let request = |spec: &TableSpec| {
            let mut object = Map::new();
            object.insert("columns".into(), json!(spec.columns));
            if let (Some(conditions), true) = (&spec.conditions, method != MonitorMethod::Plain) {
                object.insert("where".into(), where_json(conditions));
            }
            json!([object])
        };
        Value::Object(self.tables.iter().map(|(table, spec)| (table.clone(), request(spec))).collect())
    }

    /// The `params` of the monitor request.
    pub(crate) fn params(
        &self,
        database: &str,
        method: MonitorMethod,
        id: &Value,
        last: Option<Uuid>,
    ) -> Vec<Value> {
        let mut params = vec![json!(database), id.clone(), self.requests(method)];
        if method == MonitorMethod::CondSince {
            params.push(json!(last.unwrap_or(Uuid::nil()).to_string()));
        }
        params
    }

    /// The `params` of a `monitor_cond_change` that makes this specification's conditions valid for `tables`.
    pub(crate) fn change_params(&self, id: &Value, tables: &BTreeSet<String>) -> Vec<Value> {
        let changed = self.tables.iter().filter(|(table, _)| tables.contains(*table)).map(|(table, spec)| {
            let conditions = spec.conditions.as_ref().map_or(json!([true]), |c| where_json(c));
            (table.clone(), json!([{ "where": conditions }]))
        });
        vec![id.clone(), id.clone(), Value::Object(changed.collect())]
    }
}

/// No condition at all selects no row; an empty array would select every row.
fn where_json(conditions: &[Condition]) -> Value {
    if conditions.is_empty() { json!([false]) } else { conditions_to_json(conditions) }
}

/// The ways to monitor, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MonitorMethod {
    /// `monitor_cond_since`, `update3`: resumes after a reconnect.
    CondSince,
    /// `monitor_cond`, `update2`: differences.
    Cond,
    /// `monitor`, `update`: whole rows.
    Plain,
}

impl MonitorMethod {
    /// The method's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CondSince => "monitor_cond_since",
            Self::Cond => "monitor_cond",
            Self::Plain => "monitor",
        }
    }

    /// What to try when the server does not know this one.
    pub fn fallback(self) -> Option<Self> {
        match self {
            Self::CondSince => Some(Self::Cond),
            Self::Cond => Some(Self::Plain),
            Self::Plain => None,
        }
    }
}

/// What happened to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowUpdate {
    /// The whole row, of a dump; every monitored column is present.
    Initial(Row),
    /// The whole row, which was not there.
    Insert(Row),
    /// The whole row, which was there with other values.
    Replace(Row),
    /// Differences by column of a row that was there.
    Modify(Row),
    /// The row is gone.
    Delete,
}

/// Updates by table and row.
pub type Updates = BTreeMap<String, BTreeMap<Uuid, RowUpdate>>;

/// Why an update cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MonitorError {
    /// Not the shape the documents give it.
    #[error("malformed update: {0}")]
    Malformed(&'static str),
    /// A table that is not monitored.
    #[error("table {0} is not monitored")]
    UnknownTable(String),
    /// A column that is not monitored.
    #[error("update of column {table}.{column}, which is not monitored")]
    UnknownColumn {
        /// Table.
        table: String,
        /// Column.
        column: String,
    },
    /// A value that is not one.
    #[error("malformed value of {table}.{column}")]
    Value {
        /// Table.
        table: String,
        /// Column.
        column: String,
        /// Why.
        source: ValueError,
    },
    /// A value that does not fit its column.
    #[error("value of {table}.{column} does not fit the schema")]
    Type {
        /// Table.
        table: String,
        /// Column.
        column: String,
        /// Why.
        source: TypeError,
    },
    /// The schema lacks something monitored.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A row's key is not a UUID.
    #[error(transparent)]
    RowId(#[from] ValueError),
    /// One row, spelled in two ways.
    #[error("two updates of row {table} {uuid}")]
    DuplicateRow {
        /// Table.
        table: String,
        /// Row.
        uuid: Uuid,
    },
}

/// Decodes the updates of one monitor.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'a> {
    /// The server's schema.
    pub schema: &'a DatabaseSchema,
    /// What was asked for.
    pub spec: &'a MonitorSpec,
}

impl Decoder<'_> {
    /// Decodes `<table-updates>` (of [`MonitorMethod::Plain`]) or `<table-updates2>` (of the others).
    pub fn decode(&self, method: MonitorMethod, value: &Value) -> Result<Updates, MonitorError> {
        let tables = value.as_object().ok_or(MonitorError::Malformed("table updates are not an object"))?;
        let mut updates = Updates::new();
        for (name, rows) in tables {
            let spec = self.spec.tables.get(name).ok_or_else(|| MonitorError::UnknownTable(name.clone()))?;
            let table = TableDecoder { schema: self.schema, name, spec };
            let rows = rows.as_object().ok_or(MonitorError::Malformed("row updates are not an object"))?;
            let mut decoded = BTreeMap::new();
            for (id, update) in rows {
                let update = match method {
                    MonitorMethod::Plain => table.update1(update)?,
                    MonitorMethod::Cond | MonitorMethod::CondSince => table.update2(update)?,
                };
                let uuid = parse_uuid(id)?;
                // The digits of a UUID may be of either case.
                if decoded.insert(uuid, update).is_some() {
                    return Err(MonitorError::DuplicateRow { table: name.clone(), uuid });
                }
            }
            updates.insert(name.clone(), decoded);
        }
        Ok(updates)
    }
}

struct TableDecoder<'a> {
    schema: &'a DatabaseSchema,
    name: &'a str,
    spec: &'a TableSpec,
}

impl TableDecoder<'_> {
    fn update1(&self, update: &Value) -> Result<RowUpdate, MonitorError> {
        let object = update.as_object().ok_or(MonitorError::Malformed("row update is not an object"))?;
        match (object.get("old"), object.get("new")) {
            (None, Some(new)) => self.full(new).map(RowUpdate::Insert),
            (Some(_), Some(new)) => self.full(new).map(RowUpdate::Replace),
            (Some(_), None) => Ok(RowUpdate::Delete),
            (None, None) => Err(MonitorError::Malformed("row update has neither old nor new")),
        }
    }

    fn update2(&self, update: &Value) -> Result<RowUpdate, MonitorError> {
        let object = update.as_object().ok_or(MonitorError::Malformed("row update is not an object"))?;
        let mut members = object.iter();
        let (Some((kind, row)), None) = (members.next(), members.next()) else {
            return Err(MonitorError::Malformed("row update needs exactly one member"));
        };
        match kind.as_str() {
            "initial" => self.full(row).map(RowUpdate::Initial),
            "insert" => self.full(row).map(RowUpdate::Insert),
            "modify" => self.row(row, true).map(RowUpdate::Modify),
            "delete" => Ok(RowUpdate::Delete),
            _ => Err(MonitorError::Malformed("row update of unknown kind")),
        }
    }

    /// Columns left out of a full row have their type's default value.
    fn full(&self, value: &Value) -> Result<Row, MonitorError> {
        let mut row = self.row(value, false)?;
        for column in &self.spec.columns {
            if !row.contains_key(column) {
                let datum = self.schema.column(self.name, column)?.default_datum()?;
                row.insert(column.clone(), datum);
            }
        }
        Ok(row)
    }

    fn row(&self, value: &Value, is_difference: bool) -> Result<Row, MonitorError> {
        let object = value.as_object().ok_or(MonitorError::Malformed("row is not an object"))?;
        object
            .iter()
            .map(|(column, value)| Ok((column.clone(), self.datum(column, value, is_difference)?)))
            .collect()
    }

    fn datum(&self, column: &str, value: &Value, is_difference: bool) -> Result<Datum, MonitorError> {
        let (table, name) = (|| self.name.to_owned(), || column.to_owned());
        if !self.spec.columns.contains(column) {
            return Err(MonitorError::UnknownColumn { table: table(), column: name() });
        }
        let column_type = self.schema.column(self.name, column)?;
        let datum = Datum::from_json(value).map_err(|source| MonitorError::Value {
            table: table(),
            column: name(),
            source,
        })?;
        let checked =
            if is_difference { column_type.check_difference(datum) } else { column_type.check(datum) };
        checked.map_err(|source| MonitorError::Type { table: table(), column: name(), source })
    }
}
