//! Packets: `OFPT_PACKET_OUT` (OpenFlow 1.5.1 section 7.3.6) and `NXT_PACKET_IN2` (nicira-ext.h).

use super::action_decode::read_actions;
use super::action_encode::put_actions;
use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use super::oxm::{put_match, put_tlvs, read_match, read_tlvs};
use crate::{Action, Field, Match, PacketInReason, Port, Version};

const NO_BUFFER: u32 = 0xffff_ffff;

/// Sends a packet through actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketOut {
    /// A buffered packet, or `u32::MAX` for `data`.
    pub buffer_id: u32,
    /// The pipeline fields the packet starts with; the input port among them ([`Port::CONTROLLER`] is usual).
    pub pipeline: Match,
    /// What happens to it.
    pub actions: Vec<Action>,
    /// The Ethernet frame.
    pub data: Vec<u8>,
}

impl PacketOut {
    /// Sends `data` through `actions` as if it came in at `in_port`.
    pub fn new(in_port: Port, actions: Vec<Action>, data: Vec<u8>) -> PacketOut {
        PacketOut { buffer_id: NO_BUFFER, pipeline: Match::any().with(Field::InPort, in_port), actions, data }
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.u32(self.buffer_id);
        let at = if w.version >= Version::V1_5 {
            let at = w.pos();
            w.zeros(4);
            put_match(w, &self.pipeline)?;
            at
        } else {
            let in_port = self.pipeline.exact(Field::InPort).filter(|_| self.pipeline.iter().count() == 1);
            let in_port = in_port.ok_or(EncodeError::Unsupported {
                what: "packet-out with pipeline fields",
                version: w.version,
            })?;
            w.u32(in_port as u32);
            let at = w.pos();
            w.zeros(8);
            at
        };
        let start = w.pos();
        put_actions(w, &self.actions)?;
        w.patch_len(at, start, "packet-out actions")?;
        w.bytes(&self.data);
        Ok(())
    }

    pub(super) fn read(mut r: Reader<'_>, version: Version) -> Result<PacketOut, DecodeError> {
        let buffer_id = r.u32()?;
        let (actions_len, pipeline) = if version >= Version::V1_5 {
            let actions_len = r.u16()?;
            r.skip(2)?;
            (actions_len, read_match(&mut r)?)
        } else {
            let in_port = Port(r.u32()?);
            let actions_len = r.u16()?;
            r.skip(6)?;
            (actions_len, Match::any().with(Field::InPort, in_port))
        };
        let actions = read_actions(r.sub(usize::from(actions_len), "packet-out actions")?)?;
        Ok(PacketOut { buffer_id, pipeline, actions, data: r.rest().to_vec() })
    }
}

/// A packet for the controller, in Open vSwitch's extensible form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketIn {
    /// The frame, perhaps cut.
    pub packet: Vec<u8>,
    /// The frame's length before it was cut.
    pub full_len: Option<u32>,
    /// Where the switch holds the frame.
    pub buffer_id: Option<u32>,
    /// The table of the flow that sent it.
    pub table: Option<u8>,
    /// The cookie of the flow that sent it.
    pub cookie: Option<u64>,
    /// Why it was sent.
    pub reason: PacketInReason,
    /// Pipeline fields: input port, tunnel, registers, conntrack.
    pub metadata: Match,
    /// What the `controller` action said.
    pub userdata: Vec<u8>,
    /// Where the packet's processing stopped (`controller(pause)`): the switch's own, to be given back unchanged in a
    /// [`Message::Resume`](crate::Message::Resume).
    pub continuation: Option<Vec<u8>>,
    /// Properties this crate has no name for: type and value.
    pub unknown: Vec<(u16, Vec<u8>)>,
}

impl PacketIn {
    /// The input port.
    pub fn in_port(&self) -> Option<Port> {
        self.metadata.exact(Field::InPort).map(|n| Port(n as u32))
    }

    pub(super) fn read(mut r: Reader<'_>) -> Result<PacketIn, DecodeError> {
        let mut packet_in = PacketIn {
            packet: Vec::new(),
            full_len: None,
            buffer_id: None,
            table: None,
            cookie: None,
            reason: PacketInReason::NoMatch,
            metadata: Match::any(),
            userdata: Vec::new(),
            continuation: None,
            unknown: Vec::new(),
        };
        while !r.is_empty() {
            let (kind, value) = r.property()?;
            let mut value = Reader::new(value, "packet-in property");
            match kind {
                0 => packet_in.packet = value.rest().to_vec(),
                1 => packet_in.full_len = Some(value.u32()?),
                2 => packet_in.buffer_id = Some(value.u32()?),
                3 => packet_in.table = Some(value.u8()?),
                4 => {
                    // 64-bit values are aligned: four bytes after the header.
                    value.skip(4)?;
                    packet_in.cookie = Some(value.u64()?);
                }
                5 => packet_in.reason = PacketInReason::from_u8(value.u8()?),
                6 => packet_in.metadata = read_tlvs(value)?,
                7 => packet_in.userdata = value.rest().to_vec(),
                8 => packet_in.continuation = Some(value.rest().to_vec()),
                kind => packet_in.unknown.push((kind, value.rest().to_vec())),
            }
        }
        Ok(packet_in)
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.property(0, &self.packet)?;
        if let Some(n) = self.full_len {
            w.property(1, &n.to_be_bytes())?;
        }
        if let Some(n) = self.buffer_id {
            w.property(2, &n.to_be_bytes())?;
        }
        if let Some(n) = self.table {
            w.property(3, &[n])?;
        }
        if let Some(n) = self.cookie {
            w.property(4, &u128::from(n).to_be_bytes()[4..])?;
        }
        w.property(5, &[self.reason.as_u8()])?;
        let mut metadata = Vec::new();
        put_tlvs(&mut Writer::new(&mut metadata, w.version), &self.metadata)?;
        w.property(6, &metadata)?;
        if !self.userdata.is_empty() {
            w.property(7, &self.userdata)?;
        }
        if let Some(continuation) = &self.continuation {
            w.property(8, continuation)?;
        }
        self.unknown.iter().try_for_each(|(kind, value)| w.property(*kind, value))
    }
}
