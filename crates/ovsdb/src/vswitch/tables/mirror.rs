//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::{BTreeMap, BTreeSet};

use super::Port;
use crate::typed::{Column, Ref, Table};

/// The table `Mirror`. Rows live while something refers to them.
#[derive(Clone, Copy, Debug)]
pub enum Mirror {}

impl Table for Mirror {
    const TABLE: &'static str = "Mirror";
    const COLUMNS: &'static [&'static str] = &[
        "external_ids",
        "name",
        "output_port",
        "output_vlan",
        "select_all",
        "select_dst_port",
        "select_src_port",
        "select_vlan",
        "snaplen",
        "statistics",
    ];
}

impl Mirror {
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// String.
    pub const NAME: Column<Self, String> = Column::new("name");
    /// Weak reference to `Port`, optional.
    pub const OUTPUT_PORT: Column<Self, Option<Ref<Port>>> = Column::new("output_port");
    /// Integer 1 to 4095, optional.
    pub const OUTPUT_VLAN: Column<Self, Option<i64>> = Column::new("output_vlan");
    /// Boolean.
    pub const SELECT_ALL: Column<Self, bool> = Column::new("select_all");
    /// Weak reference to `Port`, any number.
    pub const SELECT_DST_PORT: Column<Self, BTreeSet<Ref<Port>>> = Column::new("select_dst_port");
    /// Weak reference to `Port`, any number.
    pub const SELECT_SRC_PORT: Column<Self, BTreeSet<Ref<Port>>> = Column::new("select_src_port");
    /// Integer 0 to 4095, 0 to 4096 of them.
    pub const SELECT_VLAN: Column<Self, BTreeSet<i64>> = Column::new("select_vlan");
    /// Integer 14 to 65535, optional.
    pub const SNAPLEN: Column<Self, Option<i64>> = Column::new("snaplen");
    /// Map from string to integer, any number; lost when the server restarts.
    pub const STATISTICS: Column<Self, BTreeMap<String, i64>> = Column::new("statistics");
}
