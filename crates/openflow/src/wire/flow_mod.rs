//! `OFPT_FLOW_MOD` (OpenFlow 1.5.1 section 7.3.4.2).

use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use super::instruction::{put_instructions, read_instructions};
use super::oxm::{put_match, read_match};
use crate::{Flow, FlowFlags, FlowKey, Match, Port, Version};

/// `OFPTT_ALL`: every table, in deletions.
pub const ALL_TABLES: u8 = 255;
const NO_BUFFER: u32 = 0xffff_ffff;
const ANY_GROUP: u32 = 0xffff_ffff;

/// What a [`FlowMod`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowModCommand {
    /// Adds the flow, replacing one of the same table, priority and match.
    Add,
    /// Changes the actions of every flow the match covers.
    Modify,
    /// Changes the actions of the one flow with this table, priority and match.
    ModifyStrict,
    /// Deletes every flow the match covers.
    Delete,
    /// Deletes the one flow with this table, priority and match.
    DeleteStrict,
}

impl FlowModCommand {
    const ALL: [FlowModCommand; 5] = [
        FlowModCommand::Add,
        FlowModCommand::Modify,
        FlowModCommand::ModifyStrict,
        FlowModCommand::Delete,
        FlowModCommand::DeleteStrict,
    ];
}

/// A change to the flow tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMod {
    /// What it does.
    pub command: FlowModCommand,
    /// The flow added, or what selects the flows changed. Its cookie selects too, under `cookie_mask`.
    pub flow: Flow,
    /// Which cookie bits must agree, in modifications and deletions; 0 none.
    pub cookie_mask: u64,
    /// Deletions: only flows that output here; [`Port::ANY`] all.
    pub out_port: Port,
    /// Deletions: only flows that use this group; `u32::MAX` all.
    pub out_group: u32,
    /// A buffered packet to apply the flow to; `u32::MAX` none.
    pub buffer_id: u32,
}

impl FlowMod {
    fn new(command: FlowModCommand, flow: Flow) -> FlowMod {
        FlowMod {
            command,
            flow,
            cookie_mask: 0,
            out_port: Port::ANY,
            out_group: ANY_GROUP,
            buffer_id: NO_BUFFER,
        }
    }

    /// Adds a flow, replacing one of the same key.
    pub fn add(flow: Flow) -> FlowMod {
        FlowMod::new(FlowModCommand::Add, flow)
    }

    /// Changes the actions of the flow of the same key, if it is there; its cookie and counters stay.
    pub fn modify_strict(flow: Flow) -> FlowMod {
        FlowMod::new(FlowModCommand::ModifyStrict, flow)
    }

    /// Deletes the flow of this key, if it is there.
    pub fn delete_strict(key: FlowKey) -> FlowMod {
        FlowMod::new(FlowModCommand::DeleteStrict, Flow::new(key.table, key.priority, key.matches))
    }

    /// Deletes every flow of a table ([`ALL_TABLES`]: of all) that `matches` covers.
    pub fn delete(table: u8, matches: Match) -> FlowMod {
        FlowMod::new(FlowModCommand::Delete, Flow::new(table, 0, matches))
    }

    /// Only flows whose cookie agrees with `cookie` in the bits of `mask`.
    #[must_use]
    pub fn with_cookie(mut self, cookie: u64, mask: u64) -> FlowMod {
        self.flow.cookie = cookie;
        self.cookie_mask = mask;
        self
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let flow = &self.flow;
        if flow.table == ALL_TABLES
            && !matches!(self.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict)
        {
            return Err(EncodeError::Invalid { what: "flow", reason: "table 255 is none" });
        }
        if w.version < Version::V1_4 && flow.importance != 0 {
            return Err(EncodeError::Unsupported { what: "importance", version: w.version });
        }
        w.u64(flow.cookie);
        w.u64(self.cookie_mask);
        w.u8(flow.table);
        w.u8(FlowModCommand::ALL.iter().position(|c| *c == self.command).unwrap_or(0) as u8);
        w.u16(flow.idle_timeout);
        w.u16(flow.hard_timeout);
        w.u16(flow.priority);
        w.u32(self.buffer_id);
        w.u32(self.out_port.0);
        w.u32(self.out_group);
        w.u16(flow.flags.0);
        w.u16(flow.importance);
        put_match(w, &flow.matches)?;
        put_instructions(w, &flow.actions)
    }

    pub(super) fn read(mut r: Reader<'_>) -> Result<FlowMod, DecodeError> {
        let (cookie, cookie_mask, table, command) = (r.u64()?, r.u64()?, r.u8()?, r.u8()?);
        let command = FlowModCommand::ALL.get(usize::from(command)).copied();
        let command = command.ok_or(DecodeError::Value { what: "flow mod command", value: 5 })?;
        let (idle_timeout, hard_timeout, priority) = (r.u16()?, r.u16()?, r.u16()?);
        let (buffer_id, out_port, out_group) = (r.u32()?, Port(r.u32()?), r.u32()?);
        let (flags, importance) = (FlowFlags(r.u16()?), r.u16()?);
        let matches = read_match(&mut r)?;
        let actions = read_instructions(r)?;
        let flow =
            Flow { table, priority, cookie, matches, actions, idle_timeout, hard_timeout, flags, importance };
        Ok(FlowMod { command, flow, cookie_mask, out_port, out_group, buffer_id })
    }
}
