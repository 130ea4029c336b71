//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::BTreeMap;

use super::Queue;
use crate::typed::{Column, Ref, Table};

/// The table `QoS`. Rows live until they are deleted.
#[derive(Clone, Copy, Debug)]
pub enum QoS {}

impl Table for QoS {
    const TABLE: &'static str = "QoS";
    const COLUMNS: &'static [&'static str] = &["external_ids", "other_config", "queues", "type"];
}

impl QoS {
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// Map from string to string, any number.
    pub const OTHER_CONFIG: Column<Self, BTreeMap<String, String>> = Column::new("other_config");
    /// Map from integer 0 to 4294967295 to reference to `Queue`, any number.
    pub const QUEUES: Column<Self, BTreeMap<i64, Ref<Queue>>> = Column::new("queues");
    /// String.
    pub const TYPE: Column<Self, String> = Column::new("type");
}
