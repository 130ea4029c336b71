//! The value of a `set_field`, small for the fields that flows write most.
//!
//! # Invariants
//! Fields of up to 64 bits are always held inline, wider ones always apart: equal settings are equal values.

use crate::Field;

/// The bits of a field that an action writes.
///
/// A value too wide for its field is kept as a mark that no encoder takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetField(Bits);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Bits {
    Narrow { field: Field, value: u64, mask: u64 },
    Wide(Box<(Field, u128, u128)>),
}

impl SetField {
    /// Writes the bits of `field` that `mask` names.
    pub fn new(field: Field, value: u128, mask: u128) -> SetField {
        if field.n_bits() > 64 {
            return SetField(Bits::Wide(Box::new((field, value, mask))));
        }
        let narrow = u64::try_from(value).ok().zip(u64::try_from(mask).ok());
        let (value, mask) = narrow.unwrap_or((u64::MAX, 0));
        SetField(Bits::Narrow { field, value, mask })
    }

    /// The field.
    pub fn field(&self) -> Field {
        match &self.0 {
            Bits::Narrow { field, .. } => *field,
            Bits::Wide(wide) => wide.0,
        }
    }

    /// The bits written.
    pub fn value(&self) -> u128 {
        match &self.0 {
            Bits::Narrow { value, .. } => u128::from(*value),
            Bits::Wide(wide) => wide.1,
        }
    }

    /// Which bits are written.
    pub fn mask(&self) -> u128 {
        match &self.0 {
            Bits::Narrow { mask, .. } => u128::from(*mask),
            Bits::Wide(wide) => wide.2,
        }
    }
}
