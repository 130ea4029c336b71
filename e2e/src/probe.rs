//! What runs inside endpoints: servers that say who they are, probes that ask them, a numbered flow, as much as
//! gets through, raw frames.
//!
//! Every payload carries the mark of the sender's tenant, so that a capture anywhere tells whose a packet is.

pub mod ask;
pub mod blast;
pub mod flow;
pub mod frames;
pub mod hold;
pub mod rate;
pub mod serve;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes that mark a tenant's payload.
pub const MARK_LEN: usize = 8;

/// The payload mark of a tenant: `sv` and six hexadecimal digits. Nothing else on a lab's wires contains it by chance.
pub fn payload_mark(tenant: &str) -> [u8; MARK_LEN] {
    let hash = Sha256::digest(format!("selvage payload of {tenant}").as_bytes());
    let mut mark = *b"sv000000";
    mark[2..].copy_from_slice(&hex::encode(&hash[..3]).into_bytes());
    mark
}

/// Between two packets.
#[expect(clippy::disallowed_methods, reason = "the pace of the packets is what is being made here")]
fn pause(time: std::time::Duration) {
    std::thread::sleep(time);
}

/// One question to one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An ICMP or ICMPv6 echo.
    Ping,
    /// A TCP connection, a line each way.
    Tcp(u16),
    /// A UDP datagram each way.
    Udp(u16),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ping => f.write_str("ping"),
            Self::Tcp(port) => write!(f, "tcp/{port}"),
            Self::Udp(port) => write!(f, "udp/{port}"),
        }
    }
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Question {
    /// Whom.
    pub target: IpAddr,
    /// How.
    pub kind: Kind,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Nothing.
    Silence,
    /// An echo reply: it does not say from whom.
    Echo,
    /// This endpoint (`tenant/name`) answered.
    From(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_have_different_marks() {
        assert_ne!(payload_mark("blue"), payload_mark("green"));
        assert_eq!(&payload_mark("blue")[..2], b"sv");
    }
}
