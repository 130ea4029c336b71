//! What a flow matches.
//!
//! A [`Match`] is a canonical map *field -> (value, mask)*: two matches are equal if and only if the switch holds
//! them to be the same flow key. What Open vSwitch folds, this type folds when the field is inserted: extended
//! registers become plain ones, the VLAN TCI becomes vid and pcp, the ToS byte becomes DSCP, a mask of zeros is no
//! match at all. TLVs this crate does not know are kept as they came.
//!
//! # Invariants
//! A mask is never zero. A value has no bit outside its mask, *except* where a value was given too wide for its field:
//! a mark that no field can have stands for it, so that [`Match::check`] (and every encoder) refuses it. Cutting it
//! would match something else.
//!
//! # Failure
//! Building never fails; [`Match::check`] says what a switch would refuse: prerequisites, masks, widths.

mod check;
mod packed;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use types::MacAddr;

use self::packed::Packed;
use crate::field::Prerequisite;
use crate::{Field, Port, SubField, TunOption};

/// A value for a field, as the number it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldValue(pub u128);

macro_rules! from_number {
    ($($t:ty),*) => { $(impl From<$t> for FieldValue {
        fn from(n: $t) -> FieldValue { FieldValue(u128::from(n)) }
    })* };
}
from_number!(u8, u16, u32, u64, u128);

impl From<MacAddr> for FieldValue {
    fn from(mac: MacAddr) -> FieldValue {
        FieldValue(mac.octets().iter().fold(0, |n, octet| n << 8 | u128::from(*octet)))
    }
}
impl From<Ipv4Addr> for FieldValue {
    fn from(ip: Ipv4Addr) -> FieldValue {
        FieldValue(u128::from(u32::from(ip)))
    }
}
impl From<Ipv6Addr> for FieldValue {
    fn from(ip: Ipv6Addr) -> FieldValue {
        FieldValue(u128::from(ip))
    }
}
impl From<IpAddr> for FieldValue {
    fn from(ip: IpAddr) -> FieldValue {
        match ip {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => ip.into(),
        }
    }
}
impl From<Port> for FieldValue {
    fn from(port: Port) -> FieldValue {
        FieldValue(u128::from(port.0))
    }
}

/// A value and the bits of it that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Masked {
    /// The value; no bit outside `mask`.
    pub value: u128,
    /// The bits that count; never zero.
    pub mask: u128,
}

/// Why a switch would refuse a match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum MatchError {
    #[error("match on {} needs {prerequisite:?}", .field.name())]
    Prerequisite { field: Field, prerequisite: Prerequisite },
    #[error("match on {} has bits beyond its {} bits", .field.name(), .field.n_bits())]
    TooWide { field: Field },
    #[error("match on {} may not be masked", .field.name())]
    NotMaskable { field: Field },
}

/// What a flow matches: every field present must match. The empty match matches every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    fields: Packed,
    /// Few flows have any.
    extra: Option<Box<Extra>>,
}

/// What of a match is not a plain field.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Extra {
    tun_metadata: BTreeMap<u8, TunOption>,
    unknown: BTreeSet<Box<[u8]>>,
}

const ETH_TYPE_IP: u16 = 0x0800;
const ETH_TYPE_ARP: u16 = 0x0806;
const ETH_TYPE_RARP: u16 = 0x8035;
const ETH_TYPE_IPV6: u16 = 0x86dd;
const PROTO_ICMP: u8 = 1;
const PROTO_TCP: u8 = 6;
const PROTO_UDP: u8 = 17;
const PROTO_ICMPV6: u8 = 58;
const PROTO_SCTP: u8 = 132;

macro_rules! shorthand {
    ($($name:ident $doc:literal $eth:ident $($proto:ident)?;)*) => {
        $(#[doc = concat!("All ", $doc, " packets.")]
        pub fn $name() -> Match {
            Match::any().with(Field::EthType, $eth)$(.with(Field::IpProto, $proto))?
        })*
    };
}

impl Match {
    /// Matches every packet.
    pub fn any() -> Match {
        Match::default()
    }

    shorthand! {
        ip "IPv4" ETH_TYPE_IP;
        ipv6 "IPv6" ETH_TYPE_IPV6;
        arp "ARP" ETH_TYPE_ARP;
        tcp "TCP over IPv4" ETH_TYPE_IP PROTO_TCP;
        udp "UDP over IPv4" ETH_TYPE_IP PROTO_UDP;
        sctp "SCTP over IPv4" ETH_TYPE_IP PROTO_SCTP;
        icmp "ICMP" ETH_TYPE_IP PROTO_ICMP;
        tcp6 "TCP over IPv6" ETH_TYPE_IPV6 PROTO_TCP;
        udp6 "UDP over IPv6" ETH_TYPE_IPV6 PROTO_UDP;
        sctp6 "SCTP over IPv6" ETH_TYPE_IPV6 PROTO_SCTP;
        icmp6 "ICMPv6" ETH_TYPE_IPV6 PROTO_ICMPV6;
    }

    /// Also matches `field` exactly. A field given twice keeps the later value.
    #[must_use]
    pub fn with(mut self, field: Field, value: impl Into<FieldValue>) -> Match {
        self.insert(field, value.into().0, field.full_mask());
        self
    }

    /// Also matches the bits of `field` that `mask` names. Bits of `value` outside the mask do not count.
    #[must_use]
    pub fn masked(
        mut self,
        field: Field,
        value: impl Into<FieldValue>,
        mask: impl Into<FieldValue>,
    ) -> Match {
        let mask = mask.into().0;
        self.insert(field, value.into().0 & mask, mask);
        self
    }

    /// Also matches the first `len` bits of an address. A length beyond the address is refused by [`Match::check`].
    /// So is an address of the other family.
    #[must_use]
    pub fn prefix(mut self, field: Field, address: impl Into<IpAddr>, len: u8) -> Match {
        let address = address.into();
        let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
        match bits.checked_sub(u32::from(len)) {
            Some(host_bits) if bits == u32::from(field.n_bits()) => {
                let mask = field.full_mask() & u128::MAX.checked_shl(host_bits).unwrap_or(0);
                self.masked(field, address, mask)
            }
            _ => {
                self.insert_refused(field);
                self
            }
        }
    }

    /// Marks `field` as given wrongly: `check` refuses it, where cutting it to fit would match something else.
    fn insert_refused(&mut self, field: Field) {
        self.fields.insert(field, Masked { value: u128::MAX, mask: 1 });
    }

    /// Also matches a tunnel option (`tun_metadata0` to `tun_metadata63`).
    #[must_use]
    pub fn tun_metadata(mut self, option: u8, value: TunOption) -> Match {
        self.insert_tun_metadata(option, value);
        self
    }

    /// Inserts a tunnel option. A number that does not exist is refused by [`Match::check`].
    pub fn insert_tun_metadata(&mut self, option: u8, value: TunOption) {
        if option > 63 {
            return self.insert_refused(Field::TunMetadata(option));
        }
        self.extra.get_or_insert_default().tun_metadata.insert(option, value);
    }

    /// Also matches these bits of a field, keeping what is already matched of its other bits.
    #[must_use]
    pub fn bits(mut self, bits: SubField, value: impl Into<FieldValue>) -> Match {
        let (field, value) = (bits.field(), value.into().0);
        if value > bits.max_value() {
            self.insert_refused(field);
            return self;
        }
        let old = self.get(field).unwrap_or(Masked { value: 0, mask: 0 });
        let value = old.value & !bits.mask() | value << bits.offset();
        self.insert(field, value, old.mask | bits.mask());
        self
    }

    /// Inserts a value and mask, folding the field as the switch does (see the module's text).
    pub fn insert(&mut self, field: Field, value: u128, mask: u128) {
        let full = field.full_mask();
        if value > field.max_value() || mask & !full != 0 {
            return self.insert_refused(field);
        }
        match field {
            Field::TunMetadata(n) => {
                let mask = Some(mask).filter(|mask| *mask != full);
                self.insert_tun_metadata(n, TunOption::from_number(value, mask));
            }
            Field::XReg(n) => self.insert_registers(n, 2, value, mask),
            Field::XxReg(n) => self.insert_registers(n, 4, value, mask),
            Field::NxmInPort => {
                let port = Port::from_u16(value as u16);
                self.insert_folded(Field::InPort, u128::from(port.0), Field::InPort.full_mask());
            }
            // A tunnel has flags nobody may ask for; what is left of the mask is the one that can.
            Field::TunFlags => self.insert_folded(field, value, mask & field.max_value()),
            Field::NwTos if value & 3 == 0 => {
                self.insert_folded(Field::IpDscp, value >> 2, Field::IpDscp.full_mask());
            }
            Field::VlanTci if matches!(mask >> 13, 0 | 7) => {
                self.insert_folded(Field::VlanVid, value & 0x1fff, mask & 0x1fff);
                // Without a tag there is no priority to match.
                if value & 0x1000 != 0 {
                    self.insert_folded(Field::VlanPcp, value >> 13, mask >> 13);
                }
            }
            field => self.insert_folded(field, value, mask),
        }
    }

    fn insert_registers(&mut self, n: u8, count: u8, value: u128, mask: u128) {
        for i in 0..count {
            let shift = 32 * u32::from(count - 1 - i);
            let word = |x: u128| x >> shift & 0xffff_ffff;
            let register = n.saturating_mul(count).saturating_add(i);
            // A part that is not matched leaves what was said of that register before.
            if word(mask) != 0 {
                self.insert_folded(Field::Reg(register), word(value), word(mask));
            }
        }
    }

    fn insert_folded(&mut self, field: Field, value: u128, mask: u128) {
        if mask == 0 {
            self.fields.remove(field);
        } else {
            self.fields.insert(field, Masked { value: value & mask, mask });
        }
    }

    /// Keeps a TLV this crate does not know (header and payload, as on the wire).
    pub fn insert_unknown(&mut self, tlv: Vec<u8>) {
        self.extra.get_or_insert_default().unknown.insert(tlv.into());
    }

    /// What is matched of `field`.
    pub fn get(&self, field: Field) -> Option<Masked> {
        self.fields.get(field)
    }

    /// The value of `field` if it is matched exactly.
    pub fn exact(&self, field: Field) -> Option<u128> {
        self.get(field).filter(|m| m.mask == field.full_mask()).map(|m| m.value)
    }

    /// The fields matched, in wire order.
    pub fn iter(&self) -> impl Iterator<Item = (Field, Masked)> + '_ {
        self.fields.iter()
    }

    /// The tunnel options matched, by number.
    pub fn tun_options(&self) -> impl Iterator<Item = (u8, &TunOption)> + '_ {
        self.extra.iter().flat_map(|extra| extra.tun_metadata.iter().map(|(n, option)| (*n, option)))
    }

    /// The TLVs this crate does not know.
    pub fn unknown(&self) -> impl Iterator<Item = &[u8]> + '_ {
        self.extra.iter().flat_map(|extra| extra.unknown.iter().map(Box::as_ref))
    }

    /// Whether every packet matches.
    pub fn is_any(&self) -> bool {
        self.fields.is_empty() && self.extra.is_none()
    }
}

#[cfg(test)]
mod tests;
