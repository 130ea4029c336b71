//! What an operator tells the agent.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ovsdb::vswitch::DatapathType;
use telemetry::Listen;
use types::NodeName;

/// Which datapath carries the bridge's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Datapath {
    /// The kernel's when it has one, else userspace.
    Auto,
    /// Userspace: `ovs-vswitchd` itself.
    Netdev,
    /// The kernel module.
    System,
}

impl Datapath {
    /// The datapath this means on a node: `auto` is the kernel's if the switch offers it and the kernel has it.
    pub fn choose(self, offered: &BTreeSet<String>, is_in_kernel: impl FnOnce() -> bool) -> DatapathType {
        match self {
            Self::Auto if offered.contains("system") && is_in_kernel() => DatapathType::System,
            Self::System => DatapathType::System,
            Self::Auto | Self::Netdev => DatapathType::Netdev,
        }
    }
}

/// Where the switch and our bridge in it are.
#[derive(Clone, Debug, Args)]
pub struct SwitchArgs {
    /// Directory of OVS's sockets: db.sock, <bridge>.mgmt, the control socket of ovs-vswitchd.
    #[arg(long, value_name = "DIR", default_value = "/var/run/openvswitch")]
    pub ovs_run_dir: PathBuf,
    /// Our bridge. One of that name without our mark is refused.
    #[arg(long, value_name = "NAME", default_value = "br-selvage")]
    pub bridge: String,
}

/// Options of `netplugin run`.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// This node's name; its certificate names the same.
    #[arg(long, value_name = "NAME")]
    pub node: NodeName,
    /// This node's tunnel endpoint address on the underlay.
    #[arg(long, value_name = "IP")]
    pub vtep: IpAddr,
    /// What outlives the process: key, certificate, last intent.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/selvage")]
    pub state_dir: PathBuf,
    /// The switch.
    #[command(flatten)]
    pub switch: SwitchArgs,
    /// Socket for selvage-cni.
    #[arg(long, value_name = "PATH", default_value = "/run/selvage/cni.sock")]
    pub cni_socket: PathBuf,
    /// Where selvage-cni journals deletions [default: selvage-cni-journal beside the socket; of one in /run, in the same
    /// place of /var/lib].
    #[arg(long, value_name = "DIR")]
    pub cni_journal_dir: Option<PathBuf>,
    /// The datapath.
    #[arg(long, value_enum, default_value_t = Datapath::Auto)]
    pub datapath: Datapath,
    /// Start on an Open vSwitch older than 3.1 or of unknown version. It may refuse flows, so that endpoints stay without
    /// network, and may be unable to forget connections (new in 3.1), so that addresses do not get another owner.
    #[arg(long)]
    pub allow_untested_ovs: bool,
    /// Join file of `netctl node join-token`; used only while the node has no certificate, or one that has expired or
    /// that netmaster does not accept (any more).
    #[arg(long, value_name = "FILE")]
    pub join: Option<PathBuf>,
    /// Where Prometheus finds metrics (plain HTTP; tenants are named with --rule-metrics only): ADDRESS:PORT or `off`.
    #[arg(long, value_name = "LISTEN", default_value = "127.0.0.1:9996")]
    pub metrics_listen: Listen,
    /// Metrics also say what each rule did: three series for every rule enforced here, with the names of its tenant and its
    /// policy, for everybody who can read metrics.
    #[arg(long)]
    pub rule_metrics: bool,
    /// MTU of endpoints [default: the uplink's minus the encapsulation].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(576..=65535))]
    pub mtu: Option<u32>,
}

/// Bytes VXLAN adds: outer IP header, UDP, VXLAN, inner Ethernet (RFC 7348 section 5).
pub fn encapsulation_overhead(vtep: IpAddr) -> u32 {
    let ip = if vtep.is_ipv4() { 20 } else { 40 };
    ip + 8 + 8 + 14
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_the_kernel_only_where_switch_and_kernel_have_it() {
        let (both, userspace) = (["netdev", "system"].map(String::from).into(), ["netdev".to_owned()].into());
        assert_eq!(Datapath::Auto.choose(&both, || true), DatapathType::System);
        assert_eq!(Datapath::Auto.choose(&both, || false), DatapathType::Netdev);
        assert_eq!(Datapath::Auto.choose(&userspace, || true), DatapathType::Netdev);
        assert_eq!(Datapath::System.choose(&userspace, || false), DatapathType::System, "as told");
        assert_eq!(Datapath::Netdev.choose(&both, || true), DatapathType::Netdev, "as told");
    }

    #[test]
    fn endpoints_fit_the_underlay_exactly() {
        assert_eq!(1500 - encapsulation_overhead("192.0.2.1".parse().unwrap()), 1450);
        assert_eq!(1500 - encapsulation_overhead("fd00::1".parse().unwrap()), 1430);
    }
}
