//! `OFPT_FLOW_REMOVED` (OpenFlow 1.5.1 section 7.4.2; 1.3.5 section 7.4.2): a flow with `send_flow_rem` is gone.

use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use super::oxm::{put_match, read_match};
use super::stats::Counters;
use crate::{FlowKey, Version};

/// Tells that a flow is gone, and what it counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRemoved {
    /// What identified the flow.
    pub key: FlowKey,
    /// The flow's cookie.
    pub cookie: u64,
    /// `OFPRR_*`: 0 idle, 1 too old, 2 deleted, 3 its group is gone, 4 its meter is gone, 5 evicted.
    pub reason: u8,
    /// The flow's idle timeout.
    pub idle_timeout: u16,
    /// The flow's hard timeout.
    pub hard_timeout: u16,
    /// What it counted; without the idle time and the number of flows before OpenFlow 1.5.
    pub counters: Counters,
}

impl FlowRemoved {
    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let FlowKey { table, priority, matches } = &self.key;
        if w.version >= Version::V1_5 {
            w.u8(*table);
            w.u8(self.reason);
            w.u16(*priority);
            w.u16(self.idle_timeout);
            w.u16(self.hard_timeout);
            w.u64(self.cookie);
            put_match(w, matches)?;
            return self.counters.put_oxs(w);
        }
        if self.counters.idle_ns != 0 || self.counters.flows != 0 {
            return Err(EncodeError::Unsupported { what: "idle time of a flow", version: w.version });
        }
        w.u64(self.cookie);
        w.u16(*priority);
        w.u8(self.reason);
        w.u8(*table);
        w.u32((self.counters.duration_ns / 1_000_000_000) as u32);
        w.u32((self.counters.duration_ns % 1_000_000_000) as u32);
        w.u16(self.idle_timeout);
        w.u16(self.hard_timeout);
        w.u64(self.counters.packets);
        w.u64(self.counters.bytes);
        put_match(w, matches)
    }

    pub(super) fn read(mut r: Reader<'_>, version: Version) -> Result<FlowRemoved, DecodeError> {
        if version >= Version::V1_5 {
            let (table, reason, priority) = (r.u8()?, r.u8()?, r.u16()?);
            let (idle_timeout, hard_timeout, cookie) = (r.u16()?, r.u16()?, r.u64()?);
            let key = FlowKey { table, priority, matches: read_match(&mut r)? };
            let counters = Counters::read_oxs(&mut r)?;
            return Ok(FlowRemoved { key, cookie, reason, idle_timeout, hard_timeout, counters });
        }
        let (cookie, priority, reason, table) = (r.u64()?, r.u16()?, r.u8()?, r.u8()?);
        let duration_ns = u64::from(r.u32()?) * 1_000_000_000 + u64::from(r.u32()?);
        let (idle_timeout, hard_timeout) = (r.u16()?, r.u16()?);
        let (packets, bytes) = (r.u64()?, r.u64()?);
        let key = FlowKey { table, priority, matches: read_match(&mut r)? };
        let counters = Counters { duration_ns, packets, bytes, ..Counters::default() };
        Ok(FlowRemoved { key, cookie, reason, idle_timeout, hard_timeout, counters })
    }
}
