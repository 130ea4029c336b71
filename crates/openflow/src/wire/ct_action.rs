//! `NXAST_CT` and `NXAST_NAT` (nicira-ext.h, `struct nx_action_conntrack`, `struct nx_action_nat`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::action_decode::read_list;
use super::action_encode::{invalid, nicira, nxast, ofs_nbits, put_actions, put_short_header};
use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use super::oxm::read_field_header;
use super::{EXPERIMENTER, NICIRA};
use crate::SubField;
use crate::action::{Commit, Ct, Nat, NatKind, PortSelection, Zone};

/// `NX_NAT_*` range-present bits.
mod nat_range {
    pub(super) const IPV4_MIN: u16 = 1;
    pub(super) const IPV4_MAX: u16 = 2;
    pub(super) const IPV6_MIN: u16 = 4;
    pub(super) const IPV6_MAX: u16 = 8;
    pub(super) const PROTO_MIN: u16 = 16;
    pub(super) const PROTO_MAX: u16 = 32;
}

/// `struct nx_action_conntrack`; the actions on the connection follow it, translation first.
pub(super) fn put_ct(w: &mut Writer<'_>, ct: &Ct) -> Result<(), EncodeError> {
    if ct.table == Some(255) {
        return invalid("ct", "table 255 is none");
    }
    nicira(w, nxast::CT, |w| {
        w.u16(match ct.commit {
            Commit::No => 0,
            Commit::Yes => 1,
            Commit::Force => 3,
        });
        match ct.zone {
            Zone::Imm(zone) => {
                w.u32(0);
                w.u16(zone);
            }
            Zone::Sub(src) if src.n_bits() == 16 => {
                put_short_header(w, src.field())?;
                w.u16(ofs_nbits(src)?);
            }
            Zone::Sub(_) => return invalid("ct", "a zone has 16 bits"),
        }
        w.u8(ct.table.unwrap_or(255));
        w.zeros(3);
        w.u16(ct.alg);
        if let Some(nat) = &ct.nat {
            put_nat(w, nat)?;
        }
        put_actions(w, &ct.exec)
    })
}

fn put_nat(w: &mut Writer<'_>, nat: &Nat) -> Result<(), EncodeError> {
    if nat.kind.is_none() && *nat != Nat::default() {
        return invalid("nat", "a range needs src or dst");
    }
    if nat.addresses.is_some_and(|(low, high)| low > high) || nat.ports.is_some_and(|(low, high)| low > high)
    {
        return invalid("nat", "range reversed");
    }
    let mut flags = match nat.kind {
        None => 0,
        Some(NatKind::Src) => 1,
        Some(NatKind::Dst) => 2,
    };
    flags |= if nat.persistent { 4 } else { 0 };
    flags |= match nat.selection {
        PortSelection::Default => 0,
        PortSelection::Hash => 8,
        PortSelection::Random => 16,
    };
    let mut present = 0;
    let mut range = Vec::new();
    match nat.addresses {
        None => {}
        Some((IpAddr::V4(low), IpAddr::V4(high))) => {
            present |= nat_range::IPV4_MIN;
            range.extend(low.octets());
            if high != low {
                present |= nat_range::IPV4_MAX;
                range.extend(high.octets());
            }
        }
        Some((IpAddr::V6(low), IpAddr::V6(high))) => {
            present |= nat_range::IPV6_MIN;
            range.extend(low.octets());
            if high != low {
                present |= nat_range::IPV6_MAX;
                range.extend(high.octets());
            }
        }
        Some(_) => return invalid("nat", "range mixes address families"),
    }
    if let Some((low, high)) = nat.ports {
        present |= nat_range::PROTO_MIN;
        range.extend(low.to_be_bytes());
        if high != low {
            present |= nat_range::PROTO_MAX;
            range.extend(high.to_be_bytes());
        }
    }
    nicira(w, nxast::NAT, |w| {
        w.zeros(2);
        w.u16(flags);
        w.u16(present);
        w.bytes(&range);
        Ok(())
    })
}

pub(super) fn read_ct(mut r: Reader<'_>, depth: usize) -> Result<Option<Ct>, DecodeError> {
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
