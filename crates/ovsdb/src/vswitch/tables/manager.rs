//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::BTreeMap;

use crate::typed::{Column, Table, string_enum};

/// The table `Manager`. Rows live while something refers to them. Unique: `target`.
#[derive(Clone, Copy, Debug)]
pub enum Manager {}

impl Table for Manager {
    const TABLE: &'static str = "Manager";
    const COLUMNS: &'static [&'static str] = &[
        "connection_mode",
        "external_ids",
        "inactivity_probe",
        "is_connected",
        "max_backoff",
        "other_config",
        "status",
        "target",
    ];
}

impl Manager {
    /// One of a few strings, optional.
    pub const CONNECTION_MODE: Column<Self, Option<ManagerConnectionMode>> = Column::new("connection_mode");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// Integer, optional.
    pub const INACTIVITY_PROBE: Column<Self, Option<i64>> = Column::new("inactivity_probe");
    /// Boolean; lost when the server restarts.
    pub const IS_CONNECTED: Column<Self, bool> = Column::new("is_connected");
    /// Integer from 1000, optional.
    pub const MAX_BACKOFF: Column<Self, Option<i64>> = Column::new("max_backoff");
    /// Map from string to string, any number.
    pub const OTHER_CONFIG: Column<Self, BTreeMap<String, String>> = Column::new("other_config");
    /// Map from string to string, any number; lost when the server restarts.
    pub const STATUS: Column<Self, BTreeMap<String, String>> = Column::new("status");
    /// String.
    pub const TARGET: Column<Self, String> = Column::new("target");
}

string_enum! {
/// Values of `Manager.connection_mode`.
ManagerConnectionMode {
/// `in-band`
InBand = "in-band",
/// `out-of-band`
OutOfBand = "out-of-band",
}
}
