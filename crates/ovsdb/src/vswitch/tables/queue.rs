//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::BTreeMap;

use crate::typed::{Column, Table};

/// The table `Queue`. Rows live until they are deleted.
#[derive(Clone, Copy, Debug)]
pub enum Queue {}

impl Table for Queue {
    const TABLE: &'static str = "Queue";
    const COLUMNS: &'static [&'static str] = &["dscp", "external_ids", "other_config"];
}

impl Queue {
    /// Integer 0 to 63, optional.
    pub const DSCP: Column<Self, Option<i64>> = Column::new("dscp");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// Map from string to string, any number.
    pub const OTHER_CONFIG: Column<Self, BTreeMap<String, String>> = Column::new("other_config");
}
