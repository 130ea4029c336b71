//! Whole-switch bookkeeping: the configuration counter, and keys of `external_ids`.

use std::collections::BTreeSet;

use super::bridge::{missing_pairs, require_owned};
use super::names::{DeviceName, Owner};
use super::rows::Vswitch;
use super::tables::OpenVSwitch;
use super::{BuildError, StringMap};
use crate::cache::Database;
use crate::operation::{Condition, Mutation, Mutator, OpIndex, Transaction};
use crate::outcome::Outcome;
use crate::typed::{ColumnValue, RowError, Table};
use crate::value::Datum;

/// Increments `next_cfg` and reads it back. Once `cur_cfg` has reached the value, `ovs-vswitchd` has acted on the
/// transaction (ovs-vswitchd.conf.db(5), "Configuring Open vSwitch").
pub fn bump_next_cfg(database: &Database, tx: &mut Transaction) -> Result<OpIndex, RowError> {
    let root = Vswitch::new(database).root()?.uuid;
    let next_cfg = OpenVSwitch::NEXT_CFG.name();
    tx.mutate_row(root, vec![Mutation::new(next_cfg, Mutator::Add, 1)]);
    Ok(tx.select(OpenVSwitch::TABLE, vec![Condition::uuid(root)], &[next_cfg]))
}

/// The value [`bump_next_cfg`] read back.
pub fn next_cfg_of(outcome: &Outcome, index: OpIndex) -> Option<i64> {
    match outcome.rows(index) {
        [row] => row.get(OpenVSwitch::NEXT_CFG.name()).and_then(i64::from_datum),
        _ => None,
    }
}

/// Whether `ovs-vswitchd` has acted on configuration `number`.
pub fn has_reached(database: &Database, number: i64) -> bool {
    Vswitch::new(database).root().is_ok_and(|root| root.cur_cfg >= number)
}

/// Sets and removes keys of our interface's `external_ids`, leaving all others alone. Nothing to do when they are so.
pub fn set_external_ids(
    database: &Database,
    owner: &Owner,
    interface: &DeviceName,
    set: &StringMap,
    remove: &BTreeSet<String>,
) -> Result<Transaction, BuildError> {
    if set.contains_key(owner.key()) || remove.contains(owner.key()) {
        return Err(BuildError::ReservedKey(owner.key().to_owned()));
    }
    let foreign = || BuildError::ForeignPort { name: interface.to_string(), mark: owner.clone() };
    let row = Vswitch::new(database).interface(interface.as_str())?.ok_or_else(foreign)?;
    if !owner.owns(&row.external_ids) {
        return Err(foreign());
    }
    let mut mutations = Vec::new();
    let gone: Vec<&str> = remove
        .iter()
        .filter(|k| row.external_ids.contains_key(*k) && !set.contains_key(*k))
        .map(String::as_str)
        .collect();
    if !gone.is_empty() {
        mutations.push(Mutation::new("external_ids", Mutator::Delete, Datum::set(gone)));
    }
    mutations.extend(Mutation::set_keys("external_ids", &missing_pairs(set, &row.external_ids)));
    let mut tx = Transaction::new();
    if !mutations.is_empty() {
        require_owned(&mut tx, row.uuid, &row.name, owner);
        tx.mutate_row(row.uuid, mutations);
    }
    Ok(tx)
}
