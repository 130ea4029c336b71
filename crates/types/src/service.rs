//! What connections carry, as rules name it: protocols, destination ports, types of ICMP message.

use crate::addr::text_type;
use crate::{Invalid, IpProtocol, PortRange};

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortProtocol {
    /// 6.
    Tcp,
    /// 17.
    Udp,
    /// 132.
    Sctp,
}

impl From<PortProtocol> for IpProtocol {
    fn from(p: PortProtocol) -> Self {
        match p {
            PortProtocol::Tcp => Self::Tcp,
            PortProtocol::Udp => Self::Udp,
            PortProtocol::Sctp => Self::Sctp,
        }
    }
}

impl TryFrom<IpProtocol> for PortProtocol {
    type Error = Invalid;
    fn try_from(p: IpProtocol) -> Result<Self, Invalid> {
        match p {
            IpProtocol::Tcp => Ok(Self::Tcp),
            IpProtocol::Udp => Ok(Self::Udp),
            IpProtocol::Sctp => Ok(Self::Sctp),
            IpProtocol::Icmp | IpProtocol::Other(_) => {
                Err(Invalid::new("protocol", p, "has no ports; only tcp, udp and sctp have"))
            }
        }
    }
}

/// Destination ports: ports and ranges of them, at least one, sorted and named once. They may overlap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports(Vec<PortRange>);

impl Ports {
    /// Ranges one service can list: more belong into services or rules of their own.
    pub const MAX: usize = 64;

    /// Checks that there are some, and not too many.
    ///
    /// # Errors
    /// [`Invalid`] for none, and for more than [`Ports::MAX`].
    pub fn new(mut ranges: Vec<PortRange>) -> Result<Self, Invalid> {
        ranges.sort_unstable();
        ranges.dedup();
        match ranges.len() {
            0 => Err(Invalid::new("ports", "", "an empty list is no port; every port is no list")),
            1..=Self::MAX => Ok(Self(ranges)),
            n => Err(Invalid::new("ports", n, format!("a list has {} ports and ranges at most", Self::MAX))),
        }
    }

    /// The ports and ranges, sorted.
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }

    /// Whether the port is one of them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|r| (r.first().get()..=r.last().get()).contains(&port))
    }

    /// The ports as aligned (value, mask) pairs, each port in one: the form a switch can match.
    pub fn to_masks(&self) -> Vec<(u16, u16)> {
        let mut merged: Vec<PortRange> = Vec::new();
        for range in &self.0 {
            match merged.last_mut() {
                // Sorted by their beginnings: it meets the last one or none.
                Some(last) if range.first().get() <= last.last().get().saturating_add(1) => {
                    let end = range.last().max(last.last());
                    *last = PortRange::new(last.first(), end).unwrap_or(*last);
                }
                _ => merged.push(*range),
            }
        }
        merged.into_iter().flat_map(PortRange::to_masks).collect()
    }

    fn meets(&self, other: &Self) -> bool {
        let meet = |a: &PortRange, b: &PortRange| a.first() <= b.last() && b.first() <= a.last();
        self.0.iter().any(|a| other.0.iter().any(|b| meet(a, b)))
    }
}

/// An ICMP message: its type and, unless every code is meant, its code (RFC 792, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IcmpMessage {
    /// The type.
    pub kind: u8,
    /// The code; absent = every code.
    pub code: Option<u8>,
}

impl IcmpMessage {
    fn meets(self, other: Self) -> bool {
        self.kind == other.kind && self.code.zip(other.code).is_none_or(|(a, b)| a == b)
    }
}

/// One service a rule can name. Text forms: `tcp`, `tcp/80`, `udp/53,8000-8080`, `icmp` (both families), `icmp/8` and
/// `icmp/3/1` (IPv4), `icmpv6`, `icmpv6/128` and `icmpv6/1/4` (IPv6), `47`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Service {
    /// A whole protocol; ICMP in both families.
    Protocol(IpProtocol),
    /// Some destination ports of a protocol that has ports.
    Ports(PortProtocol, Ports),
    /// An ICMP message of IPv4.
    Icmp(IcmpMessage),
    /// ICMPv6: all of it, or one message.
    Icmpv6(Option<IcmpMessage>),
}

impl Service {
    /// The protocol it is of.
    pub fn protocol(&self) -> IpProtocol {
        match self {
            Self::Protocol(p) => *p,
            Self::Ports(p, _) => (*p).into(),
            Self::Icmp(_) | Self::Icmpv6(_) => IpProtocol::Icmp,
        }
    }

    /// Whether one packet can be of both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ports(p, a), Self::Ports(q, b)) => p == q && a.meets(b),
            (Self::Icmp(a), Self::Icmp(b)) => a.meets(*b),
            (Self::Icmpv6(a), Self::Icmpv6(b)) => a.zip(*b).is_none_or(|(a, b)| a.meets(b)),
            (Self::Icmp(_), Self::Icmpv6(_)) | (Self::Icmpv6(_), Self::Icmp(_)) => false,
            // One of them is a whole protocol.
            _ => self.protocol() == other.protocol(),
        }
    }
}

impl std::str::FromStr for Service {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let bad = |reason: &str| Invalid::new("service", s, reason);
        let (protocol, rest) = match s.split_once('/') {
            Some((protocol, rest)) => (protocol, Some(rest)),
            None => (s, None),
        };
        let message = |text: &str| {
            let number = |n: &str| n.parse::<u8>().map_err(|_| bad("ICMP types and codes are 0 to 255"));
            let (kind, code) = text.split_once('/').map_or((text, None), |(kind, code)| (kind, Some(code)));
            Ok(IcmpMessage { kind: number(kind)?, code: code.map(number).transpose()? })
        };
        match (protocol, rest) {
            ("icmpv6", rest) => Ok(Self::Icmpv6(rest.map(message).transpose()?)),
            ("icmp", Some(rest)) => Ok(Self::Icmp(message(rest)?)),
            (protocol, Some(ports)) => {
                let protocol = protocol.parse::<IpProtocol>()?.try_into()?;
                let ports = ports.split(',').map(str::parse).collect::<Result<_, _>>()?;
                Ok(Self::Ports(protocol, Ports::new(ports)?))
            }
            (protocol, None) => Ok(Self::Protocol(protocol.parse()?)),
        }
    }
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let message = match self {
            Self::Icmp(message) | Self::Icmpv6(Some(message)) => Some(message),
            Self::Protocol(_) | Self::Ports(..) | Self::Icmpv6(None) => None,
        };
        match self {
            Self::Protocol(p) => p.fmt(f)?,
            Self::Icmp(_) => f.write_str("icmp")?,
            Self::Icmpv6(_) => f.write_str("icmpv6")?,
            Self::Ports(p, ports) => {
                IpProtocol::from(*p).fmt(f)?;
                for (i, range) in ports.ranges().iter().enumerate() {
                    write!(f, "{}{range}", if i == 0 { "/" } else { "," })?;
                }
            }
        }
        let Some(IcmpMessage { kind, code }) = message else { return Ok(()) };
        write!(f, "/{kind}")?;
        code.map_or(Ok(()), |code| write!(f, "/{code}"))
    }
}
text_type!(Service);

/// The services of a rule: at least one, sorted and named once. "Every service" is the absence of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Vec<Service>", into = "Vec<Service>")]
pub struct Services(Vec<Service>);

impl Services {
    /// Services of one rule at most.
    pub const MAX: usize = 64;

    /// The services, sorted.
    pub fn iter(&self) -> std::slice::Iter<'_, Service> {
        self.0.iter()
    }

    /// Whether one packet can be of a service of both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.iter().any(|a| other.iter().any(|b| a.overlaps(b)))
    }
}

impl<'a> IntoIterator for &'a Services {
    type Item = &'a Service;
    type IntoIter = std::slice::Iter<'a, Service>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Service> for Services {
    fn from(one: Service) -> Self {
        Self(vec![one])
    }
}

impl TryFrom<Vec<Service>> for Services {
    type Error = Invalid;
    fn try_from(mut services: Vec<Service>) -> Result<Self, Invalid> {
        services.sort_unstable();
        services.dedup();
        match services.len() {
            0 => Err(Invalid::new("services", "", "an empty list is no service; every service is no list")),
            1..=Self::MAX => Ok(Self(services)),
            n => Err(Invalid::new("services", n, format!("a rule has {} services at most", Self::MAX))),
        }
    }
}

impl From<Services> for Vec<Service> {
    fn from(services: Services) -> Self {
        services.0
    }
}
