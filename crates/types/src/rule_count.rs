//! What a rule did, in numbers.

use std::ops::AddAssign;

/// What one rule did at one switch, or at several together. Counters start at zero when the switch does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCount {
    /// Packets that opened connections it allowed; 0 for a rule that denies.
    pub connections: u64,
    /// Packets it allowed, both ways of the connection, or denied.
    pub packets: u64,
    /// Their bytes, Ethernet headers included.
    pub bytes: u64,
}

/// Counters that would overflow stay at the greatest number.
impl AddAssign for RuleCount {
    fn add_assign(&mut self, other: Self) {
        self.connections = self.connections.saturating_add(other.connections);
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}
