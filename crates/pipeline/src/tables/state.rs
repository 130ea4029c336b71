//! SenderState, ReceiverState: whether a connection was judged by what holds now.
//!
//! Either table looks at one local end of the packet's way; an end that is not here is another node's business. Which
//! side of the *connection* that is, `ct_state` says: the sender of a reply is the destination. The label holds the
//! generation by which each side was judged. If that is the present one, the side is settled and costs nothing more; if
//! not, and for a connection that is new, the side is marked and its generation kept for ConntrackCommit. Of a settled side
//! the rule that allowed it is taken from the label, to be counted.
//!
//! The flows are those of groups, not of endpoints: a change of policy replaces eight of them for each group it concerns.

use openflow::{Action, Match};
use types::{GroupId, VrfId};

use super::conntrack::{NEW, REPLY, state};
use super::{Flows, go, in_vrf, load};
use crate::cookie::Object;
use crate::fields;
use crate::generation::Generation;
use crate::sabotage::sabotaged;
use crate::table::Table;

const NOT_LOCAL: u16 = 200;
const CURRENT: u16 = 100;
const TO_JUDGE: u16 = 50;

/// One side of a connection.
struct Side {
    label: openflow::SubField,
    generation: openflow::SubField,
    evaluate: openflow::SubField,
    /// The rule that allowed it, of the connection and of the packet.
    rules: [openflow::SubField; 2],
}

const SOURCE: Side = Side {
    label: fields::LABEL_SOURCE_GENERATION,
    generation: fields::SOURCE_GENERATION,
    evaluate: fields::EVALUATE_SOURCE,
    rules: [fields::LABEL_EGRESS_RULE, fields::EGRESS_RULE],
};
const DESTINATION: Side = Side {
    label: fields::LABEL_DESTINATION_GENERATION,
    generation: fields::DESTINATION_GENERATION,
    evaluate: fields::EVALUATE_DESTINATION,
    rules: [fields::LABEL_INGRESS_RULE, fields::INGRESS_RULE],
};

/// One end of a packet's way.
struct End {
    table: Table,
    next: Table,
    port: openflow::SubField,
    group: openflow::SubField,
    /// What it is of a connection's first packet, and of a reply.
    sides: [&'static Side; 2],
}

const ENDS: [End; 2] = [
    End {
        table: Table::SenderState,
        next: Table::ReceiverState,
        port: fields::SOURCE_PORT,
        group: fields::SENDER_GROUP,
        sides: [&SOURCE, &DESTINATION],
    },
    End {
        table: Table::ReceiverState,
        next: Table::Decide,
        port: fields::DESTINATION_PORT,
        group: fields::RECEIVER_GROUP,
        sides: [&DESTINATION, &SOURCE],
    },
];

/// Flows that are everybody's: ends that are not here.
pub(crate) fn fixed(flows: &mut Flows) {
    for end in ENDS {
        let elsewhere = Match::any().bits(end.port, 0u16);
        flows.add(end.table, NOT_LOCAL, Object::Pipeline, elsewhere, vec![go(end.next)]);
    }
}

/// A group with local endpoints, or those of a VRF that are in none.
pub(crate) fn group(vrf: VrfId, group: Option<GroupId>, generation: Generation, flows: &mut Flows) {
    let object = Object::Vrf(vrf);
    let number = group.map_or(0, GroupId::get);
    for end in ENDS {
        for (side, reply) in end.sides.into_iter().zip([0, REPLY]) {
            let of_group = || in_vrf(Match::any(), vrf).bits(end.group, number);
            let current = state(of_group(), reply, NEW | (REPLY & !reply));
            // Defect: whoever was judged once is never judged again.
            let current = if sabotaged!("stale-generation") {
                current
            } else {
                current.bits(side.label, generation.get())
            };
            let [allowed_by, rule] = side.rules;
            let counted = vec![Action::move_bits(allowed_by, rule), go(end.next)];
            flows.add(end.table, CURRENT, object, current, counted);
            let to_judge = state(of_group(), reply, REPLY & !reply);
            let actions =
                vec![load(side.generation, generation.get()), load(side.evaluate, 1u8), go(end.next)];
            flows.add(end.table, TO_JUDGE, object, to_judge, actions);
        }
    }
}
