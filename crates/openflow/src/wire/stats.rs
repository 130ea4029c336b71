//! What a switch counts, and flows as it tells them: bodies of multipart replies (OpenFlow 1.5.1 sections 7.2.4 and
//! 7.3.5.2), which messages of flows that went (section 7.4.2) have in common.
//!
//! Before OpenFlow 1.5 counters are fields of a fixed struct; since then a list of OXS entries, of which the unknown are
//! passed over: counters are for people, nothing is decided by them.
//!
//! # Failure
//! [`DecodeError`] with what was being read; nothing is half read.

use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use super::instruction::{put_instructions, read_instructions};
use super::oxm::{put_match, read_match};
use crate::{Flow, FlowFlags, Version};

/// `OFPXMC_OPENFLOW_BASIC` of OXS (OpenFlow 1.5.1 section 7.2.4.2).
const OXS_BASIC: u16 = 0x8002;

/// Counters of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// The table.
    pub table: u8,
    /// Flows in it.
    pub active: u32,
    /// Packets looked up.
    pub lookups: u64,
    /// Packets that hit a flow.
    pub matched: u64,
}

/// What a switch counts of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// How long the flow is there, in nanoseconds.
    pub duration_ns: u64,
    /// How long no packet hit it, in nanoseconds (OpenFlow 1.5).
    pub idle_ns: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Flows, in sums over several.
    pub flows: u32,
}

impl Counters {
    /// `struct ofp_stats` of OXS entries, padded.
    pub(super) fn read_oxs(r: &mut Reader<'_>) -> Result<Counters, DecodeError> {
        r.skip(2)?;
        let length = usize::from(r.u16()?);
        let body = length.checked_sub(4).ok_or(DecodeError::Length { what: "oxs", length })?;
        let mut entries = r.sub(body, "oxs")?;
        r.skip(super::cursor::pad8(length).min(r.len()))?;
        let mut counters = Counters::default();
        while !entries.is_empty() {
            let (class, field, length) = (entries.u16()?, entries.u8()? >> 1, usize::from(entries.u8()?));
            let mut value = entries.sub(length, "oxs entry")?;
            match (class, field) {
                (OXS_BASIC, 0) => counters.duration_ns = nanos(value.u32()?, value.u32()?),
                (OXS_BASIC, 1) => counters.idle_ns = nanos(value.u32()?, value.u32()?),
                (OXS_BASIC, 3) => counters.flows = value.u32()?,
                (OXS_BASIC, 4) => counters.packets = value.u64()?,
                (OXS_BASIC, 5) => counters.bytes = value.u64()?,
                // Counters are for people: one more that we do not know changes nothing.
                _ => {}
            }
        }
        Ok(counters)
    }

    pub(super) fn put_oxs(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let start = w.pos();
        w.zeros(4);
        for (header, ns) in [(0x8002_0008, self.duration_ns), (0x8002_0208, self.idle_ns)] {
            w.u32(header);
            w.u32((ns / 1_000_000_000) as u32);
            w.u32((ns % 1_000_000_000) as u32);
        }
        w.u32(0x8002_0808);
        w.u64(self.packets);
        w.u32(0x8002_0a08);
        w.u64(self.bytes);
        w.patch_len(start + 2, start, "oxs")?;
        w.pad_from(start);
        Ok(())
    }
}

fn nanos(sec: u32, nsec: u32) -> u64 {
    u64::from(sec) * 1_000_000_000 + u64::from(nsec)
}

/// A flow as it stands in the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStats {
    /// The flow.
    pub flow: Flow,
    /// Its counters.
    pub counters: Counters,
}

impl FlowStats {
    pub(super) fn read(mut r: Reader<'_>, version: Version) -> Result<FlowStats, DecodeError> {
        if version >= Version::V1_5 {
            return FlowStats::read_oxs(r);
        }
        r.skip(2)?;
        let (table, _) = (r.u8()?, r.u8()?);
        let duration_ns = nanos(r.u32()?, r.u32()?);
        let (priority, idle_timeout, hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
        let (flags, importance) = (FlowFlags(r.u16()?), r.u16()?);
        r.skip(2)?;
        let (cookie, packets, bytes) = (r.u64()?, r.u64()?, r.u64()?);
        let matches = read_match(&mut r)?;
        let actions = read_instructions(r)?;
        let flow =
            Flow { table, priority, cookie, matches, actions, idle_timeout, hard_timeout, flags, importance };
        Ok(FlowStats { flow, counters: Counters { duration_ns, packets, bytes, ..Counters::default() } })
    }

    /// `struct ofp_flow_desc` of OpenFlow 1.5.
    fn read_oxs(mut r: Reader<'_>) -> Result<FlowStats, DecodeError> {
        r.skip(4)?;
        let (table, _, priority) = (r.u8()?, r.u8()?, r.u16()?);
        let (idle_timeout, hard_timeout) = (r.u16()?, r.u16()?);
        let (flags, importance, cookie) = (FlowFlags(r.u16()?), r.u16()?, r.u64()?);
        let matches = read_match(&mut r)?;
        let counters = Counters::read_oxs(&mut r)?;
        let actions = read_instructions(r)?;
        let flow =
            Flow { table, priority, cookie, matches, actions, idle_timeout, hard_timeout, flags, importance };
        Ok(FlowStats { flow, counters })
    }

    pub(super) fn put_oxs(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let (flow, start) = (&self.flow, w.pos());
        w.zeros(4);
        w.u8(flow.table);
        w.u8(0);
        w.u16(flow.priority);
        w.u16(flow.idle_timeout);
        w.u16(flow.hard_timeout);
        w.u16(flow.flags.0);
        w.u16(flow.importance);
        w.u64(flow.cookie);
        put_match(w, &flow.matches)?;
        self.counters.put_oxs(w)?;
        put_instructions(w, &flow.actions)?;
        w.patch_len(start, start, "flow")
    }
}
