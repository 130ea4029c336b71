//! Rows of ours that somebody else deleted or altered: found at each change of the replica, put back.
//!
//! What there should be is kept here: the bridge, the tunnel port, the endpoint ports plugged by this process or found
//! plugged or recorded by an earlier one. Rows without our mark are not looked at, unless they had it a moment ago: these
//! get it back. Compared is what changed ([`Suspects`]); everything only when the database was away, and now and then.
//!
//! # Failure
//! What cannot be put back without taking something from somebody else (a foreign port has our name or number, a foreign
//! bridge our bridge's name) is reported and left; it is tried again at the next change, and every second. One port that
//! is left keeps no other from being put back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use ovsdb::Database;
use ovsdb::operation::Transaction;
use ovsdb::vswitch::{
    BridgeSpec, BuildError, Changed, DeviceName, OwnRows, PortSpec, Vswitch, delete_ports, ensure_bridge,
    ensure_ports, restore_datapath_type, restore_marks, set_prefixes,
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

/// What the task that repairs tells.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// What was put back, how often.
    pub(super) repaired: BTreeMap<String, u64>,
    /// What cannot be put back, and why.
    pub(super) left: BTreeMap<String, String>,
}

/// What may not be as it should be, since it was last compared.
#[derive(Debug)]
pub(super) enum Suspects {
    /// Anything.
    All,
    Some {
        /// The bridge and the flow tables.
        settings: bool,
        /// Ports; not all of them need be ours.
        ports: BTreeSet<String>,
    },
}

impl Suspects {
    pub(super) fn none() -> Self {
        Self::Some { settings: false, ports: BTreeSet::new() }
    }

    pub(super) fn add(&mut self, changed: Changed) {
        match (&mut *self, changed) {
            (Self::All, _) => {}
            (_, Changed::Everything) => *self = Self::All,
            (Self::Some { settings, ports }, Changed::Only(changed)) => {
                *settings |= changed.settings;
                ports.extend(changed.names);
            }
        }
    }

    /// What could not be put back is suspect until it can.
    pub(super) fn add_ports(&mut self, names: impl IntoIterator<Item = String>) {
        if let Self::Some { ports, .. } = self {
            ports.extend(names);
        }
    }

    fn has_settings(&self) -> bool {
        matches!(self, Self::All | Self::Some { settings: true, .. })
    }

    fn among<'k>(&self, kept: &'k BTreeMap<DeviceName, PortSpec>) -> BTreeMap<&'k str, &'k PortSpec> {
        match self {
            Self::All => kept.values().map(|spec| (spec.name.as_str(), spec)).collect(),
            Self::Some { ports, .. } => {
                let names = ports.iter().filter_map(|name| DeviceName::new(name).ok());
                let specs = names.filter_map(|name| kept.get(&name));
                specs.map(|spec| (spec.name.as_str(), spec)).collect()
            }
        }
    }
}

/// What cannot be put right: which thing, which port that is, and why.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) reasons: BTreeMap<String, String>,
    pub(super) ports: BTreeSet<String>,
}

/// What puts something right; and what was wrong, in words, how often.
pub(super) type Repair = (Transaction, BTreeMap<String, u64>);

impl Kept {
    /// The next thing to put right, if there is any; without one, what stays wrong.
    pub(super) fn next(
        &self,
        database: &Database,
        own: &OwnRows,
        suspects: &Suspects,
    ) -> Result<(Option<Repair>, Left), BuildError> {
        let (transaction, unmarked) = restore_marks(database, &owner(), own)?;
        if !unmarked.is_empty() {
            let count = unmarked.len();
            let one = |name: String| (format!("mark of {name}"), 1);
            let what =
                if count <= NAMED { unmarked.into_iter().map(one).collect() } else { many("marks", count) };
            return Ok((Some((transaction, what)), Left::default()));
        }
        if suspects.has_settings()
            && let Some(repair) = self.bridge(database)?
        {
            return Ok((Some(repair), Left::default()));
        }
        let (repair, left) = self.ports(database, suspects)?;
        if repair.is_some() || !suspects.has_settings() {
            return Ok((repair, left));
        }
        Ok((self.prefixes(database)?, left))
    }

    fn bridge(&self, database: &Database) -> Result<Option<Repair>, BuildError> {
        let name = &self.bridge.name;
        let (transaction, what) = match ensure_bridge(database, &owner(), &self.bridge) {
            Err(BuildError::Differs { column: "datapath_type", .. }) => (
                restore_datapath_type(database, &owner(), &self.bridge)?,
                format!("datapath of bridge {name}"),
            ),
            other => {
                let there = Vswitch::new(database).bridge(name.as_str())?.is_some();
                (other?, if there { format!("settings of bridge {name}") } else { format!("bridge {name}") })
            }
        };
        Ok((!transaction.is_empty()).then_some((transaction, BTreeMap::from([(what, 1)]))))
    }

    fn ports(&self, database: &Database, suspects: &Suspects) -> Result<(Option<Repair>, Left), BuildError> {
        let (mut wanted, mut left) = (suspects.among(&self.ports), Left::default());
        loop {
            let specs: Vec<PortSpec> = wanted.values().copied().cloned().collect();
            if specs.is_empty() {
                return Ok((None, left));
            }
            let refused = match ensure_ports(database, &owner(), &self.bridge.name, &specs) {
                Ok(transaction) if transaction.is_empty() => return Ok((None, left)),
                Ok(transaction) => return Ok((Some((transaction, wrong_ports(&wanted, database)?)), left)),
                Err(e) => e,
            };
            let name = match &refused {
                // It cannot be altered as it stands: out, and in again at the next look.
                BuildError::Differs { name, .. } if wanted.contains_key(name.as_str()) => {
                    let out = BTreeSet::from([name.clone()]);
                    let delete = delete_ports(database, &owner(), &self.bridge.name, &out)?;
                    return Ok((Some((delete, BTreeMap::from([(format!("port {name}"), 1)]))), left));
                }
                BuildError::ForeignPort { name, .. } => name.clone(),
                BuildError::OtherBridge { port: name, .. } | BuildError::OfportInUse { name, .. } => {
                    name.to_string()
                }
                _ => return Err(refused),
            };
            wanted.remove(name.as_str());
            left.reasons.insert(format!("port {name}"), refused.to_string());
            if !left.ports.insert(name) {
                return Err(refused);
            }
        }
    }

    fn prefixes(&self, database: &Database) -> Result<Option<Repair>, BuildError> {
        let Some(prefixes) = self.prefixes.get() else { return Ok(None) };
        let name = &self.bridge.name;
        let transaction = set_prefixes(database, &owner(), name, prefixes)?;
        let what = BTreeMap::from([(format!("flow table settings of bridge {name}"), 1)]);
        Ok((!transaction.is_empty()).then_some((transaction, what)))
    }
}

fn many(what: &str, count: usize) -> BTreeMap<String, u64> {
    BTreeMap::from([(what.to_owned(), count as u64)])
}

fn wrong_ports(
    wanted: &BTreeMap<&str, &PortSpec>,
    database: &Database,
) -> Result<BTreeMap<String, u64>, BuildError> {
    let view = Vswitch::new(database);
    let mut missing = Vec::new();
    for name in wanted.keys() {
        if view.port(name)?.is_none() {
            missing.push(name);
        }
    }
    Ok(match missing.len() {
        0 => many("settings of ports", 1),
        1..=NAMED => missing.iter().map(|name| (format!("port {name}"), 1)).collect(),
        count => many("ports", count),
    })
}
