//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::BTreeMap;

use super::{Bridge, IPFIX};
use crate::typed::{Column, Ref, Table};

/// The table `Flow_Sample_Collector_Set`. Rows live until they are deleted. Unique: `id`, `bridge`.
#[derive(Clone, Copy, Debug)]
pub enum FlowSampleCollectorSet {}

impl Table for FlowSampleCollectorSet {
    const TABLE: &'static str = "Flow_Sample_Collector_Set";
    const COLUMNS: &'static [&'static str] = &["bridge", "external_ids", "id", "ipfix"];
}

impl FlowSampleCollectorSet {
    /// Reference to `Bridge`.
    pub const BRIDGE: Column<Self, Ref<Bridge>> = Column::new("bridge");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// Integer 0 to 4294967295.
    pub const ID: Column<Self, i64> = Column::new("id");
    /// Reference to `IPFIX`, optional.
    pub const IPFIX: Column<Self, Option<Ref<IPFIX>>> = Column::new("ipfix");
}
