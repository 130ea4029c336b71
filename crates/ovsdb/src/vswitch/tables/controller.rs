//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::BTreeMap;

use crate::typed::{Column, Table, string_enum};

/// The table `Controller`. Rows live while something refers to them.
#[derive(Clone, Copy, Debug)]
pub enum Controller {}

impl Table for Controller {
    const TABLE: &'static str = "Controller";
    const COLUMNS: &'static [&'static str] = &[
        "connection_mode",
        "controller_burst_limit",
        "controller_queue_size",
        "controller_rate_limit",
        "enable_async_messages",
        "external_ids",
        "inactivity_probe",
        "is_connected",
        "local_gateway",
        "local_ip",
        "local_netmask",
        "max_backoff",
        "other_config",
        "role",
        "status",
        "target",
        "type",
    ];
}

impl Controller {
    /// One of a few strings, optional.
    pub const CONNECTION_MODE: Column<Self, Option<ControllerConnectionMode>> =
        Column::new("connection_mode");
    /// Integer from 25, optional.
    pub const CONTROLLER_BURST_LIMIT: Column<Self, Option<i64>> = Column::new("controller_burst_limit");
    /// Integer 1 to 512, optional.
    pub const CONTROLLER_QUEUE_SIZE: Column<Self, Option<i64>> = Column::new("controller_queue_size");
    /// Integer from 100, optional.
    pub const CONTROLLER_RATE_LIMIT: Column<Self, Option<i64>> = Column::new("controller_rate_limit");
    /// Boolean, optional.
    pub const ENABLE_ASYNC_MESSAGES: Column<Self, Option<bool>> = Column::new("enable_async_messages");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// Integer, optional.
    pub const INACTIVITY_PROBE: Column<Self, Option<i64>> = Column::new("inactivity_probe");
    /// Boolean; lost when the server restarts.
    pub const IS_CONNECTED: Column<Self, bool> = Column::new("is_connected");
    /// String, optional.
    pub const LOCAL_GATEWAY: Column<Self, Option<String>> = Column::new("local_gateway");
    /// String, optional.
    pub const LOCAL_IP: Column<Self, Option<String>> = Column::new("local_ip");
    /// String, optional.
    pub const LOCAL_NETMASK: Column<Self, Option<String>> = Column::new("local_netmask");
    /// Integer from 1000, optional.
    pub const MAX_BACKOFF: Column<Self, Option<i64>> = Column::new("max_backoff");
    /// Map from string to string, any number.
    pub const OTHER_CONFIG: Column<Self, BTreeMap<String, String>> = Column::new("other_config");
    /// One of a few strings, optional; lost when the server restarts.
    pub const ROLE: Column<Self, Option<ControllerRole>> = Column::new("role");
    /// Map from string to string, any number; lost when the server restarts.
    pub const STATUS: Column<Self, BTreeMap<String, String>> = Column::new("status");
    /// String.
    pub const TARGET: Column<Self, String> = Column::new("target");
    /// One of a few strings, optional.
    pub const TYPE: Column<Self, Option<ControllerType>> = Column::new("type");
}

string_enum! {
/// Values of `Controller.connection_mode`.
ControllerConnectionMode {
/// `in-band`
InBand = "in-band",
/// `out-of-band`
OutOfBand = "out-of-band",
}
}

string_enum! {
/// Values of `Controller.role`.
ControllerRole {
/// `master`
Master = "master",
/// `other`
Other = "other",
/// `slave`
Slave = "slave",
}
}

string_enum! {
/// Values of `Controller.type`.
ControllerType {
/// `primary`
Primary = "primary",
/// `service`
Service = "service",
}
}
