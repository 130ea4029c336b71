//! Operations of a `transact` request (RFC 7047 section 5.2) and the builder that strings them together.
//!
//! A [`Transaction`] is plain data: building one does no I/O, so what an agent will do to the switch can be
//! asserted in a unit test and printed. Rows inserted by a transaction are named `row0`, `row1`, ... in order, so
//! the same input gives the same bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::session::LockName;
use crate::typed::{Cell, Ref, Table, cells};
use crate::value::{Datum, UuidName};

/// Columns and their values.
pub type Row = BTreeMap<String, Datum>;

/// RFC 7047 `<function>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// The column holds every given element.
    Includes,
    /// The column holds none of the given elements.
    Excludes,
}

impl Function {
    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Includes => "includes",
            Self::Excludes => "excludes",
        }
    }
}

/// RFC 7047 `<condition>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Column.
    pub column: String,
    /// Comparison.
    pub function: Function,
    /// Operand.
    pub value: Datum,
}

impl Condition {
    /// `column FUNCTION value`.
    pub fn new(column: impl Into<String>, function: Function, value: impl Into<Datum>) -> Self {
        Self { column: column.into(), function, value: value.into() }
    }

    /// Selects exactly one row.
    pub fn uuid(uuid: impl Into<Uuid>) -> Self {
        Self::new("_uuid", Function::Equal, uuid.into())
    }

    /// `column == value`.
    pub fn equal(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, Function::Equal, value)
    }

    /// The map column holds this pair.
    pub fn has_pair(column: impl Into<String>, key: &str, value: &str) -> Self {
        Self::new(column, Function::Includes, Datum::map([(key, value)]))
    }

    pub(crate) fn to_json(&self) -> Value {
        json!([self.column, self.function.as_str(), self.value.to_json()])
    }
}

/// RFC 7047 `<mutator>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutator {
    /// `+=`
    Add,
    /// `-=`
    Subtract,
    /// `*=`
    Multiply,
    /// `/=`
    Divide,
    /// `%=`
    Remainder,
    /// Adds elements; in a map, keys already present keep their value.
    Insert,
    /// Removes elements; from a map, by pair or (given a set) by key.
    Delete,
}

impl Mutator {
    fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+=",
            Self::Subtract => "-=",
            Self::Multiply => "*=",
            Self::Divide => "/=",
            Self::Remainder => "%=",
            Self::Insert => "insert",
            Self::Delete => "delete",
        }
    }
}

/// RFC 7047 `<mutation>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// Column.
    pub column: String,
    /// What to do.
    pub mutator: Mutator,
    /// Operand.
    pub value: Datum,
}

impl Mutation {
    /// `column MUTATOR value`.
    pub fn new(column: impl Into<String>, mutator: Mutator, value: impl Into<Datum>) -> Self {
        Self { column: column.into(), mutator, value: value.into() }
    }

    /// Sets keys of a string map whatever they were, leaving all other keys alone: `delete` of the keys, then
    /// `insert` of the pairs, because `insert` does not overwrite.
    pub fn set_keys(column: &str, pairs: &BTreeMap<String, String>) -> Vec<Self> {
        if pairs.is_empty() {
            return Vec::new();
        }
        let insert = Datum::map(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        vec![
            Self::new(column, Mutator::Delete, Datum::set(pairs.keys().map(String::as_str))),
            Self::new(column, Mutator::Insert, insert),
        ]
    }
}

/// When a `wait` lets the transaction go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The selected rows equal the given ones.
    Equal,
    /// They differ.
    NotEqual,
}

/// RFC 7047 `wait`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Table.
    pub table: String,
    /// Which rows.
    pub conditions: Vec<Condition>,
    /// Which columns are compared.
    pub columns: Vec<String>,
    /// Equal or not equal.
    pub until: Until,
    /// The rows compared with.
    pub rows: Vec<Row>,
    /// How long to wait; zero makes it an optimistic check, `None` waits for ever.
    pub timeout: Option<Duration>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are those of RFC 7047 section 5.2")]
pub enum Operation {
    /// Section 5.2.1; `uuid` is an extension of ovsdb-server(7) section 5.2.1.
    Insert { table: String, row: Row, uuid_name: Option<UuidName>, uuid: Option<Uuid> },
    /// Section 5.2.2.
    Select { table: String, conditions: Vec<Condition>, columns: Option<Vec<String>> },
    /// Section 5.2.3.
    Update { table: String, conditions: Vec<Condition>, row: Row },
    /// Section 5.2.4.
    Mutate { table: String, conditions: Vec<Condition>, mutations: Vec<Mutation> },
    /// Section 5.2.5.
    Delete { table: String, conditions: Vec<Condition> },
    /// Section 5.2.6.
    Wait(Wait),
    /// Section 5.2.7.
    Commit { durable: bool },
    /// Section 5.2.8.
    Abort,
    /// Section 5.2.9.
    Comment(String),
    /// Section 5.2.10.
    Assert { lock: LockName },
}

impl Operation {
    /// The value of the `op` member.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Insert { .. } => "insert",
            Self::Select { .. } => "select",
            Self::Update { .. } => "update",
            Self::Mutate { .. } => "mutate",
            Self::Delete { .. } => "delete",
            Self::Wait(_) => "wait",
            Self::Commit { .. } => "commit",
            Self::Abort => "abort",
            Self::Comment(_) => "comment",
            Self::Assert { .. } => "assert",
        }
    }

    /// The JSON object of RFC 7047 section 5.2.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("op".into(), json!(self.name()));
        self.members(&mut |name, value| {
            object.insert(name.into(), value);
        });
        Value::Object(object)
    }

    fn members(&self, put: &mut dyn FnMut(&str, Value)) {
        match self {
            Self::Insert { table, row, uuid_name, uuid } => {
                put("table", json!(table));
                put("row", row_to_json(row));
                if let Some(name) = uuid_name {
                    put("uuid-name", json!(name.as_str()));
                }
                if let Some(uuid) = uuid {
                    put("uuid", json!(uuid.to_string()));
                }
            }
            Self::Select { table, conditions, columns } => {
                put("table", json!(table));
                put("where", conditions_to_json(conditions));
                if let Some(columns) = columns {
                    put("columns", json!(columns));
                }
            }
            Self::Update { table, conditions, row } => {
                put("table", json!(table));
                put("where", conditions_to_json(conditions));
                put("row", row_to_json(row));
            }
            Self::Mutate { table, conditions, mutations } => {
                let mutation = |m: &Mutation| json!([m.column, m.mutator.as_str(), m.value.to_json()]);
                put("table", json!(table));
                put("where", conditions_to_json(conditions));
                put("mutations", mutations.iter().map(mutation).collect());
            }
            Self::Delete { table, conditions } => {
                put("table", json!(table));
                put("where", conditions_to_json(conditions));
            }
            Self::Wait(wait) => wait.members(put),
            Self::Commit { durable } => put("durable", json!(durable)),
            Self::Abort => {}
            Self::Comment(text) => put("comment", json!(text)),
            Self::Assert { lock } => put("lock", json!(lock.as_str())),
        }
    }
}

impl Wait {
    fn members(&self, put: &mut dyn FnMut(&str, Value)) {
        put("table", json!(self.table));
        put("where", conditions_to_json(&self.conditions));
        put("columns", json!(self.columns));
        put("until", json!(if self.until == Until::Equal { "==" } else { "!=" }));
        put("rows", self.rows.iter().map(row_to_json).collect());
        if let Some(timeout) = self.timeout {
            put("timeout", json!(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)));
        }
    }
}

pub(crate) fn conditions_to_json(conditions: &[Condition]) -> Value {
    conditions.iter().map(Condition::to_json).collect()
}

fn row_to_json(row: &Row) -> Value {
    Value::Object(row.iter().map(|(column, datum)| (column.clone(), datum.to_json())).collect())
}

/// The position of an operation in its transaction, for finding its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpIndex(pub(crate) usize);

impl OpIndex {
    /// Counted from zero.
    pub fn get(self) -> usize {
        self.0
    }
}

/// Operations that take effect together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    operations: Vec<Operation>,
    inserted: usize,
}

impl Transaction {
    /// An empty transaction.
    pub fn new() -> Self {
        Self::default()
    }

    /// The operations in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Appends an operation.
    pub fn push(&mut self, operation: Operation) -> OpIndex {
        self.operations.push(operation);
        OpIndex(self.operations.len() - 1)
    }

    /// Inserts a row and returns the name by which other rows of this transaction may refer to it.
    pub fn insert(&mut self, table: &str, row: Row) -> UuidName {
        let name = UuidName::nth(self.inserted);
        self.inserted += 1;
        self.push(Operation::Insert { table: table.into(), row, uuid_name: Some(name.clone()), uuid: None });
        name
    }

    /// Inserts a row under this UUID, so that a transaction sent twice cannot make two: the second fails with "duplicate
    /// uuid". Other rows refer to it by the UUID itself. Open vSwitch 3.1 knows this; a server that does not refuses the
    /// transaction.
    pub fn insert_with_uuid(&mut self, table: &str, uuid: Uuid, row: Row) -> OpIndex {
        self.push(Operation::Insert { table: table.into(), row, uuid_name: None, uuid: Some(uuid) })
    }

    /// Inserts a row of a typed table; see [`Self::insert`].
    pub fn insert_row<T: Table, const N: usize>(&mut self, row: [Cell<T>; N]) -> UuidName {
        self.insert(T::TABLE, cells(row))
    }

    /// Overwrites columns of one row.
    pub fn update_row<T: Table, const N: usize>(&mut self, row: Ref<T>, columns: [Cell<T>; N]) -> OpIndex {
        self.update(T::TABLE, vec![Condition::uuid(row)], cells(columns))
    }

    /// Changes columns of one row relative to their value.
    pub fn mutate_row<T: Table>(&mut self, row: Ref<T>, mutations: Vec<Mutation>) -> OpIndex {
        self.mutate(T::TABLE, vec![Condition::uuid(row)], mutations)
    }

    /// Reads columns.
    pub fn select(&mut self, table: &str, conditions: Vec<Condition>, columns: &[&str]) -> OpIndex {
        let columns = Some(columns.iter().map(|c| (*c).to_owned()).collect());
        self.push(Operation::Select { table: table.into(), conditions, columns })
    }

    /// Overwrites columns.
    pub fn update(&mut self, table: &str, conditions: Vec<Condition>, row: Row) -> OpIndex {
        self.push(Operation::Update { table: table.into(), conditions, row })
    }

    /// Changes columns relative to their value.
    pub fn mutate(&mut self, table: &str, conditions: Vec<Condition>, mutations: Vec<Mutation>) -> OpIndex {
        self.push(Operation::Mutate { table: table.into(), conditions, mutations })
    }

    /// Deletes rows.
    pub fn delete(&mut self, table: &str, conditions: Vec<Condition>) -> OpIndex {
        self.push(Operation::Delete { table: table.into(), conditions })
    }

    /// Optimistic check: the transaction fails with "timed out" unless the selected rows equal `rows` in `columns`.
    pub fn require(
        &mut self,
        table: &str,
        conditions: Vec<Condition>,
        columns: &[&str],
        rows: Vec<Row>,
    ) -> OpIndex {
        self.push(Operation::Wait(Wait {
            table: table.into(),
            conditions,
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            until: Until::Equal,
            rows,
            timeout: Some(Duration::ZERO),
        }))
    }

    /// [`Self::require`] that one row has these values.
    pub fn require_row<T: Table, const N: usize>(&mut self, row: Ref<T>, columns: [Cell<T>; N]) -> OpIndex {
        let columns = cells(columns);
        let names: Vec<_> = columns.keys().map(String::as_str).collect();
        self.require(T::TABLE, vec![Condition::uuid(row)], &names, vec![columns.clone()])
    }

    /// Notes the reason in the database's log.
    pub fn comment(&mut self, text: impl Into<String>) -> OpIndex {
        self.push(Operation::Comment(text.into()))
    }

    /// Fails with "not owner" unless this connection holds the lock.
    pub fn assert_lock(&mut self, lock: &LockName) -> OpIndex {
        self.push(Operation::Assert { lock: lock.clone() })
    }

    /// Where the row of that name is inserted.
    pub fn position_of(&self, name: &UuidName) -> Option<OpIndex> {
        let is_it =
            |op: &Operation| matches!(op, Operation::Insert { uuid_name: Some(own), .. } if own == name);
        self.operations.iter().position(is_it).map(OpIndex)
    }

    /// The first operation with a NUL byte in it. ovsdb-server drops the connection, everybody's requests with it, when
    /// it meets one (`json_lex_input` in OVS lib/json.c: its strings end there).
    pub fn nul_byte(&self) -> Option<OpIndex> {
        self.operations.iter().position(|operation| has_nul(&operation.to_json())).map(OpIndex)
    }

    /// The `params` of the `transact` request.
    pub fn to_params(&self, database: &str) -> Vec<Value> {
        std::iter::once(json!(database)).chain(self.operations.iter().map(Operation::to_json)).collect()
    }
}

/// Whether a string, or a name of a member, has a NUL byte.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(elements) => elements.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A row from `(column, value)` pairs.
pub fn row<const N: usize>(columns: [(&str, Datum); N]) -> Row {
    columns.into_iter().map(|(column, datum)| (column.to_owned(), datum)).collect()
}

#[cfg(test)]
mod tests;
