//! The rows of one table, and which of them hold a value in the columns that are looked up by value.

use std::collections::BTreeMap;
use std::sync::Arc;

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use uuid::Uuid;

use crate::operation::Row;
use crate::value::{Atom, Datum};

/// Rows of a table by UUID.
pub(super) type Rows = RedBlackTreeMapSync<Uuid, Arc<Row>>;
/// Values of a column, or elements or keys of them, with the rows that hold them.
type Index = RedBlackTreeSetSync<(Atom, Uuid)>;

/// A table; a copy shares what is equal.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    rows: Rows,
    indexes: BTreeMap<String, Index>,
}

impl Table {
    /// An empty table whose rows are found by the values of these columns.
    pub(super) fn indexed<'c>(columns: impl IntoIterator<Item = &'c String>) -> Self {
        let indexes = columns.into_iter().map(|column| (column.clone(), Index::new_sync())).collect();
        Self { rows: Rows::new_sync(), indexes }
    }

    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(super) fn has_index(&self, column: &str) -> bool {
        self.indexes.contains_key(column)
    }

    /// The rows whose column holds a value: as the only one, or as an element or a key. A column without an index has
    /// every row looked at.
    pub(super) fn find(&self, column: &str, value: &Atom) -> Vec<Uuid> {
        match self.indexes.get(column) {
            Some(index) => {
                let whole = (value.clone(), Uuid::nil())..=(value.clone(), Uuid::max());
                index.range(whole).map(|(_, uuid)| *uuid).collect()
            }
            None => {
                let holds = |row: &Row| row.get(column).is_some_and(|datum| atoms(datum).any(|a| a == value));
                self.rows.iter().filter(|(_, row)| holds(row)).map(|(uuid, _)| *uuid).collect()
            }
        }
    }

    /// Installs or removes a row; returns the one before.
    pub(super) fn set(&mut self, uuid: Uuid, row: Option<&Arc<Row>>) -> Option<Arc<Row>> {
        let old = self.rows.get(&uuid).cloned();
        for (column, index) in &mut self.indexes {
            let before = old.as_ref().and_then(|row| row.get(column));
            let after = row.and_then(|row| row.get(column));
            if before == after {
                continue;
            }
            for atom in before.into_iter().flat_map(atoms) {
                index.remove_mut(&(atom.clone(), uuid));
            }
            for atom in after.into_iter().flat_map(atoms) {
                index.insert_mut((atom.clone(), uuid));
            }
        }
        match row {
            Some(row) => self.rows.insert_mut(uuid, row.clone()),
            None => drop(self.rows.remove_mut(&uuid)),
        }
        old
    }
}

/// The elements of a set, the keys of a map.
fn atoms(datum: &Datum) -> Box<dyn Iterator<Item = &Atom> + '_> {
    match datum {
        Datum::Set(set) => Box::new(set.iter()),
        Datum::Map(map) => Box::new(map.keys()),
    }
}
