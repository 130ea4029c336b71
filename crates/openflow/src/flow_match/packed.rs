//! The fields of a match as one run of bytes.
//!
//! An agent holds tens of thousands of matches and compares each with what the switch reports. A tree of 32-byte values
//! costs half a kilobyte a match; these bytes are what the fields take on the wire, in one allocation, and compare like
//! any slice.
//!
//! # Invariants
//! Entries stand in field order, one a field: the field's code, its value, its mask, both as wide as on the wire.
//! So byte order is the order *field, value, mask*, and equal matches are equal bytes.

use std::fmt;

use super::Masked;
use crate::Field;

/// Fields with value and mask, in field order.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Packed(Box<[u8]>);

/// Bytes of the entry that starts with `code`.
fn entry_len(code: u8) -> usize {
    1 + 2 * usize::from(Field::from_code(code).def().n_bytes)
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |value, byte| value << 8 | u128::from(*byte))
}

impl Packed {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        Iter(&self.0)
    }

    /// Where the entry of `field` is, or would be.
    fn find(&self, field: Field) -> Result<usize, usize> {
        let wanted = field.code();
        let mut at = 0;
        while let Some(code) = self.0.get(at) {
            match code.cmp(&wanted) {
                std::cmp::Ordering::Less => at += entry_len(*code),
                std::cmp::Ordering::Equal => return Ok(at),
                std::cmp::Ordering::Greater => break,
            }
        }
        Err(at)
    }

    pub(super) fn get(&self, field: Field) -> Option<Masked> {
        let at = self.find(field).ok()?;
        Iter(&self.0[at..]).next().map(|(_, masked)| masked)
    }

    /// Sets a field to the low bytes of value and mask; what does not fit is the caller's to refuse.
    pub(super) fn insert(&mut self, field: Field, masked: Masked) {
        let code = field.code();
        let n = (entry_len(code) - 1) / 2;
        let bytes = |number: u128| number.to_be_bytes();
        let (value, mask) = (bytes(masked.value), bytes(masked.mask));
        let (at, old) = self.find(field).map_or_else(|at| (at, 0), |at| (at, 1 + 2 * n));
        let mut packed = std::mem::take(&mut self.0).into_vec();
        packed.reserve_exact(1 + 2 * n - old);
        let entry = std::iter::once(code).chain(value[16 - n..].iter().copied());
        packed.splice(at..at + old, entry.chain(mask[16 - n..].iter().copied()));
        self.0 = packed.into_boxed_slice();
    }

    pub(super) fn remove(&mut self, field: Field) {
        if let Ok(at) = self.find(field) {
            let mut packed = std::mem::take(&mut self.0).into_vec();
            packed.drain(at..at + entry_len(field.code()));
            self.0 = packed.into_boxed_slice();
        }
    }
}

/// Fields in order.
#[derive(Clone)]
pub(super) struct Iter<'a>(&'a [u8]);

impl Iterator for Iter<'_> {
    type Item = (Field, Masked);

    fn next(&mut self) -> Option<(Field, Masked)> {
        let (code, rest) = self.0.split_first()?;
        let n = (entry_len(*code) - 1) / 2;
        let (value, rest) = rest.split_at_checked(n)?;
        let (mask, rest) = rest.split_at_checked(n)?;
        self.0 = rest;
        Some((Field::from_code(*code), Masked { value: number(value), mask: number(mask) }))
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
