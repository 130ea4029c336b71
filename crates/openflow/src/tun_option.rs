//! The value of a tunnel option (`tun_metadata0` .. `tun_metadata63`, ovs-fields(7) "Tunnel Metadata").
//!
//! Options are 0 to 124 bytes long, wider than every other field, and how long is the switch's to say (its TLV table).
//! So they are kept as bytes, as they came.
//!
//! # Invariants
//! Value and mask are equally long; no bit of the value lies outside the mask. A mask of ones is not the same as none:
//! that is the whole option, which may be longer.

use std::fmt;

/// Bytes of a tunnel option at most: `TUN_METADATA_NUM_OPTS` fields share 252, one has no more than this.
const MAX_LEN: usize = 124;

/// What is matched of, or written to, a tunnel option.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunOption {
    value: Box<[u8]>,
    mask: Option<Box<[u8]>>,
}

impl TunOption {
    /// The option with exactly this value; `None` above 124 bytes.
    pub fn exact(value: &[u8]) -> Option<TunOption> {
        (value.len() <= MAX_LEN).then(|| TunOption { value: value.into(), mask: None })
    }

    /// The bits of the option that `mask` names; `None` when the lengths differ or are above 124 bytes. With no bytes
    /// at all: that the option is there.
    pub fn masked(value: &[u8], mask: &[u8]) -> Option<TunOption> {
        if value.len() != mask.len() || value.len() > MAX_LEN {
            return None;
        }
        let value = value.iter().zip(mask).map(|(value, mask)| value & mask).collect();
        Some(TunOption { value, mask: Some(mask.into()) })
    }

    /// That the option is there, whatever its value.
    pub fn present() -> TunOption {
        TunOption { value: Box::default(), mask: Some(Box::default()) }
    }

    /// A number, in as many bytes as it (or its mask) needs, as ovs-ofctl(8) reads it.
    pub fn from_number(value: u128, mask: Option<u128>) -> TunOption {
        let (value, mask) = (value.to_be_bytes(), mask.map(u128::to_be_bytes));
        let zeros = |bytes: [u8; 16]| bytes.iter().take_while(|byte| **byte == 0).count();
        let from = zeros(mask.unwrap_or(value));
        let option = match mask {
            None => TunOption::exact(&value[from..]),
            Some(mask) => TunOption::masked(&value[from..], &mask[from..]),
        };
        option.unwrap_or_else(TunOption::present)
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The mask; `None`: every bit counts.
    pub fn mask(&self) -> Option<&[u8]> {
        self.mask.as_deref()
    }

    /// Whether it says no more than that the option is there.
    pub fn is_presence(&self) -> bool {
        self.value.is_empty() && self.mask.is_some()
    }
}

/// `0x1234` or `0x1234/0xffff`, without leading zeros.
impl fmt::Display for TunOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.value)?;
        match &self.mask {
            None => Ok(()),
            Some(mask) => {
                f.write_str("/")?;
                write_hex(f, mask)
            }
        }
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let mut significant = bytes.iter().skip_while(|byte| **byte == 0);
    let Some(first) = significant.next() else { return f.write_str("0") };
    write!(f, "{first:#x}")?;
    significant.try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl std::str::FromStr for TunOption {
    type Err = crate::ParseError;

    fn from_str(text: &str) -> Result<TunOption, crate::ParseError> {
        let bad = |reason: &str| crate::ParseError::new("tunnel option", text, reason);
        let bytes = |t: &str| parse_bytes(t).ok_or_else(|| bad("not a number of up to 124 bytes"));
        let Some((value, mask)) = text.split_once('/') else {
            return TunOption::exact(&bytes(text)?).ok_or_else(|| bad("too long"));
        };
        let (mut value, mask) = (bytes(value)?, bytes(mask)?);
        // As long as the mask: what lies outside it does not count.
        value.drain(..value.len().saturating_sub(mask.len()));
        value.splice(..0, std::iter::repeat_n(0, mask.len() - value.len()));
        TunOption::masked(&value, &mask).ok_or_else(|| bad("too long"))
    }
}

/// A decimal or hexadecimal number in as many bytes as it needs.
fn parse_bytes(text: &str) -> Option<Vec<u8>> {
    let Some(digits) = text.strip_prefix("0x").filter(|digits| !digits.is_empty()) else {
        let number = crate::text::parse_number(text)?.to_be_bytes();
        return Some(number.into_iter().skip_while(|byte| *byte == 0).collect());
    };
    let digits = digits.trim_start_matches('0');
    if digits.len() > 2 * MAX_LEN {
        return None;
    }
    let even = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
    crate::text::parse_hex(&even)
}
