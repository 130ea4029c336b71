//! The field registry: everything this crate knows about each match field, in **one** table.
//!
//! Names, widths, wire headers and prerequisites are those of ovs-fields(7); every other module (match, actions,
//! text, codec) asks this table and spells none of it again.
//!
//! # Invariants
//! - The declaration order of [`Field`] is the order in which Open vSwitch puts the fields of a match on the wire,
//!   so that a [`Match`](crate::Match), ordered by field, encodes to the very bytes the switch sends back.
//! - A header (class, number, experimenter) belongs to one field only (test `headers_and_names_are_unique`).
//!
//! # Failure
//! A register number out of range yields a definition without wire headers: it can be named, never encoded.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::Version;

/// A match field, named as in ovs-fields(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each variant is the field of that name in ovs-fields(7)")]
pub enum Field {
    PacketType,
    DpHash,
    RecircId,
    ConjId,
    InPort,
    /// The 16-bit input port of NXM, for `load:0->NXM_OF_IN_PORT[]`; in a match it becomes [`Field::InPort`].
    NxmInPort,
    ActsetOutput,
    EthSrc,
    EthDst,
    EthType,
    /// The whole TCI; in a match it becomes [`Field::VlanVid`] and [`Field::VlanPcp`].
    VlanTci,
    /// 13 bits as in OXM: bit 12 (`0x1000`) says that a tag is present.
    VlanVid,
    VlanPcp,
    MplsTc,
    MplsBos,
    MplsTtl,
    MplsLabel,
    Ipv4Src,
    Ipv4Dst,
    Ipv6Src,
    Ipv6Dst,
    IpFrag,
    /// The ToS byte of NXM (DSCP in the upper six bits); in a match it becomes [`Field::IpDscp`].
    NwTos,
    IpDscp,
    IpEcn,
    NwTtl,
    Ipv6Label,
    IpProto,
    TcpSrc,
    TcpDst,
    TcpFlags,
    UdpSrc,
    UdpDst,
    SctpSrc,
    SctpDst,
    Icmpv4Type,
    Icmpv4Code,
    Icmpv6Type,
    Icmpv6Code,
    NdTarget,
    NdReserved,
    NdOptionsType,
    NdSll,
    NdTll,
    ArpOp,
    ArpSpa,
    ArpTpa,
    ArpSha,
    ArpTha,
    TunId,
    TunFlags,
    TunSrc,
    TunDst,
    TunIpv6Src,
    TunIpv6Dst,
    TunGbpId,
    TunGbpFlags,
    /// `reg0` .. `reg15`.
    Reg(u8),
    /// `xreg0` .. `xreg7`: two registers; in a match it becomes two [`Field::Reg`].
    XReg(u8),
    /// `xxreg0` .. `xxreg3`: four registers; in a match it becomes four [`Field::Reg`].
    XxReg(u8),
    PktMark,
    CtState,
    CtZone,
    CtMark,
    CtLabel,
    CtNwSrc,
    CtNwDst,
    CtIpv6Src,
    CtIpv6Dst,
    CtNwProto,
    CtTpSrc,
    CtTpDst,
    Metadata,
}

/// How a field's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Decimal number.
    Decimal,
    /// Hexadecimal number.
    Hex,
    /// `aa:bb:cc:dd:ee:ff`.
    Ethernet,
    /// Dotted quad, mask as prefix length when it is one.
    Ipv4,
    /// RFC 5952, mask as prefix length when it is one.
    Ipv6,
    /// A port number or one of the reserved names.
    Port,
    /// Named flag bits, `+trk-new`.
    Flags(&'static [(&'static str, u32)]),
    /// `no`, `yes`, `first`, `later`, `not_later`.
    Frag,
}

/// What must be matched too before a field may be matched or set (ovs-fields(7), "Prerequisites").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prerequisite {
    /// Nothing.
    None,
    /// `vlan_vid` with the present bit set.
    Vlan,
    /// `eth_type` is 0x8847 or 0x8848.
    Mpls,
    /// `eth_type` is 0x0800.
    Ipv4,
    /// `eth_type` is 0x86dd.
    Ipv6,
    /// `eth_type` is 0x0800 or 0x86dd.
    Ip,
    /// `eth_type` is 0x0806 or 0x8035.
    Arp,
    /// IP and this `ip_proto`.
    Proto(u8),
    /// IPv4 and ICMP.
    Icmpv4,
    /// IPv6 and ICMPv6.
    Icmpv6,
    /// ICMPv6 type 135 or 136, code 0.
    Nd,
    /// ICMPv6 type 135, code 0.
    NdSolicit,
    /// ICMPv6 type 136, code 0.
    NdAdvert,
}

/// Whether a match on the field may carry a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// Exact match only.
    Exact,
    /// Any bitwise mask.
    Arbitrary,
}

/// An OXM/NXM header without mask bit and length: class, field number, and the experimenter of class 0xffff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OxmId {
    /// OXM class (0x0000 NXM_OF, 0x0001 NXM_NX, 0x8000 OpenFlow basic, 0x8001 packet registers, 0xffff experimenter).
    pub class: u16,
    /// Seven-bit field number within the class.
    pub number: u8,
    /// Experimenter id, 0 unless `class` is 0xffff.
    pub experimenter: u32,
}

/// One way to write a field on the wire, and the first version that prefers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The long name (`NXM_NX_REG0`).
    pub name: &'static str,
    /// The header.
    pub id: OxmId,
    /// First version of which this is the preferred header; `None` = Nicira form, good for every version.
    pub since: Option<Version>,
}

/// A row of the registry.
#[derive(Debug)]
pub struct FieldDef {
    /// Name in `set_field` and the first name accepted everywhere.
    pub name: &'static str,
    /// Name that `ovs-ofctl dump-flows` prints in a match.
    pub match_name: &'static str,
    /// Significant bits.
    pub n_bits: u16,
    /// Bytes of the value on the wire.
    pub n_bytes: u8,
    /// How values are written.
    pub format: Format,
    /// Whether a mask is allowed.
    pub masking: Masking,
    /// What it needs.
    pub prerequisite: Prerequisite,
    /// Wire headers, oldest first.
    pub headers: &'static [Header],
}

const NXM0: u16 = 0x0000;
const NXM1: u16 = 0x0001;
const OXM: u16 = 0x8000;
const PKT_REG: u16 = 0x8001;
const ERIC: u16 = 0x1000;
const EXP: u16 = 0xffff;
const ONF: u32 = 0x4f4e_4600;

const fn h(name: &'static str, class: u16, number: u8) -> Header {
    let since = if class == OXM { Some(Version::V1_2) } else { None };
    Header { name, id: OxmId { class, number, experimenter: 0 }, since }
}
const fn since(mut header: Header, version: Version) -> Header {
    header.since = Some(version);
    header
}
const fn onf(name: &'static str, number: u16) -> Header {
    // EXT-233 and friends: class 0xffff, the field number in the oxm_field bits.
    let id = OxmId { class: EXP, number: number as u8, experimenter: ONF };
    Header { name, id, since: Some(Version::V1_3) }
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

macro_rules! registry {
    ($($variant:ident $name:literal $match_name:literal $bits:literal $bytes:literal $format:expr, $mask:ident, $pre:expr,
       [$($header:expr),*];)*) => {
        impl Field {
            /// The row of the registry for this field.
            pub const fn def(self) -> &'static FieldDef {
                match self {
                    $(Field::$variant => {
                        const DEF: FieldDef = FieldDef {
                            name: $name, match_name: $match_name, n_bits: $bits, n_bytes: $bytes, format: $format,
                            masking: Masking::$mask, prerequisite: $pre, headers: &[$($header),*],
                        };
                        &DEF
                    })*
                    Field::Reg(n) => register(&REGS, n),
                    Field::XReg(n) => register(&XREGS, n),
                    Field::XxReg(n) => register(&XXREGS, n),
                }
            }
        }
        const SINGLE_FIELDS: &[Field] = &[$(Field::$variant),*];
    };
}

use Format::{Decimal, Ethernet, Flags, Frag, Hex, Ipv4, Ipv6, Port};
use Prerequisite as P;

registry! {
    PacketType "packet_type" "packet_type" 32 4 Hex, Exact, P::None, [since(h("OXM_OF_PACKET_TYPE", OXM, 44), Version::V1_5)];
    DpHash "dp_hash" "dp_hash" 32 4 Hex, Arbitrary, P::None, [h("NXM_NX_DP_HASH", NXM1, 35)];
    RecircId "recirc_id" "recirc_id" 32 4 Decimal, Exact, P::None, [h("NXM_NX_RECIRC_ID", NXM1, 36)];
    ConjId "conj_id" "conj_id" 32 4 Decimal, Exact, P::None, [h("NXM_NX_CONJ_ID", NXM1, 37)];
    NxmInPort "in_port" "in_port" 16 2 Port, Exact, P::None, [h("NXM_OF_IN_PORT", NXM0, 0)];
    InPort "in_port_oxm" "in_port" 32 4 Port, Exact, P::None, [h("OXM_OF_IN_PORT", OXM, 0)];
    ActsetOutput "actset_output" "actset_output" 32 4 Port, Exact, P::None,
        [onf("ONFOXM_ET_ACTSET_OUTPUT", 43), since(h("OXM_OF_ACTSET_OUTPUT", OXM, 43), Version::V1_5)];
    EthSrc "eth_src" "dl_src" 48 6 Ethernet, Arbitrary, P::None, [h("NXM_OF_ETH_SRC", NXM0, 2), h("OXM_OF_ETH_SRC", OXM, 4)];
    EthDst "eth_dst" "dl_dst" 48 6 Ethernet, Arbitrary, P::None, [h("NXM_OF_ETH_DST", NXM0, 1), h("OXM_OF_ETH_DST", OXM, 3)];
    EthType "eth_type" "dl_type" 16 2 Hex, Exact, P::None, [h("NXM_OF_ETH_TYPE", NXM0, 3), h("OXM_OF_ETH_TYPE", OXM, 5)];
    VlanTci "vlan_tci" "vlan_tci" 16 2 Hex, Arbitrary, P::None, [h("NXM_OF_VLAN_TCI", NXM0, 4)];
    VlanVid "vlan_vid" "vlan_vid" 13 2 Decimal, Arbitrary, P::None, [h("OXM_OF_VLAN_VID", OXM, 6)];
    VlanPcp "vlan_pcp" "dl_vlan_pcp" 3 1 Decimal, Exact, P::Vlan, [h("OXM_OF_VLAN_PCP", OXM, 7)];
    MplsLabel "mpls_label" "mpls_label" 20 4 Decimal, Exact, P::Mpls, [h("OXM_OF_MPLS_LABEL", OXM, 34)];
    MplsTc "mpls_tc" "mpls_tc" 3 1 Decimal, Exact, P::Mpls, [h("OXM_OF_MPLS_TC", OXM, 35)];
    MplsBos "mpls_bos" "mpls_bos" 1 1 Decimal, Exact, P::Mpls, [h("OXM_OF_MPLS_BOS", OXM, 36)];
    MplsTtl "mpls_ttl" "mpls_ttl" 8 1 Decimal, Exact, P::Mpls, [h("NXM_NX_MPLS_TTL", NXM1, 30)];
    Ipv4Src "ip_src" "nw_src" 32 4 Ipv4, Arbitrary, P::Ipv4, [h("NXM_OF_IP_SRC", NXM0, 7), h("OXM_OF_IPV4_SRC", OXM, 11)];
    Ipv4Dst "ip_dst" "nw_dst" 32 4 Ipv4, Arbitrary, P::Ipv4, [h("NXM_OF_IP_DST", NXM0, 8), h("OXM_OF_IPV4_DST", OXM, 12)];
    Ipv6Src "ipv6_src" "ipv6_src" 128 16 Ipv6, Arbitrary, P::Ipv6, [h("NXM_NX_IPV6_SRC", NXM1, 19), h("OXM_OF_IPV6_SRC", OXM, 26)];
    Ipv6Dst "ipv6_dst" "ipv6_dst" 128 16 Ipv6, Arbitrary, P::Ipv6, [h("NXM_NX_IPV6_DST", NXM1, 20), h("OXM_OF_IPV6_DST", OXM, 27)];
    IpFrag "ip_frag" "nw_frag" 2 1 Frag, Arbitrary, P::Ip, [h("NXM_NX_IP_FRAG", NXM1, 26)];
    NwTos "nw_tos" "nw_tos" 8 1 Decimal, Exact, P::Ip, [h("NXM_OF_IP_TOS", NXM0, 5)];
    IpDscp "ip_dscp" "ip_dscp" 6 1 Decimal, Exact, P::Ip, [h("OXM_OF_IP_DSCP", OXM, 8)];
    IpEcn "nw_ecn" "nw_ecn" 2 1 Decimal, Exact, P::Ip, [h("NXM_NX_IP_ECN", NXM1, 28), h("OXM_OF_IP_ECN", OXM, 9)];
    NwTtl "nw_ttl" "nw_ttl" 8 1 Decimal, Exact, P::Ip, [h("NXM_NX_IP_TTL", NXM1, 29)];
    Ipv6Label "ipv6_label" "ipv6_label" 20 4 Hex, Arbitrary, P::Ipv6, [h("NXM_NX_IPV6_LABEL", NXM1, 27), h("OXM_OF_IPV6_FLABEL", OXM, 28)];
    IpProto "nw_proto" "nw_proto" 8 1 Decimal, Exact, P::Ip, [h("NXM_OF_IP_PROTO", NXM0, 6), h("OXM_OF_IP_PROTO", OXM, 10)];
    TcpSrc "tcp_src" "tp_src" 16 2 Decimal, Arbitrary, P::Proto(6), [h("NXM_OF_TCP_SRC", NXM0, 9), h("OXM_OF_TCP_SRC", OXM, 13)];
    TcpDst "tcp_dst" "tp_dst" 16 2 Decimal, Arbitrary, P::Proto(6), [h("NXM_OF_TCP_DST", NXM0, 10), h("OXM_OF_TCP_DST", OXM, 14)];
    TcpFlags "tcp_flags" "tcp_flags" 12 2 Flags(TCP_FLAGS), Arbitrary, P::Proto(6),
        [h("NXM_NX_TCP_FLAGS", NXM1, 34), onf("ONFOXM_ET_TCP_FLAGS", 42), since(h("OXM_OF_TCP_FLAGS", OXM, 42), Version::V1_5)];
    UdpSrc "udp_src" "tp_src" 16 2 Decimal, Arbitrary, P::Proto(17), [h("NXM_OF_UDP_SRC", NXM0, 11), h("OXM_OF_UDP_SRC", OXM, 15)];
    UdpDst "udp_dst" "tp_dst" 16 2 Decimal, Arbitrary, P::Proto(17), [h("NXM_OF_UDP_DST", NXM0, 12), h("OXM_OF_UDP_DST", OXM, 16)];
    SctpSrc "sctp_src" "tp_src" 16 2 Decimal, Arbitrary, P::Proto(132), [h("OXM_OF_SCTP_SRC", OXM, 17)];
    SctpDst "sctp_dst" "tp_dst" 16 2 Decimal, Arbitrary, P::Proto(132), [h("OXM_OF_SCTP_DST", OXM, 18)];
    Icmpv4Type "icmp_type" "icmp_type" 8 1 Decimal, Exact, P::Icmpv4, [h("NXM_OF_ICMP_TYPE", NXM0, 13), h("OXM_OF_ICMPV4_TYPE", OXM, 19)];
    Icmpv4Code "icmp_code" "icmp_code" 8 1 Decimal, Exact, P::Icmpv4, [h("NXM_OF_ICMP_CODE", NXM0, 14), h("OXM_OF_ICMPV4_CODE", OXM, 20)];
    Icmpv6Type "icmpv6_type" "icmp_type" 8 1 Decimal, Exact, P::Icmpv6, [h("NXM_NX_ICMPV6_TYPE", NXM1, 21), h("OXM_OF_ICMPV6_TYPE", OXM, 29)];
    Icmpv6Code "icmpv6_code" "icmp_code" 8 1 Decimal, Exact, P::Icmpv6, [h("NXM_NX_ICMPV6_CODE", NXM1, 22), h("OXM_OF_ICMPV6_CODE", OXM, 30)];
    NdTarget "nd_target" "nd_target" 128 16 Ipv6, Arbitrary, P::Nd, [h("NXM_NX_ND_TARGET", NXM1, 23), h("OXM_OF_IPV6_ND_TARGET", OXM, 31)];
    NdReserved "nd_reserved" "nd_reserved" 32 4 Decimal, Exact, P::Nd, [h("ERICOXM_OF_ICMPV6_ND_RESERVED", ERIC, 1)];
    NdOptionsType "nd_options_type" "nd_options_type" 8 1 Decimal, Exact, P::Nd, [h("ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", ERIC, 2)];
    NdSll "nd_sll" "nd_sll" 48 6 Ethernet, Arbitrary, P::NdSolicit, [h("NXM_NX_ND_SLL", NXM1, 24), h("OXM_OF_IPV6_ND_SLL", OXM, 32)];
    NdTll "nd_tll" "nd_tll" 48 6 Ethernet, Arbitrary, P::NdAdvert, [h("NXM_NX_ND_TLL", NXM1, 25), h("OXM_OF_IPV6_ND_TLL", OXM, 33)];
    ArpOp "arp_op" "arp_op" 16 2 Decimal, Exact, P::Arp, [h("NXM_OF_ARP_OP", NXM0, 15), h("OXM_OF_ARP_OP", OXM, 21)];
    ArpSpa "arp_spa" "arp_spa" 32 4 Ipv4, Arbitrary, P::Arp, [h("NXM_OF_ARP_SPA", NXM0, 16), h("OXM_OF_ARP_SPA", OXM, 22)];
    ArpTpa "arp_tpa" "arp_tpa" 32 4 Ipv4, Arbitrary, P::Arp, [h("NXM_OF_ARP_TPA", NXM0, 17), h("OXM_OF_ARP_TPA", OXM, 23)];
    ArpSha "arp_sha" "arp_sha" 48 6 Ethernet, Arbitrary, P::Arp, [h("NXM_NX_ARP_SHA", NXM1, 17), h("OXM_OF_ARP_SHA", OXM, 24)];
    ArpTha "arp_tha" "arp_tha" 48 6 Ethernet, Arbitrary, P::Arp, [h("NXM_NX_ARP_THA", NXM1, 18), h("OXM_OF_ARP_THA", OXM, 25)];
    TunId "tun_id" "tun_id" 64 8 Hex, Arbitrary, P::None, [h("NXM_NX_TUN_ID", NXM1, 16), since(h("OXM_OF_TUNNEL_ID", OXM, 38), Version::V1_3)];
    TunSrc "tun_src" "tun_src" 32 4 Ipv4, Arbitrary, P::None, [h("NXM_NX_TUN_IPV4_SRC", NXM1, 31)];
    TunDst "tun_dst" "tun_dst" 32 4 Ipv4, Arbitrary, P::None, [h("NXM_NX_TUN_IPV4_DST", NXM1, 32)];
    TunIpv6Src "tun_ipv6_src" "tun_ipv6_src" 128 16 Ipv6, Arbitrary, P::None, [h("NXM_NX_TUN_IPV6_SRC", NXM1, 109)];
    TunIpv6Dst "tun_ipv6_dst" "tun_ipv6_dst" 128 16 Ipv6, Arbitrary, P::None, [h("NXM_NX_TUN_IPV6_DST", NXM1, 110)];
    TunGbpId "tun_gbp_id" "tun_gbp_id" 16 2 Decimal, Arbitrary, P::None, [h("NXM_NX_TUN_GBP_ID", NXM1, 38)];
    TunGbpFlags "tun_gbp_flags" "tun_gbp_flags" 8 1 Hex, Arbitrary, P::None, [h("NXM_NX_TUN_GBP_FLAGS", NXM1, 39)];
    TunFlags "tun_flags" "tun_flags" 1 2 Flags(TUN_FLAGS), Arbitrary, P::None, [h("NXM_NX_TUN_FLAGS", NXM1, 104)];
    PktMark "pkt_mark" "pkt_mark" 32 4 Hex, Arbitrary, P::None, [h("NXM_NX_PKT_MARK", NXM1, 33)];
    CtState "ct_state" "ct_state" 32 4 Flags(CT_STATE_FLAGS), Arbitrary, P::None, [h("NXM_NX_CT_STATE", NXM1, 105)];
    CtZone "ct_zone" "ct_zone" 16 2 Hex, Exact, P::None, [h("NXM_NX_CT_ZONE", NXM1, 106)];
    CtMark "ct_mark" "ct_mark" 32 4 Hex, Arbitrary, P::None, [h("NXM_NX_CT_MARK", NXM1, 107)];
    CtLabel "ct_label" "ct_label" 128 16 Hex, Arbitrary, P::None, [h("NXM_NX_CT_LABEL", NXM1, 108)];
    CtNwSrc "ct_nw_src" "ct_nw_src" 32 4 Ipv4, Arbitrary, P::None, [h("NXM_NX_CT_NW_SRC", NXM1, 120)];
    CtNwDst "ct_nw_dst" "ct_nw_dst" 32 4 Ipv4, Arbitrary, P::None, [h("NXM_NX_CT_NW_DST", NXM1, 121)];
    CtIpv6Src "ct_ipv6_src" "ct_ipv6_src" 128 16 Ipv6, Arbitrary, P::None, [h("NXM_NX_CT_IPV6_SRC", NXM1, 122)];
    CtIpv6Dst "ct_ipv6_dst" "ct_ipv6_dst" 128 16 Ipv6, Arbitrary, P::None, [h("NXM_NX_CT_IPV6_DST", NXM1, 123)];
    CtNwProto "ct_nw_proto" "ct_nw_proto" 8 1 Decimal, Exact, P::None, [h("NXM_NX_CT_NW_PROTO", NXM1, 119)];
    CtTpSrc "ct_tp_src" "ct_tp_src" 16 2 Decimal, Arbitrary, P::None, [h("NXM_NX_CT_TP_SRC", NXM1, 124)];
    CtTpDst "ct_tp_dst" "ct_tp_dst" 16 2 Decimal, Arbitrary, P::None, [h("NXM_NX_CT_TP_DST", NXM1, 125)];
    Metadata "metadata" "metadata" 64 8 Hex, Arbitrary, P::None, [h("OXM_OF_METADATA", OXM, 2)];
}

macro_rules! registers {
    ($bits:literal $bytes:literal $class:ident $base:literal: $($n:literal $name:literal $long:literal,)*) => {
        [$(FieldDef {
            name: $name, match_name: $name, n_bits: $bits, n_bytes: $bytes, format: Hex, masking: Masking::Arbitrary,
            prerequisite: P::None, headers: &[h($long, $class, $base + $n)],
        }),*]
    };
}

static REGS: [FieldDef; 16] = registers! { 32 4 NXM1 0:
    0 "reg0" "NXM_NX_REG0", 1 "reg1" "NXM_NX_REG1", 2 "reg2" "NXM_NX_REG2", 3 "reg3" "NXM_NX_REG3",
    4 "reg4" "NXM_NX_REG4", 5 "reg5" "NXM_NX_REG5", 6 "reg6" "NXM_NX_REG6", 7 "reg7" "NXM_NX_REG7",
    8 "reg8" "NXM_NX_REG8", 9 "reg9" "NXM_NX_REG9", 10 "reg10" "NXM_NX_REG10", 11 "reg11" "NXM_NX_REG11",
    12 "reg12" "NXM_NX_REG12", 13 "reg13" "NXM_NX_REG13", 14 "reg14" "NXM_NX_REG14", 15 "reg15" "NXM_NX_REG15",
};
static XREGS: [FieldDef; 8] = registers! { 64 8 PKT_REG 0:
    0 "xreg0" "OXM_OF_PKT_REG0", 1 "xreg1" "OXM_OF_PKT_REG1", 2 "xreg2" "OXM_OF_PKT_REG2", 3 "xreg3" "OXM_OF_PKT_REG3",
    4 "xreg4" "OXM_OF_PKT_REG4", 5 "xreg5" "OXM_OF_PKT_REG5", 6 "xreg6" "OXM_OF_PKT_REG6", 7 "xreg7" "OXM_OF_PKT_REG7",
};
static XXREGS: [FieldDef; 4] = registers! { 128 16 NXM1 111:
    0 "xxreg0" "NXM_NX_XXREG0", 1 "xxreg1" "NXM_NX_XXREG1", 2 "xxreg2" "NXM_NX_XXREG2", 3 "xxreg3" "NXM_NX_XXREG3",
};
/// Stands for a register number that does not exist: it has no header, so nothing that names it can be encoded.
static NO_SUCH_REGISTER: FieldDef = FieldDef {
    name: "no_such_register",
    match_name: "no_such_register",
    n_bits: 32,
    n_bytes: 4,
    format: Hex,
    masking: Masking::Arbitrary,
    prerequisite: P::None,
    headers: &[],
};

const fn register(table: &'static [FieldDef], n: u8) -> &'static FieldDef {
    if (n as usize) < table.len() { &table[n as usize] } else { &NO_SUCH_REGISTER }
}

impl Field {
    /// Every field of the registry, in wire order of the single fields, then the registers.
    pub fn all() -> impl Iterator<Item = Field> {
        let registers =
            (0..16).map(Field::Reg).chain((0..8).map(Field::XReg)).chain((0..4).map(Field::XxReg));
        SINGLE_FIELDS.iter().copied().chain(registers)
    }

    /// Significant bits.
    pub const fn n_bits(self) -> u16 {
        self.def().n_bits
    }

    /// The mask that covers the whole field.
    pub const fn full_mask(self) -> u128 {
        u128::MAX >> (128 - self.def().n_bits)
    }

    /// The name in `set_field`, for instance `eth_src`.
    pub const fn name(self) -> &'static str {
        self.def().name
    }

    /// The long name `ovs-ofctl` prints for a subfield, for instance `NXM_NX_REG0`.
    pub fn long_name(self) -> &'static str {
        self.def().headers.first().map_or(self.def().name, |header| header.name)
    }

    /// The header Open vSwitch puts on the wire for this field in this version (`nxm_field_by_mf_id`).
    pub fn header(self, version: Version) -> Option<OxmId> {
        let headers = self.def().headers;
        let preferred = headers.iter().rev().find(|h| h.since.is_none_or(|since| version >= since));
        preferred.or(headers.first()).map(|h| h.id)
    }

    /// The Nicira form of the header, used where a version is not known (the zone of `ct`).
    pub fn nxm_header(self) -> Option<OxmId> {
        self.def().headers.first().map(|h| h.id)
    }

    /// The field a header names, if this crate knows it.
    pub fn from_header(id: OxmId) -> Option<Field> {
        static BY_HEADER: LazyLock<HashMap<OxmId, Field>> = LazyLock::new(|| {
            Field::all().flat_map(|field| field.def().headers.iter().map(move |h| (h.id, field))).collect()
        });
        BY_HEADER.get(&id).copied()
    }

    /// The field of this name: any of the short, match or long names of ovs-fields(7). The names that depend on
    /// the rest of the match (`tp_src`, `icmp_type` under IPv6) are resolved by the parser of matches.
    pub fn from_name(name: &str) -> Option<Field> {
        static BY_NAME: LazyLock<HashMap<&'static str, Field>> = LazyLock::new(names);
        BY_NAME.get(name).copied()
    }
}

fn names() -> HashMap<&'static str, Field> {
    let mut names = HashMap::from([
        ("tunnel_id", Field::TunId),
        ("nw_src", Field::Ipv4Src),
        ("nw_dst", Field::Ipv4Dst),
        ("ip_proto", Field::IpProto),
        ("ip_ecn", Field::IpEcn),
        ("dl_vlan_pcp", Field::VlanPcp),
        ("icmpv4_type", Field::Icmpv4Type),
        ("icmpv4_code", Field::Icmpv4Code),
    ]);
    for field in Field::all() {
        let def = field.def();
        let short = [def.name, def.match_name];
        for name in short.into_iter().chain(def.headers.iter().map(|h| h.name)) {
            names.entry(name).or_insert(field);
        }
    }
    // These two name TCP, UDP or SCTP ports according to the match: not a field of their own.
    names.remove("tp_src");
    names.remove("tp_dst");
    names
}

#[cfg(test)]
mod tests;
