//! OpenFlow 1.3 to 1.5 with the Open vSwitch extensions: values, text, wire codec, and (feature `driver`) a connection.
//!
//! The core is sans-I/O: no clock, no socket, no tokio. [`Flow`], [`Match`] and [`Action`] are *canonical*: what a
//! switch gives back of a flow is equal to what was sent, so that comparing installed with desired flows needs no
//! second opinion. They print and parse in the syntax of ovs-ofctl(8).
//!
//! # Failure
//! Decoding never panics, never reads past its bounds, and keeps what it does not know byte for byte. Encoding
//! refuses what a switch would refuse or would have to cut to fit.

mod action;
#[cfg(feature = "driver")]
pub mod driver;
mod field;
mod flow;
mod flow_match;
mod port;
mod subfield;
mod text;
mod tun_option;
mod version;
mod wire;

pub use action::{
    Action, BundleAction, BundleAlgorithm, Commit, Controller, Ct, Encap, EncapProperty, HashFields, Learn,
    LearnLimit, LearnSource, LearnSpec, Multipath, MultipathAlgorithm, Nat, NatKind, PacketInReason,
    PacketType, PortSelection, Resubmit, ResubmitTuple, Sample, SampleDirection, SetField, Zone,
};
pub use field::{
    Access, CT_STATE_FLAGS, Field, FieldDef, Format, Header as OxmHeader, Masking, OxmId, Prerequisite,
    TCP_FLAGS,
};
pub use flow::{Flow, FlowFlags, FlowKey};
pub use flow_match::{FieldValue, Masked, Match, MatchError};
pub use port::{NotAPort, Port};
pub use subfield::SubField;
pub use text::ParseError;
pub use tun_option::TunOption;
pub use version::Version;
pub use wire::ct_flush::CtFlush;
pub use wire::cursor::{DecodeError, EncodeError};
pub use wire::error::{ErrorCode, ErrorMessage};
pub use wire::flow_mod::{ALL_TABLES, FlowMod, FlowModCommand};
pub use wire::flow_removed::FlowRemoved;
pub use wire::frame::FrameSplitter;
pub use wire::group::{ALL_GROUPS, Bucket, BucketId, Group, GroupCommand, GroupMod, GroupType, Selection};
pub use wire::message::{
    BUNDLE_ATOMIC_ORDERED, BundleAdd, BundleControl, BundleStep, Features, Hello, Message, PacketInFormat,
    Role,
};
pub use wire::message_codec::{BundleItem, Header, decode, encode, encode_bundle_add};
pub use wire::meter::{
    ALL_METERS, Band, CONTROLLER_METER, Meter, MeterCommand, MeterFeatures, MeterFlags, MeterMod, MeterStats,
    SLOWPATH_METER,
};
pub use wire::monitor::{FlowChange, FlowUpdate, MonitorCommand, MonitorFlags, MonitorRequest};
pub use wire::multipart::{FlowFilter, MultipartReply, MultipartRequest, Reassembly};
pub use wire::packed::{PackedActions, PackedKey};
pub use wire::packet::{PacketIn, PacketOut};
pub use wire::port::{PortDesc, PortReason, PortStatus};
pub use wire::stats::{Counters, FlowStats, TableStats};
