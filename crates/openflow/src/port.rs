//! OpenFlow port numbers: 32 bits since OpenFlow 1.1, with names for the reserved ones.

use std::fmt;
use std::str::FromStr;

/// An OpenFlow port number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u32);

/// `OFPP_MAX`: reserved numbers begin here.
const RESERVED: u32 = 0xffff_ff00;

const NAMES: &[(&str, Port)] = &[
    ("UNSET", Port::UNSET),
    ("IN_PORT", Port::IN_PORT),
    ("TABLE", Port::TABLE),
    ("NORMAL", Port::NORMAL),
    ("FLOOD", Port::FLOOD),
    ("ALL", Port::ALL),
    ("CONTROLLER", Port::CONTROLLER),
    ("LOCAL", Port::LOCAL),
    ("ANY", Port::ANY),
];

impl Port {
    /// Output port not set in the action set.
    pub const UNSET: Port = Port(0xffff_fff7);
    /// Back to where the packet came from.
    pub const IN_PORT: Port = Port(0xffff_fff8);
    /// Through the flow tables (packet-out only).
    pub const TABLE: Port = Port(0xffff_fff9);
    /// Ordinary L2 switching.
    pub const NORMAL: Port = Port(0xffff_fffa);
    /// All ports but the input port and those with flooding off.
    pub const FLOOD: Port = Port(0xffff_fffb);
    /// All ports but the input port.
    pub const ALL: Port = Port(0xffff_fffc);
    /// To the controller.
    pub const CONTROLLER: Port = Port(0xffff_fffd);
    /// The bridge's own port.
    pub const LOCAL: Port = Port(0xffff_fffe);
    /// Wildcard in requests; never a real port.
    pub const ANY: Port = Port(0xffff_ffff);

    /// The 16-bit form of OpenFlow 1.0 that Nicira actions carry; `None` if the number does not fit.
    pub fn to_u16(self) -> Option<u16> {
        match self.0 {
            n if n < 0xff00 => u16::try_from(n).ok(),
            n if n >= RESERVED => Some((n & 0xffff) as u16),
            _ => None,
        }
    }

    /// From the 16-bit form: reserved numbers keep their meaning.
    pub fn from_u16(n: u16) -> Port {
        if n >= 0xff00 { Port(0xffff_0000 | u32::from(n)) } else { Port(u32::from(n)) }
    }
}

impl From<u32> for Port {
    fn from(n: u32) -> Port {
        Port(n)
    }
}

impl From<u16> for Port {
    fn from(n: u16) -> Port {
        Port::from_u16(n)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, port)| port == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The text names no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no port number and no reserved port name")]
pub struct NotAPort(String);

impl FromStr for Port {
    type Err = NotAPort;

    fn from_str(s: &str) -> Result<Port, NotAPort> {
        if let Some((_, port)) = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(s)) {
            return Ok(*port);
        }
        if s.eq_ignore_ascii_case("none") {
            return Ok(Port::ANY);
        }
        let n: u32 = s.parse().map_err(|_| NotAPort(s.to_owned()))?;
        // Numbers of the OpenFlow 1.0 reserved range mean the reserved port, as in ovs-ofctl(8).
        Ok(u16::try_from(n).map_or(Port(n), Port::from_u16))
    }
}
