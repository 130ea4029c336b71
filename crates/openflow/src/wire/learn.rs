//! `NXAST_LEARN` and `NXAST_LEARN2` (nicira-ext.h, `struct nx_action_learn`, `struct nx_action_learn2`).
//!
//! After the fixed part stand the specs: a 16-bit header (number of bits, kind of source, kind of destination), the
//! source, the destination. A header of zeros ends them.

use super::action_encode::{invalid, nicira, nxast};
use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use super::oxm::{put_field_header, read_field_header};
use crate::SubField;
use crate::action::{Learn, LearnLimit, LearnSource, LearnSpec};

const SEND_FLOW_REM: u16 = 1;
const DELETE_LEARNED: u16 = 2;
const WRITE_RESULT: u16 = 4;

/// Bits of a spec's header.
const N_BITS: u16 = 0x07ff;
const DST_MATCH: u16 = 0 << 11;
const DST_LOAD: u16 = 1 << 11;
const DST_OUTPUT: u16 = 2 << 11;
const SRC_IMMEDIATE: u16 = 1 << 13;

pub(super) fn put_learn(w: &mut Writer<'_>, learn: &Learn) -> Result<(), EncodeError> {
    check(learn)?;
    let result = learn.limit.and_then(|limit| limit.result);
    let flag = |on: bool, bit: u16| if on { bit } else { 0 };
    nicira(w, if learn.limit.is_some() { nxast::LEARN2 } else { nxast::LEARN }, |w| {
        w.u16(learn.idle_timeout);
        w.u16(learn.hard_timeout);
        w.u16(learn.priority);
        w.u64(learn.cookie);
        w.u16(
            flag(learn.send_flow_rem, SEND_FLOW_REM)
                | flag(learn.delete_learned, DELETE_LEARNED)
                | flag(result.is_some(), WRITE_RESULT),
        );
        w.u8(learn.table);
        w.u8(0);
        w.u16(learn.fin_idle_timeout);
        w.u16(learn.fin_hard_timeout);
        if let Some(limit) = learn.limit {
            w.u32(limit.limit);
            w.u16(result.map_or(0, SubField::offset));
            w.zeros(2);
            if let Some(result) = result {
                put_field_header(w, result.field(), None)?;
            }
        }
        learn.specs.iter().try_for_each(|spec| put_spec(w, spec))
    })
}

fn check(learn: &Learn) -> Result<(), EncodeError> {
    if learn.table == 255 {
        return invalid("learn", "table 255 is none");
    }
    match learn.limit {
        Some(LearnLimit { limit: 0, .. }) => invalid("learn", "no limit is None"),
        Some(LearnLimit { result: Some(bit), .. }) if bit.n_bits() != 1 => {
            invalid("learn", "the result is one bit")
        }
        _ => Ok(()),
    }
}

fn put_spec(w: &mut Writer<'_>, spec: &LearnSpec) -> Result<(), EncodeError> {
    let (kind, src, dst) = match spec {
        LearnSpec::Match { src, dst } => (DST_MATCH, *src, Some(*dst)),
        LearnSpec::Load { src, dst } => (DST_LOAD, *src, Some(*dst)),
        LearnSpec::Output(src) => (DST_OUTPUT, LearnSource::Packet(*src), None),
    };
    let n_bits = match (dst, src) {
        (Some(dst), LearnSource::Packet(src)) if src.n_bits() != dst.n_bits() => {
            return invalid("learn", "source and destination differ in width");
        }
        (Some(dst), LearnSource::Value(value)) if dst.n_bits() > 128 || value > dst.max_value() => {
            return invalid("learn", "the value does not fit the bits");
        }
        (Some(dst), _) => dst.n_bits(),
        (None, LearnSource::Packet(src)) => src.n_bits(),
        (None, LearnSource::Value(_)) => return invalid("learn", "output to a fixed port"),
    };
    match src {
        LearnSource::Packet(src) => {
            w.u16(kind | n_bits);
            put_bits(w, src)?;
        }
        LearnSource::Value(value) => {
            w.u16(kind | SRC_IMMEDIATE | n_bits);
            w.uint(value, value_len(n_bits));
        }
    }
    dst.map_or(Ok(()), |dst| put_bits(w, dst))
}

/// An immediate takes whole 16-bit words.
fn value_len(n_bits: u16) -> usize {
    2 * usize::from(n_bits.div_ceil(16))
}

fn put_bits(w: &mut Writer<'_>, bits: SubField) -> Result<(), EncodeError> {
    put_field_header(w, bits.field(), None)?;
    w.u16(bits.offset());
    Ok(())
}

/// `Ok(None)`: not understood.
pub(super) fn read_learn(mut r: Reader<'_>, subtype: u16) -> Result<Option<Learn>, DecodeError> {
    let (idle_timeout, hard_timeout, priority) = (r.u16()?, r.u16()?, r.u16()?);
    let (cookie, flags, table, reserved) = (r.u64()?, r.u16()?, r.u8()?, r.u8()?);
    let (fin_idle_timeout, fin_hard_timeout) = (r.u16()?, r.u16()?);
    let mut limit = None;
    let known_flags = SEND_FLOW_REM | DELETE_LEARNED;
    if subtype == nxast::LEARN2 {
        let (max, offset, reserved) = (r.u32()?, r.u16()?, r.u16()?);
        let result = match flags & WRITE_RESULT {
            0 => None,
            _ => match read_field_header(&mut r)?.and_then(|field| SubField::try_new(field, offset, 1)) {
                Some(bit) => Some(bit),
                None => return Ok(None),
            },
        };
        if max == 0 || reserved != 0 || result.is_none() && offset != 0 {
            return Ok(None);
        }
        limit = Some(LearnLimit { limit: max, result });
    }
    let known_flags = if limit.is_some() { known_flags | WRITE_RESULT } else { known_flags };
    if flags & !known_flags != 0 || table == 255 || reserved != 0 {
        return Ok(None);
    }
    let mut specs = Vec::new();
    while r.len() >= 2 {
        let header = r.u16()?;
        if header == 0 {
            break;
        }
        let Some(spec) = read_spec(&mut r, header)? else { return Ok(None) };
        specs.push(spec);
    }
    if r.rest().iter().any(|byte| *byte != 0) {
        return Ok(None);
    }
    Ok(Some(Learn {
        table,
        priority,
        cookie,
        idle_timeout,
        hard_timeout,
        fin_idle_timeout,
        fin_hard_timeout,
        send_flow_rem: flags & SEND_FLOW_REM != 0,
        delete_learned: flags & DELETE_LEARNED != 0,
        limit,
        specs,
    }))
}

fn read_spec(r: &mut Reader<'_>, header: u16) -> Result<Option<LearnSpec>, DecodeError> {
    let n_bits = header & N_BITS;
    let kind = header & !(N_BITS | SRC_IMMEDIATE);
    if n_bits == 0 || header & SRC_IMMEDIATE != 0 && n_bits > 128 {
        return Ok(None);
    }
    let src = if header & SRC_IMMEDIATE != 0 {
        LearnSource::Value(r.uint(value_len(n_bits))?)
    } else {
        let Some(src) = read_bits(r, n_bits)? else { return Ok(None) };
        LearnSource::Packet(src)
    };
    let spec = match (kind, src) {
        (DST_OUTPUT, LearnSource::Packet(src)) => Some(LearnSpec::Output(src)),
        (DST_MATCH, src) => read_bits(r, n_bits)?.map(|dst| LearnSpec::Match { src, dst }),
        (DST_LOAD, src) => read_bits(r, n_bits)?.map(|dst| LearnSpec::Load { src, dst }),
        _ => None,
    };
    let fits = |spec: &LearnSpec| match spec {
        LearnSpec::Match { src: LearnSource::Value(value), dst }
        | LearnSpec::Load { src: LearnSource::Value(value), dst } => *value <= dst.max_value(),
        _ => true,
    };
    Ok(spec.filter(fits))
}

fn read_bits(r: &mut Reader<'_>, n_bits: u16) -> Result<Option<SubField>, DecodeError> {
    let field = read_field_header(r)?;
    let offset = r.u16()?;
    Ok(field.and_then(|field| SubField::try_new(field, offset, n_bits)))
}
