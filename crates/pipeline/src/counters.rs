//! What rules did, read off the flows that count (`tables::count`).
//!
//! # Invariants
//! * A packet is counted once for each rule that judged a side of its connection, and for no other.
//! * The switch counts from when a flow was made: restarting it, or repairing a flow, begins at zero. Changing a rule
//!   beside it, its groups or its peers does not.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use openflow::FlowStats;
use types::{PolicyId, RuleId, RuleSlot};

use crate::cookie::{Cookie, Object};
use crate::table::Table;
use crate::tables::count::OPENS;

/// What one rule did at one switch, or at several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCount {
    /// Packets that opened connections it allowed; 0 for a rule that denies. Packets sent before the switch has taken the
    /// first of them in count again.
    pub connections: u64,
    /// Packets it allowed, both ways of the connection, or denied.
    pub packets: u64,
    /// Their bytes, Ethernet headers included.
    pub bytes: u64,
}

impl AddAssign for RuleCount {
    fn add_assign(&mut self, other: Self) {
        self.connections = self.connections.saturating_add(other.connections);
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Tables with flows that count.
const COUNTING: [Table; 3] = [Table::Verdict, Table::EgressCount, Table::IngressCount];

/// Which flows of which table count for a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountingFlows {
    /// The table.
    pub table: Table,
    /// What their cookies are in the bits of `mask`.
    pub cookie: Cookie,
    /// Which bits.
    pub mask: u64,
}

/// Where to look for what a policy's rules did.
pub fn counting_flows(policy: PolicyId) -> [CountingFlows; 3] {
    let of = |slot| Cookie::new(Object::Rule(RuleId::new(policy, slot)));
    let (first, last) = (of(RuleSlot::MIN), of(RuleSlot::MAX));
    let mask = !(first.get() ^ last.get());
    COUNTING.map(|table| CountingFlows { table, cookie: Cookie::from_bits(first.get() & mask), mask })
}

/// What rules did, by flows and their counters; other flows say nothing.
pub fn rule_counts(flows: impl IntoIterator<Item = FlowStats>) -> BTreeMap<RuleId, RuleCount> {
    let mut counts = BTreeMap::<RuleId, RuleCount>::new();
    for FlowStats { flow, counters } in flows {
        let counts_here = Table::from_number(flow.table).is_some_and(|table| COUNTING.contains(&table));
        let Some(Object::Rule(id)) = Cookie::from_bits(flow.cookie).object().filter(|_| counts_here) else {
            continue;
        };
        let opens = flow.priority == OPENS && flow.table != Table::Verdict.number();
        *counts.entry(id).or_default() += RuleCount {
            connections: if opens { counters.packets } else { 0 },
            packets: counters.packets,
            bytes: counters.bytes,
        };
    }
    counts
}
