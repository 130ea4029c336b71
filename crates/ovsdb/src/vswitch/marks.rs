//! Rows that were seen with our mark, so that losing it is not the same as belonging to somebody else.
//!
//! A row without our mark is somebody else's, unless it was ours a moment ago: then somebody cleared its `external_ids`,
//! and the endpoints behind it are still ours. Row identities (UUIDs) are never used again, so a bridge that was deleted
//! and made anew under our name by somebody else is another row, and stays theirs.

use std::collections::{BTreeMap, BTreeSet};

use super::bridge::require_row_named;
use super::names::{DeviceName, Owner};
use super::rows::{Bridge, Port, Vswitch};
use super::{Changed, StringMap, tables};
use crate::cache::Database;
use crate::operation::{Mutation, Transaction};
use crate::typed::{Ref, RowError, Table};

/// The rows of our bridge that were seen with our mark and are still there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnRows {
    bridge: Option<Ref<tables::Bridge>>,
    ports: BTreeSet<Ref<tables::Port>>,
    /// Some of them have lost it.
    unmarked_bridge: bool,
    unmarked_ports: BTreeSet<Ref<tables::Port>>,
}

impl OwnRows {
    /// Adds the rows that have the mark, forgets those that are gone. `changed` is what differs from the snapshot that was
    /// observed last: only that is looked at.
    ///
    /// # Errors
    /// When a row cannot be read. What was observed until now stands, and everything has to be looked at again.
    pub fn observe(
        &mut self,
        database: &Database,
        owner: &Owner,
        name: &DeviceName,
        changed: &Changed,
    ) -> Result<(), RowError> {
        let view = Vswitch::new(database);
        let bridge = view.bridge(name.as_str())?.filter(|bridge| self.is_bridge(owner, bridge));
        let members = bridge.as_ref().map(|bridge| &bridge.ports);
        let candidates: Vec<Ref<tables::Port>> = match changed {
            Changed::Everything => members.into_iter().flatten().chain(&self.ports).copied().collect(),
            Changed::Only(rows) => rows.ports.iter().copied().collect(),
        };
        for row in candidates {
            let is_member = members.is_some_and(|members| members.contains(&row));
            let port = if is_member { view.port_row(row)? } else { None };
            match port.filter(|port| self.is_port(owner, port)) {
                Some(port) => {
                    self.ports.insert(row);
                    if owner.owns(&port.external_ids) {
                        self.unmarked_ports.remove(&row);
                    } else {
                        self.unmarked_ports.insert(row);
                    }
                }
                None => {
                    self.ports.remove(&row);
                    self.unmarked_ports.remove(&row);
                }
            }
        }
        self.unmarked_bridge = bridge.as_ref().is_some_and(|bridge| !owner.owns(&bridge.external_ids));
        self.bridge = bridge.map(|bridge| bridge.uuid);
        Ok(())
    }

    /// Whether a bridge is ours: by its mark, or because it had it.
    pub fn is_bridge(&self, owner: &Owner, bridge: &Bridge) -> bool {
        owner.owns(&bridge.external_ids) || self.bridge == Some(bridge.uuid)
    }

    /// Whether a port is ours: by its mark, or because it had it.
    pub fn is_port(&self, owner: &Owner, port: &Port) -> bool {
        owner.owns(&port.external_ids) || self.ports.contains(&port.uuid)
    }
}

/// Marks our rows again that have lost the mark as of the last look ([`OwnRows::observe`]); says which these are. Empty
/// when none has.
///
/// # Errors
/// When a row cannot be read.
pub fn restore_marks(
    database: &Database,
    owner: &Owner,
    own: &OwnRows,
) -> Result<(Transaction, BTreeSet<String>), RowError> {
    let (mut tx, mut names) = (Transaction::new(), BTreeSet::new());
    if let Some(row) = own.bridge.filter(|_| own.unmarked_bridge)
        && let Some(bridge) = database.typed_row(row)
    {
        let name = bridge.get(tables::Bridge::NAME)?;
        mark(&mut tx, owner, row, &name);
        names.insert(format!("bridge {name}"));
    }
    for row in &own.unmarked_ports {
        let Some(port) = database.typed_row(*row) else { continue };
        let name = port.get(tables::Port::NAME)?;
        mark(&mut tx, owner, *row, &name);
        names.insert(format!("port {name}"));
    }
    if !names.is_empty() {
        tx.comment(format!("{owner}: mark {} rows again", names.len()));
    }
    Ok((tx, names))
}

fn mark<T: Table>(tx: &mut Transaction, owner: &Owner, row: Ref<T>, name: &str) {
    require_row_named(tx, row, name);
    let pair: StringMap = BTreeMap::from([(owner.key().to_owned(), owner.value().to_owned())]);
    tx.mutate_row(row, Mutation::set_keys("external_ids", &pair));
}
