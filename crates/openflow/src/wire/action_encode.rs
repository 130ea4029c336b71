//! Actions to bytes: OpenFlow's own (`OFPAT_*`) and Open vSwitch's (`NXAST_*`, nicira-ext.h).

use super::ct_action::put_ct;
use super::cursor::{EncodeError, Writer};
use super::encap::put_encap;
use super::learn::put_learn;
use super::oxm::{put_field, put_field_header, put_tun_option};
use super::select::{put_bundle, put_multipath};
use super::{EXPERIMENTER, NICIRA};
use crate::action::{Controller, Resubmit, ResubmitTuple, Sample, SampleDirection, SetField};
use crate::{Action, Field, PacketInReason, Port, SubField, TunOption, Version};

/// Action type numbers of the specification.
pub(super) mod ofpat {
    pub(crate) const OUTPUT: u16 = 0;
    pub(crate) const SET_MPLS_TTL: u16 = 15;
    pub(crate) const DEC_MPLS_TTL: u16 = 16;
    pub(crate) const PUSH_VLAN: u16 = 17;
    pub(crate) const POP_VLAN: u16 = 18;
    pub(crate) const PUSH_MPLS: u16 = 19;
    pub(crate) const POP_MPLS: u16 = 20;
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
    pub(crate) const POP_QUEUE: u16 = 5;
    pub(crate) const REG_MOVE: u16 = 6;
    pub(crate) const REG_LOAD: u16 = 7;
    pub(crate) const NOTE: u16 = 8;
    pub(crate) const MULTIPATH: u16 = 10;
    pub(crate) const BUNDLE: u16 = 12;
    pub(crate) const BUNDLE_LOAD: u16 = 13;
    pub(crate) const RESUBMIT_TABLE: u16 = 14;
    pub(crate) const OUTPUT_REG: u16 = 15;
    pub(crate) const LEARN: u16 = 16;
    pub(crate) const EXIT: u16 = 17;
    pub(crate) const FIN_TIMEOUT: u16 = 19;
    pub(crate) const CONTROLLER: u16 = 20;
    pub(crate) const DEC_TTL_CNT_IDS: u16 = 21;
    pub(crate) const STACK_PUSH: u16 = 27;
    pub(crate) const STACK_POP: u16 = 28;
    pub(crate) const SAMPLE: u16 = 29;
    pub(crate) const OUTPUT_REG2: u16 = 32;
    pub(crate) const REG_LOAD2: u16 = 33;
    pub(crate) const CONJUNCTION: u16 = 34;
    pub(crate) const CT: u16 = 35;
    pub(crate) const NAT: u16 = 36;
    pub(crate) const CONTROLLER2: u16 = 37;
    pub(crate) const SAMPLE2: u16 = 38;
    pub(crate) const OUTPUT_TRUNC: u16 = 39;
    pub(crate) const SAMPLE3: u16 = 41;
    pub(crate) const CLONE: u16 = 42;
    pub(crate) const CT_CLEAR: u16 = 43;
    pub(crate) const RESUBMIT_TABLE_CT: u16 = 44;
    pub(crate) const LEARN2: u16 = 45;
    pub(crate) const ENCAP: u16 = 46;
    pub(crate) const DECAP: u16 = 47;
    pub(crate) const DEC_NSH_TTL: u16 = 48;
    pub(crate) const CHECK_PKT_LARGER: u16 = 49;
    pub(crate) const DELETE_FIELD: u16 = 50;
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
        Action::Group(id) => plain(w, ofpat::GROUP, |w| w.u32(*id)),
        Action::SetQueue(id) => plain(w, ofpat::SET_QUEUE, |w| w.u32(*id)),
        Action::Meter(id) if w.version >= Version::V1_5 => plain(w, ofpat::METER, |w| w.u32(*id)),
        Action::SetNwTtl(ttl) => plain(w, ofpat::SET_NW_TTL, |w| w.u8(*ttl)),
        Action::DecTtl => plain(w, ofpat::DEC_NW_TTL, |_| ()),
        Action::SetMplsTtl(ttl) => plain(w, ofpat::SET_MPLS_TTL, |w| w.u8(*ttl)),
        Action::DecMplsTtl => plain(w, ofpat::DEC_MPLS_TTL, |_| ()),
        Action::PushVlan(eth_type) => plain(w, ofpat::PUSH_VLAN, |w| w.u16(*eth_type)),
        Action::PopVlan => plain(w, ofpat::POP_VLAN, |_| ()),
        Action::PushMpls(eth_type) => plain(w, ofpat::PUSH_MPLS, |w| w.u16(*eth_type)),
        Action::PopMpls(eth_type) => plain(w, ofpat::POP_MPLS, |w| w.u16(*eth_type)),
        Action::SetField(set) => put_set_field(w, set),
        Action::Move { src, dst } => put_move(w, *src, *dst),
        Action::Unknown(bytes) => put_unknown(w, bytes),
        Action::Meter(_)
        | Action::GotoTable(_)
        | Action::WriteMetadata { .. }
        | Action::ClearActions
        | Action::WriteActions(_)
        | Action::UnknownInstruction(_) => invalid("action list", "an instruction cannot stand here"),
        action => put_extension(w, action),
    }
}

/// Actions of Open vSwitch.
fn put_extension(w: &mut Writer<'_>, action: &Action) -> Result<(), EncodeError> {
    match action {
        Action::Controller(controller) => put_controller(w, controller),
        Action::OutputReg(src) => put_output_reg(w, *src),
        Action::OutputTruncated { port, max_len } => put_truncated(w, *port, *max_len),
        Action::Bundle(bundle) => put_bundle(w, bundle),
        Action::Multipath(multipath) => put_multipath(w, multipath),
        Action::PopQueue => bare(w, nxast::POP_QUEUE),
        Action::SetTunMetadata { option, value } => put_set_tun_metadata(w, *option, value),
        Action::DeleteField(field) => put_delete_field(w, *field),
        Action::Push(bits) => put_stack(w, nxast::STACK_PUSH, *bits),
        Action::Pop(bits) => {
            check_writable(bits.field())?;
            put_stack(w, nxast::STACK_POP, *bits)
        }
        Action::Resubmit(resubmit) => put_resubmit(w, *resubmit),
        Action::Ct(ct) => put_ct(w, ct),
        Action::CtClear => bare(w, nxast::CT_CLEAR),
        Action::Conjunction { id, clause, n_clauses } => put_conjunction(w, *id, *clause, *n_clauses),
        Action::Learn(learn) => put_learn(w, learn),
        Action::FinTimeout { idle, hard } => nicira(w, nxast::FIN_TIMEOUT, |w| {
            w.u16(*idle);
            w.u16(*hard);
            Ok(())
        }),
        Action::CheckPktLarger { length, dst } => put_check_pkt_larger(w, *length, *dst),
        Action::DecTtlIds(ids) => put_dec_ttl_ids(w, ids),
        Action::DecNshTtl => bare(w, nxast::DEC_NSH_TTL),
        Action::Sample(sample) => put_sample(w, sample),
        Action::Note(bytes) if bytes.len() % 8 == 6 => nicira(w, nxast::NOTE, |w| {
            w.bytes(bytes);
            Ok(())
        }),
        Action::Note(_) => invalid("note", "not filled up to 6 + 8n bytes"),
        Action::Clone(actions) => nicira(w, nxast::CLONE, |w| {
            w.zeros(6);
            put_actions(w, actions)
        }),
        Action::Encap(encap) => put_encap(w, encap),
        Action::Decap(next) => nicira(w, nxast::DECAP, |w| {
            w.zeros(2);
            w.u32(next.0);
            Ok(())
        }),
        Action::Exit => bare(w, nxast::EXIT),
        // Every other action is written by `put_action`.
        _ => invalid("action", "not an extension"),
    }
}

/// A Nicira action without arguments.
fn bare(w: &mut Writer<'_>, subtype: u16) -> Result<(), EncodeError> {
    nicira(w, subtype, |w| {
        w.zeros(6);
        Ok(())
    })
}

/// Bytes somebody else's action came in; made up here they must at least be one action.
fn put_unknown(w: &mut Writer<'_>, bytes: &[u8]) -> Result<(), EncodeError> {
    let length = bytes.get(2..4).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    if length != Some(bytes.len()) || bytes.len() < 8 || !bytes.len().is_multiple_of(8) {
        return invalid("unknown action", "its length field is not its length");
    }
    w.bytes(bytes);
    Ok(())
}

/// Refuses a value that has another, canonical form, or none: it would come back different from the switch.
pub(super) fn invalid(what: &'static str, reason: &'static str) -> Result<(), EncodeError> {
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
pub(super) fn nicira(
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
pub(super) fn ofs_nbits(bits: SubField) -> Result<u16, EncodeError> {
    if bits.n_bits() > 64 {
        return Err(EncodeError::Invalid { what: "subfield", reason: "more than 64 bits" });
    }
    Ok(bits.offset() << 6 | (bits.n_bits() - 1))
}

/// A 4-byte header; fields of experimenter classes have none.
pub(super) fn put_short_header(w: &mut Writer<'_>, field: Field) -> Result<(), EncodeError> {
    let version = w.version;
    match field.nxm_header() {
        Some(id) if id.class != EXPERIMENTER => put_field_header(w, field, None),
        _ => Err(EncodeError::NoHeader { field, version }),
    }
}

fn put_output_reg(w: &mut Writer<'_>, src: SubField) -> Result<(), EncodeError> {
    if src.field().nxm_header().is_some_and(|id| id.class == EXPERIMENTER) {
        return nicira(w, nxast::OUTPUT_REG2, |w| {
            w.u16(ofs_nbits(src)?);
            w.u16(u16::MAX);
            put_field_header(w, src.field(), None)?;
            w.zeros(2);
            Ok(())
        });
    }
    nicira(w, nxast::OUTPUT_REG, |w| {
        w.u16(ofs_nbits(src)?);
        put_short_header(w, src.field())?;
        // `max_len` counts for the controller only; this is what ovs-ofctl sends.
        w.u16(u16::MAX);
        w.zeros(6);
        Ok(())
    })
}

fn put_set_field(w: &mut Writer<'_>, set: &SetField) -> Result<(), EncodeError> {
    let (field, value, mask) = (set.field(), set.value(), set.mask());
    if matches!(field, Field::TunMetadata(_)) {
        return invalid("set_field", "a tunnel option is Action::SetTunMetadata");
    }
    check_writable(field)?;
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

/// The switch answers OFPBAC_BAD_SET_ARGUMENT.
fn check_writable(field: Field) -> Result<(), EncodeError> {
    if field.is_writable() { Ok(()) } else { Err(EncodeError::ReadOnly { field }) }
}

fn put_set_tun_metadata(w: &mut Writer<'_>, option: u8, value: &TunOption) -> Result<(), EncodeError> {
    if value.is_presence() || value.mask().is_some_and(|mask| mask.iter().all(|byte| *byte == 0)) {
        return invalid("set_field", "no bit of the tunnel option is written");
    }
    if w.version < Version::V1_5 && value.mask().is_some() {
        return nicira(w, nxast::REG_LOAD2, |w| put_tun_option(w, option, value));
    }
    let start = w.pos();
    w.u16(ofpat::SET_FIELD);
    w.u16(0);
    put_tun_option(w, option, value)?;
    w.pad_from(start);
    w.patch_len(start + 2, start, "set_field")
}

/// 24 bytes whether the header has 4 or 8.
fn put_delete_field(w: &mut Writer<'_>, field: Field) -> Result<(), EncodeError> {
    nicira(w, nxast::DELETE_FIELD, |w| {
        let start = w.pos();
        put_field_header(w, field, None)?;
        w.zeros(14 - (w.pos() - start));
        Ok(())
    })
}

/// 24 bytes whether the header has 4 or 8.
fn put_check_pkt_larger(w: &mut Writer<'_>, length: u16, dst: SubField) -> Result<(), EncodeError> {
    if dst.n_bits() != 1 {
        return invalid("check_pkt_larger", "the result is one bit");
    }
    nicira(w, nxast::CHECK_PKT_LARGER, |w| {
        w.u16(length);
        w.u16(dst.offset());
        let start = w.pos();
        put_field_header(w, dst.field(), None)?;
        w.zeros(10 - (w.pos() - start));
        Ok(())
    })
}

fn put_truncated(w: &mut Writer<'_>, port: Port, max_len: u32) -> Result<(), EncodeError> {
    // ovs-actions(7): an Ethernet header at least.
    if max_len < 14 {
        return invalid("output", "truncated to less than 14 bytes");
    }
    let Some(port) = port.to_u16() else { return invalid("output", "port above 65279") };
    nicira(w, nxast::OUTPUT_TRUNC, |w| {
        w.u16(port);
        w.u32(max_len);
        Ok(())
    })
}

fn put_dec_ttl_ids(w: &mut Writer<'_>, ids: &[u16]) -> Result<(), EncodeError> {
    let n = u16::try_from(ids.len()).unwrap_or(0);
    if n == 0 {
        return invalid("dec_ttl", "no controller ids, or too many");
    }
    nicira(w, nxast::DEC_TTL_CNT_IDS, |w| {
        w.u16(n);
        w.zeros(4);
        ids.iter().for_each(|id| w.u16(*id));
        Ok(())
    })
}

/// `struct nx_action_sample`, or `nx_action_sample2` when there is a sampling port.
fn put_sample(w: &mut Writer<'_>, sample: &Sample) -> Result<(), EncodeError> {
    if sample.probability == 0 {
        return invalid("sample", "probability 0");
    }
    let plain = sample.sampling_port == Port::ANY && sample.direction == SampleDirection::Default;
    let Some(port) = sample.sampling_port.to_u16() else { return invalid("sample", "port above 65279") };
    let subtype = match sample.direction {
        SampleDirection::Default if plain => nxast::SAMPLE,
        SampleDirection::Default => nxast::SAMPLE2,
        SampleDirection::Ingress | SampleDirection::Egress => nxast::SAMPLE3,
    };
    nicira(w, subtype, |w| {
        w.u16(sample.probability);
        w.u32(sample.collector_set_id);
        w.u32(sample.obs_domain_id);
        w.u32(sample.obs_point_id);
        if !plain {
            w.u16(port);
            w.u8(match sample.direction {
                SampleDirection::Default => 0,
                SampleDirection::Ingress => 1,
                SampleDirection::Egress => 2,
            });
            w.zeros(5);
        }
        Ok(())
    })
}

fn put_move(w: &mut Writer<'_>, src: SubField, dst: SubField) -> Result<(), EncodeError> {
    if src.n_bits() != dst.n_bits() {
        return invalid("move", "source and destination differ in width");
    }
    check_writable(dst.field())?;
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
    if c.userdata.is_empty() && c.meter_id.is_none() && !c.pause {
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
        if c.pause {
            w.property(4, &[])?;
        }
        if let Some(meter) = c.meter_id {
            w.property(5, &meter.to_be_bytes())?;
        }
        Ok(())
    })
}
