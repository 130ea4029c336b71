//! Words of policy: direction, verdict, protocol, a tenant's default.

use crate::Invalid;

/// Which way a connection is opened, **relative to the endpoint** a policy applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the endpoint (Contiv: `in`).
    #[serde(alias = "in")]
    Ingress,
    /// From the endpoint (Contiv: `out`).
    #[serde(alias = "out")]
    Egress,
}

/// What a rule decides. At equal priority deny wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The connection may be opened.
    Allow,
    /// The connection is dropped.
    Deny,
}

/// What happens to connections inside a tenant that no rule decides.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum DefaultAction {
    /// Allowed (Contiv's behaviour).
    #[default]
    Allow,
    /// Denied.
    Deny,
}

/// An IP protocol a rule can name (IANA protocol numbers). ICMP stands for ICMPv4 and ICMPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum IpProtocol {
    /// 6.
    Tcp,
    /// 17.
    Udp,
    /// 132.
    Sctp,
    /// 1 in IPv4, 58 in IPv6.
    Icmp,
    /// Any other, by number; never one that has a name above.
    Other(OtherProtocol),
}

/// A protocol number that has no variant of its own in [`IpProtocol`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OtherProtocol(u8);

impl OtherProtocol {
    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl IpProtocol {
    /// The protocol with this number. IPv6 extension headers are refused: they are not upper-layer protocols
    /// (RFC 8200 section 4), the switch skips them, so a rule naming one would match nothing.
    ///
    /// # Errors
    /// [`Invalid`] for extension headers.
    pub fn from_number(number: u8) -> Result<Self, Invalid> {
        match number {
            6 => Ok(Self::Tcp),
            17 => Ok(Self::Udp),
            132 => Ok(Self::Sctp),
            1 | 58 => Ok(Self::Icmp),
            0 | 43 | 44 | 60 => Err(Invalid::new(
                "protocol",
                number,
                "is an IPv6 extension header, not an upper-layer protocol",
            )),
            n => Ok(Self::Other(OtherProtocol(n))),
        }
    }
}

impl std::str::FromStr for IpProtocol {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        match s {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            "icmp" => Ok(Self::Icmp),
            _ => {
                let reason = "must be tcp, udp, sctp, icmp or a protocol number 0 to 255";
                Self::from_number(s.parse().map_err(|_| Invalid::new("protocol", s, reason))?)
            }
        }
    }
}

impl TryFrom<String> for IpProtocol {
    type Error = Invalid;
    fn try_from(s: String) -> Result<Self, Invalid> {
        s.parse()
    }
}

impl From<IpProtocol> for String {
    fn from(p: IpProtocol) -> Self {
        p.to_string()
    }
}

impl std::fmt::Display for IpProtocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Sctp => f.write_str("sctp"),
            Self::Icmp => f.write_str("icmp"),
            Self::Other(n) => write!(f, "{}", n.0),
        }
    }
}
