//! The columns of the typed tables ([`super::tables`]) that a switch agent reads, row by row.

use std::collections::{BTreeMap, BTreeSet};

use super::{StringMap, tables};
use crate::cache::Database;
use crate::monitor::MonitorSpec;
use crate::typed::{Column, ColumnValue, Ref, RowError, Table, TypedRow};
use crate::value::Atom;

/// A struct of some columns of a table: what is monitored and what is read cannot drift apart.
macro_rules! projection {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $rust:ty = $column:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "columns are those of ovs-vswitchd.conf.db(5)")]
        pub struct $name {
            pub uuid: Ref<tables::$name>,
            $($(#[$field_doc])* pub $field: $rust,)+
        }

        impl $name {
            pub(super) fn monitor(spec: MonitorSpec) -> MonitorSpec {
                spec$(.column(tables::$name::$column))+
            }

            fn read(row: TypedRow<'_, tables::$name>) -> Result<Self, RowError> {
                Ok(Self { uuid: row.row(), $($field: row.get(tables::$name::$column)?,)+ })
            }
        }
    };
}

projection! {
    /// The root row.
    OpenVSwitch {
        bridges: BTreeSet<Ref<tables::Bridge>> = BRIDGES,
        cur_cfg: i64 = CUR_CFG,
        next_cfg: i64 = NEXT_CFG,
        ovs_version: Option<String> = OVS_VERSION,
        datapath_types: BTreeSet<String> = DATAPATH_TYPES,
        iface_types: BTreeSet<String> = IFACE_TYPES,
        external_ids: StringMap = EXTERNAL_IDS,
        other_config: StringMap = OTHER_CONFIG,
    }
}

projection! {
    /// A bridge.
    Bridge {
        name: String = NAME,
        datapath_type: String = DATAPATH_TYPE,
        datapath_id: Option<String> = DATAPATH_ID,
        fail_mode: Option<tables::BridgeFailMode> = FAIL_MODE,
        protocols: BTreeSet<tables::BridgeProtocols> = PROTOCOLS,
        ports: BTreeSet<Ref<tables::Port>> = PORTS,
        controllers: BTreeSet<Ref<tables::Controller>> = CONTROLLER,
        stp_enable: bool = STP_ENABLE,
        rstp_enable: bool = RSTP_ENABLE,
        flow_tables: BTreeMap<i64, Ref<tables::FlowTable>> = FLOW_TABLES,
        external_ids: StringMap = EXTERNAL_IDS,
        other_config: StringMap = OTHER_CONFIG,
    }
}

projection! {
    /// A port.
    Port {
        name: String = NAME,
        interfaces: BTreeSet<Ref<tables::Interface>> = INTERFACES,
        tag: Option<i64> = TAG,
        trunks: BTreeSet<i64> = TRUNKS,
        vlan_mode: Option<tables::PortVlanMode> = VLAN_MODE,
        external_ids: StringMap = EXTERNAL_IDS,
    }
}

projection! {
    /// An interface.
    Interface {
        name: String = NAME,
        /// The column `type`; empty means `system`.
        kind: String = TYPE,
        /// `None`: not looked at yet. -1: could not be opened.
        ofport: Option<i64> = OFPORT,
        ofport_request: Option<i64> = OFPORT_REQUEST,
        error: Option<String> = ERROR,
        mac_in_use: Option<String> = MAC_IN_USE,
        ifindex: Option<i64> = IFINDEX,
        admin_state: Option<tables::InterfaceAdminState> = ADMIN_STATE,
        link_state: Option<tables::InterfaceLinkState> = LINK_STATE,
        mtu: Option<i64> = MTU,
        mtu_request: Option<i64> = MTU_REQUEST,
        external_ids: StringMap = EXTERNAL_IDS,
        options: StringMap = OPTIONS,
    }
}

projection! {
    /// The configuration of an OpenFlow table.
    FlowTable {
        name: Option<String> = NAME,
        prefixes: BTreeSet<String> = PREFIXES,
        external_ids: StringMap = EXTERNAL_IDS,
    }
}

/// Typed access to a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Vswitch<'a>(&'a Database);

impl<'a> Vswitch<'a> {
    /// Looks at a snapshot replicated with [`super::monitor_spec`].
    pub fn new(database: &'a Database) -> Self {
        Self(database)
    }

    /// The root row.
    pub fn root(self) -> Result<OpenVSwitch, RowError> {
        OpenVSwitch::read(self.0.only()?)
    }

    /// The bridges by name.
    pub fn bridges(self) -> Result<BTreeMap<String, Bridge>, RowError> {
        self.0.typed().map(|row| Bridge::read(row).map(|row| (row.name.clone(), row))).collect()
    }

    /// One bridge.
    pub fn bridge(self, name: &str) -> Result<Option<Bridge>, RowError> {
        self.found(tables::Bridge::NAME, name).next().map(Bridge::read).transpose()
    }

    /// The ports of all bridges by name.
    pub fn ports(self) -> Result<BTreeMap<String, Port>, RowError> {
        self.0.typed().map(|row| Port::read(row).map(|row| (row.name.clone(), row))).collect()
    }

    /// The interfaces of all bridges by name.
    pub fn interfaces(self) -> Result<BTreeMap<String, Interface>, RowError> {
        self.0.typed().map(|row| Interface::read(row).map(|row| (row.name.clone(), row))).collect()
    }

    /// One port.
    pub fn port(self, name: &str) -> Result<Option<Port>, RowError> {
        self.found(tables::Port::NAME, name).next().map(Port::read).transpose()
    }

    /// One port, by its row.
    pub fn port_row(self, row: Ref<tables::Port>) -> Result<Option<Port>, RowError> {
        self.0.typed_row(row).map(Port::read).transpose()
    }

    /// The port of a name, as a row.
    pub(super) fn ports_called(self, name: &str) -> impl Iterator<Item = Ref<tables::Port>> + use<'a> {
        self.found(tables::Port::NAME, name).map(|row| row.row())
    }

    /// The ports an interface is part of.
    pub fn ports_with(
        self,
        interface: Ref<tables::Interface>,
    ) -> impl Iterator<Item = Ref<tables::Port>> + 'a {
        self.found(tables::Port::INTERFACES, interface).map(|row| row.row())
    }

    /// One interface.
    pub fn interface(self, name: &str) -> Result<Option<Interface>, RowError> {
        self.found(tables::Interface::NAME, name).next().map(Interface::read).transpose()
    }

    /// One interface, by its row.
    pub fn interface_row(self, row: Ref<tables::Interface>) -> Result<Option<Interface>, RowError> {
        self.0.typed_row(row).map(Interface::read).transpose()
    }

    /// The interfaces that have an OpenFlow port number, or ask for it; of any bridge.
    pub fn interfaces_numbered(self, ofport: i64) -> Result<Vec<Interface>, RowError> {
        let having = self.found(tables::Interface::OFPORT, ofport);
        let asking = self.found(tables::Interface::OFPORT_REQUEST, ofport);
        let rows: BTreeMap<_, _> = having.chain(asking).map(|row| (row.row(), row)).collect();
        rows.into_values().map(Interface::read).collect()
    }

    /// One table's configuration.
    pub fn flow_table(self, row: Ref<tables::FlowTable>) -> Result<Option<FlowTable>, RowError> {
        self.0.typed_row(row).map(FlowTable::read).transpose()
    }

    /// The rows whose column holds a value; at most one when it is the table's index, as names are.
    fn found<T: Table, V: ColumnValue>(
        self,
        column: Column<T, V>,
        value: impl Into<Atom>,
    ) -> std::vec::IntoIter<TypedRow<'a, T>> {
        self.0.typed_with(column, &value.into()).into_iter()
    }
}
