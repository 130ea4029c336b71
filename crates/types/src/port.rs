//! Transport ports and ranges of them.

use crate::Invalid;
use crate::num::bounded_int;

bounded_int! {
    /// A TCP, UDP or SCTP port: 1 to 65535. "Any port" is the absence of a port, never 0.
    L4Port(u16), 1, 65535, "port"
}

/// An inclusive range of ports, `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: L4Port,
    last: L4Port,
}

impl PortRange {
    /// Checks the order.
    ///
    /// # Errors
    /// [`Invalid`] when `last` is before `first`.
    pub fn new(first: L4Port, last: L4Port) -> Result<Self, Invalid> {
        if last < first {
            return Err(Invalid::new("port range", format!("{first}-{last}"), "ends before it starts"));
        }
        Ok(Self { first, last })
    }

    /// First port.
    pub const fn first(self) -> L4Port {
        self.first
    }

    /// Last port, inclusive.
    pub const fn last(self) -> L4Port {
        self.last
    }

    /// The range as aligned (value, mask) pairs, the form a switch can match; 30 at most.
    pub fn to_masks(self) -> Vec<(u16, u16)> {
        let (mut at, end) = (u32::from(self.first.get()), u32::from(self.last.get()));
        let mut out = Vec::new();
        while at <= end {
            let align = at.trailing_zeros().min(16);
            let fit = 31 - (end - at + 1).leading_zeros();
            let bits = align.min(fit);
            out.push((at as u16, (0xffff_u32 << bits) as u16));
            at += 1 << bits;
        }
        out
    }
}

impl std::str::FromStr for PortRange {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        match s.split_once('-') {
            Some((a, b)) => Self::new(a.parse()?, b.parse()?),
            None => s.parse().and_then(|p| Self::new(p, p)),
        }
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl TryFrom<String> for PortRange {
    type Error = Invalid;
    fn try_from(s: String) -> Result<Self, Invalid> {
        s.parse()
    }
}

impl From<PortRange> for String {
    fn from(r: PortRange) -> Self {
        r.to_string()
    }
}

/// Which destination ports a rule covers. "Any" is spelled, never a zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortMatch {
    /// Every port.
    Any,
    /// These.
    Range(PortRange),
}
