//! Typed views of rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use super::{BRIDGE, FLOW_TABLE, INTERFACE, OPEN_VSWITCH, PORT, StringMap};
use crate::cache::Database;
use crate::operation::Row;
use crate::value::{Atom, Datum};

/// A row does not hold what its type promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A column is missing or of another type.
    #[error("column {table}.{column} of row {uuid} is not {expected}")]
    Column {
        /// Table.
        table: &'static str,
        /// Row.
        uuid: Uuid,
        /// Column.
        column: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// The root row is missing or not unique; `ovs-vsctl init` creates it.
    #[error("database has {0} Open_vSwitch rows where one is expected")]
    Root(usize),
}

/// One row and its table, for error messages.
struct View<'a> {
    table: &'static str,
    uuid: Uuid,
    row: &'a Row,
}

impl View<'_> {
    fn error(&self, column: &'static str, expected: &'static str) -> RowError {
        RowError::Column { table: self.table, uuid: self.uuid, column, expected }
    }

    fn set<T: Ord>(
        &self,
        column: &'static str,
        expected: &'static str,
        get: impl Fn(&Atom) -> Option<T>,
    ) -> Result<BTreeSet<T>, RowError> {
        let Some(Datum::Set(set)) = self.row.get(column) else { return Err(self.error(column, expected)) };
        set.iter().map(|atom| get(atom).ok_or_else(|| self.error(column, expected))).collect()
    }

    fn optional<T: Ord>(
        &self,
        column: &'static str,
        expected: &'static str,
        get: impl Fn(&Atom) -> Option<T>,
    ) -> Result<Option<T>, RowError> {
        let mut set = self.set(column, expected, get)?;
        let value = set.pop_first();
        if set.is_empty() { Ok(value) } else { Err(self.error(column, expected)) }
    }

    fn scalar<T: Ord>(
        &self,
        column: &'static str,
        expected: &'static str,
        get: impl Fn(&Atom) -> Option<T>,
    ) -> Result<T, RowError> {
        self.optional(column, expected, get)?.ok_or_else(|| self.error(column, expected))
    }

    fn map<K: Ord, V>(
        &self,
        column: &'static str,
        expected: &'static str,
        key: impl Fn(&Atom) -> Option<K>,
        value: impl Fn(&Atom) -> Option<V>,
    ) -> Result<BTreeMap<K, V>, RowError> {
        let Some(Datum::Map(map)) = self.row.get(column) else { return Err(self.error(column, expected)) };
        map.iter().map(|(k, v)| key(k).zip(value(v)).ok_or_else(|| self.error(column, expected))).collect()
    }

    fn strings(&self, column: &'static str) -> Result<StringMap, RowError> {
        self.map(column, "a map of strings", string, string)
    }
}

fn string(atom: &Atom) -> Option<String> {
    if let Atom::String(text) = atom { Some(text.clone()) } else { None }
}

fn integer(atom: &Atom) -> Option<i64> {
    if let Atom::Integer(number) = atom { Some(*number) } else { None }
}

fn uuid(atom: &Atom) -> Option<Uuid> {
    if let Atom::Uuid(uuid) = atom { Some(*uuid) } else { None }
}

fn link(atom: &Atom) -> Option<LinkState> {
    match atom {
        Atom::String(text) if text == "up" => Some(LinkState::Up),
        Atom::String(text) if text == "down" => Some(LinkState::Down),
        _ => None,
    }
}

/// `admin_state` and `link_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkState {
    /// Up.
    Up,
    /// Down.
    Down,
}

pub(super) const OPEN_VSWITCH_COLUMNS: &[&str] = &[
    "bridges",
    "cur_cfg",
    "datapath_types",
    "external_ids",
    "iface_types",
    "next_cfg",
    "other_config",
    "ovs_version",
];
pub(super) const BRIDGE_COLUMNS: &[&str] = &[
    "controller",
    "datapath_id",
    "datapath_type",
    "external_ids",
    "fail_mode",
    "flow_tables",
    "name",
    "other_config",
    "ports",
    "protocols",
];
pub(super) const PORT_COLUMNS: &[&str] = &["external_ids", "interfaces", "name", "tag"];
pub(super) const INTERFACE_COLUMNS: &[&str] = &[
    "admin_state",
    "error",
    "external_ids",
    "ifindex",
    "link_state",
    "mac_in_use",
    "mtu",
    "mtu_request",
    "name",
    "ofport",
    "ofport_request",
    "options",
    "type",
];
pub(super) const FLOW_TABLE_COLUMNS: &[&str] = &["external_ids", "name", "prefixes"];

/// The root row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "columns are those of ovs-vswitchd.conf.db(5)")]
pub struct OpenVSwitch {
    pub uuid: Uuid,
    pub bridges: BTreeSet<Uuid>,
    pub cur_cfg: i64,
    pub next_cfg: i64,
    pub ovs_version: Option<String>,
    pub datapath_types: BTreeSet<String>,
    pub iface_types: BTreeSet<String>,
    pub external_ids: StringMap,
    pub other_config: StringMap,
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "columns are those of ovs-vswitchd.conf.db(5)")]
pub struct Bridge {
    pub uuid: Uuid,
    pub name: String,
    pub datapath_type: String,
    pub datapath_id: Option<String>,
    pub fail_mode: Option<String>,
    pub protocols: BTreeSet<String>,
    pub ports: BTreeSet<Uuid>,
    pub controllers: BTreeSet<Uuid>,
    pub flow_tables: BTreeMap<i64, Uuid>,
    pub external_ids: StringMap,
    pub other_config: StringMap,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "columns are those of ovs-vswitchd.conf.db(5)")]
pub struct Port {
    pub uuid: Uuid,
    pub name: String,
    pub interfaces: BTreeSet<Uuid>,
    pub tag: Option<i64>,
    pub external_ids: StringMap,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "columns are those of ovs-vswitchd.conf.db(5)")]
pub struct Interface {
    pub uuid: Uuid,
    pub name: String,
    /// The column `type`; empty means `system`.
    pub kind: String,
    /// `None`: not looked at yet. -1: could not be opened.
    pub ofport: Option<i64>,
    pub ofport_request: Option<i64>,
    pub error: Option<String>,
    pub mac_in_use: Option<String>,
    pub ifindex: Option<i64>,
    pub admin_state: Option<LinkState>,
    pub link_state: Option<LinkState>,
    pub mtu: Option<i64>,
    pub mtu_request: Option<i64>,
    pub external_ids: StringMap,
    pub options: StringMap,
}

/// The configuration of an OpenFlow table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "columns are those of ovs-vswitchd.conf.db(5)")]
pub struct FlowTable {
    pub uuid: Uuid,
    pub name: Option<String>,
    pub prefixes: BTreeSet<String>,
    pub external_ids: StringMap,
}

/// Typed access to a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Vswitch<'a>(&'a Database);

impl<'a> Vswitch<'a> {
    /// Looks at a snapshot replicated with [`super::monitor_spec`].
    pub fn new(database: &'a Database) -> Self {
        Self(database)
    }

    fn views(self, table: &'static str) -> impl Iterator<Item = View<'a>> {
        self.0.rows(table).map(move |(uuid, row): (Uuid, &'a Arc<Row>)| View { table, uuid, row })
    }

    /// The root row.
    pub fn root(self) -> Result<OpenVSwitch, RowError> {
        let mut views = self.views(OPEN_VSWITCH);
        match (views.next(), views.next()) {
            (Some(view), None) => open_vswitch(&view),
            (first, second) => Err(RowError::Root(
                usize::from(first.is_some()) + usize::from(second.is_some()) + views.count(),
            )),
        }
    }

    /// The bridges by name.
    pub fn bridges(self) -> Result<BTreeMap<String, Bridge>, RowError> {
        self.views(BRIDGE).map(|view| bridge(&view).map(|row| (row.name.clone(), row))).collect()
    }

    /// One bridge.
    pub fn bridge(self, name: &str) -> Result<Option<Bridge>, RowError> {
        Ok(self.bridges()?.remove(name))
    }

    /// The ports of all bridges by name.
    pub fn ports(self) -> Result<BTreeMap<String, Port>, RowError> {
        self.views(PORT).map(|view| port(&view).map(|row| (row.name.clone(), row))).collect()
    }

    /// The interfaces of all bridges by name.
    pub fn interfaces(self) -> Result<BTreeMap<String, Interface>, RowError> {
        self.views(INTERFACE).map(|view| interface(&view).map(|row| (row.name.clone(), row))).collect()
    }

    /// One interface.
    pub fn interface(self, name: &str) -> Result<Option<Interface>, RowError> {
        let mut named = self.views(INTERFACE).filter(|view| view.row.get("name") == Some(&name.into()));
        named.next().map(|view| interface(&view)).transpose()
    }

    /// One table's configuration.
    pub fn flow_table(self, uuid: Uuid) -> Result<Option<FlowTable>, RowError> {
        let row = self.0.row(FLOW_TABLE, uuid);
        row.map(|row| flow_table(&View { table: FLOW_TABLE, uuid, row })).transpose()
    }
}

fn open_vswitch(view: &View<'_>) -> Result<OpenVSwitch, RowError> {
    Ok(OpenVSwitch {
        uuid: view.uuid,
        bridges: view.set("bridges", "a set of rows", uuid)?,
        cur_cfg: view.scalar("cur_cfg", "an integer", integer)?,
        next_cfg: view.scalar("next_cfg", "an integer", integer)?,
        ovs_version: view.optional("ovs_version", "an optional string", string)?,
        datapath_types: view.set("datapath_types", "a set of strings", string)?,
        iface_types: view.set("iface_types", "a set of strings", string)?,
        external_ids: view.strings("external_ids")?,
        other_config: view.strings("other_config")?,
    })
}

fn bridge(view: &View<'_>) -> Result<Bridge, RowError> {
    Ok(Bridge {
        uuid: view.uuid,
        name: view.scalar("name", "a string", string)?,
        datapath_type: view.scalar("datapath_type", "a string", string)?,
        datapath_id: view.optional("datapath_id", "an optional string", string)?,
        fail_mode: view.optional("fail_mode", "an optional string", string)?,
        protocols: view.set("protocols", "a set of strings", string)?,
        ports: view.set("ports", "a set of rows", uuid)?,
        controllers: view.set("controller", "a set of rows", uuid)?,
        flow_tables: view.map("flow_tables", "a map of integers to rows", integer, uuid)?,
        external_ids: view.strings("external_ids")?,
        other_config: view.strings("other_config")?,
    })
}

fn port(view: &View<'_>) -> Result<Port, RowError> {
    Ok(Port {
        uuid: view.uuid,
        name: view.scalar("name", "a string", string)?,
        interfaces: view.set("interfaces", "a set of rows", uuid)?,
        tag: view.optional("tag", "an optional integer", integer)?,
        external_ids: view.strings("external_ids")?,
    })
}

fn interface(view: &View<'_>) -> Result<Interface, RowError> {
    const OPTIONAL_INTEGER: &str = "an optional integer";
    const OPTIONAL_STRING: &str = "an optional string";
    Ok(Interface {
        uuid: view.uuid,
        name: view.scalar("name", "a string", string)?,
        kind: view.scalar("type", "a string", string)?,
        ofport: view.optional("ofport", OPTIONAL_INTEGER, integer)?,
        ofport_request: view.optional("ofport_request", OPTIONAL_INTEGER, integer)?,
        error: view.optional("error", OPTIONAL_STRING, string)?,
        mac_in_use: view.optional("mac_in_use", OPTIONAL_STRING, string)?,
        ifindex: view.optional("ifindex", OPTIONAL_INTEGER, integer)?,
        admin_state: view.optional("admin_state", "up, down or absent", link)?,
        link_state: view.optional("link_state", "up, down or absent", link)?,
        mtu: view.optional("mtu", OPTIONAL_INTEGER, integer)?,
        mtu_request: view.optional("mtu_request", OPTIONAL_INTEGER, integer)?,
        external_ids: view.strings("external_ids")?,
        options: view.strings("options")?,
    })
}

fn flow_table(view: &View<'_>) -> Result<FlowTable, RowError> {
    Ok(FlowTable {
        uuid: view.uuid,
        name: view.optional("name", "an optional string", string)?,
        prefixes: view.set("prefixes", "a set of strings", string)?,
        external_ids: view.strings("external_ids")?,
    })
}
