//! Verdict, EgressCount, IngressCount: what each rule did, counted by flows that outlive every change but the rule's end.
//!
//! The flows that decide cannot tell: they are not met by packets of settled connections, and what they match changes with
//! every rule and group beside them, which has a switch count from zero again. A rule's counting flows match nothing but
//! its number, which the packet carries wherever it was judged: now, or by the connection's label.
//!
//! Each node counts what it judged: an egress rule where the source is, an ingress rule where the destination is.

use openflow::{Match, SubField};
use types::{Direction, RuleId, Verdict};

use super::conntrack::{NEW, state};
use super::{Flows, go};
use crate::cookie::Object;
use crate::fields;
use crate::sabotage::sabotaged;
use crate::table::Table;

/// The packet opens its connection: nobody judged this side of it before.
pub(crate) const OPENS: u16 = 110;
const PASSES: u16 = 100;
/// Before the drop of what no rule denied.
const DENIES: u16 = 210;

struct Side {
    table: Table,
    next: Table,
    rule: SubField,
    judged: SubField,
}

impl Side {
    fn of(direction: Direction) -> Self {
        match direction {
            Direction::Egress => Self {
                table: Table::EgressCount,
                next: Table::IngressCount,
                rule: fields::EGRESS_RULE,
                judged: fields::LABEL_SOURCE_GENERATION,
            },
            Direction::Ingress => Self {
                table: Table::IngressCount,
                next: Table::L3Forward,
                // Defect: what the egress rules allowed is counted.
                rule: if sabotaged!("wrong-counter") { fields::EGRESS_RULE } else { fields::INGRESS_RULE },
                judged: fields::LABEL_DESTINATION_GENERATION,
            },
        }
    }
}

/// A rule's.
pub(crate) fn rule(id: RuleId, direction: Direction, verdict: Verdict, flows: &mut Flows) {
    let (side, object) = (Side::of(direction), Object::Rule(id));
    let decided = || Match::any().bits(side.rule, id.get());
    match verdict {
        Verdict::Allow => {
            let opens = state(decided(), NEW, 0).bits(side.judged, 0u32);
            flows.add(side.table, OPENS, object, opens, vec![go(side.next)]);
            flows.add(side.table, PASSES, object, decided(), vec![go(side.next)]);
        }
        Verdict::Deny => {
            flows.add(Table::Verdict, DENIES, object, decided().bits(fields::DENY, 1u8), Vec::new());
        }
    }
}
