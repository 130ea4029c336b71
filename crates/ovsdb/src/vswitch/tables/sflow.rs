//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::{BTreeMap, BTreeSet};

use crate::typed::{Column, Table};

/// The table `sFlow`. Rows live while something refers to them.
#[derive(Clone, Copy, Debug)]
pub enum SFlow {}

impl Table for SFlow {
    const TABLE: &'static str = "sFlow";
    const COLUMNS: &'static [&'static str] =
        &["agent", "external_ids", "header", "polling", "sampling", "targets"];
}

impl SFlow {
    /// String, optional.
    pub const AGENT: Column<Self, Option<String>> = Column::new("agent");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// Integer, optional.
    pub const HEADER: Column<Self, Option<i64>> = Column::new("header");
    /// Integer, optional.
    pub const POLLING: Column<Self, Option<i64>> = Column::new("polling");
    /// Integer, optional.
    pub const SAMPLING: Column<Self, Option<i64>> = Column::new("sampling");
    /// String, at least one.
    pub const TARGETS: Column<Self, BTreeSet<String>> = Column::new("targets");
}
