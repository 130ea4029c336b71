//! Rows that were seen with our mark, so that losing it is not the same as belonging to somebody else.
//!
//! A row without our mark is somebody else's, unless it was ours a moment ago: then somebody cleared its `external_ids`,
//! and the endpoints behind it are still ours. Row identities (UUIDs) are never used again, so a bridge that was deleted
//! and made anew under our name by somebody else is another row, and stays theirs.

use std::collections::{BTreeMap, BTreeSet};

use super::bridge::require_row_named;
use super::names::{DeviceName, Owner};
use super::rows::{Bridge, Port, Vswitch};
use super::{StringMap, tables};
use crate::cache::Database;
use crate::operation::{Mutation, Transaction};
use crate::typed::{Ref, RowError, Table};

/// The rows of our bridge that were seen with our mark and are still there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnRows {
    bridges: BTreeSet<Ref<tables::Bridge>>,
    ports: BTreeSet<Ref<tables::Port>>,
    /// Some of them have lost it.
    unmarked: bool,
}

impl OwnRows {
    /// Adds the rows that have the mark, forgets those that are gone.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn observe(&mut self, database: &Database, owner: &Owner, name: &DeviceName) -> Result<(), RowError> {
        let view = Vswitch::new(database);
        let bridge = view.bridge(name.as_str())?.filter(|bridge| self.is_bridge(owner, bridge));
        let ports = view.ports()?;
        let members = bridge.as_ref().map(|bridge| bridge.ports.clone()).unwrap_or_default();
        let ours = ports.values().filter(|port| members.contains(&port.uuid) && self.is_port(owner, port));
        let ours: Vec<&Port> = ours.collect();
        self.unmarked = ours.iter().any(|port| !owner.owns(&port.external_ids))
            || bridge.iter().any(|bridge| !owner.owns(&bridge.external_ids));
        self.ports = ours.iter().map(|port| port.uuid).collect();
        self.bridges = bridge.iter().map(|bridge| bridge.uuid).collect();
        Ok(())
    }

    /// Whether a bridge is ours: by its mark, or because it had it.
    pub fn is_bridge(&self, owner: &Owner, bridge: &Bridge) -> bool {
        owner.owns(&bridge.external_ids) || self.bridges.contains(&bridge.uuid)
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
    let view = Vswitch::new(database);
    let (mut tx, mut names) = (Transaction::new(), BTreeSet::new());
    if !own.unmarked {
        return Ok((tx, names));
    }
    for bridge in view.bridges()?.values() {
        if own.bridges.contains(&bridge.uuid) && !owner.owns(&bridge.external_ids) {
            mark(&mut tx, owner, bridge.uuid, &bridge.name);
            names.insert(format!("bridge {}", bridge.name));
        }
    }
    for port in view.ports()?.values() {
        if own.ports.contains(&port.uuid) && !owner.owns(&port.external_ids) {
            mark(&mut tx, owner, port.uuid, &port.name);
            names.insert(format!("port {}", port.name));
        }
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
