//! What rules did, read off the flows that count (`tables::count`).
//!
//! # Invariants
//! * A packet is counted once for each rule that judged a side of its connection, and for no other. Packets that are sent
//!   before the switch has taken in that their connection is open, open it too.
//! * The switch counts from when a flow was made: restarting it, or repairing a flow, begins at zero. Changing a rule
//!   beside it, its groups or its peers does not.

use std::collections::BTreeMap;

use openflow::FlowStats;
use types::{PolicyId, RuleCount, RuleId, RuleSlot};

use crate::cookie::{Cookie, Object};
use crate::table::Table;
use crate::tables::count::OPENS;

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

/// Where to look for what all rules did.
pub fn all_counting_flows() -> [CountingFlows; 3] {
    // A rule's number is the low 32 bits.
    let mask = !u64::from(u32::MAX);
    let cookie = Cookie::from_bits(Cookie::new(Object::Rule(RuleId::MIN)).get() & mask);
    COUNTING.map(|table| CountingFlows { table, cookie, mask })
}

/// What rules did, by flows and their counters; other flows say nothing.
pub fn rule_counts(flows: impl IntoIterator<Item = FlowStats>) -> BTreeMap<RuleId, RuleCount> {
    let mut counts = BTreeMap::<RuleId, RuleCount>::new();
    for FlowStats { flow, counters } in flows {
        let counts_here = Table::from_number(flow.table).is_some_and(|table| COUNTING.contains(&table));
        let Some(Object::Rule(id)) = Cookie::from_bits(flow.cookie).object().filter(|_| counts_here) else {
            continue;
        };
        let opens = flow.priority == OPENS;
        *counts.entry(id).or_default() += RuleCount {
            connections: if opens { counters.packets } else { 0 },
            packets: counters.packets,
            bytes: counters.bytes,
        };
    }
    counts
}
