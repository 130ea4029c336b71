//! The wire codec: bytes to [`Message`](crate::Message) and back, without I/O.
//!
//! Numbers and layouts are those of the OpenFlow 1.3.5, 1.4.1 and 1.5.1 specifications and of Open vSwitch's
//! `nicira-ext.h`; each module names the structures it reads and writes. OpenFlow integers are big-endian and
//! lists are padded to 8 bytes, which [`cursor`] takes care of.
//!
//! # Invariants
//! - `decode(encode(x)) == x` for every message that encodes.
//! - Every length found in a message is checked against what encloses it before anything is read.
//! - What is not known stays as bytes and is written back unchanged.

pub(crate) mod action_decode;
pub(crate) mod action_encode;
pub(crate) mod ct_action;
pub(crate) mod ct_flush;
pub(crate) mod cursor;
pub(crate) mod encap;
pub(crate) mod error;
mod error_names;
pub(crate) mod flow_mod;
pub(crate) mod flow_removed;
pub(crate) mod frame;
pub(crate) mod group;
pub(crate) mod instruction;
pub(crate) mod learn;
pub(crate) mod message;
pub(crate) mod message_codec;
pub(crate) mod meter;
pub(crate) mod monitor;
pub(crate) mod multipart;
pub(crate) mod oxm;
pub(crate) mod packed;
pub(crate) mod packet;
pub(crate) mod port;
pub(crate) mod select;
pub(crate) mod stats;

/// `NX_VENDOR_ID`: Nicira extensions, the ones of Open vSwitch.
pub(crate) const NICIRA: u32 = 0x0000_2320;
/// `ONF_VENDOR_ID`: the Open Networking Foundation's extensions to older versions.
pub(crate) const ONF: u32 = 0x4f4e_4600;
/// `OFPAT_EXPERIMENTER` and its kin: the type number of anything a vendor added.
pub(crate) const EXPERIMENTER: u16 = 0xffff;
