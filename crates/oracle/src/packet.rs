//! A packet with its metadata, as one number a field.
//!
//! [`slot`] is the list of fields the oracle understands. A field that is not in it cannot be matched, read or written:
//! whoever reads flows must refuse them, because a match on a field that is ignored is a wider match.

use openflow::{Field, FieldValue, SubField};

/// How many fields there are.
pub(crate) const SLOTS: usize = 16 + 50;

/// Where the value of a field stands; `None` for a field the oracle does not understand.
///
/// Wide registers are made of plain ones and have no place of their own.
pub(crate) const fn slot(field: Field) -> Option<usize> {
    let after_registers = match field {
        Field::Reg(n) if n < 16 => return Some(n as usize),
        Field::Metadata => 0,
        Field::InPort => 1,
        Field::EthSrc => 2,
        Field::EthDst => 3,
        Field::EthType => 4,
        Field::VlanVid => 5,
        Field::VlanPcp => 6,
        Field::Ipv4Src => 7,
        Field::Ipv4Dst => 8,
        Field::Ipv6Src => 9,
        Field::Ipv6Dst => 10,
        Field::IpFrag => 11,
        Field::IpDscp => 12,
        Field::IpEcn => 13,
        Field::NwTtl => 14,
        Field::Ipv6Label => 15,
        Field::IpProto => 16,
        Field::TcpSrc => 17,
        Field::TcpDst => 18,
        Field::TcpFlags => 19,
        Field::UdpSrc => 20,
        Field::UdpDst => 21,
        Field::SctpSrc => 22,
        Field::SctpDst => 23,
        Field::Icmpv4Type => 24,
        Field::Icmpv4Code => 25,
        Field::Icmpv6Type => 26,
        Field::Icmpv6Code => 27,
        Field::NdTarget => 28,
        Field::NdReserved => 29,
        Field::NdOptionsType => 30,
        Field::NdSll => 31,
        Field::NdTll => 32,
        Field::ArpOp => 33,
        Field::ArpSpa => 34,
        Field::ArpTpa => 35,
        Field::ArpSha => 36,
        Field::ArpTha => 37,
        Field::TunId => 38,
        Field::TunSrc => 39,
        Field::TunDst => 40,
        Field::TunIpv6Src => 41,
        Field::TunIpv6Dst => 42,
        Field::TunFlags => 43,
        Field::CtState => 44,
        Field::CtZone => 45,
        Field::CtMark => 46,
        Field::CtLabel => 47,
        Field::PktMark => 48,
        Field::ConjId => 49,
        _ => return None,
    };
    Some(16 + after_registers)
}

/// Whether a field is part of the frame, as opposed to what the switch keeps beside it.
pub(crate) const fn is_header(slot: usize) -> bool {
    matches!(slot, 18..=53)
}

/// Whether values of this field can be read and written.
pub(crate) const fn is_known(field: Field) -> bool {
    match field {
        Field::XReg(n) => n < 8,
        Field::XxReg(n) => n < 4,
        Field::NwTos => true,
        field => slot(field).is_some(),
    }
}

/// A packet: its headers, where it came from, and what the switch keeps beside it. Absent fields are zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    values: [u128; SLOTS],
}

impl Default for Packet {
    fn default() -> Self {
        Self { values: [0; SLOTS] }
    }
}

impl Packet {
    /// The same packet with this field. A field the oracle does not understand stays out: no flow can match it.
    #[must_use]
    pub fn with(mut self, field: Field, value: impl Into<FieldValue>) -> Self {
        self.set(field, value.into().0);
        self
    }

    /// A field's value.
    pub fn get(&self, field: Field) -> u128 {
        match field {
            Field::XReg(n) => self.registers(n, 2),
            Field::XxReg(n) => self.registers(n, 4),
            Field::NwTos => self.get(Field::IpDscp) << 2,
            field => slot(field).map_or(0, |slot| self.values[slot]),
        }
    }

    /// Writes a field.
    pub fn set(&mut self, field: Field, value: u128) {
        match field {
            Field::XReg(n) => self.set_registers(n, 2, value),
            Field::XxReg(n) => self.set_registers(n, 4, value),
            Field::NwTos => self.set(Field::IpDscp, value >> 2),
            field => {
                if let Some(slot) = slot(field) {
                    self.values[slot] = value;
                }
            }
        }
    }

    /// Some bits of a field.
    pub fn bits(&self, bits: SubField) -> u128 {
        (self.get(bits.field()) & bits.mask()) >> bits.offset()
    }

    /// Writes some bits of a field.
    pub fn set_bits(&mut self, bits: SubField, value: u128) {
        let rest = self.get(bits.field()) & !bits.mask();
        self.set(bits.field(), rest | (value << bits.offset()) & bits.mask());
    }

    pub(crate) fn at(&self, slot: usize) -> u128 {
        self.values[slot]
    }

    /// The frame alone: what travels through a tunnel, without what this switch kept beside it.
    #[must_use]
    pub fn frame(&self) -> Self {
        let mut frame = Self::default();
        for slot in (0..SLOTS).filter(|slot| is_header(*slot)) {
            frame.values[slot] = self.values[slot];
        }
        frame
    }

    fn registers(&self, n: u8, count: u8) -> u128 {
        (0..count).fold(0, |value, i| value << 32 | self.get(Field::Reg(n * count + i)))
    }

    fn set_registers(&mut self, n: u8, count: u8, value: u128) {
        for i in 0..count {
            let shift = 32 * u32::from(count - 1 - i);
            self.set(Field::Reg(n * count + i), value >> shift & 0xffff_ffff);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_place_of_its_own() {
        let mut taken = std::collections::BTreeMap::new();
        for field in Field::all() {
            if let Some(slot) = slot(field) {
                assert!(slot < SLOTS, "{field:?}");
                assert_eq!(taken.insert(slot, field), None, "{field:?}");
            }
        }
        assert_eq!(taken.len(), SLOTS);
    }

    #[test]
    fn the_frame_is_what_a_wire_carries() {
        let headers: Vec<_> = Field::all().filter(|f| slot(*f).is_some_and(is_header)).collect();
        assert_eq!((headers.first(), headers.last()), (Some(&Field::EthSrc), Some(&Field::ArpTha)));
        let packet =
            Packet::default().with(Field::EthDst, 5u8).with(Field::Reg(3), 7u8).with(Field::TunId, 9u8);
        assert_eq!(packet.frame(), Packet::default().with(Field::EthDst, 5u8));
    }

    #[test]
    fn wide_registers_are_made_of_plain_ones() {
        let mut packet = Packet::default();
        packet.set(Field::XxReg(3), 1 << 96 | 4);
        assert_eq!((packet.get(Field::Reg(12)), packet.get(Field::Reg(15))), (1, 4));
        packet.set_bits(SubField::new(Field::Reg(15), 8, 8), 0xab);
        assert_eq!(packet.get(Field::XReg(7)), 0xab04);
    }
}
