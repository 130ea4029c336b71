//! Actions to bytes: OpenFlow's own (`OFPAT_*`) and Open vSwitch's (`NXAST_*`, nicira-ext.h).

use std::net::IpAddr;

use super::cursor::{EncodeError, Writer};
use super::oxm::{put_field, put_field_header};
use super::{EXPERIMENTER, NICIRA};
use crate::action::{Commit, Controller, Ct, Nat, NatKind, PortSelection, Resubmit, ResubmitTuple, Zone};
use crate::{Action, Field, PacketInReason, Port, SubField, Version};

/// Action type numbers of the specification.
pub(super) mod ofpat {
    pub(crate) const OUTPUT: u16 = 0;
    pub(crate) const PUSH_VLAN: u16 = 17;
    pub(crate) const POP_VLAN: u16 = 18;
    pub(crate) const SET_QUEUE: u16 = 21;
    pub(crate) const GROUP: u16 = 22;
    pub(crate) const SET_NW_TTL: u16 = 23;
    pub(crate) const DEC_NW_TTL: u16 = 24;
    pub(crate) const SET_FIELD: u16 = 25;
    pub(crate) const COPY_FIELD: u16 = 28;
    pub(crate) const METER: u16 = 29;
}

/// Subtypes of Nicira actions.
pub(super) mod nxast {
    pub(crate) const RESUBMIT: u16 = 1;
    pub(crate) const REG_MOVE: u16 = 6;
    pub(crate) const REG_LOAD: u16 = 7;
    pub(crate) const NOTE: u16 = 8;
    pub(crate) const RESUBMIT_TABLE: u16 = 14;
    pub(crate) const OUTPUT_REG: u16 = 15;
    pub(crate) const EXIT: u16 = 17;
    pub(crate) const CONTROLLER: u16 = 20;
    pub(crate) const STACK_PUSH: u16 = 27;
    pub(crate) const STACK_POP: u16 = 28;
    pub(crate) const REG_LOAD2: u16 = 33;
    pub(crate) const CONJUNCTION: u16 = 34;
    pub(crate) const CT: u16 = 35;
    pub(crate) const NAT: u16 = 36;
    pub(crate) const CONTROLLER2: u16 = 37;
    pub(crate) const CLONE: u16 = 42;
    pub(crate) const CT_CLEAR: u16 = 43;
    pub(crate) const RESUBMIT_TABLE_CT: u16 = 44;
}

/// `NX_NAT_*` range-present bits.
pub(super) mod nat_range {
    pub(crate) const IPV4_MIN: u16 = 1;
    pub(crate) const IPV4_MAX: u16 = 2;
    pub(crate) const IPV6_MIN: u16 = 4;
    pub(crate) const IPV6_MAX: u16 = 8;
    pub(crate) const PROTO_MIN: u16 = 16;
    pub(crate) const PROTO_MAX: u16 = 32;
}

/// Writes a list of actions.
pub(super) fn put_actions(w: &mut Writer<'_>, actions: &[Action]) -> Result<(), EncodeError> {
    actions.iter().try_for_each(|action| put_action(w, action))
}

fn put_action(w: &mut Writer<'_>, action: &Action) -> Result<(), EncodeError> {
    match action {
        Action::Output(Port::CONTROLLER) => invalid("output", "to the controller is Action::Controller"),
        Action::Output(port) => put_output(w, *port, 0),
        Action::Controller(controller) if controller.is_plain_output() => {
            put_output(w, Port::CONTROLLER, controller.max_len)
        }
        Action::Controller(controller) => put_controller(w, controller),
        Action::OutputReg(src) => put_output_reg(w, *src),
        Action::Group(id) => plain(w, ofpat::GROUP, |w| w.u32(*id)),
        Action::SetQueue(id) => plain(w, ofpat::SET_QUEUE, |w| w.u32(*id)),
        Action::Meter(id) if w.version >= Version::V1_5 => plain(w, ofpat::METER, |w| w.u32(*id)),
        Action::SetNwTtl(ttl) => plain(w, ofpat::SET_NW_TTL, |w| w.u8(*ttl)),
        Action::DecTtl => plain(w, ofpat::DEC_NW_TTL, |_| ()),
        Action::PushVlan(eth_type) => plain(w, ofpat::PUSH_VLAN, |w| w.u16(*eth_type)),
        Action::PopVlan => plain(w, ofpat::POP_VLAN, |_| ()),
        Action::SetField { field, value, mask } => put_set_field(w, *field, *value, *mask),
        Action::Move { src, dst } => put_move(w, *src, *dst),
        Action::Push(bits) => put_stack(w, nxast::STACK_PUSH, *bits),
        Action::Pop(bits) => put_stack(w, nxast::STACK_POP, *bits),
        Action::Resubmit(resubmit) => put_resubmit(w, *resubmit),
        Action::Ct(ct) => put_ct(w, ct),
        Action::CtClear => nicira(w, nxast::CT_CLEAR, |w| {
            w.zeros(6);
            Ok(())
        }),
        Action::Conjunction { id, clause, n_clauses } => put_conjunction(w, *id, *clause, *n_clauses),
        Action::Note(bytes) if bytes.len() % 8 == 6 => nicira(w, nxast::NOTE, |w| {
            w.bytes(bytes);
            Ok(())
        }),
        Action::Note(_) => invalid("note", "length is not 6 + 8n"),
        Action::Clone(actions) => nicira(w, nxast::CLONE, |w| {
            w.zeros(6);
            put_actions(w, actions)
        }),
        Action::Exit => nicira(w, nxast::EXIT, |w| {
            w.zeros(6);
            Ok(())
        }),
        Action::Unknown(bytes) => {
            w.bytes(bytes);
            Ok(())
        }
        Action::Meter(_)
        | Action::GotoTable(_)
        | Action::WriteMetadata { .. }
        | Action::ClearActions
        | Action::WriteActions(_)
        | Action::UnknownInstruction(_) => invalid("action list", "an instruction cannot stand here"),
    }
}

/// Refuses a value that has another, canonical form, or none: it would come back different from the switch.
fn invalid(what: &'static str, reason: &'static str) -> Result<(), EncodeError> {
    Err(EncodeError::Invalid { what, reason })
}

/// An action of the specification with a body that fits its first eight bytes.
fn plain(w: &mut Writer<'_>, kind: u16, body: impl FnOnce(&mut Writer<'_>)) -> Result<(), EncodeError> {
    let start = w.pos();
    w.u16(kind);
    w.u16(8);
    body(w);
    w.pad_from(start);
    Ok(())
}

/// A Nicira action: `body` follows the ten header bytes (`struct nx_action_header` without padding).
fn nicira(
    w: &mut Writer<'_>,
    subtype: u16,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = w.pos();
    w.u16(EXPERIMENTER);
    w.u16(0);
    w.u32(NICIRA);
    w.u16(subtype);
    body(w)?;
    w.pad_from(start);
    w.patch_len(start + 2, start, "action")
}

fn put_output(w: &mut Writer<'_>, port: Port, max_len: u16) -> Result<(), EncodeError> {
    w.u16(ofpat::OUTPUT);
    w.u16(16);
    w.u32(port.0);
    w.u16(max_len);
    w.zeros(6);
    Ok(())
}

/// `ofs_nbits`: offset in the upper ten bits, width less one in the lower six.
fn ofs_nbits(bits: SubField) -> Result<u16, EncodeError> {
    if bits.n_bits() > 64 {
        return Err(EncodeError::Invalid { what: "subfield", reason: "more than 64 bits" });
    }
    Ok(bits.offset() << 6 | (bits.n_bits() - 1))
}

/// A 4-byte header; fields of experimenter classes have none.
fn put_short_header(w: &mut Writer<'_>, field: Field) -> Result<(), EncodeError> {
    let version = w.version;
    match field.nxm_header() {
        Some(id) if id.class != EXPERIMENTER => put_field_header(w, field, None),
        _ => Err(EncodeError::NoHeader { field, version }),
    }
}

fn put_output_reg(w: &mut Writer<'_>, src: SubField) -> Result<(), EncodeError> {
    nicira(w, nxast::OUTPUT_REG, |w| {
        w.u16(ofs_nbits(src)?);
        put_short_header(w, src.field())?;
        // `max_len` counts for the controller only; this is what ovs-ofctl sends.
        w.u16(u16::MAX);
        w.zeros(6);
        Ok(())
    })
}

fn put_set_field(w: &mut Writer<'_>, field: Field, value: u128, mask: u128) -> Result<(), EncodeError> {
    if w.version < Version::V1_5 && mask != field.full_mask() {
        // Only OpenFlow 1.5 has masks here.
        return nicira(w, nxast::REG_LOAD2, |w| put_field(w, field, value, mask));
    }
    let start = w.pos();
    w.u16(ofpat::SET_FIELD);
    w.u16(0);
    put_field(w, field, value, mask)?;
    w.pad_from(start);
    w.patch_len(start + 2, start, "set_field")
}

fn put_move(w: &mut Writer<'_>, src: SubField, dst: SubField) -> Result<(), EncodeError> {
    if src.n_bits() != dst.n_bits() {
        return invalid("move", "source and destination differ in width");
    }
    if w.version < Version::V1_5 {
        return nicira(w, nxast::REG_MOVE, |w| {
            w.u16(src.n_bits());
            w.u16(src.offset());
            w.u16(dst.offset());
            put_short_header(w, src.field())?;
            put_short_header(w, dst.field())
        });
    }
    let (start, version) = (w.pos(), w.version);
    w.u16(ofpat::COPY_FIELD);
    w.u16(0);
    w.u16(src.n_bits());
    w.u16(src.offset());
    w.u16(dst.offset());
    w.zeros(2);
    put_field_header(w, src.field(), Some(version))?;
    put_field_header(w, dst.field(), Some(version))?;
    w.pad_from(start);
    w.patch_len(start + 2, start, "move")
}

fn put_stack(w: &mut Writer<'_>, subtype: u16, bits: SubField) -> Result<(), EncodeError> {
    nicira(w, subtype, |w| {
        w.u16(bits.offset());
        put_field_header(w, bits.field(), None)?;
        w.u16(bits.n_bits());
        // The structure is 24 bytes whether the header has 4 or 8.
        w.zeros(if bits.field().nxm_header().is_some_and(|id| id.class == EXPERIMENTER) { 2 } else { 6 });
        Ok(())
    })
}

fn put_resubmit(w: &mut Writer<'_>, resubmit: Resubmit) -> Result<(), EncodeError> {
    let Resubmit { in_port, table, tuple } = resubmit;
    if in_port == Some(Port::IN_PORT) || table == Some(255) {
        return invalid("resubmit", "to the same port or table is None");
    }
    let too_high = EncodeError::Invalid { what: "resubmit", reason: "port above 65279" };
    let port = in_port.unwrap_or(Port::IN_PORT).to_u16().ok_or(too_high)?;
    let subtype = match tuple {
        ResubmitTuple::Packet => nxast::RESUBMIT_TABLE,
        ResubmitTuple::CtOriginal => nxast::RESUBMIT_TABLE_CT,
    };
    nicira(w, subtype, |w| {
        w.u16(port);
        // 255 is "the current table".
        w.u8(table.unwrap_or(255));
        w.zeros(3);
        Ok(())
    })
}

fn put_conjunction(w: &mut Writer<'_>, id: u32, clause: u8, n_clauses: u8) -> Result<(), EncodeError> {
    // ovs-fields(7): 1 <= k <= n and 2 <= n <= 64.
    if !(2..=64).contains(&n_clauses) || !(1..=n_clauses).contains(&clause) {
        return invalid("conjunction", "k/n out of range");
    }
    nicira(w, nxast::CONJUNCTION, |w| {
        w.u8(clause - 1);
        w.u8(n_clauses);
        w.u32(id);
        Ok(())
    })
}

/// A 16-bit property's value: its length counts the padding, other than in byte properties (`struct ofpprop_be16`).
fn padded(n: u16) -> [u8; 4] {
    (u32::from(n) << 16).to_be_bytes()
}

fn put_controller(w: &mut Writer<'_>, c: &Controller) -> Result<(), EncodeError> {
    if c.userdata.is_empty() && c.meter_id.is_none() {
        return nicira(w, nxast::CONTROLLER, |w| {
            w.u16(c.max_len);
            w.u16(c.controller_id);
            w.u8(c.reason.as_u8());
            w.u8(0);
            Ok(())
        });
    }
    nicira(w, nxast::CONTROLLER2, |w| {
        w.zeros(6);
        if c.max_len != u16::MAX {
            w.property(0, &padded(c.max_len))?;
        }
        if c.controller_id != 0 {
            w.property(1, &padded(c.controller_id))?;
        }
        if c.reason != PacketInReason::Action {
            w.property(2, &[c.reason.as_u8()])?;
        }
        if !c.userdata.is_empty() {
            w.property(3, &c.userdata)?;
        }
        if let Some(meter) = c.meter_id {
            w.property(5, &meter.to_be_bytes())?;
        }
        Ok(())
    })
}

/// `struct nx_action_conntrack`; the actions on the connection follow it, translation first.
fn put_ct(w: &mut Writer<'_>, ct: &Ct) -> Result<(), EncodeError> {
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
