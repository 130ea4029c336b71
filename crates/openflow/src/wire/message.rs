//! The messages of OpenFlow that have a name here (OpenFlow 1.5.1 section 7). Their bytes: [`message_codec`](super::message_codec).

use super::ct_flush::CtFlush;
use super::cursor::Reader;
use super::error::ErrorMessage;
use super::flow_mod::FlowMod;
use super::flow_removed::FlowRemoved;
use super::group::GroupMod;
use super::meter::MeterMod;
use super::multipart::{MultipartReply, MultipartRequest};
use super::packet::{PacketIn, PacketOut};
use super::port::PortStatus;
use crate::Version;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first message in each direction.
    Hello(Hello),
    /// A request refused.
    Error(ErrorMessage),
    /// Are you there? With any bytes.
    EchoRequest(Vec<u8>),
    /// I am, with the same bytes.
    EchoReply(Vec<u8>),
    /// Who are you?
    FeaturesRequest,
    /// The switch's answer.
    FeaturesReply(Features),
    /// Fragment handling, and how many bytes of a packet-in to send.
    SetConfig {
        /// `OFPC_FRAG_*`.
        flags: u16,
        /// Bytes; a service connection gets no packet-ins while it is 0.
        miss_send_len: u16,
    },
    /// A packet, in Open vSwitch's form (`NXT_PACKET_IN2`).
    PacketIn(Box<PacketIn>),
    /// A packet that `controller(pause)` holds goes on where it stopped, with what this says of it (`NXT_RESUME`).
    Resume(Box<PacketIn>),
    /// A port came, went, changed.
    PortStatus(PortStatus),
    /// A flow is gone.
    FlowRemoved(Box<FlowRemoved>),
    /// Send a packet.
    PacketOut(Box<PacketOut>),
    /// Change flows.
    FlowMod(Box<FlowMod>),
    /// Change a group.
    GroupMod(Box<GroupMod>),
    /// Change a meter.
    MeterMod(Box<MeterMod>),
    /// Ask for a list.
    MultipartRequest(MultipartRequest),
    /// A part of a list.
    MultipartReply(MultipartReply),
    /// Answer when everything before is done.
    BarrierRequest,
    /// Everything before is done.
    BarrierReply,
    /// Ask for a role.
    RoleRequest(Role),
    /// The role.
    RoleReply(Role),
    /// Which asynchronous messages are wanted: property type and mask of reasons (OpenFlow 1.4+).
    SetAsync(Vec<(u16, u32)>),
    /// Begin, end, commit a bundle.
    BundleControl(BundleControl),
    /// A message for a bundle.
    BundleAdd(Box<BundleAdd>),
    /// The form packet-ins have from now on.
    SetPacketInFormat(PacketInFormat),
    /// The id that `controller(id=...)` names this connection by.
    SetControllerId(u16),
    /// Forget tracked connections.
    CtFlush(CtFlush),
    /// A message this crate has no name for.
    Unknown {
        /// Its type.
        kind: u8,
        /// What follows the header.
        body: Vec<u8>,
    },
}

/// `OFPT_HELLO`: its elements, as on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The elements.
    pub elements: Vec<u8>,
}

impl Hello {
    /// Offers these versions.
    pub fn offering(versions: &[Version]) -> Hello {
        let bitmap: u32 = versions.iter().map(|v| 1u32 << v.as_u8()).fold(0, |a, b| a | b);
        let mut elements = vec![0, 1, 0, 8];
        elements.extend(bitmap.to_be_bytes());
        Hello { elements }
    }

    /// The version bitmap (bit n: version n), if the peer sent one that can be read.
    pub fn bitmap(&self) -> Option<u32> {
        let mut r = Reader::new(&self.elements, "hello");
        while !r.is_empty() {
            let (kind, value) = r.property().ok()?;
            if kind == 1 {
                return Reader::new(value, "version bitmap").u32().ok();
            }
        }
        None
    }

    /// The version to speak: the highest in both bitmaps, or the lower of both headers without bitmaps.
    pub fn negotiate(&self, header_version: u8, ours: &[Version]) -> Option<Version> {
        let offered = |v: &Version| match self.bitmap() {
            Some(bitmap) => bitmap & 1 << v.as_u8() != 0,
            None => v.as_u8() <= header_version,
        };
        ours.iter().copied().filter(|v| offered(v)).max()
    }
}

/// `OFPT_FEATURES_REPLY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// The switch's id.
    pub datapath_id: u64,
    /// Packets it buffers.
    pub n_buffers: u32,
    /// Its tables.
    pub n_tables: u8,
    /// Which auxiliary connection this is; 0 the main one.
    pub auxiliary_id: u8,
    /// `OFPC_*`.
    pub capabilities: u32,
}

/// A role and the generation it was asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// `OFPCR_ROLE_*`: 0 no change, 1 equal, 2 primary, 3 secondary.
    pub role: u32,
    /// The election's generation.
    pub generation_id: u64,
}

impl Role {
    /// Leave it as it is; answers what it is.
    pub const NO_CHANGE: u32 = 0;
    /// Every connection may do everything. The default.
    pub const EQUAL: u32 = 1;
    /// This connection alone may change the switch.
    pub const PRIMARY: u32 = 2;
    /// This connection may look.
    pub const SECONDARY: u32 = 3;
}

/// What is done to a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of OFPBCT_* say it")]
pub enum BundleStep {
    OpenRequest,
    OpenReply,
    CloseRequest,
    CloseReply,
    CommitRequest,
    CommitReply,
    DiscardRequest,
    DiscardReply,
}

impl BundleStep {
    pub(super) const ALL: [BundleStep; 8] = [
        BundleStep::OpenRequest,
        BundleStep::OpenReply,
        BundleStep::CloseRequest,
        BundleStep::CloseReply,
        BundleStep::CommitRequest,
        BundleStep::CommitReply,
        BundleStep::DiscardRequest,
        BundleStep::DiscardReply,
    ];
}

/// `OFPBF_ATOMIC | OFPBF_ORDERED`: all or nothing, in this order.
pub const BUNDLE_ATOMIC_ORDERED: u16 = 3;

/// `OFPT_BUNDLE_CONTROL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleControl {
    /// The bundle's id on this connection.
    pub bundle_id: u32,
    /// What is done to it.
    pub step: BundleStep,
    /// `OFPBF_*`; the same in every message of a bundle.
    pub flags: u16,
}

/// `OFPT_BUNDLE_ADD_MESSAGE`. The message inside has the same transaction id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleAdd {
    /// The bundle's id on this connection.
    pub bundle_id: u32,
    /// `OFPBF_*`.
    pub flags: u16,
    /// The message.
    pub message: Message,
}

/// `NXPIF_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketInFormat {
    /// OpenFlow's.
    Standard,
    /// `NXT_PACKET_IN`.
    Nxt,
    /// `NXT_PACKET_IN2`, the one decoded here.
    Nxt2,
}
