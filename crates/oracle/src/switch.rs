//! What a switch does with a packet, read from the flows somebody dumped from it.
//!
//! [`Switch::read`] takes the text of a dump, [`Switch::new`] flows. Then packets can be sent in ([`Switch::send`]): they
//! go through the tables as ovs-fields(7), ovs-actions(7) and ovs-ofctl(8) say, with connection tracking answered by the
//! caller, who says what the tracker would know of the packet.
//!
//! # Failure
//! A field or an action the oracle does not understand is an error that names the flow, when the flows are read: what
//! is left out would be a wider match or a lost effect. Where Open vSwitch leaves open what happens (two flows of one
//! priority that do different things), [`Undefined`] says so instead of choosing.

mod check;
mod dump;
mod execute;
mod lookup;

use std::collections::BTreeMap;

use openflow::Flow;

pub use dump::DumpError;
pub use execute::{Sent, Undefined, Walk};

use lookup::Table;

/// A flow the oracle cannot give a meaning to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("flow not understood, {reason}: {flow}")]
pub struct NotUnderstood {
    /// Its text.
    pub flow: String,
    /// What of it.
    pub reason: String,
}

/// The flow tables of one bridge.
#[derive(Clone, Debug, Default)]
pub struct Switch {
    flows: Vec<Flow>,
    tables: BTreeMap<u8, Table>,
}

/// What connection tracking knows about a packet, whatever the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tracked {
    /// It opens a connection.
    New,
    /// It belongs to a committed connection and goes the way of its first packet.
    Established,
    /// It belongs to a committed connection and goes the other way.
    Reply,
    /// It is an error about a committed connection, and goes the way of its first packet.
    Related,
    /// It is an error about a committed connection, and goes the other way.
    RelatedReply,
    /// It cannot belong to any connection.
    Invalid,
}

impl Tracked {
    /// As `ct_state`, ovs-fields(7) "Connection Tracking Fields".
    pub const fn bits(self) -> u128 {
        const NEW: u128 = 0x01;
        const ESTABLISHED: u128 = 0x02;
        const RELATED: u128 = 0x04;
        const REPLY: u128 = 0x08;
        const INVALID: u128 = 0x10;
        const TRACKED: u128 = 0x20;
        TRACKED
            | match self {
                Self::New => NEW,
                Self::Established => ESTABLISHED,
                Self::Reply => ESTABLISHED | REPLY,
                Self::Related => RELATED,
                Self::RelatedReply => RELATED | REPLY,
                Self::Invalid => INVALID,
            }
    }
}

impl Switch {
    /// The switch that has these flows.
    ///
    /// # Errors
    /// Every flow that is not understood.
    pub fn new(flows: impl IntoIterator<Item = Flow>) -> Result<Self, Vec<NotUnderstood>> {
        let flows: Vec<Flow> = flows.into_iter().collect();
        let wrong: Vec<NotUnderstood> = flows.iter().filter_map(|flow| check::flow(flow).err()).collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let mut tables: BTreeMap<u8, Table> = BTreeMap::new();
        for (index, flow) in flows.iter().enumerate() {
            tables.entry(flow.table).or_default().add(index, flow);
        }
        Ok(Self { flows, tables })
    }

    /// The switch with the flows of `ovs-ofctl dump-flows`, with or without `--no-stats`, with `--no-names`.
    ///
    /// # Errors
    /// The line that is no flow, or every flow that is not understood.
    pub fn read(dump: &str) -> Result<Self, DumpError> {
        Ok(Self::new(dump::flows(dump)?)?)
    }

    /// Its flows, in the order they came.
    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }
}
