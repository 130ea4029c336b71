//! Instructions (OpenFlow 1.5.1 section 7.2.4): where a flow's actions stand on the wire.
//!
//! # Invariants
//! The order of [`Action`]s in a flow is that of ovs-actions(7): meter, actions, `clear_actions`, `write_actions`,
//! `write_metadata`, `goto_table`. Another order is refused, because the switch would not keep it.

use super::action_decode::read_actions;
use super::action_encode::put_actions;
use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use crate::{Action, Version};

const GOTO_TABLE: u16 = 1;
const WRITE_METADATA: u16 = 2;
const WRITE_ACTIONS: u16 = 3;
const APPLY_ACTIONS: u16 = 4;
const CLEAR_ACTIONS: u16 = 5;
const METER: u16 = 6;

/// Writes the instructions of a flow.
pub(super) fn put_instructions(w: &mut Writer<'_>, actions: &[Action]) -> Result<(), EncodeError> {
    if !actions.is_sorted_by_key(rank) {
        let reason = "instructions must follow the actions, goto_table last, meter first";
        return Err(EncodeError::Invalid { what: "actions", reason });
    }
    let meter_is_instruction = w.version < Version::V1_5;
    let is_apply = |action: &Action| match action {
        Action::Meter(_) => !meter_is_instruction,
        action => rank(action) == 1,
    };
    let first = actions.iter().position(is_apply);
    let Some(first) = first else {
        return actions.iter().try_for_each(|action| put_instruction(w, action));
    };
    let end =
        actions[first..].iter().position(|action| !is_apply(action)).map_or(actions.len(), |n| first + n);
    actions[..first].iter().try_for_each(|action| put_instruction(w, action))?;
    put_action_list(w, APPLY_ACTIONS, &actions[first..end])?;
    actions[end..].iter().try_for_each(|action| put_instruction(w, action))
}

fn rank(action: &Action) -> u8 {
    match action {
        Action::Meter(_) => 0,
        Action::ClearActions => 2,
        Action::WriteActions(_) => 3,
        Action::WriteMetadata { .. } => 4,
        Action::GotoTable(_) => 5,
        Action::UnknownInstruction(_) => 6,
        _ => 1,
    }
}

fn put_action_list(w: &mut Writer<'_>, kind: u16, actions: &[Action]) -> Result<(), EncodeError> {
    let start = w.pos();
    w.u16(kind);
    w.u16(0);
    w.zeros(4);
    put_actions(w, actions)?;
    w.patch_len(start + 2, start, "action list")
}

fn put_instruction(w: &mut Writer<'_>, action: &Action) -> Result<(), EncodeError> {
    match action {
        Action::GotoTable(table) => {
            w.u16(GOTO_TABLE);
            w.u16(8);
            w.u8(*table);
            w.zeros(3);
        }
        Action::WriteMetadata { value, mask } => {
            if value & !mask != 0 {
                return Err(EncodeError::FieldValue { field: crate::Field::Metadata });
            }
            w.u16(WRITE_METADATA);
            w.u16(24);
            w.zeros(4);
            w.u64(*value);
            w.u64(*mask);
        }
        Action::WriteActions(actions) if actions.is_empty() => {
            let reason = "writing no actions is no instruction";
            return Err(EncodeError::Invalid { what: "write_actions", reason });
        }
        Action::WriteActions(actions) => put_action_list(w, WRITE_ACTIONS, actions)?,
        Action::ClearActions => {
            w.u16(CLEAR_ACTIONS);
            w.u16(8);
            w.zeros(4);
        }
        Action::Meter(id) => {
            w.u16(METER);
            w.u16(8);
            w.u32(*id);
        }
        Action::UnknownInstruction(bytes) => w.bytes(bytes),
        _ => return Err(EncodeError::Invalid { what: "actions", reason: "two runs of actions" }),
    }
    Ok(())
}

/// Reads instructions to the end of `r`.
pub(super) fn read_instructions(mut r: Reader<'_>) -> Result<Vec<Action>, DecodeError> {
    let mut actions = Vec::new();
    while !r.is_empty() {
        let instruction = r.structure(2, 4, "instruction")?;
        read_instruction(instruction, &mut actions)?;
    }
    actions.sort_by_key(rank);
    Ok(actions)
}

fn read_instruction(r: Reader<'_>, actions: &mut Vec<Action>) -> Result<(), DecodeError> {
    let whole = r.peek();
    let mut r = r;
    let kind = r.u16()?;
    r.skip(2)?;
    match (kind, whole.len()) {
        (GOTO_TABLE, 8) => actions.push(Action::GotoTable(r.u8()?)),
        (WRITE_METADATA, 24) => {
            r.skip(4)?;
            let (value, mask) = (r.u64()?, r.u64()?);
            actions.push(Action::WriteMetadata { value: value & mask, mask });
        }
        (WRITE_ACTIONS, 8..) => {
            r.skip(4)?;
            let written = read_actions(r)?;
            if !written.is_empty() {
                actions.push(Action::WriteActions(written.into()));
            }
        }
        (APPLY_ACTIONS, 8..) => {
            r.skip(4)?;
            actions.extend(read_actions(r)?);
        }
        (CLEAR_ACTIONS, 8) => actions.push(Action::ClearActions),
        (METER, 8) => actions.push(Action::Meter(r.u32()?)),
        _ => actions.push(Action::UnknownInstruction(whole.into())),
    }
    Ok(())
}
