//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.

use std::collections::BTreeMap;

use crate::typed::{Column, Table, string_enum};

/// The table `CT_Timeout_Policy`. Rows live while something refers to them.
#[derive(Clone, Copy, Debug)]
pub enum CTTimeoutPolicy {}

impl Table for CTTimeoutPolicy {
    const TABLE: &'static str = "CT_Timeout_Policy";
    const COLUMNS: &'static [&'static str] = &["external_ids", "timeouts"];
}

impl CTTimeoutPolicy {
    /// Map from string to string, any number.
    pub const EXTERNAL_IDS: Column<Self, BTreeMap<String, String>> = Column::new("external_ids");
    /// Map from one of a few strings to integer 0 to 4294967295, any number.
    pub const TIMEOUTS: Column<Self, BTreeMap<CTTimeoutPolicyTimeouts, i64>> = Column::new("timeouts");
}

string_enum! {
/// Values of `CTTimeoutPolicy.timeouts`.
CTTimeoutPolicyTimeouts {
/// `icmp_first`
IcmpFirst = "icmp_first",
/// `icmp_reply`
IcmpReply = "icmp_reply",
/// `tcp_close`
TcpClose = "tcp_close",
/// `tcp_close_wait`
TcpCloseWait = "tcp_close_wait",
/// `tcp_established`
TcpEstablished = "tcp_established",
/// `tcp_fin_wait`
TcpFinWait = "tcp_fin_wait",
/// `tcp_last_ack`
TcpLastAck = "tcp_last_ack",
/// `tcp_retransmit`
TcpRetransmit = "tcp_retransmit",
/// `tcp_syn_recv`
TcpSynRecv = "tcp_syn_recv",
/// `tcp_syn_sent`
TcpSynSent = "tcp_syn_sent",
/// `tcp_syn_sent2`
TcpSynSent2 = "tcp_syn_sent2",
/// `tcp_time_wait`
TcpTimeWait = "tcp_time_wait",
/// `tcp_unack`
TcpUnack = "tcp_unack",
/// `udp_first`
UdpFirst = "udp_first",
/// `udp_multiple`
UdpMultiple = "udp_multiple",
/// `udp_single`
UdpSingle = "udp_single",
}
}
