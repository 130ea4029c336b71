//! Whole messages to bytes and back: the header and what follows it (OpenFlow 1.5.1 section 7.1).
//!
//! # Invariants
//! A message that is not known, or a known one that says more than this crate understands, decodes to
//! [`Message::Unknown`] and encodes to the very same bytes.

use super::ct_flush::CtFlush;
use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use super::error::ErrorMessage;
use super::flow_mod::FlowMod;
use super::flow_removed::FlowRemoved;
use super::frame::HEADER_LEN;
use super::group::GroupMod;
use super::message::{
    BUNDLE_ATOMIC_ORDERED, BundleAdd, BundleControl, BundleStep, Features, Hello, Message, PacketInFormat,
    Role,
};
use super::meter::MeterMod;
use super::multipart::{MultipartReply, MultipartRequest};
use super::packet::{PacketIn, PacketOut};
use super::port::PortStatus;
use super::{NICIRA, ONF};
use crate::Version;

/// Message types.
pub(crate) mod ofpt {
    pub(crate) const HELLO: u8 = 0;
    pub(crate) const ERROR: u8 = 1;
    pub(crate) const ECHO_REQUEST: u8 = 2;
    pub(crate) const ECHO_REPLY: u8 = 3;
    pub(crate) const EXPERIMENTER: u8 = 4;
    pub(crate) const FEATURES_REQUEST: u8 = 5;
    pub(crate) const FEATURES_REPLY: u8 = 6;
    pub(crate) const SET_CONFIG: u8 = 9;
    pub(crate) const FLOW_REMOVED: u8 = 11;
    pub(crate) const PORT_STATUS: u8 = 12;
    pub(crate) const PACKET_OUT: u8 = 13;
    pub(crate) const FLOW_MOD: u8 = 14;
    pub(crate) const GROUP_MOD: u8 = 15;
    pub(crate) const MULTIPART_REQUEST: u8 = 18;
    pub(crate) const MULTIPART_REPLY: u8 = 19;
    pub(crate) const BARRIER_REQUEST: u8 = 20;
    pub(crate) const BARRIER_REPLY: u8 = 21;
    pub(crate) const ROLE_REQUEST: u8 = 24;
    pub(crate) const ROLE_REPLY: u8 = 25;
    pub(crate) const SET_ASYNC: u8 = 28;
    pub(crate) const METER_MOD: u8 = 29;
    pub(crate) const BUNDLE_CONTROL: u8 = 33;
    pub(crate) const BUNDLE_ADD: u8 = 34;
}

const NXT_SET_PACKET_IN_FORMAT: u32 = 16;
const NXT_SET_CONTROLLER_ID: u32 = 20;
const NXT_RESUME: u32 = 28;
const NXT_PACKET_IN2: u32 = 30;
const NXT_CT_FLUSH: u32 = 32;
/// Bundles of OpenFlow 1.3 (ONF extension 230).
const ONFT_BUNDLE_CONTROL: u32 = 2300;
const ONFT_BUNDLE_ADD: u32 = 2301;

/// A message's version and transaction id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version byte, as a hello may have any.
    pub version: u8,
    /// The transaction id: a reply has its request's.
    pub xid: u32,
}

/// Appends a message to `out`. On error `out` is as it was.
pub fn encode(version: Version, xid: u32, message: &Message, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let result = put(&mut Writer::new(out, version), xid, message);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends a message inside an `OFPT_BUNDLE_ADD_MESSAGE`. On error `out` is as it was.
pub fn encode_bundle_add(
    version: Version,
    xid: u32,
    bundle_id: u32,
    message: BundleItem<'_>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let w = &mut Writer::new(out, version);
    let result = put_bundle_add(w, xid, bundle_id, BUNDLE_ATOMIC_ORDERED, message);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// What goes into a bundle: a flow mod is taken by reference, because there are tens of thousands of them.
#[derive(Clone, Copy, Debug)]
pub enum BundleItem<'a> {
    /// A flow mod.
    FlowMod(&'a FlowMod),
    /// Any other message.
    Message(&'a Message),
}

fn put_header(w: &mut Writer<'_>, kind: u8, xid: u32) {
    w.u8(w.version.as_u8());
    w.u8(kind);
    w.u16(0);
    w.u32(xid);
}

fn put_bundle_add(
    w: &mut Writer<'_>,
    xid: u32,
    bundle_id: u32,
    flags: u16,
    item: BundleItem<'_>,
) -> Result<(), EncodeError> {
    let start = w.pos();
    if w.version < Version::V1_4 {
        put_header(w, ofpt::EXPERIMENTER, xid);
        w.u32(ONF);
        w.u32(ONFT_BUNDLE_ADD);
    } else {
        put_header(w, ofpt::BUNDLE_ADD, xid);
    }
    w.u32(bundle_id);
    w.zeros(2);
    w.u16(flags);
    match item {
        BundleItem::Message(Message::BundleAdd(_)) => {
            return Err(EncodeError::Invalid { what: "bundle", reason: "a bundle within a bundle" });
        }
        BundleItem::Message(message) => put(w, xid, message)?,
        BundleItem::FlowMod(flow_mod) => {
            let start = w.pos();
            put_header(w, ofpt::FLOW_MOD, xid);
            flow_mod.put(w)?;
            w.patch_len(start + 2, start, "message")?;
        }
    }
    w.patch_len(start + 2, start, "message")
}

fn put(w: &mut Writer<'_>, xid: u32, message: &Message) -> Result<(), EncodeError> {
    let start = w.pos();
    if let Message::BundleAdd(add) = message {
        return put_bundle_add(w, xid, add.bundle_id, add.flags, BundleItem::Message(&add.message));
    }
    put_header(w, kind_of(message, w.version), xid);
    put_body(w, message)?;
    w.patch_len(start + 2, start, "message")
}

fn kind_of(message: &Message, version: Version) -> u8 {
    match message {
        Message::Hello(_) => ofpt::HELLO,
        Message::Error(_) => ofpt::ERROR,
        Message::EchoRequest(_) => ofpt::ECHO_REQUEST,
        Message::EchoReply(_) => ofpt::ECHO_REPLY,
        Message::FeaturesRequest => ofpt::FEATURES_REQUEST,
        Message::FeaturesReply(_) => ofpt::FEATURES_REPLY,
        Message::SetConfig { .. } => ofpt::SET_CONFIG,
        Message::PortStatus(_) => ofpt::PORT_STATUS,
        Message::FlowRemoved(_) => ofpt::FLOW_REMOVED,
        Message::PacketOut(_) => ofpt::PACKET_OUT,
        Message::FlowMod(_) => ofpt::FLOW_MOD,
        Message::GroupMod(_) => ofpt::GROUP_MOD,
        Message::MeterMod(_) => ofpt::METER_MOD,
        Message::MultipartRequest(_) => ofpt::MULTIPART_REQUEST,
        Message::MultipartReply(_) => ofpt::MULTIPART_REPLY,
        Message::BarrierRequest => ofpt::BARRIER_REQUEST,
        Message::BarrierReply => ofpt::BARRIER_REPLY,
        Message::RoleRequest(_) => ofpt::ROLE_REQUEST,
        Message::RoleReply(_) => ofpt::ROLE_REPLY,
        Message::SetAsync(_) => ofpt::SET_ASYNC,
        Message::BundleControl(_) if version >= Version::V1_4 => ofpt::BUNDLE_CONTROL,
        Message::BundleAdd(_) if version >= Version::V1_4 => ofpt::BUNDLE_ADD,
        Message::BundleControl(_)
        | Message::BundleAdd(_)
        | Message::PacketIn(_)
        | Message::Resume(_)
        | Message::SetPacketInFormat(_)
        | Message::SetControllerId(_)
        | Message::CtFlush(_) => ofpt::EXPERIMENTER,
        Message::Unknown { kind, .. } => *kind,
    }
}

fn put_body(w: &mut Writer<'_>, message: &Message) -> Result<(), EncodeError> {
    match message {
        Message::Hello(hello) => w.bytes(&hello.elements),
        Message::Error(error) => error.put(w),
        Message::EchoRequest(bytes) | Message::EchoReply(bytes) => w.bytes(bytes),
        Message::FeaturesRequest | Message::BarrierRequest | Message::BarrierReply => {}
        Message::FeaturesReply(features) => {
            w.u64(features.datapath_id);
            w.u32(features.n_buffers);
            w.u8(features.n_tables);
            w.u8(features.auxiliary_id);
            w.zeros(2);
            w.u32(features.capabilities);
            w.zeros(4);
        }
        Message::SetConfig { flags, miss_send_len } => {
            w.u16(*flags);
            w.u16(*miss_send_len);
        }
        Message::PacketIn(packet_in) => {
            put_nicira(w, NXT_PACKET_IN2);
            packet_in.put(w)?;
        }
        Message::Resume(packet_in) => {
            put_nicira(w, NXT_RESUME);
            packet_in.put(w)?;
        }
        Message::PortStatus(status) => status.put(w)?,
        Message::FlowRemoved(removed) => removed.put(w)?,
        Message::PacketOut(packet_out) => packet_out.put(w)?,
        Message::FlowMod(flow_mod) => flow_mod.put(w)?,
        Message::GroupMod(group_mod) => group_mod.put(w)?,
        Message::MeterMod(meter_mod) => meter_mod.put(w),
        Message::MultipartRequest(request) => request.put(w)?,
        Message::MultipartReply(reply) => reply.put(w),
        Message::RoleRequest(role) | Message::RoleReply(role) => {
            w.u32(role.role);
            w.zeros(4);
            w.u64(role.generation_id);
        }
        Message::SetAsync(_) if w.version < Version::V1_4 => {
            return Err(EncodeError::Unsupported { what: "asynchronous configuration", version: w.version });
        }
        Message::SetAsync(properties) => {
            properties.iter().try_for_each(|(kind, mask)| w.property(*kind, &mask.to_be_bytes()))?;
        }
        Message::BundleControl(control) => {
            if w.version < Version::V1_4 {
                w.u32(ONF);
                w.u32(ONFT_BUNDLE_CONTROL);
            }
            w.u32(control.bundle_id);
            w.u16(BundleStep::ALL.iter().position(|s| *s == control.step).unwrap_or(0) as u16);
            w.u16(control.flags);
        }
        // Written by `put`, which knows the transaction id.
        Message::BundleAdd(_) => {}
        Message::SetPacketInFormat(format) => {
            put_nicira(w, NXT_SET_PACKET_IN_FORMAT);
            w.u32(match format {
                PacketInFormat::Standard => 0,
                PacketInFormat::Nxt => 1,
                PacketInFormat::Nxt2 => 2,
            });
        }
        Message::SetControllerId(id) => {
            put_nicira(w, NXT_SET_CONTROLLER_ID);
            w.zeros(6);
            w.u16(*id);
        }
        Message::CtFlush(flush) => {
            put_nicira(w, NXT_CT_FLUSH);
            flush.put(w)?;
        }
        Message::Unknown { body, .. } => w.bytes(body),
    }
    Ok(())
}

fn put_nicira(w: &mut Writer<'_>, subtype: u32) {
    w.u32(NICIRA);
    w.u32(subtype);
}

/// Decodes one whole message, as [`FrameSplitter`](crate::FrameSplitter) cuts it.
pub fn decode(frame: &[u8]) -> Result<(Header, Message), DecodeError> {
    decode_nested(frame, false)
}

fn decode_nested(frame: &[u8], in_bundle: bool) -> Result<(Header, Message), DecodeError> {
    let mut r = Reader::new(frame, "message");
    let (version_byte, kind, length, xid) = (r.u8()?, r.u8()?, usize::from(r.u16()?), r.u32()?);
    if length != frame.len() || length < HEADER_LEN {
        return Err(DecodeError::Length { what: "message", length });
    }
    let header = Header { version: version_byte, xid };
    let version = match (Version::from_u8(version_byte), kind) {
        (Some(version), _) => version,
        // These are read before, or without, agreement on a version.
        (None, ofpt::HELLO | ofpt::ERROR | ofpt::ECHO_REQUEST | ofpt::ECHO_REPLY) => Version::V1_3,
        (None, _) => return Err(DecodeError::Version(version_byte)),
    };
    let unknown = || Message::Unknown { kind, body: frame[HEADER_LEN..].to_vec() };
    let message = read_body(r, kind, version, in_bundle)?.unwrap_or_else(unknown);
    Ok((header, message))
}

/// `None`: known by type, but not in what it says.
fn read_body(
    mut r: Reader<'_>,
    kind: u8,
    version: Version,
    in_bundle: bool,
) -> Result<Option<Message>, DecodeError> {
    let message = match kind {
        ofpt::HELLO => Message::Hello(Hello { elements: r.rest().to_vec() }),
        ofpt::ERROR => Message::Error(ErrorMessage::read(r)?),
        ofpt::ECHO_REQUEST => Message::EchoRequest(r.rest().to_vec()),
        ofpt::ECHO_REPLY => Message::EchoReply(r.rest().to_vec()),
        ofpt::FEATURES_REPLY => {
            let (datapath_id, n_buffers, n_tables, auxiliary_id) = (r.u64()?, r.u32()?, r.u8()?, r.u8()?);
            r.skip(2)?;
            let (capabilities, reserved) = (r.u32()?, r.u32()?);
            if reserved != 0 || !r.is_empty() {
                return Ok(None);
            }
            Message::FeaturesReply(Features { datapath_id, n_buffers, n_tables, auxiliary_id, capabilities })
        }
        ofpt::SET_CONFIG => Message::SetConfig { flags: r.u16()?, miss_send_len: r.u16()? },
        ofpt::PORT_STATUS => Message::PortStatus(PortStatus::read(r, version)?),
        ofpt::FLOW_REMOVED => Message::FlowRemoved(Box::new(FlowRemoved::read(r, version)?)),
        ofpt::PACKET_OUT => Message::PacketOut(Box::new(PacketOut::read(r, version)?)),
        ofpt::FLOW_MOD => Message::FlowMod(Box::new(FlowMod::read(r)?)),
        ofpt::GROUP_MOD => Message::GroupMod(Box::new(GroupMod::read(r, version)?)),
        ofpt::METER_MOD => Message::MeterMod(Box::new(MeterMod::read(r)?)),
        ofpt::MULTIPART_REQUEST => Message::MultipartRequest(MultipartRequest::read(r, version)?),
        ofpt::MULTIPART_REPLY => Message::MultipartReply(MultipartReply::read(r)?),
        ofpt::FEATURES_REQUEST if r.is_empty() => Message::FeaturesRequest,
        ofpt::BARRIER_REQUEST if r.is_empty() => Message::BarrierRequest,
        ofpt::BARRIER_REPLY if r.is_empty() => Message::BarrierReply,
        ofpt::ROLE_REQUEST => Message::RoleRequest(read_role(&mut r)?),
        ofpt::ROLE_REPLY => Message::RoleReply(read_role(&mut r)?),
        ofpt::SET_ASYNC if version >= Version::V1_4 => {
            let mut properties = Vec::new();
            while !r.is_empty() {
                let (kind, value) = r.property()?;
                properties.push((kind, Reader::new(value, "reasons").u32()?));
            }
            Message::SetAsync(properties)
        }
        ofpt::BUNDLE_CONTROL if version >= Version::V1_4 => {
            Message::BundleControl(read_bundle_control(&mut r)?)
        }
        ofpt::BUNDLE_ADD if version >= Version::V1_4 => return read_bundle_add(r, in_bundle),
        ofpt::EXPERIMENTER => return read_experimenter(r, version, in_bundle),
        _ => return Ok(None),
    };
    Ok(Some(message))
}

fn read_role(r: &mut Reader<'_>) -> Result<Role, DecodeError> {
    let role = r.u32()?;
    r.skip(4)?;
    Ok(Role { role, generation_id: r.u64()? })
}

fn read_bundle_control(r: &mut Reader<'_>) -> Result<BundleControl, DecodeError> {
    let (bundle_id, step) = (r.u32()?, r.u16()?);
    let step = BundleStep::ALL.get(usize::from(step)).copied();
    let step = step.ok_or(DecodeError::Value { what: "bundle control", value: 8 })?;
    Ok(BundleControl { bundle_id, step, flags: r.u16()? })
}

fn read_bundle_add(mut r: Reader<'_>, in_bundle: bool) -> Result<Option<Message>, DecodeError> {
    let bundle_id = r.u32()?;
    r.skip(2)?;
    let flags = r.u16()?;
    let length = usize::from(r.peek_u16(2)?);
    // Bundles do not nest, and bundle properties follow the padded message: neither is understood here.
    if in_bundle || length != r.len() {
        return Ok(None);
    }
    let (_, message) = decode_nested(r.rest(), true)?;
    Ok(Some(Message::BundleAdd(Box::new(BundleAdd { bundle_id, flags, message }))))
}

fn read_experimenter(
    mut r: Reader<'_>,
    version: Version,
    in_bundle: bool,
) -> Result<Option<Message>, DecodeError> {
    let (vendor, subtype) = (r.u32()?, r.u32()?);
    Ok(match (vendor, subtype) {
        (NICIRA, NXT_PACKET_IN2) => Some(Message::PacketIn(Box::new(PacketIn::read(r)?))),
        (NICIRA, NXT_RESUME) => Some(Message::Resume(Box::new(PacketIn::read(r)?))),
        (NICIRA, NXT_SET_PACKET_IN_FORMAT) => match r.u32()? {
            0 => Some(Message::SetPacketInFormat(PacketInFormat::Standard)),
            1 => Some(Message::SetPacketInFormat(PacketInFormat::Nxt)),
            2 => Some(Message::SetPacketInFormat(PacketInFormat::Nxt2)),
            _ => None,
        },
        (NICIRA, NXT_SET_CONTROLLER_ID) => {
            r.skip(6)?;
            Some(Message::SetControllerId(r.u16()?))
        }
        (NICIRA, NXT_CT_FLUSH) => CtFlush::read(r)?.map(Message::CtFlush),
        (ONF, ONFT_BUNDLE_CONTROL) if version < Version::V1_4 => {
            Some(Message::BundleControl(read_bundle_control(&mut r)?))
        }
        (ONF, ONFT_BUNDLE_ADD) if version < Version::V1_4 => read_bundle_add(r, in_bundle)?,
        _ => None,
    })
}
