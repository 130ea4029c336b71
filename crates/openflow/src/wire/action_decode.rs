//! Bytes to actions.
//!
//! # Failure
//! A list whose lengths do not add up is an error. An action that is not understood *entirely* (unknown type,
//! unknown flag, unknown field) becomes [`Action::Unknown`] with all its bytes, so that a foreign flow never looks
//! like one of ours.

use super::action_encode::{nxast, ofpat};
use super::ct_action::read_ct;
use super::cursor::{DecodeError, Reader};
use super::encap::read_encap;
use super::learn::read_learn;
use super::oxm::{read_field_header, read_header, read_payload, read_tun_option};
use super::select::{read_bundle, read_multipath};
use super::{EXPERIMENTER, NICIRA};
use crate::action::{Controller, PacketType, Resubmit, ResubmitTuple, Sample, SampleDirection};
use crate::{Action, Field, PacketInReason, Port, SubField};

/// Deeper nesting than this is refused: decoding recurses.
const MAX_DEPTH: usize = 16;

/// Reads actions to the end of `r`.
pub(super) fn read_actions(r: Reader<'_>) -> Result<Vec<Action>, DecodeError> {
    read_list(r, 0)
}

pub(super) fn read_list(mut r: Reader<'_>, depth: usize) -> Result<Vec<Action>, DecodeError> {
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
        actions.push(known.ok().flatten().unwrap_or_else(|| Action::Unknown(action.peek().into())));
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
                Port::CONTROLLER => Action::controller(Controller { max_len, ..Controller::default() }),
                port => Action::Output(port),
            })
        }
        ofpat::PUSH_VLAN if short => Some(Action::PushVlan(r.u16()?)),
        ofpat::POP_VLAN if short => Some(Action::PopVlan),
        ofpat::SET_MPLS_TTL if short => Some(Action::SetMplsTtl(r.u8()?)),
        ofpat::DEC_MPLS_TTL if short => Some(Action::DecMplsTtl),
        ofpat::PUSH_MPLS if short => Some(Action::PushMpls(r.u16()?)),
        ofpat::POP_MPLS if short => Some(Action::PopMpls(r.u16()?)),
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
        nxast::POP_QUEUE if short => Some(Action::PopQueue),
        nxast::MULTIPATH => read_multipath(r)?.map(|multipath| Action::Multipath(Box::new(multipath))),
        nxast::BUNDLE | nxast::BUNDLE_LOAD => {
            read_bundle(r, subtype)?.map(|bundle| Action::Bundle(Box::new(bundle)))
        }
        nxast::LEARN | nxast::LEARN2 => read_learn(r, subtype)?.map(|learn| Action::Learn(Box::new(learn))),
        nxast::ENCAP => read_encap(r)?.map(|encap| Action::Encap(Box::new(encap))),
        nxast::DECAP if short => {
            r.skip(2)?;
            Some(Action::Decap(PacketType(r.u32()?)))
        }
        nxast::DEC_NSH_TTL if short => Some(Action::DecNshTtl),
        nxast::FIN_TIMEOUT if short => Some(Action::FinTimeout { idle: r.u16()?, hard: r.u16()? }),
        nxast::DEC_TTL_CNT_IDS => read_dec_ttl_ids(r)?,
        nxast::OUTPUT_TRUNC if short => {
            let (port, max_len) = (Port::from_u16(r.u16()?), r.u32()?);
            Some(Action::OutputTruncated { port, max_len }).filter(|_| max_len >= 14)
        }
        nxast::SAMPLE | nxast::SAMPLE2 | nxast::SAMPLE3 => read_sample(r, subtype)?,
        nxast::CHECK_PKT_LARGER => {
            let (length, offset) = (r.u16()?, r.u16()?);
            let field = read_field_header(&mut r)?;
            let dst = field.and_then(|field| SubField::try_new(field, offset, 1));
            dst.map(|dst| Action::CheckPktLarger { length, dst })
        }
        nxast::DELETE_FIELD => read_field_header(&mut r)?.map(Action::DeleteField),
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
        nxast::NOTE => Some(Action::Note(r.rest().into())),
        nxast::OUTPUT_REG => {
            let bits = r.u16()?;
            let field = read_field_header(&mut r)?;
            // Another `max_len` than ours is another action.
            let ours = r.u16()? == u16::MAX;
            let src = field.and_then(|field| SubField::try_new(field, bits >> 6, (bits & 63) + 1));
            src.filter(|_| ours).map(Action::OutputReg)
        }
        nxast::OUTPUT_REG2 => {
            let (bits, max_len) = (r.u16()?, r.u16()?);
            let field = read_field_header(&mut r)?;
            let field = field.filter(|f| f.nxm_header().is_some_and(|id| id.class == EXPERIMENTER));
            let src = field.and_then(|field| SubField::try_new(field, bits >> 6, (bits & 63) + 1));
            src.filter(|_| max_len == u16::MAX).map(Action::OutputReg)
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
            Some(Action::controller(Controller { max_len, controller_id, reason, ..Controller::default() }))
        }
        nxast::CONTROLLER2 => read_controller2(r)?.map(Action::controller),
        nxast::CLONE => {
            r.skip(6)?;
            Some(Action::clone_of(read_list(r, depth + 1)?))
        }
        nxast::CT => read_ct(r, depth)?.map(Action::ct),
        _ => None,
    })
}

fn read_set_field(mut r: Reader<'_>) -> Result<Option<Action>, DecodeError> {
    let header = read_header(&mut r)?;
    let Some(field) = Field::from_header(header.id) else { return Ok(None) };
    if let Field::TunMetadata(option) = field {
        let value = Box::new(read_tun_option(&mut r, header)?);
        return Ok(Some(Action::SetTunMetadata { option, value }));
    }
    let masked = read_payload(&mut r, field, header)?;
    Ok(Some(Action::set_bits(field, masked.value, masked.mask)))
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
            3 => controller.userdata = value.rest().into(),
            4 if value.is_empty() => controller.pause = true,
            5 => controller.meter_id = Some(value.u32()?),
            _ => return Ok(None),
        }
    }
    Ok(Some(controller))
}

fn read_dec_ttl_ids(mut r: Reader<'_>) -> Result<Option<Action>, DecodeError> {
    let n = usize::from(r.u16()?);
    r.skip(4)?;
    let ids = r.bytes(2 * n)?;
    let ids = ids.chunks_exact(2).map(|id| u16::from_be_bytes([id[0], id[1]])).collect();
    Ok((n > 0).then_some(Action::DecTtlIds(ids)))
}

fn read_sample(mut r: Reader<'_>, subtype: u16) -> Result<Option<Action>, DecodeError> {
    let mut sample = Sample {
        probability: r.u16()?,
        collector_set_id: r.u32()?,
        obs_domain_id: r.u32()?,
        obs_point_id: r.u32()?,
        sampling_port: Port::ANY,
        direction: SampleDirection::Default,
    };
    if subtype != nxast::SAMPLE {
        sample.sampling_port = Port::from_u16(r.u16()?);
        sample.direction = match r.u8()? {
            // Each form has one way to be written.
            0 if subtype == nxast::SAMPLE2 && sample.sampling_port != Port::ANY => SampleDirection::Default,
            1 | 2 if subtype == nxast::SAMPLE2 => return Ok(None),
            1 => SampleDirection::Ingress,
            2 => SampleDirection::Egress,
            _ => return Ok(None),
        };
    }
    Ok((sample.probability != 0).then(|| Action::Sample(Box::new(sample))))
}
