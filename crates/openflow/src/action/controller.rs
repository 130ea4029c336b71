//! `controller(...)` and the reasons of packet-ins.

/// `controller(...)`: a packet-in with instructions for whoever receives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Controller {
    /// Bytes of the packet to send at most.
    pub max_len: u16,
    /// Which controller connections get it (0 = all that did not choose an id).
    pub controller_id: u16,
    /// The reason stated in the packet-in.
    pub reason: PacketInReason,
    /// Bytes handed through to the packet-in.
    pub userdata: Box<[u8]>,
    /// The meter that limits these packet-ins.
    pub meter_id: Option<u32>,
    /// Whether the packet waits until the controller sends it on ([`Resume`](crate::Resume)).
    pub pause: bool,
}

impl Default for Controller {
    fn default() -> Controller {
        Controller {
            max_len: u16::MAX,
            controller_id: 0,
            reason: PacketInReason::Action,
            userdata: Box::default(),
            meter_id: None,
            pause: false,
        }
    }
}

/// Why a packet came to the controller (`OFPR_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketInReason {
    /// No matching flow (1.3: table-miss).
    NoMatch,
    /// An explicit output action.
    Action,
    /// The TTL ran out.
    InvalidTtl,
    /// An output in the action set.
    ActionSet,
    /// An output in a group bucket.
    Group,
    /// Sent by a packet-out.
    PacketOut,
    /// A number this crate has no name for.
    Unknown(u8),
}

impl PacketInReason {
    const NAMED: [PacketInReason; 6] = [
        PacketInReason::NoMatch,
        PacketInReason::Action,
        PacketInReason::InvalidTtl,
        PacketInReason::ActionSet,
        PacketInReason::Group,
        PacketInReason::PacketOut,
    ];
    const NAMES: [&'static str; 6] =
        ["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"];

    /// The number on the wire.
    pub fn as_u8(self) -> u8 {
        match self {
            PacketInReason::Unknown(n) => n,
            named => Self::NAMED.iter().position(|r| *r == named).unwrap_or(0) as u8,
        }
    }

    /// From the number on the wire.
    pub fn from_u8(n: u8) -> PacketInReason {
        Self::NAMED.get(usize::from(n)).copied().unwrap_or(PacketInReason::Unknown(n))
    }

    pub(crate) fn name(self) -> Option<&'static str> {
        Self::NAMES.get(usize::from(self.as_u8())).copied()
    }

    pub(crate) fn from_name(name: &str) -> Option<PacketInReason> {
        Self::NAMES.iter().position(|n| *n == name).map(|i| Self::NAMED[i])
    }
}
