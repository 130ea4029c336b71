//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::{BTreeMap, BTreeSet};

use crate::typed::{Column, Table};

/// The table `IPFIX`. Rows live while something refers to them.
#[derive(Clone, Copy, Debug)]
pub enum IPFIX {}

impl Table for IPFIX {
    const TABLE: &'static str = "IPFIX";
    const COLUMNS: &'static [&'static str] = &[
        "cache_active_timeout",
        "cache_max_flows",
        "external_ids",
        "obs_domain_id",
        "obs_point_id",
        "other_config",
        "sampling",
        "targets",
    ];
}

impl IPFIX {
    /// Integer 0 to 4200, optional.
    pub const CACHE_ACTIVE_TIMEOUT: Column<Self, Option<i64>> = Column::new("cache_active_timeout");
    /// Integer 0 to 4294967295, optional.
    pub const CACHE_MAX_FLOWS: Column<Self, Option<i64>> = Column::new("cache_max_flows");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// Integer 0 to 4294967295, optional.
    pub const OBS_DOMAIN_ID: Column<Self, Option<i64>> = Column::new("obs_domain_id");
    /// Integer 0 to 4294967295, optional.
    pub const OBS_POINT_ID: Column<Self, Option<i64>> = Column::new("obs_point_id");
    /// Map from string to string, any number.
    pub const OTHER_CONFIG: Column<Self, BTreeMap<String, String>> = Column::new("other_config");
    /// Integer 1 to 4294967295, optional.
    pub const SAMPLING: Column<Self, Option<i64>> = Column::new("sampling");
    /// String, any number.
    pub const TARGETS: Column<Self, BTreeSet<String>> = Column::new("targets");
}
