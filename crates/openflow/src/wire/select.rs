//! `NXAST_MULTIPATH`, `NXAST_BUNDLE`, `NXAST_BUNDLE_LOAD` (nicira-ext.h).

use super::action_encode::{invalid, nicira, nxast, ofs_nbits, put_short_header};
use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use super::oxm::read_field_header;
use crate::action::{BundleAction, BundleAlgorithm, HashFields, Multipath, MultipathAlgorithm};
use crate::{Port, SubField};

/// `NXM_OF_IN_PORT`: members are port numbers, the only kind there is.
const OFPORT: u32 = 0x0000_0002;
/// `BUNDLE_MAX_SLAVES`.
const MAX_MEMBERS: usize = 2048;

pub(super) fn put_multipath(w: &mut Writer<'_>, multipath: &Multipath) -> Result<(), EncodeError> {
    let n_links = u32::from(multipath.max_link) + 1;
    if multipath.dst.n_bits() < 16 && n_links > 1 << multipath.dst.n_bits() {
        return invalid("multipath", "the destination cannot hold every link");
    }
    nicira(w, nxast::MULTIPATH, |w| {
        w.u16(multipath.fields.as_u16());
        w.u16(multipath.basis);
        w.zeros(2);
        w.u16(multipath.algorithm.as_u16());
        w.u16(multipath.max_link);
        w.u32(multipath.arg);
        w.zeros(2);
        w.u16(ofs_nbits(multipath.dst)?);
        put_short_header(w, multipath.dst.field())
    })
}

/// `Ok(None)`: not understood.
pub(super) fn read_multipath(mut r: Reader<'_>) -> Result<Option<Multipath>, DecodeError> {
    let (fields, basis) = (HashFields::from_u16(r.u16()?), r.u16()?);
    r.skip(2)?;
    let (algorithm, max_link, arg) = (MultipathAlgorithm::from_u16(r.u16()?), r.u16()?, r.u32()?);
    r.skip(2)?;
    let bits = r.u16()?;
    let dst = read_field_header(&mut r)?;
    let dst = dst.and_then(|field| SubField::try_new(field, bits >> 6, (bits & 63) + 1));
    let all = fields.zip(algorithm).zip(dst);
    Ok(all.map(|((fields, algorithm), dst)| Multipath { fields, basis, algorithm, max_link, arg, dst }))
}

pub(super) fn put_bundle(w: &mut Writer<'_>, bundle: &BundleAction) -> Result<(), EncodeError> {
    if bundle.members.len() > MAX_MEMBERS {
        return invalid("bundle", "more than 2048 members");
    }
    if bundle.dst.is_some_and(|dst| dst.n_bits() < 16) {
        return invalid("bundle_load", "a port number has 16 bits");
    }
    let members: Option<Vec<u16>> = bundle.members.iter().map(|port| port.to_u16()).collect();
    let Some(members) = members else { return invalid("bundle", "port above 65279") };
    nicira(w, if bundle.dst.is_some() { nxast::BUNDLE_LOAD } else { nxast::BUNDLE }, |w| {
        w.u16(bundle.algorithm.as_u16());
        w.u16(bundle.fields.as_u16());
        w.u16(bundle.basis);
        w.u32(OFPORT);
        w.u16(members.len() as u16);
        match bundle.dst {
            None => w.zeros(6),
            Some(dst) => {
                w.u16(ofs_nbits(dst)?);
                put_short_header(w, dst.field())?;
            }
        }
        w.zeros(4);
        members.iter().for_each(|port| w.u16(*port));
        Ok(())
    })
}

/// `Ok(None)`: not understood.
pub(super) fn read_bundle(mut r: Reader<'_>, subtype: u16) -> Result<Option<BundleAction>, DecodeError> {
    let algorithm = BundleAlgorithm::from_u16(r.u16()?);
    let (fields, basis, kind) = (HashFields::from_u16(r.u16()?), r.u16()?, r.u32()?);
    let (n, bits) = (usize::from(r.u16()?), r.u16()?);
    let dst = if subtype == nxast::BUNDLE_LOAD {
        let field = read_field_header(&mut r)?;
        let dst = field.and_then(|field| SubField::try_new(field, bits >> 6, (bits & 63) + 1));
        let Some(dst) = dst.filter(|dst| dst.n_bits() >= 16) else { return Ok(None) };
        Some(dst)
    } else {
        r.skip(4)?;
        None
    };
    r.skip(4)?;
    let members = r.bytes(2 * n)?;
    let (Some(algorithm), Some(fields)) = (algorithm, fields) else { return Ok(None) };
    let members = members.chunks_exact(2).map(|port| Port::from_u16(u16::from_be_bytes([port[0], port[1]])));
    let bundle = BundleAction { algorithm, fields, basis, dst, members: members.collect() };
    Ok((kind == OFPORT && n <= MAX_MEMBERS).then_some(bundle))
}
