//! Bytes to actions.
//!
//! # Failure
//! A list whose lengths do not add up is an error. An action that is not understood *entirely* (unknown type,
//! unknown flag, unknown field) becomes [`Action::Unknown`] with all its bytes, so that a foreign flow never looks
//! like one of ours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::action_encode::{nat_range, nxast, ofpat};
use super::cursor::{DecodeError, Reader};
use super::oxm::{read_field_header, read_header, read_payload};
use super::{EXPERIMENTER, NICIRA};
use crate::action::{Commit, Controller, Ct, Nat, NatKind, PortSelection, Resubmit, ResubmitTuple, Zone};
use crate::{Action, Field, PacketInReason, Port, SubField};

/// Deeper nesting than this is refused: decoding recurses.
const MAX_DEPTH: usize = 16;

/// Reads actions to the end of `r`.
pub(super) fn read_actions(r: Reader<'_>) -> Result<Vec<Action>, DecodeError> {
    read_list(r, 0)
}

fn read_list(mut r: Reader<'_>, depth: usize) -> Result<Vec<Action>, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::Nesting);
    }
    let mut actions = Vec::new();
    while !r.is_empty() {
        let action = r.structure(2, 8, "action")?;
        if action.len() % 8 != 0 {
            return Err(DecodeError::Length { what: "action", length: action.len() });
        }
        let known = read_action(action, depth);
        if let Err(DecodeError::Nesting) = known {
            return Err(DecodeError::Nesting);
        }
        actions.push(known.ok().flatten().unwrap_or_else(|| Action::Unknown(action.peek().to_vec())));
    }
    Ok(actions)
}

/// `Ok(None)` or an error: not understood.
fn read_action(mut r: Reader<'_>, depth: usize) -> Result<Option<Action>, DecodeError> {
    let (kind, length) = (r.u16()?, r.u16()?);
    let short = length == 8;
    Ok(match kind {
        ofpat::OUTPUT if length == 16 => {
            let (port, max_len) = (Port(r.u32()?), r.u16()?);
            Some(match port {
                Port::CONTROLLER => Action::Controller(Controller { max_len, ..Controller::default() }),
                port => Action::Output(port),
            })
        }
        ofpat::PUSH_VLAN if short => Some(Action::PushVlan(r.u16()?)),
        ofpat::POP_VLAN if short => Some(Action::PopVlan),
        ofpat::SET_QUEUE if short => Some(Action::SetQueue(r.u32()?)),
        ofpat::GROUP if short => Some(Action::Group(r.u32()?)),
        ofpat::SET_NW_TTL if short => Some(Action::SetNwTtl(r.u8()?)),
        ofpat::DEC_NW_TTL if short => Some(Action::DecTtl),
        ofpat::METER if short => Some(Action::Meter(r.u32()?)),
        ofpat::SET_FIELD => read_set_field(r)?,
        ofpat::COPY_FIELD => {
            let (n_bits, src_offset, dst_offset) = (r.u16()?, r.u16()?, r.u16()?);
            r.skip(2)?;
            read_move(r, n_bits, src_offset, dst_offset)?
        }
        EXPERIMENTER if r.u32()? == NICIRA => read_nicira(r, depth)?,
        _ => None,
    })
}

fn read_nicira(mut r: Reader<'_>, depth: usize) -> Result<Option<Action>, DecodeError> {
    let subtype = r.u16()?;
    // What follows the ten bytes of header; six of them make the shortest action.
    let short = r.len() == 6;
    Ok(match subtype {
        nxast::RESUBMIT if short => {
            let in_port = Some(Port::from_u16(r.u16()?)).filter(|port| *port != Port::IN_PORT);
            Some(Action::Resubmit(Resubmit { in_port, table: None, tuple: ResubmitTuple::Packet }))
        }
        nxast::RESUBMIT_TABLE | nxast::RESUBMIT_TABLE_CT if short => {
            let in_port = Some(Port::from_u16(r.u16()?)).filter(|port| *port != Port::IN_PORT);
            let table = Some(r.u8()?).filter(|table| *table != 255);
            let ct = subtype == nxast::RESUBMIT_TABLE_CT;
            let tuple = if ct { ResubmitTuple::CtOriginal } else { ResubmitTuple::Packet };
            Some(Action::Resubmit(Resubmit { in_port, table, tuple }))
        }
        nxast::REG_MOVE => {
            let (n_bits, src_offset, dst_offset) = (r.u16()?, r.u16()?, r.u16()?);
            read_move(r, n_bits, src_offset, dst_offset)?
        }
        nxast::REG_LOAD => {
            let bits = r.u16()?;
            let field = read_field_header(&mut r)?;
            let value = u128::from(r.u64()?);
            let dst = field.and_then(|field| SubField::try_new(field, bits >> 6, (bits & 63) + 1));
            dst.filter(|dst| value <= dst.max_value()).map(|dst| Action::load(dst, value))
        }
        nxast::REG_LOAD2 => read_set_field(r)?,
        nxast::NOTE => Some(Action::Note(r.rest().to_vec())),
        nxast::OUTPUT_REG => {
            let bits = r.u16()?;
            let field = read_field_header(&mut r)?;
            // Another `max_len` than ours is another action.
            let ours = r.u16()? == u16::MAX;
            let src = field.and_then(|field| SubField::try_new(field, bits >> 6, (bits & 63) + 1));
            src.filter(|_| ours).map(Action::OutputReg)
        }
        nxast::EXIT if short => Some(Action::Exit),
        nxast::CT_CLEAR if short => Some(Action::CtClear),
        nxast::STACK_PUSH => read_stack(r)?.map(Action::Push),
        nxast::STACK_POP => read_stack(r)?.map(Action::Pop),
        nxast::CONJUNCTION if short => {
            let (clause, n_clauses, id) = (r.u8()?, r.u8()?, r.u32()?);
            let valid = clause < n_clauses && (2..=64).contains(&n_clauses);
            // Lazily: the sum of an invalid clause may not fit.
            valid.then(|| Action::Conjunction { id, clause: clause + 1, n_clauses })
        }
        nxast::CONTROLLER if short => {
            let (max_len, controller_id, reason) = (r.u16()?, r.u16()?, PacketInReason::from_u8(r.u8()?));
            Some(Action::Controller(Controller { max_len, controller_id, reason, ..Controller::default() }))
        }
        nxast::CONTROLLER2 => read_controller2(r)?.map(Action::Controller),
        nxast::CLONE => {
            r.skip(6)?;
            Some(Action::Clone(read_list(r, depth + 1)?))
        }
        nxast::CT => read_ct(r, depth)?.map(Action::Ct),
        _ => None,
    })
}

fn read_set_field(mut r: Reader<'_>) -> Result<Option<Action>, DecodeError> {
    let header = read_header(&mut r)?;
    let Some(field) = Field::from_header(header.id) else { return Ok(None) };
    let masked = read_payload(&mut r, field, header)?;
    Ok(Some(Action::SetField { field, value: masked.value, mask: masked.mask }))
}

fn read_move(mut r: Reader<'_>, n_bits: u16, src: u16, dst: u16) -> Result<Option<Action>, DecodeError> {
    let (src_field, dst_field) = (read_field_header(&mut r)?, read_field_header(&mut r)?);
    let src = src_field.and_then(|field| SubField::try_new(field, src, n_bits));
    let dst = dst_field.and_then(|field| SubField::try_new(field, dst, n_bits));
    Ok(src.zip(dst).map(|(src, dst)| Action::Move { src, dst }))
}

fn read_stack(mut r: Reader<'_>) -> Result<Option<SubField>, DecodeError> {
    let offset = r.u16()?;
    let field = read_field_header(&mut r)?;
    let n_bits = r.u16()?;
    Ok(field.and_then(|field| SubField::try_new(field, offset, n_bits)))
}

fn read_controller2(mut r: Reader<'_>) -> Result<Option<Controller>, DecodeError> {
    r.skip(6)?;
    let mut controller = Controller::default();
    while !r.is_empty() {
        let (kind, value) = r.property()?;
        let mut value = Reader::new(value, "controller property");
        match kind {
            0 => controller.max_len = value.u16()?,
            1 => controller.controller_id = value.u16()?,
            2 => controller.reason = PacketInReason::from_u8(value.u8()?),
            3 => controller.userdata = value.rest().to_vec(),
            5 => controller.meter_id = Some(value.u32()?),
            // `pause` among them.
            _ => return Ok(None),
        }
    }
    Ok(Some(controller))
}

fn read_ct(mut r: Reader<'_>, depth: usize) -> Result<Option<Ct>, DecodeError> {
    let commit = match r.u16()? {
        0 => Commit::No,
        1 => Commit::Yes,
        3 => Commit::Force,
        _ => return Ok(None),
    };
    let zone = if r.peek().starts_with(&[0; 4]) {
        r.skip(4)?;
        Zone::Imm(r.u16()?)
    } else {
        let field = read_field_header(&mut r)?;
        let bits = r.u16()?;
        match field.and_then(|field| SubField::try_new(field, bits >> 6, (bits & 63) + 1)) {
            Some(src) => Zone::Sub(src),
            None => return Ok(None),
        }
    };
    let table = Some(r.u8()?).filter(|table| *table != 255);
    r.skip(3)?;
    let mut ct = Ct { commit, zone, table, alg: r.u16()?, nat: None, exec: Vec::new() };
    if let Some(nested) = nat_ahead(&r) {
        let mut nat = r.sub(nested, "nat")?;
        nat.skip(10)?;
        let Some(nat) = read_nat(nat)? else { return Ok(None) };
        ct.nat = Some(nat);
    }
    ct.exec = read_list(r, depth + 1)?;
    Ok(Some(ct))
}

/// The length of the `nat` action that comes next, if one does.
fn nat_ahead(r: &Reader<'_>) -> Option<usize> {
    let mut ahead = *r;
    let (kind, length, vendor, subtype) =
        (ahead.u16().ok()?, ahead.u16().ok()?, ahead.u32().ok()?, ahead.u16().ok()?);
    (kind == EXPERIMENTER && vendor == NICIRA && subtype == nxast::NAT).then_some(usize::from(length))
}

fn read_nat(mut r: Reader<'_>) -> Result<Option<Nat>, DecodeError> {
    r.skip(2)?;
    let (flags, present) = (r.u16()?, r.u16()?);
    let kind = match flags & 3 {
        0 => None,
        1 => Some(NatKind::Src),
        2 => Some(NatKind::Dst),
        _ => return Ok(None),
    };
    let selection = match flags & 24 {
        0 => PortSelection::Default,
        8 => PortSelection::Hash,
        16 => PortSelection::Random,
        _ => return Ok(None),
    };
    if flags & !31 != 0 || present & !63 != 0 {
        return Ok(None);
    }
    let has = |bit: u16| present & bit != 0;
    let mut nat = Nat { kind, selection, persistent: flags & 4 != 0, ..Nat::default() };
    let v4 = |r: &mut Reader<'_>| r.u32().map(|n| IpAddr::V4(Ipv4Addr::from(n)));
    let v6 = |r: &mut Reader<'_>| r.uint(16).map(|n| IpAddr::V6(Ipv6Addr::from(n)));
    if has(nat_range::IPV4_MIN) {
        let low = v4(&mut r)?;
        nat.addresses = Some((low, if has(nat_range::IPV4_MAX) { v4(&mut r)? } else { low }));
    }
    if has(nat_range::IPV6_MIN) {
        let low = v6(&mut r)?;
        nat.addresses = Some((low, if has(nat_range::IPV6_MAX) { v6(&mut r)? } else { low }));
    }
    if has(nat_range::PROTO_MIN) {
        let low = r.u16()?;
        nat.ports = Some((low, if has(nat_range::PROTO_MAX) { r.u16()? } else { low }));
    }
    // A maximum without its minimum, or both families at once: nothing we would print rightly.
    let orphan = |min, max| has(max) && !has(min);
    let odd = orphan(nat_range::IPV4_MIN, nat_range::IPV4_MAX)
        || orphan(nat_range::IPV6_MIN, nat_range::IPV6_MAX)
        || orphan(nat_range::PROTO_MIN, nat_range::PROTO_MAX)
        || has(nat_range::IPV4_MIN) && has(nat_range::IPV6_MIN);
    Ok((!odd).then_some(nat))
}
