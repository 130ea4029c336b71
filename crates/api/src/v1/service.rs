//! What a rule's connections carry, on the wire. One service is written into the rule (`protocol`, `port`, `icmpType`,
//! `icmpCode`), several are a list of objects with the same fields.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use types::{IcmpMessage, Invalid, IpProtocol, PortProtocol, PortRange, Services};
use utoipa::ToSchema;

use super::body::Wrong;
use crate::schema;

/// A protocol as rules write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Protocol {
    /// Of both families.
    Ip(IpProtocol),
    /// ICMP of IPv6 alone.
    Icmpv6,
}

impl FromStr for Protocol {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        if s == "icmpv6" { Ok(Self::Icmpv6) } else { s.parse().map(Self::Ip) }
    }
}

impl TryFrom<String> for Protocol {
    type Error = Invalid;
    fn try_from(s: String) -> Result<Self, Invalid> {
        s.parse()
    }
}

impl From<Protocol> for String {
    fn from(p: Protocol) -> Self {
        p.to_string()
    }
}

impl Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(p) => p.fmt(f),
            Self::Icmpv6 => f.write_str("icmpv6"),
        }
    }
}

/// Ports as rules write them: one port or range, or a list of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(types::Ports);

impl From<types::Ports> for Ports {
    fn from(ports: types::Ports) -> Self {
        Self(ports)
    }
}

impl Display for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ranges = self.0.ranges().iter().map(ToString::to_string).collect::<Vec<_>>();
        f.write_str(&ranges.join(","))
    }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.ranges() {
            [one] => one.serialize(serializer),
            ranges => ranges.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "must be a port 1 to 65535, FIRST-LAST, or a list of these")]
        enum Written {
            One(Text),
            List(Vec<Text>),
        }
        let written = match Written::deserialize(deserializer)? {
            Written::One(one) => vec![one],
            Written::List(list) => list,
        };
        let ranges = written.into_iter().map(|text| text.parse::<PortRange>());
        let ranges = ranges.collect::<Result<_, _>>().map_err(D::Error::custom)?;
        types::Ports::new(ranges).map(Self).map_err(D::Error::custom)
    }
}

/// A number as people write it: YAML makes a number of `port: 443`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Number(u64),
    Text(String),
}

impl Text {
    fn parse<T: FromStr>(self) -> Result<T, T::Err> {
        match self {
            Self::Number(number) => number.to_string().parse(),
            Self::Text(text) => text.parse(),
        }
    }
}

pub(crate) fn icmp_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    let number = Option::<Text>::deserialize(deserializer)?.map(Text::parse::<u8>).transpose();
    number.map_err(|_| D::Error::custom("ICMP types and codes are 0 to 255"))
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Its protocol.
    #[schema(value_type = schema::Protocol)]
    pub protocol: Protocol,
    /// Destination port, range of ports, or list of these; of tcp, udp and sctp. Absent = every port.
    #[schema(value_type = Option<schema::Ports>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Ports>,
    /// Type of ICMP message, as IPv4 (icmp) or IPv6 (icmpv6) numbers them. Absent = every type.
    #[schema(value_type = Option<schema::IcmpNumber>)]
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "icmp_number")]
    pub icmp_type: Option<u8>,
    /// Code of the ICMP message; needs a type. Absent = every code.
    #[schema(value_type = Option<schema::IcmpNumber>)]
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "icmp_number")]
    pub icmp_code: Option<u8>,
}

/// What a rule says of its services, in either form.
#[derive(Default)]
pub(crate) struct Said {
    pub protocol: Option<Protocol>,
    pub port: Option<Ports>,
    pub icmp_type: Option<u8>,
    pub icmp_code: Option<u8>,
    pub services: Option<Vec<Service>>,
}

fn wrong(at: &str, field: &str, value: impl ToString, reason: impl Into<String>) -> Wrong {
    Wrong { field: format!("{at}.{field}"), invalid: Invalid::new("service", value, reason) }
}

impl Service {
    fn into_spec(self, at: &str) -> Result<types::Service, Wrong> {
        let Self { protocol, port, icmp_type, icmp_code } = self;
        let message = match (icmp_type, icmp_code) {
            (Some(kind), code) => Some(IcmpMessage { kind, code }),
            (None, None) => None,
            (None, Some(code)) => return Err(wrong(at, "icmpCode", code, "needs an icmpType")),
        };
        match (protocol, message, port) {
            (Protocol::Ip(IpProtocol::Icmp), Some(message), None) => Ok(types::Service::Icmp(message)),
            (Protocol::Icmpv6, message, None) => Ok(types::Service::Icmpv6(message)),
            (Protocol::Ip(p), None, Some(ports)) => match PortProtocol::try_from(p) {
                Ok(p) => Ok(types::Service::Ports(p, ports.0)),
                Err(e) => Err(wrong(at, "port", ports, format!("protocol {p} {}", e.reason))),
            },
            (Protocol::Ip(p), None, None) => Ok(types::Service::Protocol(p)),
            (Protocol::Icmpv6, _, Some(ports)) => {
                let reason = "protocol icmpv6 has no ports; only tcp, udp and sctp have";
                Err(wrong(at, "port", ports, reason))
            }
            (Protocol::Ip(p), Some(message), _) => {
                let reason = format!("protocol {p} has no types; only icmp and icmpv6 have");
                Err(wrong(at, "icmpType", message.kind, reason))
            }
        }
    }
}

impl From<&types::Service> for Service {
    fn from(service: &types::Service) -> Self {
        use types::Service as S;
        let (protocol, port, message) = match service {
            S::Protocol(p) => (Protocol::Ip(*p), None, None),
            S::Ports(p, ports) => (Protocol::Ip((*p).into()), Some(Ports(ports.clone())), None),
            S::Icmp(message) => (Protocol::Ip(IpProtocol::Icmp), None, Some(*message)),
            S::Icmpv6(message) => (Protocol::Icmpv6, None, *message),
        };
        let (icmp_type, icmp_code) = (message.map(|m| m.kind), message.and_then(|m| m.code));
        Self { protocol, port, icmp_type, icmp_code }
    }
}

impl Said {
    /// What the model checks; `at` is where the rule stands.
    pub(crate) fn into_spec(self, at: &str) -> Result<Option<Services>, Wrong> {
        let Self { protocol, port, icmp_type, icmp_code, services } = self;
        let beside = protocol.is_some() || port.is_some() || icmp_type.is_some() || icmp_code.is_some();
        match (services, protocol) {
            (Some(_), _) if beside => {
                let reason = "protocol, port, icmpType and icmpCode stand in the list, or there is no list";
                Err(wrong(at, "services", "", reason))
            }
            (Some(list), _) => {
                let each = list.into_iter().enumerate();
                let each = each.map(|(i, service)| service.into_spec(&format!("{at}.services[{i}]")));
                let services = Services::try_from(each.collect::<Result<Vec<_>, _>>()?);
                services.map(Some).map_err(|e| wrong(at, "services", e.value, e.reason))
            }
            (None, Some(protocol)) => {
                let one = Service { protocol, port, icmp_type, icmp_code }.into_spec(at)?;
                Ok(Some(one.into()))
            }
            (None, None) => match (port, icmp_type.or(icmp_code)) {
                (Some(port), _) => Err(wrong(at, "port", port, "needs a protocol: tcp, udp or sctp")),
                (None, Some(n)) => {
                    let field = if icmp_type.is_some() { "icmpType" } else { "icmpCode" };
                    Err(wrong(at, field, n, "needs a protocol: icmp or icmpv6"))
                }
                (None, None) => Ok(None),
            },
        }
    }
}

impl From<Option<Services>> for Said {
    fn from(services: Option<Services>) -> Self {
        let all: Vec<Service> = services.iter().flatten().map(Service::from).collect();
        match <[Service; 1]>::try_from(all) {
            Ok([Service { protocol, port, icmp_type, icmp_code }]) => {
                Self { protocol: Some(protocol), port, icmp_type, icmp_code, services: None }
            }
            Err(all) => Self { services: Some(all).filter(|all| !all.is_empty()), ..Self::default() },
        }
    }
}
