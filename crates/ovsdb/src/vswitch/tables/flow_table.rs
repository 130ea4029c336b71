//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::{BTreeMap, BTreeSet};

use crate::typed::{Column, Table, string_enum};

/// The table `Flow_Table`. Rows live while something refers to them.
#[derive(Clone, Copy, Debug)]
pub enum FlowTable {}

impl Table for FlowTable {
    const TABLE: &'static str = "Flow_Table";
    const COLUMNS: &'static [&'static str] =
        &["external_ids", "flow_limit", "groups", "name", "overflow_policy", "prefixes"];
}

impl FlowTable {
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// Integer from 0, optional.
    pub const FLOW_LIMIT: Column<Self, Option<i64>> = Column::new("flow_limit");
    /// String, any number.
    pub const GROUPS: Column<Self, BTreeSet<String>> = Column::new("groups");
    /// String, optional.
    pub const NAME: Column<Self, Option<String>> = Column::new("name");
    /// One of a few strings, optional.
    pub const OVERFLOW_POLICY: Column<Self, Option<FlowTableOverflowPolicy>> = Column::new("overflow_policy");
    /// String, 0 to 3 of them.
    pub const PREFIXES: Column<Self, BTreeSet<String>> = Column::new("prefixes");
}

string_enum! {
/// Values of `FlowTable.overflow_policy`.
FlowTableOverflowPolicy {
/// `evict`
Evict = "evict",
/// `refuse`
Refuse = "refuse",
}
}
