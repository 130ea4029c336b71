//! What differs between two snapshots, in terms of one bridge: which of its ports have to be looked at again.
//!
//! The answer errs on the side of looking: a port is named when its row, an interface it has or is called like, or its
//! membership in the bridge is different. A bridge that comes, goes, or is marked otherwise concerns every port.

use std::collections::BTreeSet;

use super::rows::Vswitch;
use super::tables;
use super::{DeviceName, StringMap};
use crate::cache::{Database, RowChange, RowEvent};
use crate::operation::Row;
use crate::typed::{Column, ColumnValue, Ref, Table};

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is not known: anything.
    Everything,
    /// At most this.
    Only(ChangedRows),
}

/// What may differ of a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedRows {
    /// Whether the bridge, other than in the set of its ports, or the configuration of a flow table does.
    pub settings: bool,
    /// Ports of any bridge, also such as are gone.
    pub ports: BTreeSet<Ref<tables::Port>>,
    /// The names these have, or had.
    pub names: BTreeSet<String>,
}

impl Changed {
    /// What differs between a snapshot and an earlier one of the same replica.
    pub fn between(earlier: &Database, now: &Database, bridge: &DeviceName) -> Self {
        let Some(events) = now.changes_since(earlier) else { return Self::Everything };
        let mut rows = ChangedRows::default();
        for event in &events {
            match event.table.as_str() {
                tables::Bridge::TABLE if !rows.note_bridge(event, bridge) => return Self::Everything,
                tables::Port::TABLE => drop(rows.ports.insert(Ref::new(event.uuid))),
                tables::Interface::TABLE => rows.note_interface(event, [earlier, now]),
                tables::FlowTable::TABLE => rows.settings = true,
                _ => {}
            }
        }
        for port in &rows.ports {
            let found = [earlier, now].into_iter().filter_map(|database| database.typed_row(*port));
            rows.names.extend(found.filter_map(|row| row.get(tables::Port::NAME).ok()));
        }
        Self::Only(rows)
    }

    /// Whether there is no difference.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Only(rows) if *rows == ChangedRows::default())
    }
}

impl ChangedRows {
    /// `false`: any port may be concerned.
    fn note_bridge(&mut self, event: &RowEvent, bridge: &DeviceName) -> bool {
        let names = |row: &Row| get(row, tables::Bridge::NAME).as_deref() == Some(bridge.as_str());
        let (old, new) = match &event.change {
            RowChange::Inserted(row) | RowChange::Deleted(row) => return !names(row),
            RowChange::Modified { old, new } => (old.as_ref(), new.as_ref()),
        };
        if !names(old) && !names(new) {
            return true;
        }
        let marks = |row: &Row| get::<_, StringMap>(row, tables::Bridge::EXTERNAL_IDS);
        if names(old) != names(new) || marks(old) != marks(new) {
            return false;
        }
        let (Some(before), Some(after)) = (get(old, tables::Bridge::PORTS), get(new, tables::Bridge::PORTS))
        else {
            return false;
        };
        self.ports.extend(before.symmetric_difference(&after));
        let ports = tables::Bridge::PORTS.name();
        let settings = |row: &Row| row.iter().filter(|(column, _)| *column != ports).count();
        let same = |(column, datum): (&String, _)| column == ports || new.get(column) == Some(datum);
        self.settings |= settings(old) != settings(new) || !old.iter().all(same);
        true
    }

    fn note_interface(&mut self, event: &RowEvent, snapshots: [&Database; 2]) {
        let rows = match &event.change {
            RowChange::Inserted(row) | RowChange::Deleted(row) => vec![row],
            RowChange::Modified { old, new } => vec![old, new],
        };
        let called: BTreeSet<String> =
            rows.into_iter().filter_map(|row| get(row, tables::Interface::NAME)).collect();
        for database in snapshots {
            let view = Vswitch::new(database);
            self.ports.extend(view.ports_with(Ref::new(event.uuid)));
            self.ports.extend(called.iter().flat_map(|name| view.ports_called(name)));
        }
        self.names.extend(called);
    }
}

fn get<T: Table, V: ColumnValue>(row: &Row, column: Column<T, V>) -> Option<V> {
    V::from_datum(row.get(column.name())?)
}
