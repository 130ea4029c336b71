//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::{BTreeMap, BTreeSet};

use crate::typed::{Column, Table, string_enum};

/// The table `Interface`. Rows live while something refers to them. Unique: `name`.
#[derive(Clone, Copy, Debug)]
pub enum Interface {}

impl Table for Interface {
    const TABLE: &'static str = "Interface";
    const COLUMNS: &'static [&'static str] = &[
        "admin_state",
        "bfd",
        "bfd_status",
        "cfm_fault",
        "cfm_fault_status",
        "cfm_flap_count",
        "cfm_health",
        "cfm_mpid",
        "cfm_remote_mpids",
        "cfm_remote_opstate",
        "duplex",
        "error",
        "external_ids",
        "ifindex",
        "ingress_policing_burst",
        "ingress_policing_kpkts_burst",
        "ingress_policing_kpkts_rate",
        "ingress_policing_rate",
        "lacp_current",
        "link_resets",
        "link_speed",
        "link_state",
        "lldp",
        "mac",
        "mac_in_use",
        "mtu",
        "mtu_request",
        "name",
        "ofport",
        "ofport_request",
        "options",
        "other_config",
        "statistics",
        "status",
        "type",
    ];
}

impl Interface {
    /// One of a few strings, optional; lost when the server restarts.
    pub const ADMIN_STATE: Column<Self, Option<InterfaceAdminState>> = Column::new("admin_state");
    /// Map from string to string, any number.
    pub const BFD: Column<Self, BTreeMap<String, String>> = Column::new("bfd");
    /// Map from string to string, any number; lost when the server restarts.
    pub const BFD_STATUS: Column<Self, BTreeMap<String, String>> = Column::new("bfd_status");
    /// Boolean, optional; lost when the server restarts.
    pub const CFM_FAULT: Column<Self, Option<bool>> = Column::new("cfm_fault");
    /// String, any number; lost when the server restarts.
    pub const CFM_FAULT_STATUS: Column<Self, BTreeSet<String>> = Column::new("cfm_fault_status");
    /// Integer, optional.
    pub const CFM_FLAP_COUNT: Column<Self, Option<i64>> = Column::new("cfm_flap_count");
    /// Integer 0 to 100, optional; lost when the server restarts.
    pub const CFM_HEALTH: Column<Self, Option<i64>> = Column::new("cfm_health");
    /// Integer, optional.
    pub const CFM_MPID: Column<Self, Option<i64>> = Column::new("cfm_mpid");
    /// Integer, any number; lost when the server restarts.
    pub const CFM_REMOTE_MPIDS: Column<Self, BTreeSet<i64>> = Column::new("cfm_remote_mpids");
    /// One of a few strings, optional; lost when the server restarts.
    pub const CFM_REMOTE_OPSTATE: Column<Self, Option<InterfaceCfmRemoteOpstate>> =
        Column::new("cfm_remote_opstate");
    /// One of a few strings, optional; lost when the server restarts.
    pub const DUPLEX: Column<Self, Option<InterfaceDuplex>> = Column::new("duplex");
    /// String, optional.
    pub const ERROR: Column<Self, Option<String>> = Column::new("error");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// Integer 0 to 4294967295, optional; lost when the server restarts.
    pub const IFINDEX: Column<Self, Option<i64>> = Column::new("ifindex");
    /// Integer from 0.
    pub const INGRESS_POLICING_BURST: Column<Self, i64> = Column::new("ingress_policing_burst");
    /// Integer from 0.
    pub const INGRESS_POLICING_KPKTS_BURST: Column<Self, i64> = Column::new("ingress_policing_kpkts_burst");
    /// Integer from 0.
    pub const INGRESS_POLICING_KPKTS_RATE: Column<Self, i64> = Column::new("ingress_policing_kpkts_rate");
    /// Integer from 0.
    pub const INGRESS_POLICING_RATE: Column<Self, i64> = Column::new("ingress_policing_rate");
    /// Boolean, optional; lost when the server restarts.
    pub const LACP_CURRENT: Column<Self, Option<bool>> = Column::new("lacp_current");
    /// Integer, optional; lost when the server restarts.
    pub const LINK_RESETS: Column<Self, Option<i64>> = Column::new("link_resets");
    /// Integer, optional; lost when the server restarts.
    pub const LINK_SPEED: Column<Self, Option<i64>> = Column::new("link_speed");
    /// One of a few strings, optional; lost when the server restarts.
    pub const LINK_STATE: Column<Self, Option<InterfaceLinkState>> = Column::new("link_state");
    /// Map from string to string, any number.
    pub const LLDP: Column<Self, BTreeMap<String, String>> = Column::new("lldp");
    /// String, optional.
    pub const MAC: Column<Self, Option<String>> = Column::new("mac");
    /// String, optional; lost when the server restarts.
    pub const MAC_IN_USE: Column<Self, Option<String>> = Column::new("mac_in_use");
    /// Integer, optional; lost when the server restarts.
    pub const MTU: Column<Self, Option<i64>> = Column::new("mtu");
    /// Integer from 1, optional.
    pub const MTU_REQUEST: Column<Self, Option<i64>> = Column::new("mtu_request");
    /// String; never changes.
    pub const NAME: Column<Self, String> = Column::new("name");
    /// Integer, optional.
    pub const OFPORT: Column<Self, Option<i64>> = Column::new("ofport");
    /// Integer 1 to 65279, optional.
    pub const OFPORT_REQUEST: Column<Self, Option<i64>> = Column::new("ofport_request");
    /// Map from string to string, any number.
    pub const OPTIONS: Column<Self, BTreeMap<String, String>> = Column::new("options");
    /// Map from string to string, any number.
    pub const OTHER_CONFIG: Column<Self, BTreeMap<String, String>> = Column::new("other_config");
    /// Map from string to integer, any number; lost when the server restarts.
    pub const STATISTICS: Column<Self, BTreeMap<String, i64>> = Column::new("statistics");
    /// Map from string to string, any number; lost when the server restarts.
    pub const STATUS: Column<Self, BTreeMap<String, String>> = Column::new("status");
    /// String.
    pub const TYPE: Column<Self, String> = Column::new("type");
}

string_enum! {
/// Values of `Interface.admin_state`.
InterfaceAdminState {
/// `down`
Down = "down",
/// `up`
Up = "up",
}
}

string_enum! {
/// Values of `Interface.cfm_remote_opstate`.
InterfaceCfmRemoteOpstate {
/// `down`
Down = "down",
/// `up`
Up = "up",
}
}

string_enum! {
/// Values of `Interface.duplex`.
InterfaceDuplex {
/// `full`
Full = "full",
/// `half`
Half = "half",
}
}

string_enum! {
/// Values of `Interface.link_state`.
InterfaceLinkState {
/// `down`
Down = "down",
/// `up`
Up = "up",
}
}
