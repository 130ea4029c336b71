//! Flow monitors of OpenFlow 1.4 and later: `OFPMP_FLOW_MONITOR` (OpenFlow 1.5.1 section 7.3.5.17).
//!
//! The switch tells of each change to the flows a monitor selects. Changes that this very connection made come as
//! *abbreviations*, the transaction id alone: that is how own changes and foreign ones are told apart.

use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use super::instruction::{put_instructions, read_instructions};
use super::oxm::{put_match, read_match};
use crate::{Flow, FlowFlags, Match, Port};

/// What a monitor reports (`OFPFMF_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonitorFlags(pub u16);

impl MonitorFlags {
    /// The flows that are there already.
    pub const INITIAL: MonitorFlags = MonitorFlags(1);
    /// Flows added.
    pub const ADD: MonitorFlags = MonitorFlags(2);
    /// Flows removed.
    pub const REMOVED: MonitorFlags = MonitorFlags(4);
    /// Flows modified.
    pub const MODIFY: MonitorFlags = MonitorFlags(8);
    /// With their instructions.
    pub const INSTRUCTIONS: MonitorFlags = MonitorFlags(16);
    /// Own changes in full.
    pub const NO_ABBREV: MonitorFlags = MonitorFlags(32);
    /// Own changes only.
    pub const ONLY_OWN: MonitorFlags = MonitorFlags(64);
    /// Every change, own ones abbreviated.
    pub const CHANGES: MonitorFlags = MonitorFlags(2 | 4 | 8 | 16);

    /// Both sets.
    #[must_use]
    pub fn union(self, other: MonitorFlags) -> MonitorFlags {
        MonitorFlags(self.0 | other.0)
    }
}

/// What to do with a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorCommand {
    /// Start it.
    Add,
    /// Change it.
    Modify,
    /// Stop it.
    Delete,
}

/// A monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorRequest {
    /// What to do.
    pub command: MonitorCommand,
    /// The monitor's id on this connection.
    pub id: u32,
    /// What it reports.
    pub flags: MonitorFlags,
    /// Only this table; 255 all.
    pub table: u8,
    /// Only flows that output here; [`Port::ANY`] all.
    pub out_port: Port,
    /// Only flows that use this group; `u32::MAX` all.
    pub out_group: u32,
    /// Only flows this covers.
    pub matches: Match,
}

impl MonitorRequest {
    /// A monitor of all changes in all tables.
    pub fn all(id: u32, flags: MonitorFlags) -> MonitorRequest {
        MonitorRequest {
            command: MonitorCommand::Add,
            id,
            flags,
            table: 255,
            out_port: Port::ANY,
            out_group: u32::MAX,
            matches: Match::any(),
        }
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.u32(self.id);
        w.u32(self.out_port.0);
        w.u32(self.out_group);
        w.u16(self.flags.0);
        w.u8(self.table);
        w.u8(match self.command {
            MonitorCommand::Add => 0,
            MonitorCommand::Modify => 1,
            MonitorCommand::Delete => 2,
        });
        put_match(w, &self.matches)
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<MonitorRequest, DecodeError> {
        let (id, out_port, out_group, flags, table) =
            (r.u32()?, Port(r.u32()?), r.u32()?, MonitorFlags(r.u16()?), r.u8()?);
        let command = match r.u8()? {
            0 => MonitorCommand::Add,
            1 => MonitorCommand::Modify,
            2 => MonitorCommand::Delete,
            n => return Err(DecodeError::Value { what: "monitor command", value: n.into() }),
        };
        Ok(MonitorRequest { command, id, flags, table, out_port, out_group, matches: read_match(r)? })
    }
}

/// How a flow came to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowChange {
    /// It was there when the monitor started.
    Initial,
    /// It was added.
    Added,
    /// It was removed, for this reason (`OFPRR_*`).
    Removed(u8),
    /// It was modified.
    Modified,
}

/// One report of a monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowUpdate {
    /// A change to a flow. Without `INSTRUCTIONS` the actions are empty.
    Flow(FlowChange, Box<Flow>),
    /// Changes that this connection's message with this transaction id made.
    Abbreviated {
        /// The transaction id.
        xid: u32,
    },
    /// The switch holds reports back: this connection reads too slowly.
    Paused,
    /// Reports go on.
    Resumed,
    /// A kind this crate has no name for, header included.
    Unknown(Vec<u8>),
}

impl FlowUpdate {
    pub(super) fn read_all(mut r: Reader<'_>) -> Result<Vec<FlowUpdate>, DecodeError> {
        let mut updates = Vec::new();
        while !r.is_empty() {
            updates.push(FlowUpdate::read(r.structure(0, 8, "flow update")?)?);
        }
        Ok(updates)
    }

    fn read(mut r: Reader<'_>) -> Result<FlowUpdate, DecodeError> {
        let whole = r.peek();
        r.skip(2)?;
        let event = r.u16()?;
        Ok(match event {
            0..=3 => {
                let (table, reason, idle_timeout, hard_timeout, priority) =
                    (r.u8()?, r.u8()?, r.u16()?, r.u16()?, r.u16()?);
                r.skip(4)?;
                let cookie = r.u64()?;
                let change = match event {
                    0 => FlowChange::Initial,
                    1 => FlowChange::Added,
                    2 => FlowChange::Removed(reason),
                    _ => FlowChange::Modified,
                };
                let matches = read_match(&mut r)?;
                let actions = read_instructions(r)?;
                let flags = FlowFlags::NONE;
                FlowUpdate::Flow(
                    change,
                    Box::new(Flow {
                        table,
                        priority,
                        cookie,
                        matches,
                        actions,
                        idle_timeout,
                        hard_timeout,
                        flags,
                        importance: 0,
                    }),
                )
            }
            4 => FlowUpdate::Abbreviated { xid: r.u32()? },
            5 => FlowUpdate::Paused,
            6 => FlowUpdate::Resumed,
            _ => FlowUpdate::Unknown(whole.to_vec()),
        })
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let start = w.pos();
        w.u16(0);
        match self {
            FlowUpdate::Flow(change, flow) => {
                let (event, reason) = match change {
                    FlowChange::Initial => (0, 0),
                    FlowChange::Added => (1, 0),
                    FlowChange::Removed(reason) => (2, *reason),
                    FlowChange::Modified => (3, 0),
                };
                w.u16(event);
                w.u8(flow.table);
                w.u8(reason);
                w.u16(flow.idle_timeout);
                w.u16(flow.hard_timeout);
                w.u16(flow.priority);
                w.zeros(4);
                w.u64(flow.cookie);
                put_match(w, &flow.matches)?;
                put_instructions(w, &flow.actions)?;
            }
            FlowUpdate::Abbreviated { xid } => {
                w.u16(4);
                w.u32(*xid);
            }
            FlowUpdate::Paused | FlowUpdate::Resumed => {
                w.u16(if *self == FlowUpdate::Paused { 5 } else { 6 });
                w.zeros(4);
            }
            FlowUpdate::Unknown(bytes) => w.bytes(bytes.get(2..).unwrap_or_default()),
        }
        w.patch_len(start, start, "flow update")
    }
}
