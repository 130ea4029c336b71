//! Printing of flows and matches in the order of `ovs-ofctl dump-flows` (OVS `match_format`).

use std::fmt::{self, Display, Formatter, Write as _};

use super::value::{write_hex, write_value};
use crate::field::Format;
use crate::flow_match::Masked;
use crate::{Field, Flow, FlowFlags, Match};

/// Fields before the protocol's name.
const BEFORE_PROTOCOL: &[Field] = &[
    Field::PktMark,
    Field::RecircId,
    Field::DpHash,
    Field::ConjId,
    Field::ActsetOutput,
    Field::CtState,
    Field::CtZone,
    Field::CtMark,
    Field::CtLabel,
    Field::CtNwSrc,
    Field::CtIpv6Src,
    Field::CtNwDst,
    Field::CtIpv6Dst,
    Field::CtNwProto,
    Field::CtTpSrc,
    Field::CtTpDst,
    Field::PacketType,
];
/// Fields after the registers.
const AFTER_REGISTERS: &[Field] = &[
    Field::TunId,
    Field::TunSrc,
    Field::TunDst,
    Field::TunIpv6Src,
    Field::TunIpv6Dst,
    Field::TunGbpId,
    Field::TunGbpFlags,
    Field::TunErspanVer,
    Field::TunErspanIdx,
    Field::TunErspanDir,
    Field::TunErspanHwid,
    Field::TunGtpuFlags,
    Field::TunGtpuMsgtype,
    Field::TunFlags,
];
/// Fields after the tunnel's.
const AFTER_TUNNEL: &[Field] = &[Field::Metadata, Field::InPort];
/// Fields after the VLAN's.
const AFTER_VLAN: &[Field] = &[
    Field::VlanTci,
    Field::EthSrc,
    Field::EthDst,
    Field::EthType,
    Field::Ipv6Src,
    Field::Ipv6Dst,
    Field::Ipv6Label,
    Field::ArpSpa,
    Field::ArpTpa,
    Field::Ipv4Src,
    Field::Ipv4Dst,
    Field::IpProto,
    Field::ArpOp,
    Field::ArpSha,
    Field::ArpTha,
    Field::NwTos,
    Field::IpDscp,
    Field::IpEcn,
    Field::NwTtl,
    Field::NshFlags,
    Field::NshTtl,
    Field::NshMdtype,
    Field::NshNp,
    Field::NshSpi,
    Field::NshSi,
    Field::NshC1,
    Field::NshC2,
    Field::NshC3,
    Field::NshC4,
    Field::MplsLabel,
    Field::MplsTc,
    Field::MplsTtl,
    Field::MplsBos,
    Field::IpFrag,
    Field::Icmpv4Type,
    Field::Icmpv4Code,
    Field::Icmpv6Type,
    Field::Icmpv6Code,
    Field::NdTarget,
    Field::NdSll,
    Field::NdTll,
    Field::NdReserved,
    Field::NdOptionsType,
    Field::TcpSrc,
    Field::TcpDst,
    Field::UdpSrc,
    Field::UdpDst,
    Field::SctpSrc,
    Field::SctpDst,
    Field::TcpFlags,
    Field::NxmInPort,
];

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut list = List { f, first: true };
        let (protocol, implied) = protocol(self);
        let registers =
            (0..16).map(Field::Reg).chain((0..8).map(Field::XReg)).chain((0..4).map(Field::XxReg));
        for field in BEFORE_PROTOCOL {
            list.field(self, *field)?;
        }
        if let Some(protocol) = protocol {
            list.item(protocol)?;
        }
        for field in registers.chain(AFTER_REGISTERS.iter().copied()) {
            list.field(self, field)?;
        }
        for (n, option) in self.tun_options() {
            list.item(format_args!("tun_metadata{n}"))?;
            if !option.is_presence() {
                write!(list.f, "={option}")?;
            }
        }
        for field in AFTER_TUNNEL {
            list.field(self, *field)?;
        }
        list.vlan(self.get(Field::VlanVid), self.get(Field::VlanPcp))?;
        for field in AFTER_VLAN.iter().filter(|field| !implied.contains(field)) {
            list.field(self, *field)?;
        }
        for tlv in self.unknown() {
            list.item(format_args!("unknown_oxm={}", Hex(tlv)))?;
        }
        Ok(())
    }
}

/// Bytes in hexadecimal.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The protocol word that stands for these fields, and the fields it stands for.
fn protocol(matches: &Match) -> (Option<&'static str>, &'static [Field]) {
    const BOTH: &[Field] = &[Field::EthType, Field::IpProto];
    const ETH: &[Field] = &[Field::EthType];
    let Some(eth_type) = matches.exact(Field::EthType) else { return (None, &[]) };
    match (eth_type, matches.exact(Field::IpProto)) {
        (0x0800, Some(1)) => (Some("icmp"), BOTH),
        (0x0800, Some(6)) => (Some("tcp"), BOTH),
        (0x0800, Some(17)) => (Some("udp"), BOTH),
        (0x0800, Some(132)) => (Some("sctp"), BOTH),
        (0x86dd, Some(58)) => (Some("icmp6"), BOTH),
        (0x86dd, Some(6)) => (Some("tcp6"), BOTH),
        (0x86dd, Some(17)) => (Some("udp6"), BOTH),
        (0x86dd, Some(132)) => (Some("sctp6"), BOTH),
        (0x0800, _) => (Some("ip"), ETH),
        (0x86dd, _) => (Some("ipv6"), ETH),
        (0x0806, _) => (Some("arp"), ETH),
        (0x8035, _) => (Some("rarp"), ETH),
        (0x8847, _) => (Some("mpls"), ETH),
        (0x8848, _) => (Some("mplsm"), ETH),
        _ => (None, &[]),
    }
}

/// A comma separated list.
struct List<'a, 'b> {
    f: &'a mut Formatter<'b>,
    first: bool,
}

impl List<'_, '_> {
    fn item(&mut self, item: impl Display) -> fmt::Result {
        if !self.first {
            self.f.write_char(',')?;
        }
        self.first = false;
        write!(self.f, "{item}")
    }

    fn field(&mut self, matches: &Match, field: Field) -> fmt::Result {
        match matches.get(field) {
            Some(masked) => self.item(MatchedField(field, masked)),
            None => Ok(()),
        }
    }
}

impl List<'_, '_> {
    /// A tag's number and priority where one of them is matched whole, the TCI otherwise.
    fn vlan(&mut self, vid: Option<Masked>, pcp: Option<Masked>) -> fmt::Result {
        if vid.is_none() && pcp.is_none() {
            return Ok(());
        }
        let part =
            |part: Option<Masked>, shift: u32| part.map_or((0, 0), |m| (m.value << shift, m.mask << shift));
        let ((vid, vid_mask), (pcp, pcp_mask)) = (part(vid, 0), part(pcp, 13));
        let (tci, mask) = (vid | pcp, vid_mask | pcp_mask);
        let whole_or_none = |mask: u128, all: u128| mask & all == 0 || mask & all == all;
        let tagged = tci & mask & 0x1000 != 0;
        if tagged && mask & 0xefff != 0 && whole_or_none(mask, 0xfff) && whole_or_none(mask, 0xe000) {
            if mask & 0xfff != 0 {
                self.item(format_args!("dl_vlan={}", tci & 0xfff))?;
            }
            if mask & 0xe000 != 0 {
                self.item(format_args!("dl_vlan_pcp={}", tci >> 13))?;
            }
            return Ok(());
        }
        if mask == 0xffff {
            return self.item(format_args!("vlan_tci=0x{tci:04x}"));
        }
        self.item(format_args!("vlan_tci=0x{tci:04x}/0x{mask:04x}"))
    }
}

struct MatchedField(Field, Masked);

impl Display for MatchedField {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let MatchedField(field, Masked { value, mask }) = *self;
        match field {
            Field::EthType => write!(f, "dl_type=0x{value:04x}"),
            Field::RecircId => {
                f.write_str("recirc_id=")?;
                write_hex(f, value)
            }
            Field::NshSpi => write!(f, "nsh_spi={value:#x}"),
            Field::NshFlags if mask != 0xff => write!(f, "nsh_flags=0x{value:02x}/0x{mask:02x}"),
            Field::Ipv6Label if mask != field.full_mask() => {
                write!(f, "ipv6_label=0x{value:05x}/0x{mask:05x}")
            }
            // In a match a mask makes numbers hexadecimal, in actions not.
            _ if field.def().format == Format::Decimal && mask != field.full_mask() => {
                write!(f, "{}={value:#x}/{mask:#x}", field.def().match_name)
            }
            Field::CtZone => write!(f, "ct_zone={value}"),
            Field::Ipv6Label if mask == field.full_mask() => write!(f, "ipv6_label=0x{value:05x}"),
            // The ToS byte, as everywhere in ovs-ofctl: DSCP is its upper six bits.
            Field::IpDscp => write!(f, "nw_tos={}", value << 2),
            _ => {
                write!(f, "{}=", field.def().match_name)?;
                write_value(f, field, value, mask)
            }
        }
    }
}

impl Display for Flow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "table={},priority={}", self.table, self.priority)?;
        if self.cookie != 0 {
            write!(f, ",cookie={:#x}", self.cookie)?;
        }
        for (name, n) in [
            ("idle_timeout", self.idle_timeout),
            ("hard_timeout", self.hard_timeout),
            ("importance", self.importance),
        ] {
            if n != 0 {
                write!(f, ",{name}={n}")?;
            }
        }
        for (name, flag) in FlowFlags::NAMES {
            if self.flags.contains(flag) {
                write!(f, ",{name}")?;
            }
        }
        if !self.matches.is_any() {
            write!(f, ",{}", self.matches)?;
        }
        write!(f, " actions={}", super::print_action::Actions(&self.actions))
    }
}
