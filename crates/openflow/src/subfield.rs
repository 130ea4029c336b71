//! A run of bits of a field, as actions read and write it: `NXM_NX_REG0[0..3]`.

use std::fmt;
use std::str::FromStr;

use crate::{Field, ParseError};

/// `n_bits` bits of `field` starting at bit `offset` (bit 0 is the least significant).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubField {
    field: Field,
    offset: u16,
    n_bits: u16,
}

impl SubField {
    /// A subfield known when the program is written. Use [`SubField::try_new`] for what comes from outside.
    ///
    /// # Panics
    /// If the bits do not lie within the field; in a `const` this is a compile error.
    pub const fn new(field: Field, offset: u16, n_bits: u16) -> SubField {
        assert!(n_bits > 0 && offset < 128 && n_bits <= 128 && offset + n_bits <= field.subfield_bits());
        SubField { field, offset, n_bits }
    }

    /// The whole field.
    pub const fn whole(field: Field) -> SubField {
        SubField { field, offset: 0, n_bits: field.subfield_bits() }
    }

    /// A subfield, or `None` if the bits do not lie within the field.
    pub fn try_new(field: Field, offset: u16, n_bits: u16) -> Option<SubField> {
        let end = offset.checked_add(n_bits)?;
        (n_bits > 0 && end <= field.subfield_bits()).then_some(SubField { field, offset, n_bits })
    }

    /// The field.
    pub const fn field(self) -> Field {
        self.field
    }

    /// The lowest bit.
    pub const fn offset(self) -> u16 {
        self.offset
    }

    /// The number of bits.
    pub const fn n_bits(self) -> u16 {
        self.n_bits
    }

    /// The bits as a mask over the field; without those of a tunnel option above bit 127.
    pub const fn mask(self) -> u128 {
        if self.offset >= 128 { 0 } else { self.max_value() << self.offset }
    }

    /// The largest value the bits hold (all ones, if that is more than 128 bits).
    pub const fn max_value(self) -> u128 {
        if self.n_bits >= 128 { u128::MAX } else { u128::MAX >> (128 - self.n_bits) }
    }
}

impl From<Field> for SubField {
    fn from(field: Field) -> SubField {
        SubField::whole(field)
    }
}

impl fmt::Display for SubField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field.long_name())?;
        match (self.offset, self.n_bits) {
            (0, n) if n == self.field.subfield_bits() => f.write_str("[]"),
            (offset, 1) => write!(f, "[{offset}]"),
            (offset, n) => write!(f, "[{offset}..{}]", offset + n - 1),
        }
    }
}

impl FromStr for SubField {
    type Err = ParseError;

    /// `NAME`, `NAME[]`, `NAME[bit]` or `NAME[first..last]`; any name of the registry.
    fn from_str(s: &str) -> Result<SubField, ParseError> {
        let bad = |reason: &str| ParseError::new("subfield", s, reason);
        let (name, bits) = match s.split_once('[') {
            None => (s, ""),
            Some((name, rest)) => (name, rest.strip_suffix(']').ok_or_else(|| bad("missing ]"))?),
        };
        let field = Field::from_name(name).ok_or_else(|| bad("unknown field"))?;
        if bits.is_empty() {
            return Ok(SubField::whole(field));
        }
        let (first, last) = bits.split_once("..").unwrap_or((bits, bits));
        let number = |t: &str| t.parse::<u16>().map_err(|_| bad("bit numbers are decimal"));
        let (first, last) = (number(first)?, number(last)?);
        let n_bits =
            last.checked_sub(first).and_then(|n| n.checked_add(1)).ok_or_else(|| bad("bits reversed"))?;
        SubField::try_new(field, first, n_bits).ok_or_else(|| bad("bits outside the field"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_ovs_ofctl_does() {
        assert_eq!(SubField::new(Field::Reg(0), 0, 4).to_string(), "NXM_NX_REG0[0..3]");
        assert_eq!(SubField::new(Field::Metadata, 15, 1).to_string(), "OXM_OF_METADATA[15]");
        assert_eq!(SubField::whole(Field::EthSrc).to_string(), "NXM_OF_ETH_SRC[]");
    }

    #[test]
    fn rejects_bits_outside_the_field() {
        assert!("NXM_NX_REG0[30..32]".parse::<SubField>().is_err());
        assert!("reg0[3..1]".parse::<SubField>().is_err());
        assert!("NXM_NX_REG16[]".parse::<SubField>().is_err());
        assert_eq!(SubField::try_new(Field::Reg(0), u16::MAX, 2), None);
    }

    #[test]
    fn mask_covers_exactly_its_bits() {
        assert_eq!(SubField::new(Field::CtLabel, 96, 32).mask(), 0xffff_ffff << 96);
        assert_eq!(SubField::whole(Field::CtLabel).mask(), u128::MAX);
    }
}
