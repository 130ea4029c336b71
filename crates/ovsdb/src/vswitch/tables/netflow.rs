//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::{BTreeMap, BTreeSet};

use crate::typed::{Column, Table};

/// The table `NetFlow`. Rows live while something refers to them.
#[derive(Clone, Copy, Debug)]
pub enum NetFlow {}

impl Table for NetFlow {
    const TABLE: &'static str = "NetFlow";
    const COLUMNS: &'static [&'static str] =
        &["active_timeout", "add_id_to_interface", "engine_id", "engine_type", "external_ids", "targets"];
}

impl NetFlow {
    /// Integer from -1.
    pub const ACTIVE_TIMEOUT: Column<Self, i64> = Column::new("active_timeout");
    /// Boolean.
    pub const ADD_ID_TO_INTERFACE: Column<Self, bool> = Column::new("add_id_to_interface");
    /// Integer 0 to 255, optional.
    pub const ENGINE_ID: Column<Self, Option<i64>> = Column::new("engine_id");
    /// Integer 0 to 255, optional.
    pub const ENGINE_TYPE: Column<Self, Option<i64>> = Column::new("engine_type");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// String, at least one.
    pub const TARGETS: Column<Self, BTreeSet<String>> = Column::new("targets");
}
