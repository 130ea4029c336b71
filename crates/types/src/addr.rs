//! Addresses, prefixes, subnets. IPv4 and IPv6 are one code path: `IpAddr` with a [`Family`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::Invalid;

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, in order.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Bits in an address.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// Text-shaped newtypes share these conversions.
macro_rules! text_type {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(s: String) -> Result<Self, Invalid> {
                s.parse()
            }
        }
        impl From<$name> for String {
            fn from(v: $name) -> Self {
                v.to_string()
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

/// An Ethernet address, IEEE 802.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr([u8; 6]);

impl MacAddr {
    /// Every six octets are an address.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The octets, first on the wire first.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// The group bit: multicast and broadcast.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// The locally administered address of an endpoint with this IPv4-style 32-bit number (0a:58 prefix).
    pub const fn from_u32(n: u32) -> Self {
        let b = n.to_be_bytes();
        Self([0x0a, 0x58, b[0], b[1], b[2], b[3]])
    }

    /// The link-local IPv6 address a host makes of this MAC (modified EUI-64, RFC 4291 appendix A).
    pub fn link_local(self) -> std::net::Ipv6Addr {
        let m = self.0;
        let half = |a: u8, b: u8| u16::from_be_bytes([a, b]);
        std::net::Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            half(m[0] ^ 2, m[1]),
            half(m[2], 0xff),
            half(0xfe, m[3]),
            half(m[4], m[5]),
        )
    }
}

impl FromStr for MacAddr {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("mac address", s, "must be six two-digit hexadecimal octets with colons");
        let mut octets = [0; 6];
        let mut parts = s.split(':');
        for o in &mut octets {
            let part = parts.next().ok_or_else(bad)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *o = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Self(octets)) }
    }
}

impl std::fmt::Display for MacAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let m = self.0;
        write!(f, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4], m[5])
    }
}
text_type!(MacAddr);
pub(crate) use text_type;

/// A prefix: host bits are zero. `10.1.0.0/16`, `fd00::/64`, `0.0.0.0/0`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpCidr(IpNet);

impl IpCidr {
    /// Checks length and host bits.
    ///
    /// # Errors
    /// [`Invalid`] naming the prefix the caller probably meant.
    pub fn new(addr: IpAddr, len: u8) -> Result<Self, Invalid> {
        let text = format!("{addr}/{len}");
        let net = IpNet::new(addr, len).map_err(|_| {
            Invalid::new("cidr", &text, format!("prefix length must be 0 to {}", Family::of(addr).bits()))
        })?;
        if net.trunc() != net {
            return Err(Invalid::new(
                "cidr",
                text,
                format!("has host bits set; the prefix is {}", net.trunc()),
            ));
        }
        Ok(Self(net))
    }

    /// The prefix of `len` bits that holds `addr`; a length beyond the family's is that of one host.
    pub fn containing(addr: IpAddr, len: u8) -> Self {
        let len = len.min(Family::of(addr).bits());
        Self(IpNet::new(addr, len).map(|n| n.trunc()).unwrap_or_else(|_| IpNet::from(addr)))
    }

    /// The prefix of one address.
    pub fn host(addr: IpAddr) -> Self {
        Self(IpNet::from(addr))
    }

    /// Network address.
    pub fn addr(self) -> IpAddr {
        self.0.addr()
    }

    /// Prefix length in bits.
    pub fn len(self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether this is a default route prefix (`/0`).
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Family.
    pub fn family(self) -> Family {
        Family::of(self.addr())
    }

    /// Whether the address lies inside.
    pub fn contains(self, addr: IpAddr) -> bool {
        self.0.contains(&addr)
    }

    /// Whether `other` lies wholly inside (or is equal).
    pub fn contains_cidr(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether the two share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains_cidr(other) || other.contains_cidr(self)
    }

    /// The last address of the prefix: broadcast in IPv4.
    pub fn last(self) -> IpAddr {
        self.0.broadcast()
    }
}

impl FromStr for IpCidr {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let (addr, len) = split_len("cidr", s)?;
        Self::new(addr, len)
    }
}

impl std::fmt::Display for IpCidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0.addr(), self.0.prefix_len())
    }
}
text_type!(IpCidr);

fn split_len(what: &'static str, s: &str) -> Result<(IpAddr, u8), Invalid> {
    let (addr, len) = s.split_once('/').ok_or_else(|| Invalid::new(what, s, "must be ADDRESS/LENGTH"))?;
    let addr = addr.parse().map_err(|_| Invalid::new(what, s, "the part before '/' is no IP address"))?;
    if len.len() > 3 || !len.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Invalid::new(what, s, "the part after '/' is no prefix length"));
    }
    let len = len.parse().map_err(|_| Invalid::new(what, s, "the part after '/' is no prefix length"))?;
    Ok((addr, len))
}

/// An address of an interface with the length of its prefix: `10.1.1.5/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostCidr(IpNet);

impl HostCidr {
    /// Checks the length.
    ///
    /// # Errors
    /// [`Invalid`] when the length is beyond the family's.
    pub fn new(addr: IpAddr, len: u8) -> Result<Self, Invalid> {
        IpNet::new(addr, len)
            .map(Self)
            .map_err(|e| Invalid::new("address", format!("{addr}/{len}"), e.to_string()))
    }

    /// The address.
    pub fn addr(self) -> IpAddr {
        self.0.addr()
    }

    /// Prefix length.
    pub fn len(self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether the length is 0.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The prefix it lies in.
    pub fn prefix(self) -> IpCidr {
        IpCidr(self.0.trunc())
    }
}

impl FromStr for HostCidr {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let (addr, len) = split_len("address", s)?;
        Self::new(addr, len)
    }
}

impl std::fmt::Display for HostCidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0.addr(), self.0.prefix_len())
    }
}
text_type!(HostCidr);

/// An inclusive range of addresses of one family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// Checks family and order.
    ///
    /// # Errors
    /// [`Invalid`] for mixed families or a range that ends before it starts.
    pub fn new(first: IpAddr, last: IpAddr) -> Result<Self, Invalid> {
        let text = || format!("{first}-{last}");
        if Family::of(first) != Family::of(last) {
            return Err(Invalid::new("address range", text(), "mixes IPv4 and IPv6"));
        }
        if last < first {
            return Err(Invalid::new("address range", text(), "ends before it starts"));
        }
        Ok(Self { first, last })
    }

    /// The range of one address.
    pub const fn one(addr: IpAddr) -> Self {
        Self { first: addr, last: addr }
    }

    /// First address.
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// Last address, inclusive.
    pub const fn last(self) -> IpAddr {
        self.last
    }

    /// Whether the address lies inside.
    pub fn contains(self, addr: IpAddr) -> bool {
        Family::of(addr) == Family::of(self.first) && self.first <= addr && addr <= self.last
    }
}

impl FromStr for AddressRange {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("address range", s, "must be FIRST-LAST");
        let (a, b) = s.split_once('-').ok_or_else(bad)?;
        Self::new(a.parse().map_err(|_| bad())?, b.parse().map_err(|_| bad())?)
    }
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}
text_type!(AddressRange);

/// A network's subnet: a prefix and, optionally, the part of it that endpoints get addresses from.
/// Text forms: `10.1.1.0/24` or, as Contiv writes it, `10.1.1.20-10.1.1.40/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    cidr: IpCidr,
    range: Option<AddressRange>,
}

impl Subnet {
    /// Checks that endpoints can live there: /8 to /30 in IPv4, /48 to /126 in IPv6, unicast, and the range inside
    /// the prefix.
    ///
    /// # Errors
    /// [`Invalid`] saying which of these fails.
    pub fn new(cidr: IpCidr, range: Option<AddressRange>) -> Result<Self, Invalid> {
        let whole = Self { cidr, range };
        let refuse = |reason: String| Err(Invalid::new("subnet", whole, reason));
        let (min, max) = match cidr.family() {
            Family::V4 => (8, 30),
            Family::V6 => (48, 126),
        };
        if !(min..=max).contains(&cidr.len()) {
            return refuse(format!("prefix length must be {min} to {max}"));
        }
        // Of two families neither comparison can hold together with the other.
        let meets = |(first, last): &(IpAddr, IpAddr)| cidr.addr() <= *last && *first <= cidr.last();
        if NOT_FOR_ENDPOINTS.iter().any(meets) {
            return refuse(
                "endpoints need unicast addresses (not loopback, link-local, multicast or reserved)".into(),
            );
        }
        if let Some(r) = range
            && !(cidr.contains(r.first()) && cidr.contains(r.last()))
        {
            return refuse(format!("the range does not lie in {cidr}"));
        }
        Ok(whole)
    }

    /// The prefix.
    pub const fn cidr(self) -> IpCidr {
        self.cidr
    }

    /// The range endpoints are numbered from, when narrower than the prefix.
    pub const fn range(self) -> Option<AddressRange> {
        self.range
    }

    /// Family.
    pub fn family(self) -> Family {
        self.cidr.family()
    }

    /// Whether an endpoint may have this address: inside range (or prefix), and not the network or broadcast
    /// address (IPv6: the subnet-router anycast address, RFC 4291 section 2.6.1).
    pub fn assignable(self, addr: IpAddr) -> bool {
        let v4_broadcast = self.family() == Family::V4 && addr == self.cidr.last();
        self.cidr.contains(addr)
            && addr != self.cidr.addr()
            && !v4_broadcast
            && self.range.is_none_or(|r| r.contains(addr))
    }
}

const fn v4(octets: [u8; 4]) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_octets(octets))
}

const fn v6(segments: [u16; 8]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_segments(segments))
}

/// Ranges no endpoint's address may be of, RFC 6890; a subnet must not reach into one either.
const NOT_FOR_ENDPOINTS: [(IpAddr, IpAddr); 8] = [
    // "This network", loopback, link-local, multicast and reserved.
    (v4([0, 0, 0, 0]), v4([0, 255, 255, 255])),
    (v4([127, 0, 0, 0]), v4([127, 255, 255, 255])),
    (v4([169, 254, 0, 0]), v4([169, 254, 255, 255])),
    (v4([224, 0, 0, 0]), v4([255, 255, 255, 255])),
    // Unspecified, loopback and IPv4-compatible; IPv4-mapped, which is the same address in another form.
    (v6([0; 8]), v6([0, 0, 0, 0, 0, 0, 0xffff, 0xffff])),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0]), v6([0, 0, 0, 0, 0, 0xffff, 0xffff, 0xffff])),
    // Link-local, multicast.
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), v6([0xfebf, M, M, M, M, M, M, M])),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0]), v6([M; 8])),
];
const M: u16 = u16::MAX;

impl FromStr for Subnet {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let Some((range, len)) = s.rsplit_once('/').filter(|(r, _)| r.contains('-')) else {
            return s
                .parse()
                .map_err(|e: Invalid| Invalid::new("subnet", s, e.reason))
                .and_then(|c| Self::new(c, None));
        };
        let range: AddressRange = range.parse().map_err(|e: Invalid| Invalid::new("subnet", s, e.reason))?;
        let host: HostCidr = format!("{}/{len}", range.first())
            .parse()
            .map_err(|e: Invalid| Invalid::new("subnet", s, e.reason))?;
        Self::new(host.prefix(), Some(range))
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.range {
            Some(r) => write!(f, "{r}/{}", self.cidr.len()),
            None => self.cidr.fmt(f),
        }
    }
}
text_type!(Subnet);
