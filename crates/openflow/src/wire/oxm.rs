//! OXM/NXM TLVs and `struct ofp_match` (OpenFlow 1.5.1 section 7.2.3).

use super::EXPERIMENTER;
use super::cursor::{DecodeError, EncodeError, Reader, Writer, pad8};
use crate::field::OxmId;
use crate::flow_match::Masked;
use crate::{Field, Match, TunOption, Version};

const OFPMT_OXM: u16 = 1;

/// A decoded OXM header.
#[derive(Clone, Copy, Debug)]
pub(super) struct OxmHeader {
    pub(super) id: OxmId,
    pub(super) has_mask: bool,
    /// Payload bytes, without the experimenter id.
    pub(super) length: usize,
}

/// Reads a header of 4 bytes, or of 8 for experimenter classes.
pub(super) fn read_header(r: &mut Reader<'_>) -> Result<OxmHeader, DecodeError> {
    let (class, number, length) = (r.u16()?, r.u8()?, usize::from(r.u8()?));
    let bad = DecodeError::Length { what: "oxm", length };
    let (experimenter, length) =
        if class == EXPERIMENTER { (r.u32()?, length.checked_sub(4).ok_or(bad)?) } else { (0, length) };
    Ok(OxmHeader {
        id: OxmId { class, number: number >> 1, experimenter },
        has_mask: number & 1 != 0,
        length,
    })
}

fn write_header(w: &mut Writer<'_>, id: OxmId, length: usize, masked: bool) {
    let payload = if masked { length * 2 } else { length };
    w.u16(id.class);
    w.u8(id.number << 1 | u8::from(masked));
    if id.class == EXPERIMENTER {
        w.u8(payload as u8 + 4);
        w.u32(id.experimenter);
    } else {
        w.u8(payload as u8);
    }
}

/// Writes the bare header of a field, as actions name it. `version` `None` prefers the Nicira form.
pub(super) fn put_field_header(
    w: &mut Writer<'_>,
    field: Field,
    version: Option<Version>,
) -> Result<(), EncodeError> {
    let id = version.map_or_else(|| field.nxm_header(), |version| field.header(version));
    let id = id.ok_or(EncodeError::NoHeader { field, version: w.version })?;
    write_header(w, id, usize::from(field.def().n_bytes), false);
    Ok(())
}

/// Reads the bare header of a field; `None` if the field is unknown.
pub(super) fn read_field_header(r: &mut Reader<'_>) -> Result<Option<Field>, DecodeError> {
    Ok(Field::from_header(read_header(r)?.id))
}

/// Writes a field with its value, and its mask unless that covers the field.
pub(super) fn put_field(
    w: &mut Writer<'_>,
    field: Field,
    value: u128,
    mask: u128,
) -> Result<(), EncodeError> {
    let n = usize::from(field.def().n_bytes);
    let full = field.full_mask();
    if value & !mask != 0 || value > field.max_value() || mask & !full != 0 || mask == 0 {
        return Err(EncodeError::FieldValue { field });
    }
    let id = field.header(w.version).ok_or(EncodeError::NoHeader { field, version: w.version })?;
    let masked = mask != full;
    write_header(w, id, n, masked);
    w.uint(value, n);
    if masked {
        w.uint(mask, n);
    }
    Ok(())
}

/// Writes a field with a mask in the place of its value, as the fields of a selection method are.
pub(super) fn put_field_mask(w: &mut Writer<'_>, field: Field, mask: u128) -> Result<(), EncodeError> {
    let n = usize::from(field.def().n_bytes);
    if mask == 0 || mask & !field.full_mask() != 0 || n > 16 {
        return Err(EncodeError::FieldValue { field });
    }
    let id = field.header(w.version).ok_or(EncodeError::NoHeader { field, version: w.version })?;
    write_header(w, id, n, false);
    // All bits of a field that does not fill its bytes are written as all bits of those.
    let mask = if mask == field.full_mask() { u128::MAX } else { mask };
    w.uint(mask, n);
    Ok(())
}

/// Reads such a field; `None` if it is not known, or its payload is no mask of it.
pub(super) fn read_field_mask(r: &mut Reader<'_>) -> Option<(Field, u128)> {
    let header = read_header(r).ok()?;
    let field = Field::from_header(header.id)?;
    let n = usize::from(field.def().n_bytes);
    if header.has_mask || header.length != n || n > 16 {
        return None;
    }
    let mask = r.uint(n).ok()?;
    let all = u128::MAX >> (128 - 8 * n as u32);
    let mask = if mask == all { field.full_mask() } else { mask };
    (mask != 0 && mask & !field.full_mask() == 0).then_some((field, mask))
}

/// Reads value and mask of `field` from a TLV's payload.
pub(super) fn read_payload(
    r: &mut Reader<'_>,
    field: Field,
    header: OxmHeader,
) -> Result<Masked, DecodeError> {
    let n = usize::from(field.def().n_bytes);
    if header.length != if header.has_mask { 2 * n } else { n } {
        return Err(DecodeError::Length { what: "oxm", length: header.length });
    }
    let full = field.full_mask();
    let value = r.uint(n)?;
    // A mask may be written wider than the field's significant bits; a value may not.
    let mask = if header.has_mask { r.uint(n)? & full } else { full };
    if value > field.max_value() {
        return Err(DecodeError::FieldValue { field });
    }
    Ok(Masked { value: value & mask, mask })
}

/// Writes a tunnel option; its header has the length of the value at hand.
pub(super) fn put_tun_option(w: &mut Writer<'_>, option: u8, value: &TunOption) -> Result<(), EncodeError> {
    let field = Field::TunMetadata(option);
    let id = field.nxm_header().ok_or(EncodeError::NoHeader { field, version: w.version })?;
    write_header(w, id, value.value().len(), value.mask().is_some());
    w.bytes(value.value());
    w.bytes(value.mask().unwrap_or_default());
    Ok(())
}

/// Reads the payload of a tunnel option.
pub(super) fn read_tun_option(r: &mut Reader<'_>, header: OxmHeader) -> Result<TunOption, DecodeError> {
    let bad = DecodeError::Length { what: "tunnel option", length: header.length };
    let option = if header.has_mask {
        let half = header.length / 2;
        let (value, mask) = (r.bytes(half)?, r.bytes(header.length - half)?);
        TunOption::masked(value, mask)
    } else {
        TunOption::exact(r.bytes(header.length)?)
    };
    option.ok_or(bad)
}

/// Writes the TLVs of a match.
pub(super) fn put_tlvs(w: &mut Writer<'_>, matches: &Match) -> Result<(), EncodeError> {
    matches.check()?;
    // Tunnel options stand after the other fields of the tunnel, as in `nx_put_raw`.
    let mut options = matches.tun_options();
    for (field, Masked { value, mask }) in matches.iter() {
        if field > Field::TunGbpFlags {
            options.try_for_each(|(option, value)| put_tun_option(w, option, value))?;
        }
        match field {
            // Open vSwitch speaks of register pairs in OpenFlow 1.5 (`nx_put_raw`); an even register without its
            // odd neighbour is a pair with half a mask.
            Field::Reg(n) if w.version >= Version::V1_5 => {
                let odd = n % 2 == 1;
                if odd && matches.get(Field::Reg(n - 1)).is_some() {
                    continue;
                }
                let other = matches.get(Field::Reg(n ^ 1)).filter(|_| !odd);
                let low = other.unwrap_or(Masked { value: 0, mask: 0 });
                let (value, mask) =
                    if odd { (value, mask) } else { (value << 32 | low.value, mask << 32 | low.mask) };
                put_field(w, Field::XReg(n / 2), value, mask)?;
            }
            field => put_field(w, field, value, mask)?,
        }
    }
    options.try_for_each(|(option, value)| put_tun_option(w, option, value))?;
    matches.unknown().for_each(|tlv| w.bytes(tlv));
    Ok(())
}

/// Reads TLVs to the end of `r`.
pub(super) fn read_tlvs(mut r: Reader<'_>) -> Result<Match, DecodeError> {
    let mut matches = Match::any();
    let mut seen: Vec<OxmId> = Vec::new();
    while !r.is_empty() {
        let tlv = r.peek();
        let header = read_header(&mut r)?;
        if seen.contains(&header.id) {
            return Err(DecodeError::DuplicateField);
        }
        seen.push(header.id);
        match Field::from_header(header.id) {
            Some(Field::TunMetadata(option)) => {
                matches.insert_tun_metadata(option, read_tun_option(&mut r, header)?);
            }
            Some(field) => {
                let Masked { value, mask } = read_payload(&mut r, field, header)?;
                matches.insert(field, value, mask);
            }
            None => {
                r.skip(header.length)?;
                matches.insert_unknown(tlv[..tlv.len() - r.len()].to_vec());
            }
        }
    }
    Ok(matches)
}

/// Writes `struct ofp_match`, padded.
pub(super) fn put_match(w: &mut Writer<'_>, matches: &Match) -> Result<(), EncodeError> {
    let start = w.pos();
    w.u16(OFPMT_OXM);
    w.u16(0);
    put_tlvs(w, matches)?;
    w.patch_len(start + 2, start, "match")?;
    w.pad_from(start);
    Ok(())
}

/// Reads `struct ofp_match` and its padding.
pub(super) fn read_match(r: &mut Reader<'_>) -> Result<Match, DecodeError> {
    let (kind, length) = (r.u16()?, usize::from(r.u16()?));
    if kind != OFPMT_OXM {
        return Err(DecodeError::Value { what: "match type", value: kind.into() });
    }
    let body = length.checked_sub(4).ok_or(DecodeError::Length { what: "match", length })?;
    let matches = read_tlvs(r.sub(body, "match")?)?;
    r.skip(pad8(length))?;
    Ok(matches)
}
