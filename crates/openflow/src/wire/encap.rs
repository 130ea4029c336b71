//! `NXAST_ENCAP` and its properties (nicira-ext.h, `struct nx_action_encap`; `struct ofp_ed_prop_header`).

use super::action_encode::{invalid, nicira, nxast};
use super::cursor::{DecodeError, EncodeError, Reader, Writer, pad8};
use crate::action::{Encap, EncapProperty, PacketType};

/// `OFPPPC_NSH`: properties of the Network Service Header.
const NSH: u16 = 4;
const MD_TYPE: u8 = 1;
const TLV: u8 = 2;

pub(super) fn put_encap(w: &mut Writer<'_>, encap: &Encap) -> Result<(), EncodeError> {
    if !encap.properties.is_empty() && encap.header != PacketType::NSH {
        return invalid("encap", "only nsh has properties");
    }
    nicira(w, nxast::ENCAP, |w| {
        w.zeros(2);
        w.u32(encap.header.0);
        encap.properties.iter().try_for_each(|property| put_property(w, property))
    })
}

fn put_property(w: &mut Writer<'_>, property: &EncapProperty) -> Result<(), EncodeError> {
    w.u16(NSH);
    match property {
        EncapProperty::NshMdType(md_type) => {
            w.u8(MD_TYPE);
            // Without its padding, other than an option.
            w.u8(5);
            w.u8(*md_type);
            w.zeros(3);
        }
        EncapProperty::NshTlv { class, kind, value } => {
            let length = 8 + value.len();
            let padded = length + pad8(length);
            let (Ok(padded), Ok(len)) = (u8::try_from(padded), u8::try_from(value.len())) else {
                return invalid("encap", "nsh option too long");
            };
            w.u8(TLV);
            w.u8(padded);
            w.u16(*class);
            w.u8(*kind);
            w.u8(len);
            w.bytes(value);
            w.zeros(pad8(length));
        }
    }
    Ok(())
}

/// `Ok(None)`: not understood.
pub(super) fn read_encap(mut r: Reader<'_>) -> Result<Option<Encap>, DecodeError> {
    let (hdr_size, header) = (r.u16()?, PacketType(r.u32()?));
    let mut properties = Vec::new();
    while !r.is_empty() {
        let (class, kind, length) = (r.u16()?, r.u8()?, usize::from(r.u8()?));
        let body = length.checked_sub(4).ok_or(DecodeError::Length { what: "encap property", length })?;
        let mut value = r.sub(body, "encap property")?;
        let padding = r.bytes(pad8(length))?;
        let property = match (class, kind) {
            (NSH, MD_TYPE) if length == 5 => EncapProperty::NshMdType(value.u8()?),
            (NSH, TLV) if padding.is_empty() => {
                let (class, kind, len) = (value.u16()?, value.u8()?, value.u8()?);
                let bytes = value.bytes(usize::from(len))?.to_vec();
                if value.len() >= 8 {
                    return Ok(None);
                }
                EncapProperty::NshTlv { class, kind, value: bytes }
            }
            _ => return Ok(None),
        };
        properties.push(property);
    }
    let known = PacketType::NAMES.iter().any(|(_, packet_type)| *packet_type == header);
    Ok((known && hdr_size == 0).then_some(Encap { header, properties }))
}
