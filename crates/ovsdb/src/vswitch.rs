//! The Open_vSwitch database (ovs-vswitchd.conf.db(5)): typed rows, and builders of the transactions an agent needs.
//!
//! [`tables`] has every table and column of the schema of Open vSwitch 3.1 (8.3.1), generated. A server of another
//! version is compared column by column with what is asked of it, see [`crate::typed`].
//!
//! Builders are pure: a snapshot of the replica and a specification go in, a [`Transaction`] comes out, empty when
//! nothing has to change. They keep three rules:
//!
//! - **Ownership.** Only rows whose `external_ids` hold our [`Owner`] mark are changed or deleted. A name taken by
//!   someone else is an error, never adopted.
//! - **Optimism.** What a builder concluded from the snapshot is repeated in the transaction as a `wait` with time-out
//!   zero; when the database has moved on, the transaction fails with "timed out"
//!   ([`crate::TransactError::is_transient`]) and is to be computed anew.
//! - **Root set.** Ports and bridges are removed from the set that refers to them; the server collects the rows.
//!
//! That the database accepted a value does not mean that `ovs-vswitchd` acted on it: append [`bump_next_cfg`],
//! wait until `cur_cfg` has caught up, then ask [`realized_ports`].

mod bridge;
mod changes;
mod config;
mod flow_table;
mod marks;
mod names;
mod ports;
mod rows;
pub mod tables;
mod uplink;

use std::collections::BTreeMap;

use crate::monitor::MonitorSpec;
use crate::typed::Table;

pub use crate::typed::RowError;
pub use bridge::{BridgeSpec, delete_bridge, ensure_bridge, restore_datapath_type};
pub use changes::{Changed, ChangedRows};
pub use config::{bump_next_cfg, has_reached, next_cfg_of, set_external_ids};
pub use flow_table::set_prefixes;
pub use marks::{OwnRows, restore_marks};
pub use names::{DatapathType, DeviceName, NameError, Ofport, OfportError, Owner};
pub use ports::{
    PortFailure, PortKind, PortSpec, TunnelKey, TunnelRemote, Unrealized, Vxlan, delete_ports, ensure_ports,
    realized_ports,
};
pub use rows::{Bridge, FlowTable, Interface, OpenVSwitch, Port, Vswitch};
pub use tables::BridgeProtocols as OpenFlowVersion;
pub use uplink::{UplinkBridge, UplinkState};

#[cfg(doc)]
use crate::operation::Transaction;

/// The database's name.
pub const DATABASE: &str = "Open_vSwitch";

/// The tables and columns the typed rows read; statistics are left out, they change every five seconds.
pub fn monitor_spec() -> MonitorSpec {
    let parts =
        [OpenVSwitch::monitor, Bridge::monitor, Port::monitor, Interface::monitor, FlowTable::monitor];
    let spec = parts.iter().fold(MonitorSpec::new(), |spec, part| part(spec));
    // What builders and followers look rows up by.
    use tables::{Interface as I, Port as P};
    spec.lookup(tables::Bridge::TABLE, &[tables::Bridge::NAME.name()])
        .lookup(P::TABLE, &[P::NAME.name(), P::INTERFACES.name()])
        .lookup(I::TABLE, &[I::NAME.name(), I::OFPORT.name(), I::OFPORT_REQUEST.name()])
}

/// Keys and values of `external_ids`, `other_config` or `options`.
pub type StringMap = BTreeMap<String, String>;

/// Why a transaction cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A row does not have the columns or types expected.
    #[error(transparent)]
    Row(#[from] RowError),
    /// No such bridge.
    #[error("bridge {0} does not exist")]
    NoBridge(DeviceName),
    /// The bridge belongs to someone else.
    #[error("bridge {name} exists and is not marked {mark}: it belongs to someone else")]
    ForeignBridge {
        /// Bridge.
        name: DeviceName,
        /// Our mark.
        mark: Owner,
    },
    /// The port belongs to someone else.
    #[error("port {name} exists and is not marked {mark}: it belongs to someone else")]
    ForeignPort {
        /// Port.
        name: String,
        /// Our mark.
        mark: Owner,
    },
    /// A row in our bridge belongs to someone else.
    #[error("flow table {table} of bridge {bridge} is configured by someone else")]
    ForeignFlowTable {
        /// Bridge.
        bridge: DeviceName,
        /// OpenFlow table.
        table: u8,
    },
    /// Our port, but not on this bridge.
    #[error("port {port} exists on another bridge than {bridge}")]
    OtherBridge {
        /// Port.
        port: DeviceName,
        /// Bridge.
        bridge: DeviceName,
    },
    /// The existing row differs in a way that cannot be changed without interrupting traffic.
    #[error("{name} exists with another {column}")]
    Differs {
        /// Bridge or port.
        name: DeviceName,
        /// Column.
        column: &'static str,
    },
    /// Two ports with one name or port number.
    #[error("{0} is given twice")]
    Duplicate(String),
    /// Another port of the bridge has the port number.
    #[error("OpenFlow port {ofport} wanted by {name} is used by {user}")]
    OfportInUse {
        /// Port wanted.
        name: DeviceName,
        /// Number.
        ofport: Ofport,
        /// Port that has it.
        user: String,
    },
    /// A bridge's own port is removed with the bridge only.
    #[error("port {0} is the bridge's own")]
    LocalPort(DeviceName),
    /// The bridge still has ports of others.
    #[error("bridge {bridge} has port {port}, which belongs to someone else")]
    BridgeInUse {
        /// Bridge.
        bridge: DeviceName,
        /// Port.
        port: String,
    },
    /// The mark is set by the builders themselves.
    #[error("key {0} of external_ids is reserved for the mark of ownership")]
    ReservedKey(String),
    /// More prefixes than OVS allows.
    #[error("flow table {table} has {count} prefixes where 3 are allowed")]
    TooManyPrefixes {
        /// OpenFlow table.
        table: u8,
        /// Prefixes given.
        count: usize,
    },
    /// OpenFlow table 255 does not exist.
    #[error("flow table {0} does not exist")]
    NoSuchFlowTable(u8),
}

#[cfg(test)]
mod tests;
