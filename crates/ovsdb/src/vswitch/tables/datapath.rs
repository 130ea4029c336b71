//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::BTreeMap;

use super::CTZone;
use crate::typed::{Column, Ref, Table};

/// The table `Datapath`. Rows live while something refers to them.
#[derive(Clone, Copy, Debug)]
pub enum Datapath {}

impl Table for Datapath {
    const TABLE: &'static str = "Datapath";
    const COLUMNS: &'static [&'static str] =
        &["capabilities", "ct_zones", "datapath_version", "external_ids"];
}

impl Datapath {
    /// Map from string to string, any number.
    pub const CAPABILITIES: Column<Self, BTreeMap<String, String>> = Column::new("capabilities");
    /// Map from integer 0 to 65535 to reference to `CT_Zone`, any number.
    pub const CT_ZONES: Column<Self, BTreeMap<i64, Ref<CTZone>>> = Column::new("ct_zones");
    /// String.
    pub const DATAPATH_VERSION: Column<Self, String> = Column::new("datapath_version");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
}
