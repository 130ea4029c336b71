//! Prefix lookups of OpenFlow tables (`Flow_Table.prefixes`): with them the classifier's megaflows for address
//! classes keep short prefixes instead of whole addresses.

use std::collections::{BTreeMap, BTreeSet};

use super::bridge::{marked, own_bridge, require_owned};
use super::names::{DeviceName, Owner};
use super::rows::Vswitch;
use super::{BuildError, StringMap, tables};
use crate::cache::Database;
use crate::operation::{Mutation, Mutator, Transaction};
use crate::value::{Atom, Datum};

const MAX_PREFIXES: usize = 3;

/// Sets the prefix fields (`ip_dst`, `ipv6_dst`, ...) of tables of our bridge; other tables stay as they are.
pub fn set_prefixes(
    database: &Database,
    owner: &Owner,
    bridge: &DeviceName,
    prefixes: &BTreeMap<u8, BTreeSet<String>>,
) -> Result<Transaction, BuildError> {
    let view = Vswitch::new(database);
    let own = own_bridge(view, owner, bridge)?;
    let mark = marked(&StringMap::new(), owner)?;
    let mut tx = Transaction::new();
    require_owned(&mut tx, own.uuid, &own.name, owner);
    // Nobody may have configured one of the tables since: `insert` would keep their entry and drop ours.
    tx.require_row(own.uuid, [tables::Bridge::FLOW_TABLES.is(own.flow_tables.clone())]);
    let guards = tx.operations().len();
    for (&table, fields) in prefixes {
        check(table, fields)?;
        let Some(&uuid) = own.flow_tables.get(&i64::from(table)) else {
            let new = tx.insert_row([
                tables::FlowTable::PREFIXES.is(fields.clone()),
                tables::FlowTable::EXTERNAL_IDS.is(mark.clone()),
            ]);
            let entry = Datum::Map(BTreeMap::from([(i64::from(table).into(), Atom::NamedUuid(new))]));
            let insert = Mutation::new(tables::Bridge::FLOW_TABLES.name(), Mutator::Insert, entry);
            tx.mutate_row(own.uuid, vec![insert]);
            continue;
        };
        let current = view.flow_table(uuid)?.filter(|row| owner.owns(&row.external_ids));
        let current =
            current.ok_or_else(|| BuildError::ForeignFlowTable { bridge: bridge.clone(), table })?;
        if current.prefixes != *fields {
            tx.update_row(uuid, [tables::FlowTable::PREFIXES.is(fields.clone())]);
        }
    }
    Ok(if tx.operations().len() == guards { Transaction::new() } else { tx })
}

fn check(table: u8, fields: &BTreeSet<String>) -> Result<(), BuildError> {
    if table == u8::MAX {
        return Err(BuildError::NoSuchFlowTable(table));
    }
    if fields.len() > MAX_PREFIXES {
        return Err(BuildError::TooManyPrefixes { table, count: fields.len() });
    }
    Ok(())
}
