//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::{BTreeMap, BTreeSet};

use super::{AutoAttach, Controller, FlowTable, IPFIX, Mirror, NetFlow, Port, SFlow};
use crate::typed::{Column, Ref, Table, string_enum};

/// The table `Bridge`. Rows live while something refers to them. Unique: `name`.
#[derive(Clone, Copy, Debug)]
pub enum Bridge {}

impl Table for Bridge {
    const TABLE: &'static str = "Bridge";
    const COLUMNS: &'static [&'static str] = &[
        "auto_attach",
        "controller",
        "datapath_id",
        "datapath_type",
        "datapath_version",
        "external_ids",
        "fail_mode",
        "flood_vlans",
        "flow_tables",
        "ipfix",
        "mcast_snooping_enable",
        "mirrors",
        "name",
        "netflow",
        "other_config",
        "ports",
        "protocols",
        "rstp_enable",
        "rstp_status",
        "sflow",
        "status",
        "stp_enable",
    ];
}

impl Bridge {
    /// Reference to `AutoAttach`, optional.
    pub const AUTO_ATTACH: Column<Self, Option<Ref<AutoAttach>>> = Column::new("auto_attach");
    /// Reference to `Controller`, any number.
    pub const CONTROLLER: Column<Self, BTreeSet<Ref<Controller>>> = Column::new("controller");
    /// String, optional; lost when the server restarts.
    pub const DATAPATH_ID: Column<Self, Option<String>> = Column::new("datapath_id");
    /// String.
    pub const DATAPATH_TYPE: Column<Self, String> = Column::new("datapath_type");
    /// String.
    pub const DATAPATH_VERSION: Column<Self, String> = Column::new("datapath_version");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// One of a few strings, optional.
    pub const FAIL_MODE: Column<Self, Option<BridgeFailMode>> = Column::new("fail_mode");
    /// Integer 0 to 4095, 0 to 4096 of them.
    pub const FLOOD_VLANS: Column<Self, BTreeSet<i64>> = Column::new("flood_vlans");
    /// Map from integer 0 to 254 to reference to `Flow_Table`, any number.
    pub const FLOW_TABLES: Column<Self, BTreeMap<i64, Ref<FlowTable>>> = Column::new("flow_tables");
    /// Reference to `IPFIX`, optional.
    pub const IPFIX: Column<Self, Option<Ref<IPFIX>>> = Column::new("ipfix");
    /// Boolean.
    pub const MCAST_SNOOPING_ENABLE: Column<Self, bool> = Column::new("mcast_snooping_enable");
    /// Reference to `Mirror`, any number.
    pub const MIRRORS: Column<Self, BTreeSet<Ref<Mirror>>> = Column::new("mirrors");
    /// String; never changes.
    pub const NAME: Column<Self, String> = Column::new("name");
    /// Reference to `NetFlow`, optional.
    pub const NETFLOW: Column<Self, Option<Ref<NetFlow>>> = Column::new("netflow");
    /// Map from string to string, any number.
    pub const OTHER_CONFIG: Column<Self, BTreeMap<String, String>> = Column::new("other_config");
    /// Reference to `Port`, any number.
    pub const PORTS: Column<Self, BTreeSet<Ref<Port>>> = Column::new("ports");
    /// One of a few strings, any number.
    pub const PROTOCOLS: Column<Self, BTreeSet<BridgeProtocols>> = Column::new("protocols");
    /// Boolean.
    pub const RSTP_ENABLE: Column<Self, bool> = Column::new("rstp_enable");
    /// Map from string to string, any number; lost when the server restarts.
    pub const RSTP_STATUS: Column<Self, BTreeMap<String, String>> = Column::new("rstp_status");
    /// Reference to `sFlow`, optional.
    pub const SFLOW: Column<Self, Option<Ref<SFlow>>> = Column::new("sflow");
    /// Map from string to string, any number; lost when the server restarts.
    pub const STATUS: Column<Self, BTreeMap<String, String>> = Column::new("status");
    /// Boolean.
    pub const STP_ENABLE: Column<Self, bool> = Column::new("stp_enable");
}

string_enum! {
/// Values of `Bridge.fail_mode`.
BridgeFailMode {
/// `secure`
Secure = "secure",
/// `standalone`
Standalone = "standalone",
}
}

string_enum! {
/// Values of `Bridge.protocols`.
BridgeProtocols {
/// `OpenFlow10`
OpenFlow10 = "OpenFlow10",
/// `OpenFlow11`
OpenFlow11 = "OpenFlow11",
/// `OpenFlow12`
OpenFlow12 = "OpenFlow12",
/// `OpenFlow13`
OpenFlow13 = "OpenFlow13",
/// `OpenFlow14`
OpenFlow14 = "OpenFlow14",
/// `OpenFlow15`
OpenFlow15 = "OpenFlow15",
}
}
