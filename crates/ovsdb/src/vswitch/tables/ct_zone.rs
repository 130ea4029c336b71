//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::BTreeMap;

use super::CTTimeoutPolicy;
use crate::typed::{Column, Ref, Table};

/// The table `CT_Zone`. Rows live while something refers to them.
#[derive(Clone, Copy, Debug)]
pub enum CTZone {}

impl Table for CTZone {
    const TABLE: &'static str = "CT_Zone";
    const COLUMNS: &'static [&'static str] = &["external_ids", "timeout_policy"];
}

impl CTZone {
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// Reference to `CT_Timeout_Policy`, optional.
    pub const TIMEOUT_POLICY: Column<Self, Option<Ref<CTTimeoutPolicy>>> = Column::new("timeout_policy");
}
