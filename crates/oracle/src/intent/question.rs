//! The words of questions and answers.

use std::fmt;

use types::{DefaultAction, Direction, Family, Name};

use super::EndpointKey;

/// What a connection is opened for. Protocol numbers are IANA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// TCP to this port.
    Tcp(u16),
    /// UDP to this port.
    Udp(u16),
    /// SCTP to this port.
    Sctp(u16),
    /// ICMP with this type and code, of the family of the addresses.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Any other protocol.
    Other(u8),
}

impl Service {
    /// A ping.
    pub const fn echo_request(family: Family) -> Self {
        let kind = match family {
            Family::V4 => 8,
            Family::V6 => 128,
        };
        Self::Icmp { kind, code: 0 }
    }

    /// Number of the protocol.
    pub const fn protocol(self, family: Family) -> u8 {
        match (self, family) {
            (Self::Tcp(_), _) => 6,
            (Self::Udp(_), _) => 17,
            (Self::Sctp(_), _) => 132,
            (Self::Icmp { .. }, Family::V4) => 1,
            (Self::Icmp { .. }, Family::V6) => 58,
            (Self::Other(n), _) => n,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "tcp/{port}"),
            Self::Udp(port) => write!(f, "udp/{port}"),
            Self::Sctp(port) => write!(f, "sctp/{port}"),
            Self::Icmp { kind, code } => write!(f, "icmp type {kind} code {code}"),
            Self::Other(n) => write!(f, "protocol {n}"),
        }
    }
}

/// What must become of a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// This endpoint gets it, and nobody else.
    Delivered {
        /// Who.
        to: EndpointKey,
        /// Why it may leave its source.
        egress: Reason,
        /// Why it may enter.
        ingress: Reason,
    },
    /// The gateway answers the sender's ping.
    GatewayEcho,
    /// Nobody gets it.
    Nothing(Nothing),
}

/// Why nobody gets a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nothing {
    /// The sender has no address of this family.
    NoSource,
    /// Nobody in the tenant has the destination address, and there is no way out.
    Nobody,
    /// It is the sender's own address.
    Itself,
    /// It is the gateway's address, which answers pings only.
    Gateway,
    /// Sender and destination are in different networks, one of which has no gateway of this family.
    NoRoute,
    /// Policy.
    Denied {
        /// Egress: of the sender. Ingress: of the destination.
        direction: Direction,
        /// By what.
        reason: Reason,
    },
}

/// What decided about a connection at one of its ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A rule.
    Rule {
        /// Its tenant.
        tenant: Name,
        /// Its policy.
        policy: Name,
        /// Its name there.
        rule: Name,
    },
    /// No rule; the tenant's default.
    Default {
        /// The tenant.
        tenant: Name,
        /// Its default.
        action: DefaultAction,
    },
    /// The endpoint's group or a policy of it names what does not exist.
    Dangling {
        /// What.
        what: String,
    },
    /// A policy of the endpoint's group cannot be enforced on its node, so that everything is denied.
    Refused {
        /// The policy.
        policy: Name,
    },
}

impl Reason {
    /// The rule, as `tenant/policy/rule`.
    fn rule(&self) -> Option<String> {
        match self {
            Self::Rule { tenant, policy, rule } => Some(format!("{tenant}/{policy}/{rule}")),
            Self::Default { .. } | Self::Dangling { .. } | Self::Refused { .. } => None,
        }
    }
}

impl Answer {
    /// The rules that decide, as `tenant/policy/rule`: of what is delivered at both ends, if rules decide there.
    pub fn rules(&self) -> Vec<String> {
        match self {
            Self::Delivered { egress, ingress, .. } => {
                [egress, ingress].into_iter().filter_map(Reason::rule).collect()
            }
            Self::Nothing(Nothing::Denied { reason, .. }) => reason.rule().into_iter().collect(),
            Self::GatewayEcho | Self::Nothing(_) => Vec::new(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { tenant, policy, rule } => write!(f, "rule {tenant}/{policy}/{rule}"),
            Self::Default { tenant, action: DefaultAction::Allow } => {
                write!(f, "the default of {tenant}, allow")
            }
            Self::Default { tenant, action: DefaultAction::Deny } => {
                write!(f, "the default of {tenant}, deny")
            }
            Self::Dangling { what } => write!(f, "{what}, which does not exist or is refused"),
            Self::Refused { policy } => write!(f, "policy {policy}, which its node refuses"),
        }
    }
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSource => f.write_str("the sender has no address of this family"),
            Self::Nobody => f.write_str("nobody in the tenant has this address"),
            Self::Itself => f.write_str("it is the sender's own address"),
            Self::Gateway => f.write_str("the gateway answers pings only"),
            Self::NoRoute => f.write_str("there is no gateway between the two networks"),
            Self::Denied { direction: Direction::Egress, reason } => {
                write!(f, "denied at the source by {reason}")
            }
            Self::Denied { direction: Direction::Ingress, reason } => {
                write!(f, "denied at the destination by {reason}")
            }
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered { to: (tenant, name), egress, ingress } => {
                write!(
                    f,
                    "delivered to {tenant}/{name}: allowed at the source by {egress}, at the destination by {ingress}"
                )
            }
            Self::GatewayEcho => f.write_str("answered by the gateway"),
            Self::Nothing(why) => write!(f, "delivered to nobody: {why}"),
        }
    }
}
