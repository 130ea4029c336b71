//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bridge, Datapath, Manager, SSL};
use crate::typed::{Column, Ref, Table};

/// The table `Open_vSwitch`. Rows live until they are deleted. At most 1.
#[derive(Clone, Copy, Debug)]
pub enum OpenVSwitch {}

impl Table for OpenVSwitch {
    const TABLE: &'static str = "Open_vSwitch";
    const COLUMNS: &'static [&'static str] = &[
        "bridges",
        "cur_cfg",
        "datapath_types",
        "datapaths",
        "db_version",
        "dpdk_initialized",
        "dpdk_version",
        "external_ids",
        "iface_types",
        "manager_options",
        "next_cfg",
        "other_config",
        "ovs_version",
        "ssl",
        "statistics",
        "system_type",
        "system_version",
    ];
}

impl OpenVSwitch {
    /// Reference to `Bridge`, any number.
    pub const BRIDGES: Column<Self, BTreeSet<Ref<Bridge>>> = Column::new("bridges");
    /// Integer.
    pub const CUR_CFG: Column<Self, i64> = Column::new("cur_cfg");
    /// String, any number.
    pub const DATAPATH_TYPES: Column<Self, BTreeSet<String>> = Column::new("datapath_types");
    /// Map from string to reference to `Datapath`, any number.
    pub const DATAPATHS: Column<Self, BTreeMap<String, Ref<Datapath>>> = Column::new("datapaths");
    /// String, optional.
    pub const DB_VERSION: Column<Self, Option<String>> = Column::new("db_version");
    /// Boolean.
    pub const DPDK_INITIALIZED: Column<Self, bool> = Column::new("dpdk_initialized");
    /// String, optional.
    pub const DPDK_VERSION: Column<Self, Option<String>> = Column::new("dpdk_version");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// String, any number.
    pub const IFACE_TYPES: Column<Self, BTreeSet<String>> = Column::new("iface_types");
    /// Reference to `Manager`, any number.
    pub const MANAGER_OPTIONS: Column<Self, BTreeSet<Ref<Manager>>> = Column::new("manager_options");
    /// Integer.
    pub const NEXT_CFG: Column<Self, i64> = Column::new("next_cfg");
    /// Map from string to string, any number.
    pub const OTHER_CONFIG: Column<Self, BTreeMap<String, String>> = Column::new("other_config");
    /// String, optional.
    pub const OVS_VERSION: Column<Self, Option<String>> = Column::new("ovs_version");
    /// Reference to `SSL`, optional.
    pub const SSL: Column<Self, Option<Ref<SSL>>> = Column::new("ssl");
    /// Map from string to string, any number; lost when the server restarts.
    pub const STATISTICS: Column<Self, BTreeMap<String, String>> = Column::new("statistics");
    /// String, optional.
    pub const SYSTEM_TYPE: Column<Self, Option<String>> = Column::new("system_type");
    /// String, optional.
    pub const SYSTEM_VERSION: Column<Self, Option<String>> = Column::new("system_version");
}
