//! Rows of ours that somebody else deleted or altered: found at each change of the replica, put back.
//!
//! What there should be is kept here: the bridge, the tunnel port, the endpoint ports plugged by this process or found
//! plugged by it. Rows without our mark are not looked at.
//!
//! # Failure
//! What cannot be put back without taking something from somebody else (a foreign port has our name or number) is
//! logged and left; it is tried again at the next change, and every second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use ovsdb::Database;
use ovsdb::operation::Transaction;
use ovsdb::vswitch::{
    BridgeSpec, BuildError, DeviceName, PortSpec, Vswitch, delete_ports, ensure_bridge, ensure_ports,
    set_prefixes,
};

use super::owner;

/// Names of ports are told one by one up to so many.
const NAMED: usize = 8;

/// Prefix fields by OpenFlow table, once they were set.
pub(super) type Prefixes = Arc<OnceLock<BTreeMap<u8, BTreeSet<String>>>>;

/// What there should be.
pub(super) struct Kept {
    pub(super) bridge: BridgeSpec,
    pub(super) ports: BTreeMap<DeviceName, PortSpec>,
    pub(super) prefixes: Prefixes,
}

/// What is wrong, in words, how often; and what puts it right.
pub(super) type Repair = (Transaction, BTreeMap<String, u64>);

impl Kept {
    /// The next thing to put right; `None`: all is as it should be.
    pub(super) fn next(&self, database: &Database) -> Result<Option<Repair>, BuildError> {
        let name = &self.bridge.name;
        let transaction = ensure_bridge(database, &owner(), &self.bridge)?;
        if !transaction.is_empty() {
            let there = Vswitch::new(database).bridge(name.as_str())?.is_some();
            let what = if there { format!("settings of bridge {name}") } else { format!("bridge {name}") };
            return Ok(Some((transaction, BTreeMap::from([(what, 1)]))));
        }
        let specs: Vec<PortSpec> = self.ports.values().cloned().collect();
        match ensure_ports(database, &owner(), name, &specs) {
            Ok(transaction) if !transaction.is_empty() => {
                return Ok(Some((transaction, self.wrong_ports(database)?)));
            }
            Ok(_) => {}
            // It cannot be altered as it stands: out, and in again at the next look.
            Err(BuildError::Differs { name: port, .. }) if self.ports.contains_key(&port) => {
                let what = BTreeMap::from([(format!("port {port}"), 1)]);
                return Ok(Some((delete_ports(database, &owner(), name, &BTreeSet::from([port]))?, what)));
            }
            Err(e) => return Err(e),
        }
        let Some(prefixes) = self.prefixes.get() else { return Ok(None) };
        let transaction = set_prefixes(database, &owner(), name, prefixes)?;
        let what = BTreeMap::from([(format!("flow table settings of bridge {name}"), 1)]);
        Ok((!transaction.is_empty()).then_some((transaction, what)))
    }

    fn wrong_ports(&self, database: &Database) -> Result<BTreeMap<String, u64>, BuildError> {
        let there = Vswitch::new(database).ports()?;
        let missing: Vec<&DeviceName> =
            self.ports.keys().filter(|n| !there.contains_key(n.as_str())).collect();
        Ok(match missing.len() {
            0 => BTreeMap::from([("settings of ports".to_owned(), 1)]),
            1..=NAMED => missing.iter().map(|name| (format!("port {name}"), 1)).collect(),
            many => BTreeMap::from([("ports".to_owned(), many as u64)]),
        })
    }
}
