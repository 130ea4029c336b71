//! **The** table of match fields: one row a field, everything about it in that row.
//!
//! Facts are those of ovs-fields(7); the tests hold every row against that page and against `ovs-ofctl`.
//!
//! # Invariants
//! The order of the rows is the order in which Open vSwitch writes the fields of a match, so that a match, ordered by
//! field, encodes to the very bytes the switch sends back (`tun_metadata` stands after `tun_gbp_flags`: it is kept
//! apart, see [`Match`](crate::Match)). A header (class, number, experimenter) belongs to one row only.
//!
//! # Failure
//! A register number out of range yields [`NO_SUCH_REGISTER`]: it can be named, never encoded.

use super::Access::{Read, Write};
use super::Format::{Decimal, Ethernet, Flags, Frag, Hex, Ipv4, Ipv6, PacketType, Port};
use super::{FieldDef, Header, Masking, OxmId, Prerequisite as P};
use crate::Version;

const NXM0: u16 = 0x0000;
const NXM1: u16 = 0x0001;
const OXM: u16 = 0x8000;
const PKT_REG: u16 = 0x8001;
const ERIC: u16 = 0x1000;
const EXP: u16 = 0xffff;

const fn h(name: &'static str, class: u16, number: u8, ovs: &'static str) -> Header {
    let since = if class == OXM { Some(Version::V1_2) } else { None };
    Header { name, id: OxmId { class, number, experimenter: 0 }, since, ovs }
}
const fn since(mut header: Header, version: Version) -> Header {
    header.since = Some(version);
    header
}
const fn experimenter(name: &'static str, experimenter: u32, number: u8, ovs: &'static str) -> Header {
    Header { name, id: OxmId { class: EXP, number, experimenter }, since: None, ovs }
}
/// ONF extensions (EXT-109 and others) that a later OpenFlow took in.
const fn onf(name: &'static str, number: u8, ovs: &'static str) -> Header {
    since(experimenter(name, 0x4f4e_4600, number, ovs), Version::V1_3)
}
const fn nx_exp(name: &'static str, number: u8, ovs: &'static str) -> Header {
    experimenter(name, 0x0000_2320, number, ovs)
}
const fn nsh(name: &'static str, number: u8, ovs: &'static str) -> Header {
    experimenter(name, 0x005a_d650, number, ovs)
}

/// `ct_state` bits, ovs-fields(7) "Connection Tracking Fields".
pub const CT_STATE_FLAGS: &[(&str, u32)] = &[
    ("new", 0x01),
    ("est", 0x02),
    ("rel", 0x04),
    ("rpl", 0x08),
    ("inv", 0x10),
    ("trk", 0x20),
    ("snat", 0x40),
    ("dnat", 0x80),
];
/// `tcp_flags` bits, RFC 9293 section 3.1 (and RFC 3540 `ns`).
pub const TCP_FLAGS: &[(&str, u32)] = &[
    ("fin", 0x001),
    ("syn", 0x002),
    ("rst", 0x004),
    ("psh", 0x008),
    ("ack", 0x010),
    ("urg", 0x020),
    ("ece", 0x040),
    ("cwr", 0x080),
    ("ns", 0x100),
];
const TUN_FLAGS: &[(&str, u32)] = &[("oam", 0x1)];

macro_rules! row {
    ($name:literal $match_name:literal $bits:literal/$bytes:literal $format:expr, $mask:ident, $access:expr, $pre:expr,
     [$($header:expr),*]) => {
        FieldDef {
            name: $name, match_name: $match_name, n_bits: $bits, n_bytes: $bytes, format: $format,
            masking: Masking::$mask, access: $access, prerequisite: $pre, headers: &[$($header),*],
        }
    };
}

macro_rules! registry {
    (before { $($(#[doc = $bdoc:literal])* $before:ident $bname:literal $bmatch:literal $bbits:literal/$bbytes:literal
        $bformat:expr, $bmask:ident, $baccess:expr, $bpre:expr, [$($bheader:expr),*];)* }
     after { $($(#[doc = $adoc:literal])* $after:ident $aname:literal $amatch:literal $abits:literal/$abytes:literal
        $aformat:expr, $amask:ident, $aaccess:expr, $apre:expr, [$($aheader:expr),*];)* }) => {
        /// A match field, named as in ovs-fields(7).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each variant is the field of that name in ovs-fields(7)")]
        pub enum Field {
            $($(#[doc = $bdoc])* $before,)*
            /// `tun_metadata0` .. `tun_metadata63`: a tunnel option of 0 to 124 bytes.
            TunMetadata(u8),
            /// `reg0` .. `reg15`.
            Reg(u8),
            /// `xreg0` .. `xreg7`: two registers; in a match it becomes two [`Field::Reg`].
            XReg(u8),
            /// `xxreg0` .. `xxreg3`: four registers; in a match it becomes four [`Field::Reg`].
            XxReg(u8),
            $($(#[doc = $adoc])* $after,)*
        }

        /// The fields with a number of their own, before and after the numbered ones.
        #[derive(Clone, Copy)]
        enum Single { $($before,)* $($after,)* }

        pub(super) const BEFORE: &[Field] = &[$(Field::$before),*];
        pub(super) const AFTER: &[Field] = &[$(Field::$after),*];

        impl Field {
            /// The row of the registry for this field.
            pub const fn def(self) -> &'static FieldDef {
                match self {
                    $(Field::$before => {
                        static DEF: FieldDef = row!($bname $bmatch $bbits/$bbytes $bformat, $bmask, $baccess, $bpre, [$($bheader),*]);
                        &DEF
                    })*
                    Field::TunMetadata(n) => numbered(&TUN_METADATA, n),
                    Field::Reg(n) => numbered(&REGS, n),
                    Field::XReg(n) => numbered(&XREGS, n),
                    Field::XxReg(n) => numbered(&XXREGS, n),
                    $(Field::$after => {
                        static DEF: FieldDef = row!($aname $amatch $abits/$abytes $aformat, $amask, $aaccess, $apre, [$($aheader),*]);
                        &DEF
                    })*
                }
            }

            /// The row's number among the rows that are not numbered.
            const fn single(self) -> Option<u8> {
                match self {
                    $(Field::$before => Some(Single::$before as u8),)*
                    $(Field::$after => Some(Single::$after as u8),)*
                    _ => None,
                }
            }
        }
    };
}

registry! {
    before {
    PacketType "packet_type" "packet_type" 32/4 PacketType, Exact, Read, P::None, [since(h("OXM_OF_PACKET_TYPE", OXM, 44, "2.8"), Version::V1_5)];
    DpHash "dp_hash" "dp_hash" 32/4 Hex, Arbitrary, Read, P::None, [h("NXM_NX_DP_HASH", NXM1, 35, "2.2")];
    RecircId "recirc_id" "recirc_id" 32/4 Decimal, Exact, Read, P::None, [h("NXM_NX_RECIRC_ID", NXM1, 36, "2.2")];
    ConjId "conj_id" "conj_id" 32/4 Decimal, Exact, Read, P::None, [h("NXM_NX_CONJ_ID", NXM1, 37, "2.4")];
    InPort "in_port_oxm" "in_port" 32/4 Port, Exact, Write, P::None, [h("OXM_OF_IN_PORT", OXM, 0, "1.7")];
    /// The 16-bit input port of NXM, for `load:0->NXM_OF_IN_PORT[]`; in a match it becomes [`Field::InPort`].
    NxmInPort "in_port" "in_port" 16/2 Port, Exact, Write, P::None, [h("NXM_OF_IN_PORT", NXM0, 0, "1.1")];
    ActsetOutput "actset_output" "actset_output" 32/4 Port, Exact, Read, P::None,
        [onf("ONFOXM_ET_ACTSET_OUTPUT", 43, "2.4"), since(h("OXM_OF_ACTSET_OUTPUT", OXM, 43, "2.4"), Version::V1_5)];
    EthSrc "eth_src" "dl_src" 48/6 Ethernet, Arbitrary, Write, P::Ethernet,
        [h("NXM_OF_ETH_SRC", NXM0, 2, "1.1"), h("OXM_OF_ETH_SRC", OXM, 4, "1.7")];
    EthDst "eth_dst" "dl_dst" 48/6 Ethernet, Arbitrary, Write, P::Ethernet,
        [h("NXM_OF_ETH_DST", NXM0, 1, "1.1"), h("OXM_OF_ETH_DST", OXM, 3, "1.7")];
    EthType "eth_type" "dl_type" 16/2 Hex, Exact, Read, P::Ethernet, [h("NXM_OF_ETH_TYPE", NXM0, 3, "1.1"), h("OXM_OF_ETH_TYPE", OXM, 5, "1.7")];
    /// The whole TCI; in a match it becomes [`Field::VlanVid`] and [`Field::VlanPcp`].
    VlanTci "vlan_tci" "vlan_tci" 16/2 Hex, Arbitrary, Write, P::Ethernet, [h("NXM_OF_VLAN_TCI", NXM0, 4, "1.1")];
    /// 13 bits as in OXM: bit 12 (`0x1000`) says that a tag is present.
    VlanVid "vlan_vid" "vlan_vid" 13/2 Decimal, Arbitrary, Write, P::Ethernet, [h("OXM_OF_VLAN_VID", OXM, 6, "1.7")];
    VlanPcp "vlan_pcp" "dl_vlan_pcp" 3/1 Decimal, Exact, Write, P::Vlan, [h("OXM_OF_VLAN_PCP", OXM, 7, "1.7")];
    MplsTc "mpls_tc" "mpls_tc" 3/1 Decimal, Exact, Write, P::Mpls, [h("OXM_OF_MPLS_TC", OXM, 35, "1.11")];
    MplsBos "mpls_bos" "mpls_bos" 1/1 Decimal, Exact, Read, P::Mpls, [h("OXM_OF_MPLS_BOS", OXM, 36, "1.11")];
    MplsTtl "mpls_ttl" "mpls_ttl" 8/1 Decimal, Exact, Write, P::Mpls, [h("NXM_NX_MPLS_TTL", NXM1, 30, "2.6")];
    MplsLabel "mpls_label" "mpls_label" 20/4 Decimal, Exact, Write, P::Mpls, [h("OXM_OF_MPLS_LABEL", OXM, 34, "1.11")];
    Ipv4Src "ip_src" "nw_src" 32/4 Ipv4, Arbitrary, Write, P::Ipv4, [h("NXM_OF_IP_SRC", NXM0, 7, "1.1"), h("OXM_OF_IPV4_SRC", OXM, 11, "1.7")];
    Ipv4Dst "ip_dst" "nw_dst" 32/4 Ipv4, Arbitrary, Write, P::Ipv4, [h("NXM_OF_IP_DST", NXM0, 8, "1.1"), h("OXM_OF_IPV4_DST", OXM, 12, "1.7")];
    Ipv6Src "ipv6_src" "ipv6_src" 128/16 Ipv6, Arbitrary, Write, P::Ipv6,
        [h("NXM_NX_IPV6_SRC", NXM1, 19, "1.1"), h("OXM_OF_IPV6_SRC", OXM, 26, "1.1")];
    Ipv6Dst "ipv6_dst" "ipv6_dst" 128/16 Ipv6, Arbitrary, Write, P::Ipv6,
        [h("NXM_NX_IPV6_DST", NXM1, 20, "1.1"), h("OXM_OF_IPV6_DST", OXM, 27, "1.1")];
    IpFrag "ip_frag" "nw_frag" 2/1 Frag, Arbitrary, Read, P::Ip, [h("NXM_NX_IP_FRAG", NXM1, 26, "1.3")];
    /// The ToS byte of NXM (DSCP in the upper six bits); in a match it becomes [`Field::IpDscp`].
    NwTos "nw_tos" "nw_tos" 8/1 Decimal, Exact, Write, P::Ip, [h("NXM_OF_IP_TOS", NXM0, 5, "1.1")];
    IpDscp "ip_dscp" "ip_dscp" 6/1 Decimal, Exact, Write, P::Ip, [h("OXM_OF_IP_DSCP", OXM, 8, "1.7")];
    IpEcn "nw_ecn" "nw_ecn" 2/1 Decimal, Exact, Write, P::Ip, [h("NXM_NX_IP_ECN", NXM1, 28, "1.4"), h("OXM_OF_IP_ECN", OXM, 9, "1.7")];
    NwTtl "nw_ttl" "nw_ttl" 8/1 Decimal, Exact, Write, P::Ip, [h("NXM_NX_IP_TTL", NXM1, 29, "1.4")];
    Ipv6Label "ipv6_label" "ipv6_label" 20/4 Hex, Arbitrary, Write, P::Ipv6,
        [h("NXM_NX_IPV6_LABEL", NXM1, 27, "1.4"), h("OXM_OF_IPV6_FLABEL", OXM, 28, "1.7")];
    IpProto "nw_proto" "nw_proto" 8/1 Decimal, Exact, Read, P::Ip, [h("NXM_OF_IP_PROTO", NXM0, 6, "1.1"), h("OXM_OF_IP_PROTO", OXM, 10, "1.7")];
    TcpSrc "tcp_src" "tp_src" 16/2 Decimal, Arbitrary, Write, P::Proto(6),
        [h("NXM_OF_TCP_SRC", NXM0, 9, "1.1"), h("OXM_OF_TCP_SRC", OXM, 13, "1.7")];
    TcpDst "tcp_dst" "tp_dst" 16/2 Decimal, Arbitrary, Write, P::Proto(6),
        [h("NXM_OF_TCP_DST", NXM0, 10, "1.1"), h("OXM_OF_TCP_DST", OXM, 14, "1.7")];
    TcpFlags "tcp_flags" "tcp_flags" 12/2 Flags(TCP_FLAGS), Arbitrary, Read, P::Proto(6),
        [h("NXM_NX_TCP_FLAGS", NXM1, 34, "2.1"), onf("ONFOXM_ET_TCP_FLAGS", 42, "2.4"), since(h("OXM_OF_TCP_FLAGS", OXM, 42, "2.3"), Version::V1_5)];
    UdpSrc "udp_src" "tp_src" 16/2 Decimal, Arbitrary, Write, P::Proto(17),
        [h("NXM_OF_UDP_SRC", NXM0, 11, "1.1"), h("OXM_OF_UDP_SRC", OXM, 15, "1.7")];
    UdpDst "udp_dst" "tp_dst" 16/2 Decimal, Arbitrary, Write, P::Proto(17),
        [h("NXM_OF_UDP_DST", NXM0, 12, "1.1"), h("OXM_OF_UDP_DST", OXM, 16, "1.7")];
    SctpSrc "sctp_src" "tp_src" 16/2 Decimal, Arbitrary, Write, P::Proto(132), [h("OXM_OF_SCTP_SRC", OXM, 17, "2.0")];
    SctpDst "sctp_dst" "tp_dst" 16/2 Decimal, Arbitrary, Write, P::Proto(132), [h("OXM_OF_SCTP_DST", OXM, 18, "2.0")];
    Icmpv4Type "icmp_type" "icmp_type" 8/1 Decimal, Exact, Write, P::Icmpv4,
        [h("NXM_OF_ICMP_TYPE", NXM0, 13, "1.1"), h("OXM_OF_ICMPV4_TYPE", OXM, 19, "1.7")];
    Icmpv4Code "icmp_code" "icmp_code" 8/1 Decimal, Exact, Write, P::Icmpv4,
        [h("NXM_OF_ICMP_CODE", NXM0, 14, "1.1"), h("OXM_OF_ICMPV4_CODE", OXM, 20, "1.7")];
    Icmpv6Type "icmpv6_type" "icmp_type" 8/1 Decimal, Exact, Write, P::Icmpv6,
        [h("NXM_NX_ICMPV6_TYPE", NXM1, 21, "1.1"), h("OXM_OF_ICMPV6_TYPE", OXM, 29, "1.7")];
    Icmpv6Code "icmpv6_code" "icmp_code" 8/1 Decimal, Exact, Write, P::Icmpv6,
        [h("NXM_NX_ICMPV6_CODE", NXM1, 22, "1.1"), h("OXM_OF_ICMPV6_CODE", OXM, 30, "1.7")];
    NdTarget "nd_target" "nd_target" 128/16 Ipv6, Arbitrary, Write, P::Nd,
        [h("NXM_NX_ND_TARGET", NXM1, 23, "1.1"), h("OXM_OF_IPV6_ND_TARGET", OXM, 31, "1.7")];
    NdReserved "nd_reserved" "nd_reserved" 32/4 Decimal, Exact, Write, P::Nd, [h("ERICOXM_OF_ICMPV6_ND_RESERVED", ERIC, 1, "2.11")];
    NdOptionsType "nd_options_type" "nd_options_type" 8/1 Decimal, Exact, Write, P::Nd, [h("ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", ERIC, 2, "2.11")];
    NdSll "nd_sll" "nd_sll" 48/6 Ethernet, Arbitrary, Write, P::NdSolicit,
        [h("NXM_NX_ND_SLL", NXM1, 24, "1.1"), h("OXM_OF_IPV6_ND_SLL", OXM, 32, "1.7")];
    NdTll "nd_tll" "nd_tll" 48/6 Ethernet, Arbitrary, Write, P::NdAdvert,
        [h("NXM_NX_ND_TLL", NXM1, 25, "1.1"), h("OXM_OF_IPV6_ND_TLL", OXM, 33, "1.7")];
    ArpOp "arp_op" "arp_op" 16/2 Decimal, Exact, Write, P::Arp, [h("NXM_OF_ARP_OP", NXM0, 15, "1.1"), h("OXM_OF_ARP_OP", OXM, 21, "1.7")];
    ArpSpa "arp_spa" "arp_spa" 32/4 Ipv4, Arbitrary, Write, P::Arp, [h("NXM_OF_ARP_SPA", NXM0, 16, "1.1"), h("OXM_OF_ARP_SPA", OXM, 22, "1.7")];
    ArpTpa "arp_tpa" "arp_tpa" 32/4 Ipv4, Arbitrary, Write, P::Arp, [h("NXM_OF_ARP_TPA", NXM0, 17, "1.1"), h("OXM_OF_ARP_TPA", OXM, 23, "1.7")];
    ArpSha "arp_sha" "arp_sha" 48/6 Ethernet, Arbitrary, Write, P::Arp, [h("NXM_NX_ARP_SHA", NXM1, 17, "1.1"), h("OXM_OF_ARP_SHA", OXM, 24, "1.7")];
    ArpTha "arp_tha" "arp_tha" 48/6 Ethernet, Arbitrary, Write, P::Arp, [h("NXM_NX_ARP_THA", NXM1, 18, "1.1"), h("OXM_OF_ARP_THA", OXM, 25, "1.7")];
    TunId "tun_id" "tun_id" 64/8 Hex, Arbitrary, Write, P::None,
        [h("NXM_NX_TUN_ID", NXM1, 16, "1.1"), since(h("OXM_OF_TUNNEL_ID", OXM, 38, "1.10"), Version::V1_3)];
    TunFlags "tun_flags" "tun_flags" 1/2 Flags(TUN_FLAGS), Arbitrary, Write, P::None, [h("NXM_NX_TUN_FLAGS", NXM1, 104, "2.5")];
    TunSrc "tun_src" "tun_src" 32/4 Ipv4, Arbitrary, Write, P::None, [h("NXM_NX_TUN_IPV4_SRC", NXM1, 31, "2.0")];
    TunDst "tun_dst" "tun_dst" 32/4 Ipv4, Arbitrary, Write, P::None, [h("NXM_NX_TUN_IPV4_DST", NXM1, 32, "2.0")];
    TunIpv6Src "tun_ipv6_src" "tun_ipv6_src" 128/16 Ipv6, Arbitrary, Write, P::None, [h("NXM_NX_TUN_IPV6_SRC", NXM1, 109, "2.5")];
    TunIpv6Dst "tun_ipv6_dst" "tun_ipv6_dst" 128/16 Ipv6, Arbitrary, Write, P::None, [h("NXM_NX_TUN_IPV6_DST", NXM1, 110, "2.5")];
    TunGbpId "tun_gbp_id" "tun_gbp_id" 16/2 Decimal, Arbitrary, Write, P::None, [h("NXM_NX_TUN_GBP_ID", NXM1, 38, "2.4")];
    TunGbpFlags "tun_gbp_flags" "tun_gbp_flags" 8/1 Hex, Arbitrary, Write, P::None, [h("NXM_NX_TUN_GBP_FLAGS", NXM1, 39, "2.4")];
    TunErspanIdx "tun_erspan_idx" "tun_erspan_idx" 20/4 Hex, Arbitrary, Write, P::None, [nx_exp("NXOXM_ET_ERSPAN_IDX", 11, "2.10")];
    TunErspanVer "tun_erspan_ver" "tun_erspan_ver" 4/1 Decimal, Arbitrary, Write, P::None, [nx_exp("NXOXM_ET_ERSPAN_VER", 12, "2.10")];
    TunErspanDir "tun_erspan_dir" "tun_erspan_dir" 1/1 Decimal, Arbitrary, Write, P::None, [nx_exp("NXOXM_ET_ERSPAN_DIR", 13, "2.10")];
    TunErspanHwid "tun_erspan_hwid" "tun_erspan_hwid" 6/1 Hex, Arbitrary, Write, P::None, [nx_exp("NXOXM_ET_ERSPAN_HWID", 14, "2.10")];
    TunGtpuFlags "tun_gtpu_flags" "gtpu_flags" 8/1 Hex, Arbitrary, Read, P::None, [nx_exp("NXOXM_ET_GTPU_FLAGS", 15, "2.13")];
    TunGtpuMsgtype "tun_gtpu_msgtype" "gtpu_msgtype" 8/1 Decimal, Arbitrary, Read, P::None, [nx_exp("NXOXM_ET_GTPU_MSGTYPE", 16, "2.13")];
    NshFlags "nsh_flags" "nsh_flags" 8/1 Decimal, Arbitrary, Write, P::Nsh, [nsh("NXOXM_NSH_FLAGS", 1, "2.8")];
    NshTtl "nsh_ttl" "nsh_ttl" 8/1 Decimal, Exact, Write, P::Nsh, [nsh("NXOXM_NSH_TTL", 10, "2.9")];
    NshMdtype "nsh_mdtype" "nsh_mdtype" 8/1 Decimal, Exact, Read, P::Nsh, [nsh("NXOXM_NSH_MDTYPE", 2, "2.8")];
    NshNp "nsh_np" "nsh_np" 8/1 Decimal, Exact, Read, P::Nsh, [nsh("NXOXM_NSH_NP", 3, "2.8")];
    NshSpi "nsh_spi" "nsh_spi" 24/4 Hex, Exact, Write, P::Nsh, [nsh("NXOXM_NSH_SPI", 4, "2.8")];
    NshSi "nsh_si" "nsh_si" 8/1 Decimal, Exact, Write, P::Nsh, [nsh("NXOXM_NSH_SI", 5, "2.8")];
    NshC1 "nsh_c1" "nsh_c1" 32/4 Hex, Arbitrary, Write, P::Nsh, [nsh("NXOXM_NSH_C1", 6, "2.8")];
    NshC2 "nsh_c2" "nsh_c2" 32/4 Hex, Arbitrary, Write, P::Nsh, [nsh("NXOXM_NSH_C2", 7, "2.8")];
    NshC3 "nsh_c3" "nsh_c3" 32/4 Hex, Arbitrary, Write, P::Nsh, [nsh("NXOXM_NSH_C3", 8, "2.8")];
    NshC4 "nsh_c4" "nsh_c4" 32/4 Hex, Arbitrary, Write, P::Nsh, [nsh("NXOXM_NSH_C4", 9, "2.8")];
    }
    after {
    PktMark "pkt_mark" "pkt_mark" 32/4 Hex, Arbitrary, Write, P::None, [h("NXM_NX_PKT_MARK", NXM1, 33, "2.0")];
    CtState "ct_state" "ct_state" 32/4 Flags(CT_STATE_FLAGS), Arbitrary, Read, P::None, [h("NXM_NX_CT_STATE", NXM1, 105, "2.5")];
    CtZone "ct_zone" "ct_zone" 16/2 Hex, Exact, Read, P::None, [h("NXM_NX_CT_ZONE", NXM1, 106, "2.5")];
    CtMark "ct_mark" "ct_mark" 32/4 Hex, Arbitrary, Write, P::None, [h("NXM_NX_CT_MARK", NXM1, 107, "2.5")];
    CtLabel "ct_label" "ct_label" 128/16 Hex, Arbitrary, Write, P::None, [h("NXM_NX_CT_LABEL", NXM1, 108, "2.5")];
    CtNwSrc "ct_nw_src" "ct_nw_src" 32/4 Ipv4, Arbitrary, Read, P::Ct, [h("NXM_NX_CT_NW_SRC", NXM1, 120, "2.8")];
    CtNwDst "ct_nw_dst" "ct_nw_dst" 32/4 Ipv4, Arbitrary, Read, P::Ct, [h("NXM_NX_CT_NW_DST", NXM1, 121, "2.8")];
    CtIpv6Src "ct_ipv6_src" "ct_ipv6_src" 128/16 Ipv6, Arbitrary, Read, P::Ct, [h("NXM_NX_CT_IPV6_SRC", NXM1, 122, "2.8")];
    CtIpv6Dst "ct_ipv6_dst" "ct_ipv6_dst" 128/16 Ipv6, Arbitrary, Read, P::Ct, [h("NXM_NX_CT_IPV6_DST", NXM1, 123, "2.8")];
    CtNwProto "ct_nw_proto" "ct_nw_proto" 8/1 Decimal, Exact, Read, P::Ct, [h("NXM_NX_CT_NW_PROTO", NXM1, 119, "2.8")];
    CtTpSrc "ct_tp_src" "ct_tp_src" 16/2 Decimal, Arbitrary, Read, P::CtPorts, [h("NXM_NX_CT_TP_SRC", NXM1, 124, "2.8")];
    CtTpDst "ct_tp_dst" "ct_tp_dst" 16/2 Decimal, Arbitrary, Read, P::CtPorts, [h("NXM_NX_CT_TP_DST", NXM1, 125, "2.8")];
    Metadata "metadata" "metadata" 64/8 Hex, Arbitrary, Write, P::None, [h("OXM_OF_METADATA", OXM, 2, "1.8")];
    }
}

macro_rules! registers {
    ($bits:literal $bytes:literal $class:ident $base:literal $ovs:literal: $($n:literal $name:literal $long:literal,)*) => {
        [$(row!($name $name $bits/$bytes Hex, Arbitrary, Write, P::None, [h($long, $class, $base + $n, $ovs)])),*]
    };
}

macro_rules! tun_metadata {
    ($($n:literal $name:literal $long:literal,)*) => {
        [$(row!($name $name 992/124 Hex, Arbitrary, Write, P::None, [h($long, NXM1, 40 + $n, "2.5")])),*]
    };
}

static REGS: [FieldDef; 16] = registers! { 32 4 NXM1 0 "1.1":
    0 "reg0" "NXM_NX_REG0", 1 "reg1" "NXM_NX_REG1", 2 "reg2" "NXM_NX_REG2", 3 "reg3" "NXM_NX_REG3",
    4 "reg4" "NXM_NX_REG4", 5 "reg5" "NXM_NX_REG5", 6 "reg6" "NXM_NX_REG6", 7 "reg7" "NXM_NX_REG7",
    8 "reg8" "NXM_NX_REG8", 9 "reg9" "NXM_NX_REG9", 10 "reg10" "NXM_NX_REG10", 11 "reg11" "NXM_NX_REG11",
    12 "reg12" "NXM_NX_REG12", 13 "reg13" "NXM_NX_REG13", 14 "reg14" "NXM_NX_REG14", 15 "reg15" "NXM_NX_REG15",
};
static XREGS: [FieldDef; 8] = registers! { 64 8 PKT_REG 0 "2.4":
    0 "xreg0" "OXM_OF_PKT_REG0", 1 "xreg1" "OXM_OF_PKT_REG1", 2 "xreg2" "OXM_OF_PKT_REG2", 3 "xreg3" "OXM_OF_PKT_REG3",
    4 "xreg4" "OXM_OF_PKT_REG4", 5 "xreg5" "OXM_OF_PKT_REG5", 6 "xreg6" "OXM_OF_PKT_REG6", 7 "xreg7" "OXM_OF_PKT_REG7",
};
static XXREGS: [FieldDef; 4] = registers! { 128 16 NXM1 111 "2.6":
    0 "xxreg0" "NXM_NX_XXREG0", 1 "xxreg1" "NXM_NX_XXREG1", 2 "xxreg2" "NXM_NX_XXREG2", 3 "xxreg3" "NXM_NX_XXREG3",
};
static TUN_METADATA: [FieldDef; 64] = tun_metadata! {
    0 "tun_metadata0" "NXM_NX_TUN_METADATA0", 1 "tun_metadata1" "NXM_NX_TUN_METADATA1", 2 "tun_metadata2" "NXM_NX_TUN_METADATA2",
    3 "tun_metadata3" "NXM_NX_TUN_METADATA3", 4 "tun_metadata4" "NXM_NX_TUN_METADATA4", 5 "tun_metadata5" "NXM_NX_TUN_METADATA5",
    6 "tun_metadata6" "NXM_NX_TUN_METADATA6", 7 "tun_metadata7" "NXM_NX_TUN_METADATA7", 8 "tun_metadata8" "NXM_NX_TUN_METADATA8",
    9 "tun_metadata9" "NXM_NX_TUN_METADATA9", 10 "tun_metadata10" "NXM_NX_TUN_METADATA10", 11 "tun_metadata11" "NXM_NX_TUN_METADATA11",
    12 "tun_metadata12" "NXM_NX_TUN_METADATA12", 13 "tun_metadata13" "NXM_NX_TUN_METADATA13", 14 "tun_metadata14" "NXM_NX_TUN_METADATA14",
    15 "tun_metadata15" "NXM_NX_TUN_METADATA15", 16 "tun_metadata16" "NXM_NX_TUN_METADATA16", 17 "tun_metadata17" "NXM_NX_TUN_METADATA17",
    18 "tun_metadata18" "NXM_NX_TUN_METADATA18", 19 "tun_metadata19" "NXM_NX_TUN_METADATA19", 20 "tun_metadata20" "NXM_NX_TUN_METADATA20",
    21 "tun_metadata21" "NXM_NX_TUN_METADATA21", 22 "tun_metadata22" "NXM_NX_TUN_METADATA22", 23 "tun_metadata23" "NXM_NX_TUN_METADATA23",
    24 "tun_metadata24" "NXM_NX_TUN_METADATA24", 25 "tun_metadata25" "NXM_NX_TUN_METADATA25", 26 "tun_metadata26" "NXM_NX_TUN_METADATA26",
    27 "tun_metadata27" "NXM_NX_TUN_METADATA27", 28 "tun_metadata28" "NXM_NX_TUN_METADATA28", 29 "tun_metadata29" "NXM_NX_TUN_METADATA29",
    30 "tun_metadata30" "NXM_NX_TUN_METADATA30", 31 "tun_metadata31" "NXM_NX_TUN_METADATA31", 32 "tun_metadata32" "NXM_NX_TUN_METADATA32",
    33 "tun_metadata33" "NXM_NX_TUN_METADATA33", 34 "tun_metadata34" "NXM_NX_TUN_METADATA34", 35 "tun_metadata35" "NXM_NX_TUN_METADATA35",
    36 "tun_metadata36" "NXM_NX_TUN_METADATA36", 37 "tun_metadata37" "NXM_NX_TUN_METADATA37", 38 "tun_metadata38" "NXM_NX_TUN_METADATA38",
    39 "tun_metadata39" "NXM_NX_TUN_METADATA39", 40 "tun_metadata40" "NXM_NX_TUN_METADATA40", 41 "tun_metadata41" "NXM_NX_TUN_METADATA41",
    42 "tun_metadata42" "NXM_NX_TUN_METADATA42", 43 "tun_metadata43" "NXM_NX_TUN_METADATA43", 44 "tun_metadata44" "NXM_NX_TUN_METADATA44",
    45 "tun_metadata45" "NXM_NX_TUN_METADATA45", 46 "tun_metadata46" "NXM_NX_TUN_METADATA46", 47 "tun_metadata47" "NXM_NX_TUN_METADATA47",
    48 "tun_metadata48" "NXM_NX_TUN_METADATA48", 49 "tun_metadata49" "NXM_NX_TUN_METADATA49", 50 "tun_metadata50" "NXM_NX_TUN_METADATA50",
    51 "tun_metadata51" "NXM_NX_TUN_METADATA51", 52 "tun_metadata52" "NXM_NX_TUN_METADATA52", 53 "tun_metadata53" "NXM_NX_TUN_METADATA53",
    54 "tun_metadata54" "NXM_NX_TUN_METADATA54", 55 "tun_metadata55" "NXM_NX_TUN_METADATA55", 56 "tun_metadata56" "NXM_NX_TUN_METADATA56",
    57 "tun_metadata57" "NXM_NX_TUN_METADATA57", 58 "tun_metadata58" "NXM_NX_TUN_METADATA58", 59 "tun_metadata59" "NXM_NX_TUN_METADATA59",
    60 "tun_metadata60" "NXM_NX_TUN_METADATA60", 61 "tun_metadata61" "NXM_NX_TUN_METADATA61", 62 "tun_metadata62" "NXM_NX_TUN_METADATA62",
    63 "tun_metadata63" "NXM_NX_TUN_METADATA63",
};
/// Stands for a register number that does not exist: it has no header, so nothing that names it can be encoded.
static NO_SUCH_REGISTER: FieldDef =
    row!("no_such_register" "no_such_register" 32/4 Hex, Arbitrary, Write, P::None, []);

const fn numbered(table: &'static [FieldDef], n: u8) -> &'static FieldDef {
    if (n as usize) < table.len() { &table[n as usize] } else { &NO_SUCH_REGISTER }
}

/// Rows before the registers.
const N_BEFORE: u8 = BEFORE.len() as u8;
/// Plain registers; the extended ones never stand in a match.
pub(super) const N_REGS: u8 = REGS.len() as u8;
/// The code of what can not be matched.
const NO_CODE: u8 = u8::MAX;

impl Field {
    /// One byte that sorts as the field does, for fields that stand in a match.
    pub(crate) const fn code(self) -> u8 {
        match (self, self.single()) {
            (Field::Reg(n), _) if n < N_REGS => N_BEFORE + n,
            (_, Some(n)) if n < N_BEFORE => n,
            (_, Some(n)) => n + N_REGS,
            _ => NO_CODE,
        }
    }

    /// The field with this code; a register that does not exist for all others.
    pub(crate) fn from_code(code: u8) -> Field {
        let n = usize::from(code);
        let first_after = BEFORE.len() + REGS.len();
        match code.checked_sub(N_BEFORE) {
            None => BEFORE[n],
            Some(reg) if reg < N_REGS => Field::Reg(reg),
            Some(_) => AFTER.get(n.wrapping_sub(first_after)).copied().unwrap_or(Field::Reg(NO_CODE)),
        }
    }
}
