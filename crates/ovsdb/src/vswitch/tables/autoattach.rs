//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::BTreeMap;

use crate::typed::{Column, Table};

/// The table `AutoAttach`. Rows live while something refers to them.
#[derive(Clone, Copy, Debug)]
pub enum AutoAttach {}

impl Table for AutoAttach {
    const TABLE: &'static str = "AutoAttach";
    const COLUMNS: &'static [&'static str] = &["mappings", "system_description", "system_name"];
}

impl AutoAttach {
    /// Map from integer 0 to 16777215 to integer 0 to 4095, any number.
    pub const MAPPINGS: Column<Self, BTreeMap<i64, i64>> = Column::new("mappings");
    /// String.
    pub const SYSTEM_DESCRIPTION: Column<Self, String> = Column::new("system_description");
    /// String.
    pub const SYSTEM_NAME: Column<Self, String> = Column::new("system_name");
}
