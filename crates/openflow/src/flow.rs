//! A flow: where it stands, what it matches, what it does.

use crate::{Action, Match};

/// A flow table entry, without counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The table, 0 to 254.
    pub table: u8,
    /// Higher wins; flows of one priority must not overlap.
    pub priority: u16,
    /// The controller's own mark on the flow.
    pub cookie: u64,
    /// What it matches.
    pub matches: Match,
    /// What it does; nothing is drop.
    pub actions: Vec<Action>,
    /// Seconds without a packet after which it goes; 0 never.
    pub idle_timeout: u16,
    /// Seconds after which it goes; 0 never.
    pub hard_timeout: u16,
    /// `OFPFF_*`.
    pub flags: FlowFlags,
    /// Which flows a full table gives up first (OpenFlow 1.4+).
    pub importance: u16,
}

/// What identifies a flow in the switch: adding another with the same key replaces it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The table.
    pub table: u8,
    /// The priority.
    pub priority: u16,
    /// The match.
    pub matches: Match,
}

impl Flow {
    /// A flow that drops what matches; add actions with [`Flow::actions`].
    pub fn new(table: u8, priority: u16, matches: Match) -> Flow {
        Flow { table, priority, matches, ..Flow::default() }
    }

    /// Sets the actions.
    #[must_use]
    pub fn actions(mut self, actions: impl IntoIterator<Item = Action>) -> Flow {
        self.actions = actions.into_iter().collect();
        self
    }

    /// Sets the cookie.
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Flow {
        self.cookie = cookie;
        self
    }

    /// What identifies it in the switch.
    pub fn key(&self) -> FlowKey {
        FlowKey { table: self.table, priority: self.priority, matches: self.matches.clone() }
    }
}

/// Flags of a flow (`OFPFF_*`): a set of bits, also of those without a name here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowFlags(pub u16);

impl FlowFlags {
    /// No flag.
    pub const NONE: FlowFlags = FlowFlags(0);
    /// Tell when the flow goes.
    pub const SEND_FLOW_REM: FlowFlags = FlowFlags(1);
    /// Refuse to add beside an overlapping flow of the same priority.
    pub const CHECK_OVERLAP: FlowFlags = FlowFlags(2);
    /// Set counters to zero when replacing.
    pub const RESET_COUNTS: FlowFlags = FlowFlags(4);
    /// Do not count packets.
    pub const NO_PKT_COUNTS: FlowFlags = FlowFlags(8);
    /// Do not count bytes.
    pub const NO_BYT_COUNTS: FlowFlags = FlowFlags(16);

    /// Names `ovs-ofctl` uses.
    pub(crate) const NAMES: [(&'static str, FlowFlags); 5] = [
        ("send_flow_rem", FlowFlags::SEND_FLOW_REM),
        ("check_overlap", FlowFlags::CHECK_OVERLAP),
        ("reset_counts", FlowFlags::RESET_COUNTS),
        ("no_packet_counts", FlowFlags::NO_PKT_COUNTS),
        ("no_byte_counts", FlowFlags::NO_BYT_COUNTS),
    ];

    /// Whether all bits of `other` are set.
    pub fn contains(self, other: FlowFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    #[must_use]
    pub fn union(self, other: FlowFlags) -> FlowFlags {
        FlowFlags(self.0 | other.0)
    }
}
