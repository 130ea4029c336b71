//! Quality of service: rates, bursts and code points, as people write them.
//!
//! A rate is whole kilobits per second (1,000 bits each): what an OpenFlow meter counts in (OpenFlow 1.5.1 section
//! 7.3.4.4, `OFPMF_KBPS`), so a rate that can be written can be metered. Every value a type takes fits the 32 bits of a
//! meter's band, its burst included.

use crate::Invalid;
use crate::num::bounded_int;

bounded_int! {
    /// A differentiated services code point, RFC 2474 section 3: 6 bits.
    Dscp(u8), 0, 63, "dscp"
}
bounded_int! {
    /// How much may pass at once above a rate, in kilobytes (1,000 bytes each). Contiv's range; its 0 is the absence of one.
    Burst(u32), 2, 10486, "burst"
}

impl Burst {
    /// As a meter counts it.
    pub const fn kilobits(self) -> u32 {
        self.0 * 8
    }
}

/// A rate above zero: `20Mbps`, `1Gbps`, `500Kbps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bandwidth {
    kbps: u32,
}

/// Units by their letter, and how many kilobits per second one is; the largest first.
const UNITS: [(char, u32); 3] = [('G', 1_000_000), ('M', 1_000), ('K', 1)];

/// The text has that form, but the number is too large.
const TOO_LARGE: &str = "must not be more than 4000Gbps";

impl Bandwidth {
    /// The smallest.
    pub const MIN: Self = Self { kbps: 1 };
    /// The largest: what fits a meter, rounded.
    pub const MAX: Self = Self { kbps: 4_000_000_000 };

    /// The rate of so many kilobits per second.
    ///
    /// # Errors
    /// [`Invalid`] when out of range.
    pub fn from_kbps(kbps: u64) -> Result<Self, Invalid> {
        match u32::try_from(kbps) {
            Ok(0) => Err(Invalid::new("bandwidth", kbps, "must not be zero")),
            Ok(kbps) if kbps <= Self::MAX.kbps => Ok(Self { kbps }),
            _ => Err(Invalid::new("bandwidth", kbps, TOO_LARGE)),
        }
    }

    /// Kilobits per second.
    pub const fn kbps(self) -> u32 {
        self.kbps
    }
}

impl std::str::FromStr for Bandwidth {
    type Err = Invalid;

    /// A whole number without leading zeros, at most one space, `k`, `m` or `g` in either case, and `bps`, `b` or nothing:
    /// what Contiv took.
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let bad = |reason: &str| Invalid::new("bandwidth", s, reason);
        let form = || bad("must be a whole number with kbps, Mbps or Gbps, like 20Mbps");
        let end = s.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?;
        let (number, unit) = s.split_at(end);
        let unit = unit.strip_prefix(' ').unwrap_or(unit);
        if number.is_empty() {
            return Err(form());
        }
        if number.starts_with('0') {
            return Err(bad("must not be zero, nor begin with a zero"));
        }
        let mut letters = unit.chars();
        let letter = letters.next().ok_or_else(form)?.to_ascii_uppercase();
        if !matches!(letters.as_str(), "" | "b" | "bps") {
            return Err(form());
        }
        let (_, each) = UNITS.into_iter().find(|(name, _)| *name == letter).ok_or_else(form)?;
        let kbps = number.parse::<u64>().ok().and_then(|n| n.checked_mul(u64::from(each)));
        kbps.and_then(|kbps| Self::from_kbps(kbps).ok()).ok_or_else(|| bad(TOO_LARGE))
    }
}

impl std::fmt::Display for Bandwidth {
    /// In the largest unit that divides it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = UNITS.into_iter().find(|(_, each)| self.kbps.is_multiple_of(*each));
        let (letter, each) = unit.unwrap_or(('K', 1));
        write!(f, "{}{letter}bps", self.kbps / each)
    }
}

impl TryFrom<String> for Bandwidth {
    type Error = Invalid;
    fn try_from(s: String) -> Result<Self, Invalid> {
        s.parse()
    }
}

impl From<Bandwidth> for String {
    fn from(b: Bandwidth) -> Self {
        b.to_string()
    }
}

/// A rate, and how much may pass at once above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// The rate.
    pub rate: Bandwidth,
    /// Absent = what passes in a second at that rate: with much less, TCP does not reach the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
}

impl RateLimit {
    /// The burst in kilobits, as a meter counts it.
    pub fn burst_kilobits(self) -> u32 {
        self.burst.map_or(self.rate.kbps, Burst::kilobits)
    }
}

/// Whose a rate is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum RateShare {
    /// Each endpoint has it for itself.
    #[default]
    Endpoint,
    /// All endpoints of the group on a node have it together.
    Group,
}
