//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Interface, QoS};
use crate::typed::{Column, Ref, Table, string_enum};

/// The table `Port`. Rows live while something refers to them. Unique: `name`.
#[derive(Clone, Copy, Debug)]
pub enum Port {}

impl Table for Port {
    const TABLE: &'static str = "Port";
    const COLUMNS: &'static [&'static str] = &[
        "bond_active_slave",
        "bond_downdelay",
        "bond_fake_iface",
        "bond_mode",
        "bond_updelay",
        "cvlans",
        "external_ids",
        "fake_bridge",
        "interfaces",
        "lacp",
        "mac",
        "name",
        "other_config",
        "protected",
        "qos",
        "rstp_statistics",
        "rstp_status",
        "statistics",
        "status",
        "tag",
        "trunks",
        "vlan_mode",
    ];
}

impl Port {
    /// String, optional.
    pub const BOND_ACTIVE_SLAVE: Column<Self, Option<String>> = Column::new("bond_active_slave");
    /// Integer.
    pub const BOND_DOWNDELAY: Column<Self, i64> = Column::new("bond_downdelay");
    /// Boolean.
    pub const BOND_FAKE_IFACE: Column<Self, bool> = Column::new("bond_fake_iface");
    /// One of a few strings, optional.
    pub const BOND_MODE: Column<Self, Option<PortBondMode>> = Column::new("bond_mode");
    /// Integer.
    pub const BOND_UPDELAY: Column<Self, i64> = Column::new("bond_updelay");
    /// Integer 0 to 4095, 0 to 4096 of them.
    pub const CVLANS: Column<Self, BTreeSet<i64>> = Column::new("cvlans");
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// Boolean.
    pub const FAKE_BRIDGE: Column<Self, bool> = Column::new("fake_bridge");
    /// Reference to `Interface`, at least one.
    pub const INTERFACES: Column<Self, BTreeSet<Ref<Interface>>> = Column::new("interfaces");
    /// One of a few strings, optional.
    pub const LACP: Column<Self, Option<PortLacp>> = Column::new("lacp");
    /// String, optional.
    pub const MAC: Column<Self, Option<String>> = Column::new("mac");
    /// String; never changes.
    pub const NAME: Column<Self, String> = Column::new("name");
    /// Map from string to string, any number.
    pub const OTHER_CONFIG: Column<Self, BTreeMap<String, String>> = Column::new("other_config");
    /// Boolean.
    pub const PROTECTED: Column<Self, bool> = Column::new("protected");
    /// Reference to `QoS`, optional.
    pub const QOS: Column<Self, Option<Ref<QoS>>> = Column::new("qos");
    /// Map from string to integer, any number; lost when the server restarts.
    pub const RSTP_STATISTICS: Column<Self, BTreeMap<String, i64>> = Column::new("rstp_statistics");
    /// Map from string to string, any number; lost when the server restarts.
    pub const RSTP_STATUS: Column<Self, BTreeMap<String, String>> = Column::new("rstp_status");
    /// Map from string to integer, any number; lost when the server restarts.
    pub const STATISTICS: Column<Self, BTreeMap<String, i64>> = Column::new("statistics");
    /// Map from string to string, any number; lost when the server restarts.
    pub const STATUS: Column<Self, BTreeMap<String, String>> = Column::new("status");
    /// Integer 0 to 4095, optional.
    pub const TAG: Column<Self, Option<i64>> = Column::new("tag");
    /// Integer 0 to 4095, 0 to 4096 of them.
    pub const TRUNKS: Column<Self, BTreeSet<i64>> = Column::new("trunks");
    /// One of a few strings, optional.
    pub const VLAN_MODE: Column<Self, Option<PortVlanMode>> = Column::new("vlan_mode");
}

string_enum! {
/// Values of `Port.bond_mode`.
PortBondMode {
/// `active-backup`
ActiveBackup = "active-backup",
/// `balance-slb`
BalanceSlb = "balance-slb",
/// `balance-tcp`
BalanceTcp = "balance-tcp",
}
}

string_enum! {
/// Values of `Port.lacp`.
PortLacp {
/// `active`
Active = "active",
/// `off`
Off = "off",
/// `passive`
Passive = "passive",
}
}

string_enum! {
/// Values of `Port.vlan_mode`.
PortVlanMode {
/// `access`
Access = "access",
/// `dot1q-tunnel`
Dot1qTunnel = "dot1q-tunnel",
/// `native-tagged`
NativeTagged = "native-tagged",
/// `native-untagged`
NativeUntagged = "native-untagged",
/// `trunk`
Trunk = "trunk",
}
}
