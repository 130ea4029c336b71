//! The replica: rows by table, fed by monitor updates.
//!
//! Invariants: every row holds exactly the monitored columns; an update is applied as a whole or not at all.
//! A modification or deletion of a row that is not there, or an insertion of one that is, is an error: the replica is
//! out of step and must be fetched again. Tables share what is equal: a snapshot costs a few pointers per table, and a
//! change of one row among many copies the path to it, not the table.
//!
//! A snapshot knows what changed of late ([`Database::changes_since`]) and finds rows by the values of the columns it was
//! told of ([`Database::find`]): following the replica costs what changed, not what there is.

mod journal;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use crate::difference::{DifferenceError, apply};
use crate::monitor::{MonitorSpec, RowUpdate, Updates};
use crate::operation::Row;
use crate::schema::{DatabaseSchema, SchemaError};
use crate::value::Atom;

pub use journal::Journal;
use table::Table;

/// A snapshot of the replicated tables. Equal are those with equal rows.
#[derive(Clone, Debug, Default)]
pub struct Database {
    tables: BTreeMap<String, Table>,
    journal: Journal<(String, Uuid)>,
    /// Of this snapshot and all it shares rows with.
    visits: Arc<AtomicU64>,
}

impl PartialEq for Database {
    fn eq(&self, other: &Self) -> bool {
        self.filled().eq(other.filled())
    }
}

impl Eq for Database {}

/// What happened to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// It is new.
    Inserted(Arc<Row>),
    /// Some columns changed.
    Modified {
        /// Before.
        old: Arc<Row>,
        /// After.
        new: Arc<Row>,
    },
    /// It is gone.
    Deleted(Arc<Row>),
}

/// A change of one row of the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowEvent {
    /// Table.
    pub table: String,
    /// Row.
    pub uuid: Uuid,
    /// What happened.
    pub change: RowChange,
}

/// Why an update cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// A change of a row that is not in the replica.
    #[error("update of row {table} {uuid}, which is not in the replica")]
    NoSuchRow {
        /// Table.
        table: String,
        /// Row.
        uuid: Uuid,
    },
    /// An insertion of a row that is in the replica.
    #[error("insertion of row {table} {uuid}, which is in the replica already")]
    RowExists {
        /// Table.
        table: String,
        /// Row.
        uuid: Uuid,
    },
    /// A row of a dump among changes.
    #[error("change holds row {table} {uuid} of a dump")]
    DumpInUpdate {
        /// Table.
        table: String,
        /// Row.
        uuid: Uuid,
    },
    /// A change in a dump, which has nothing to change.
    #[error("dump holds a change of row {table} {uuid}")]
    ChangeInDump {
        /// Table.
        table: String,
        /// Row.
        uuid: Uuid,
    },
    /// A difference in a column the row lacks.
    #[error("update of column {table}.{column}, which row {uuid} lacks")]
    NoSuchColumn {
        /// Table.
        table: String,
        /// Row.
        uuid: Uuid,
        /// Column.
        column: String,
    },
    /// A difference that cannot be applied.
    #[error("cannot change column {table}.{column} of row {uuid}")]
    Difference {
        /// Table.
        table: String,
        /// Row.
        uuid: Uuid,
        /// Column.
        column: String,
        /// Why.
        source: DifferenceError,
    },
    /// The schema lacks a column.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// One row to install (`Some`) or remove.
struct Step {
    table: String,
    uuid: Uuid,
    row: Option<Arc<Row>>,
}

impl Database {
    /// An empty replica.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty replica that finds rows by the columns the specification says ([`MonitorSpec::lookup`]).
    pub fn with_indexes(spec: &MonitorSpec) -> Self {
        let tables = spec.tables().iter().map(|(name, spec)| (name.clone(), Table::indexed(&spec.lookups)));
        Self { tables: tables.collect(), ..Self::default() }
    }

    /// The rows of a table in order of their UUIDs; none for a table that is not replicated.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Arc<Row>)> {
        let rows = self.tables.get(table).into_iter().flat_map(|table| table.rows().iter());
        rows.map(|(uuid, row)| (*uuid, row)).inspect(|_| self.visited(1))
    }

    /// One row.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Arc<Row>> {
        self.visited(1);
        self.tables.get(table)?.rows().get(&uuid)
    }

    /// The rows whose column holds a value: as the only one, or as an element or a key. Costs what is found if the column
    /// is one to look up by ([`MonitorSpec::lookup`]), and a look at every row otherwise.
    pub fn find(&self, table: &str, column: &str, value: &Atom) -> Vec<(Uuid, &Arc<Row>)> {
        let Some(table) = self.tables.get(table) else { return Vec::new() };
        let found = table.find(column, value);
        self.visited(if table.has_index(column) { found.len() } else { table.rows().size() });
        found.into_iter().filter_map(|uuid| Some((uuid, table.rows().get(&uuid)?))).collect()
    }

    /// How many rows were read, of this snapshot and all that have the same origin: what tests count.
    pub fn visits(&self) -> u64 {
        self.visits.load(Ordering::Relaxed)
    }

    fn visited(&self, rows: usize) {
        self.visits.fetch_add(rows as u64, Ordering::Relaxed);
    }

    fn filled(&self) -> impl Iterator<Item = (&String, &table::Rows)> {
        let tables = self.tables.iter().map(|(name, table)| (name, table.rows()));
        tables.filter(|(_, rows)| !rows.is_empty())
    }

    /// What is different from an earlier snapshot of the same replica, each row once. `None`: it is too old, or of another
    /// replica; then everything may be different.
    pub fn changes_since(&self, earlier: &Self) -> Option<Vec<RowEvent>> {
        let touched: BTreeSet<&(String, Uuid)> = self.journal.since(&earlier.journal)?.collect();
        let change = |(table, uuid): &(String, Uuid)| {
            let change = match (earlier.row(table, *uuid).cloned(), self.row(table, *uuid).cloned()) {
                (None, Some(new)) => RowChange::Inserted(new),
                (Some(old), None) => RowChange::Deleted(old),
                (Some(old), Some(new)) if old != new => RowChange::Modified { old, new },
                (Some(_), Some(_)) | (None, None) => return None,
            };
            Some(RowEvent { table: table.clone(), uuid: *uuid, change })
        };
        Some(touched.into_iter().filter_map(change).collect())
    }

    /// Applies an update and says what changed. On error nothing is changed.
    pub fn apply(&mut self, schema: &DatabaseSchema, updates: &Updates) -> Result<Vec<RowEvent>, CacheError> {
        let mut steps = Vec::new();
        for (table, rows) in updates {
            for (&uuid, update) in rows {
                let old = self.row(table, uuid);
                let missing = || CacheError::NoSuchRow { table: table.clone(), uuid };
                let row = match update {
                    RowUpdate::Initial(_) => {
                        return Err(CacheError::DumpInUpdate { table: table.clone(), uuid });
                    }
                    RowUpdate::Insert(_) if old.is_some() => {
                        return Err(CacheError::RowExists { table: table.clone(), uuid });
                    }
                    RowUpdate::Insert(row) => Some(Arc::new(row.clone())),
                    RowUpdate::Replace(row) => {
                        old.map(|_| Some(Arc::new(row.clone()))).ok_or_else(missing)?
                    }
                    RowUpdate::Delete => old.map(|_| None).ok_or_else(missing)?,
                    RowUpdate::Modify(difference) => {
                        let old = old.ok_or_else(missing)?;
                        Some(Arc::new(modified(schema, table, uuid, old, difference)?))
                    }
                };
                steps.push(Step { table: table.clone(), uuid, row });
            }
        }
        Ok(self.install(steps))
    }

    /// Makes the replica equal to a full dump and says what changed, so that a watcher that missed the changes
    /// in between sees their sum. On error nothing is changed.
    pub fn replace(&mut self, dump: &Updates) -> Result<Vec<RowEvent>, CacheError> {
        let mut steps = Vec::new();
        for (table, rows) in &self.tables {
            let wanted = dump.get(table);
            let gone = rows.rows().keys().filter(|uuid| !wanted.is_some_and(|w| w.contains_key(uuid)));
            steps.extend(gone.map(|&uuid| Step { table: table.clone(), uuid, row: None }));
        }
        for (table, rows) in dump {
            for (&uuid, update) in rows {
                // `monitor` calls the rows of its dump new ones.
                let (RowUpdate::Initial(row) | RowUpdate::Insert(row)) = update else {
                    return Err(CacheError::ChangeInDump { table: table.clone(), uuid });
                };
                steps.push(Step { table: table.clone(), uuid, row: Some(Arc::new(row.clone())) });
            }
        }
        Ok(self.install(steps))
    }

    fn install(&mut self, steps: Vec<Step>) -> Vec<RowEvent> {
        let mut events = Vec::new();
        for Step { table, uuid, row } in steps {
            if self.row(&table, uuid).map(AsRef::as_ref) == row.as_deref() {
                continue;
            }
            let old = self.tables.entry(table.clone()).or_default().set(uuid, row.as_ref());
            self.journal.note((table.clone(), uuid));
            let change = match (old, row) {
                (None, Some(new)) => RowChange::Inserted(new),
                (Some(old), Some(new)) => RowChange::Modified { old, new },
                (Some(old), None) => RowChange::Deleted(old),
                (None, None) => continue,
            };
            events.push(RowEvent { table, uuid, change });
        }
        events
    }
}

fn modified(
    schema: &DatabaseSchema,
    table: &str,
    uuid: Uuid,
    old: &Row,
    difference: &Row,
) -> Result<Row, CacheError> {
    let mut new = old.clone();
    for (column, difference) in difference {
        let column_type = schema.column(table, column)?;
        let datum = new.get_mut(column).ok_or_else(|| CacheError::NoSuchColumn {
            table: table.to_owned(),
            uuid,
            column: column.clone(),
        })?;
        *datum = apply(column_type, datum, difference).map_err(|source| CacheError::Difference {
            table: table.to_owned(),
            uuid,
            column: column.clone(),
            source,
        })?;
    }
    Ok(new)
}

#[cfg(test)]
mod tests;
