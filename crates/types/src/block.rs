//! Addresses a rule names by number: a prefix with or without parts of it, and what prefixes a range is.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::{IpSubnets, Ipv4Subnets, Ipv6Subnets};

use crate::addr::text_type;
use crate::{AddressRange, Family, Invalid, IpCidr};

/// A prefix without some prefixes inside it. Text forms: `10.0.0.0/8` and `10.0.0.0/8 except 10.1.0.0/16,10.2.0.0/16`.
///
/// What is excepted is sorted and named once, so that equal blocks are written alike. It may nest and overlap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CidrBlock {
    cidr: IpCidr,
    /// Shared: a block is a key in several places at once.
    except: Arc<[IpCidr]>,
}

/// Why a prefix cannot be excepted from a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotExceptable {
    /// Which of those given, from 0.
    pub index: usize,
    /// The prefix as given, and why it is refused.
    pub invalid: Invalid,
}

/// What separates a block's prefix from those excepted, in text.
const EXCEPT: &str = " except ";

impl CidrBlock {
    /// Prefixes one block can except: more belong into rules of their own.
    pub const MAX_EXCEPTS: usize = 256;

    /// Checks that every prefix in `except` lies inside `cidr` and leaves something of it.
    ///
    /// # Errors
    /// [`NotExceptable`] for the first that does not.
    pub fn new(cidr: IpCidr, except: &[IpCidr]) -> Result<Self, NotExceptable> {
        for (index, inner) in except.iter().enumerate() {
            let reason = match () {
                () if index >= Self::MAX_EXCEPTS => {
                    format!("{} prefixes can be excepted; use further rules", Self::MAX_EXCEPTS)
                }
                () if *inner == cidr => format!("is all of {cidr}: nothing would be left"),
                () if !cidr.contains_cidr(*inner) => format!("does not lie in {cidr}"),
                () => continue,
            };
            return Err(NotExceptable { index, invalid: Invalid::new("except", inner, reason) });
        }
        let mut except = except.to_vec();
        except.sort_unstable();
        except.dedup();
        Ok(Self { cidr, except: except.into() })
    }

    /// The prefix.
    pub const fn cidr(&self) -> IpCidr {
        self.cidr
    }

    /// What of it is not meant, sorted.
    pub fn except(&self) -> &[IpCidr] {
        &self.except
    }

    /// Whether the address is meant.
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.cidr.contains(addr) && !self.except.iter().any(|inner| inner.contains(addr))
    }

    /// The addresses that are meant, as ranges in rising order that do not meet.
    pub fn to_ranges(&self) -> Vec<AddressRange> {
        let (mut next, last) = (Some(bits(self.cidr.addr())), bits(self.cidr.last()));
        let mut out = Vec::new();
        let range = |first: u128, last: u128| {
            let family = self.cidr.family();
            AddressRange::new(address(family, first), address(family, last)).ok()
        };
        // Sorted: each begins where the one before it does or later. One inside another ends before `next`.
        for inner in self.except.iter() {
            let Some(from) = next else { break };
            let (start, end) = (bits(inner.addr()), bits(inner.last()));
            if from < start {
                out.extend(range(from, start - 1));
            }
            if end >= from {
                next = end.checked_add(1);
            }
        }
        if let Some(from) = next.filter(|from| *from <= last) {
            out.extend(range(from, last));
        }
        out
    }
}

impl From<IpCidr> for CidrBlock {
    fn from(cidr: IpCidr) -> Self {
        Self { cidr, except: Arc::default() }
    }
}

impl FromStr for CidrBlock {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let Some((cidr, except)) = s.split_once(EXCEPT) else { return Ok(s.parse::<IpCidr>()?.into()) };
        let except = except.split(',').map(str::parse).collect::<Result<Vec<_>, _>>()?;
        Self::new(cidr.parse()?, &except).map_err(|e| e.invalid)
    }
}

impl std::fmt::Display for CidrBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cidr.fmt(f)?;
        for (i, inner) in self.except.iter().enumerate() {
            write!(f, "{}{inner}", if i == 0 { EXCEPT } else { "," })?;
        }
        Ok(())
    }
}
text_type!(CidrBlock);

impl AddressRange {
    /// The range as prefixes in rising order, as few as there can be: 62 at most in IPv4, 254 in IPv6.
    pub fn to_prefixes(self) -> Vec<IpCidr> {
        let subnets = match (self.first(), self.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => IpSubnets::V4(Ipv4Subnets::new(first, last, 0)),
            (IpAddr::V6(first), IpAddr::V6(last)) => IpSubnets::V6(Ipv6Subnets::new(first, last, 0)),
            // Both are of one family.
            _ => return Vec::new(),
        };
        subnets.map(|net| IpCidr::containing(net.addr(), net.prefix_len())).collect()
    }

    /// Whether the two share an address.
    pub fn overlaps(self, other: Self) -> bool {
        // Of two families neither comparison can hold together with the other.
        self.first() <= other.last() && other.first() <= self.last()
    }
}

impl From<IpCidr> for AddressRange {
    fn from(cidr: IpCidr) -> Self {
        // One family, and in order.
        Self::new(cidr.addr(), cidr.last()).unwrap_or_else(|_| Self::one(cidr.addr()))
    }
}

fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(a) => a.to_bits().into(),
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// The address with these bits; IPv4 has the lower 32.
fn address(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4((bits as u32).into()),
        Family::V6 => IpAddr::V6(bits.into()),
    }
}
