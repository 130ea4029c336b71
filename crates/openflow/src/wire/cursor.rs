//! Reading and writing big-endian structures with checked lengths.

use crate::{Field, MatchError, Version};

/// Bytes that are no OpenFlow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum DecodeError {
    #[error("{what} ends early: {need} bytes needed, {have} left")]
    Truncated { what: &'static str, need: usize, have: usize },
    #[error("{what} has the impossible length {length}")]
    Length { what: &'static str, length: usize },
    #[error("{what} has the unknown value {value}")]
    Value { what: &'static str, value: u64 },
    #[error("match or action on {} has a value beyond its width", .field.name())]
    FieldValue { field: Field },
    #[error("match names a field twice")]
    DuplicateField,
    #[error("version {0:#04x} is not spoken here")]
    Version(u8),
    #[error("actions are nested too deep")]
    Nesting,
    #[error("reply of more than {limit} bytes")]
    TooLarge { limit: usize },
}

/// A value that has no wire form, or that a switch would refuse or cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum EncodeError {
    #[error(transparent)]
    Match(#[from] MatchError),
    #[error("{} has no header in {version}", .field.name())]
    NoHeader { field: Field, version: Version },
    #[error("{} cannot be written", .field.name())]
    ReadOnly { field: Field },
    #[error("value for {} does not fit its bits", .field.name())]
    FieldValue { field: Field },
    #[error("{what} has no form in {version}")]
    Unsupported { what: &'static str, version: Version },
    #[error("{what}: {reason}")]
    Invalid { what: &'static str, reason: &'static str },
    #[error("{what} of {length} bytes is too long for its length field")]
    TooLong { what: &'static str, length: usize },
}

/// Reads from a slice; never past its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`, called `what` in errors.
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Reader<'a> {
        Reader { bytes, what }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.bytes.split_at_checked(n).ok_or(DecodeError::Truncated {
            what: self.what,
            need: n,
            have: self.bytes.len(),
        })?;
        self.bytes = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// `n` bytes as a big-endian number.
    pub(crate) fn uint(&mut self, n: usize) -> Result<u128, DecodeError> {
        Ok(self.bytes(n)?.iter().fold(0, |value, byte| value << 8 | u128::from(*byte)))
    }

    pub(crate) fn skip(&mut self, n: usize) -> Result<(), DecodeError> {
        self.bytes(n).map(|_| ())
    }

    /// A reader over the next `n` bytes.
    pub(crate) fn sub(&mut self, n: usize, what: &'static str) -> Result<Reader<'a>, DecodeError> {
        Ok(Reader::new(self.bytes(n)?, what))
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// All that is left, without taking it.
    pub(crate) fn peek(&self) -> &'a [u8] {
        self.bytes
    }

    /// A 16-bit number at `offset` ahead, without taking it.
    pub(crate) fn peek_u16(&self, offset: usize) -> Result<u16, DecodeError> {
        let mut ahead = *self;
        ahead.skip(offset)?;
        ahead.u16()
    }

    /// The next structure whose 16-bit total length stands at `offset`: a reader over all of it.
    pub(crate) fn structure(
        &mut self,
        offset: usize,
        least: usize,
        what: &'static str,
    ) -> Result<Reader<'a>, DecodeError> {
        let length = usize::from(self.peek_u16(offset)?);
        if length < least || length > self.len() {
            return Err(DecodeError::Length { what, length });
        }
        self.sub(length, what)
    }

    /// The next `{type, length, value}` property, padded to 8 bytes: its type and value.
    pub(crate) fn property(&mut self) -> Result<(u16, &'a [u8]), DecodeError> {
        let kind = self.peek_u16(0)?;
        let length = usize::from(self.peek_u16(2)?);
        if length < 4 || length > self.len() {
            return Err(DecodeError::Length { what: "property", length });
        }
        let value = &self.bytes(length)?[4..];
        // The last one may come without its padding.
        self.skip(pad8(length).min(self.len()))?;
        Ok((kind, value))
    }
}

/// How many bytes bring `length` to a multiple of 8.
pub(crate) fn pad8(length: usize) -> usize {
    length.wrapping_neg() & 7
}

/// Appends to a buffer; lengths are written back when a structure is complete.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    pub(crate) version: Version,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, version: Version) -> Writer<'a> {
        Writer { out, version }
    }

    pub(crate) fn pos(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn u8(&mut self, n: u8) {
        self.out.push(n);
    }

    pub(crate) fn u16(&mut self, n: u16) {
        self.out.extend_from_slice(&n.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, n: u32) {
        self.out.extend_from_slice(&n.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, n: u64) {
        self.out.extend_from_slice(&n.to_be_bytes());
    }

    /// The low `n` bytes of a number.
    pub(crate) fn uint(&mut self, value: u128, n: usize) {
        self.out.extend_from_slice(&value.to_be_bytes()[16 - n..]);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn zeros(&mut self, n: usize) {
        self.out.resize(self.out.len() + n, 0);
    }

    /// Fills up with zeros so that the distance from `start` is a multiple of 8.
    pub(crate) fn pad_from(&mut self, start: usize) {
        self.zeros(pad8(self.pos() - start));
    }

    /// Writes the distance from `start` as the 16-bit number at `at`.
    pub(crate) fn patch_len(
        &mut self,
        at: usize,
        start: usize,
        what: &'static str,
    ) -> Result<(), EncodeError> {
        let length = self.pos() - start;
        let short = u16::try_from(length).map_err(|_| EncodeError::TooLong { what, length })?;
        self.out[at..at + 2].copy_from_slice(&short.to_be_bytes());
        Ok(())
    }

    /// A `{type, length, value}` property padded to 8 bytes; the length counts no padding.
    pub(crate) fn property(&mut self, kind: u16, value: &[u8]) -> Result<(), EncodeError> {
        let start = self.pos();
        self.u16(kind);
        self.u16(0);
        self.bytes(value);
        self.patch_len(start + 2, start, "property")?;
        self.pad_from(start);
        Ok(())
    }
}
