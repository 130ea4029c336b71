//! What one packet that opens a connection carries. A [`Service`](crate::Service) speaks of many; this is one of them.

use crate::addr::text_type;
use crate::{Invalid, IpProtocol, L4Port, PortProtocol};

/// What a connection is opened with. Text forms: `tcp/443`, `udp/53`, `sctp/2905`, `icmp` (an echo request of the addresses'
/// family), `icmp/TYPE` and `icmp/TYPE/CODE` (as that family numbers them; a code that is not said is 0), `47`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Traffic {
    /// To a port.
    Ports(PortProtocol, L4Port),
    /// An echo request: type 8 of ICMP (RFC 792), type 128 of ICMPv6 (RFC 4443).
    Ping,
    /// An ICMP message.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// A protocol without ports, by IANA's number.
    Other(crate::policy::OtherProtocol),
}

impl std::str::FromStr for Traffic {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let bad = |reason: &str| Invalid::new("traffic", s, reason);
        let (protocol, rest) = s.split_once('/').map_or((s, None), |(protocol, rest)| (protocol, Some(rest)));
        if let ("icmp" | "icmpv6", rest) = (protocol, rest) {
            let Some(rest) = rest else { return Ok(Self::Ping) };
            let number = |n: &str| n.parse::<u8>().map_err(|_| bad("ICMP types and codes are 0 to 255"));
            let (kind, code) = rest.split_once('/').unwrap_or((rest, "0"));
            return Ok(Self::Icmp { kind: number(kind)?, code: number(code)? });
        }
        match (protocol.parse::<IpProtocol>()?, rest) {
            (IpProtocol::Other(number), None) => Ok(Self::Other(number)),
            (IpProtocol::Icmp, None) => Ok(Self::Ping),
            (protocol, Some(port)) => Ok(Self::Ports(protocol.try_into()?, port.parse()?)),
            (_, None) => Err(bad("say the port as well, like tcp/443: rules may differ from port to port")),
        }
    }
}

impl std::fmt::Display for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ports(protocol, port) => write!(f, "{}/{port}", IpProtocol::from(*protocol)),
            Self::Ping => f.write_str("icmp"),
            Self::Icmp { kind, code } => write!(f, "icmp/{kind}/{code}"),
            Self::Other(number) => number.get().fmt(f),
        }
    }
}
text_type!(Traffic);
