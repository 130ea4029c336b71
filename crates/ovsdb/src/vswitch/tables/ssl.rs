//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::BTreeMap;

use crate::typed::{Column, Table};

/// The table `SSL`. Rows live while something refers to them. At most 1.
#[derive(Clone, Copy, Debug)]
pub enum SSL {}

impl Table for SSL {
    const TABLE: &'static str = "SSL";
    const COLUMNS: &'static [&'static str] =
        &["bootstrap_ca_cert", "ca_cert", "certificate", "external_ids", "private_key"];
}

impl SSL {
    /// Boolean.
    pub const BOOTSTRAP_CA_CERT: Column<Self, bool> = Column::new("bootstrap_ca_cert");
    /// String.
    pub const CA_CERT: Column<Self, String> = Column::new("ca_cert");
    /// String.
    pub const CERTIFICATE: Column<Self, String> = Column::new("certificate");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// String.
    pub const PRIVATE_KEY: Column<Self, String> = Column::new("private_key");
}
