//! Multipart requests and replies (OpenFlow 1.5.1 section 7.3.5), and putting replies together again.

use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use super::monitor::MonitorRequest;
use super::oxm::{put_match, read_match};
use super::stats::{Counters, FlowStats, TableStats};
use crate::{FlowUpdate, Group, Match, Meter, MeterFeatures, MeterStats, Port, PortDesc, Version};

/// Multipart types.
pub(crate) mod ofpmp {
    pub(crate) const DESC: u16 = 0;
    pub(crate) const FLOW: u16 = 1;
    pub(crate) const AGGREGATE: u16 = 2;
    pub(crate) const TABLE: u16 = 3;
    pub(crate) const GROUP_DESC: u16 = 7;
    pub(crate) const METER: u16 = 9;
    pub(crate) const METER_CONFIG: u16 = 10;
    pub(crate) const METER_FEATURES: u16 = 11;
    pub(crate) const PORT_DESC: u16 = 13;
    pub(crate) const FLOW_MONITOR: u16 = 16;
}

const ANY_GROUP: u32 = 0xffff_ffff;
/// `OFPMPF_REPLY_MORE`.
const MORE: u16 = 1;

/// Which flows a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowFilter {
    /// Only this table; 255 all.
    pub table: u8,
    /// Only flows that output here; [`Port::ANY`] all.
    pub out_port: Port,
    /// Only flows that use this group; `u32::MAX` all.
    pub out_group: u32,
    /// Together with `cookie_mask`: only flows whose cookie agrees in these bits.
    pub cookie: u64,
    /// Which cookie bits must agree.
    pub cookie_mask: u64,
    /// Only flows this covers.
    pub matches: Match,
}

impl Default for FlowFilter {
    fn default() -> FlowFilter {
        FlowFilter {
            table: 255,
            out_port: Port::ANY,
            out_group: ANY_GROUP,
            cookie: 0,
            cookie_mask: 0,
            matches: Match::any(),
        }
    }
}

impl FlowFilter {
    /// Every flow.
    pub fn all() -> FlowFilter {
        FlowFilter::default()
    }

    /// Flows of one table.
    pub fn table(table: u8) -> FlowFilter {
        FlowFilter { table, ..FlowFilter::default() }
    }

    /// Only flows whose cookie agrees with `cookie` in the bits of `mask`.
    #[must_use]
    pub fn with_cookie(self, cookie: u64, mask: u64) -> FlowFilter {
        FlowFilter { cookie, cookie_mask: mask, ..self }
    }

    fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.u8(self.table);
        w.zeros(3);
        w.u32(self.out_port.0);
        w.u32(self.out_group);
        w.zeros(4);
        w.u64(self.cookie);
        w.u64(self.cookie_mask);
        put_match(w, &self.matches)
    }

    fn read(r: &mut Reader<'_>) -> Result<FlowFilter, DecodeError> {
        let table = r.u8()?;
        r.skip(3)?;
        let (out_port, out_group) = (Port(r.u32()?), r.u32()?);
        r.skip(4)?;
        let (cookie, cookie_mask) = (r.u64()?, r.u64()?);
        Ok(FlowFilter { table, out_port, out_group, cookie, cookie_mask, matches: read_match(r)? })
    }
}

/// `OFPT_MULTIPART_REQUEST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultipartRequest {
    /// Who makes the switch.
    Desc,
    /// Flows with their counters.
    Flows(FlowFilter),
    /// The sum of the counters of these flows.
    Aggregate(FlowFilter),
    /// Per table counters.
    Tables,
    /// The groups.
    Groups,
    /// A meter, or [`ALL_METERS`](crate::ALL_METERS).
    Meters(u32),
    /// What a meter, or [`ALL_METERS`](crate::ALL_METERS), counted.
    MeterStats(u32),
    /// What the switch can do with meters.
    MeterFeatures,
    /// The ports.
    Ports,
    /// Starts, changes, stops flow monitors.
    Monitors(Vec<MonitorRequest>),
    /// A request this crate has no name for.
    Unknown {
        /// The multipart type.
        kind: u16,
        /// Its flags.
        flags: u16,
        /// Its body.
        body: Vec<u8>,
    },
}

impl MultipartRequest {
    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let (kind, flags) = match self {
            MultipartRequest::Desc => (ofpmp::DESC, 0),
            MultipartRequest::Flows(_) => (ofpmp::FLOW, 0),
            MultipartRequest::Aggregate(_) => (ofpmp::AGGREGATE, 0),
            MultipartRequest::Tables => (ofpmp::TABLE, 0),
            MultipartRequest::Groups => (ofpmp::GROUP_DESC, 0),
            MultipartRequest::Meters(_) => (ofpmp::METER_CONFIG, 0),
            MultipartRequest::MeterStats(_) => (ofpmp::METER, 0),
            MultipartRequest::MeterFeatures => (ofpmp::METER_FEATURES, 0),
            MultipartRequest::Ports => (ofpmp::PORT_DESC, 0),
            MultipartRequest::Monitors(_) => (ofpmp::FLOW_MONITOR, 0),
            MultipartRequest::Unknown { kind, flags, .. } => (*kind, *flags),
        };
        w.u16(kind);
        w.u16(flags);
        w.zeros(4);
        match self {
            MultipartRequest::Desc | MultipartRequest::Tables => {}
            MultipartRequest::Flows(filter) | MultipartRequest::Aggregate(filter) => filter.put(w)?,
            // OpenFlow 1.5 lets one ask for a single one: all of them, `OFPP_ANY` and `OFPG_ALL`.
            MultipartRequest::Ports if w.version >= Version::V1_5 => w.u64(0xffff_ffff_0000_0000),
            MultipartRequest::Groups if w.version >= Version::V1_5 => w.u64(0xffff_fffc_0000_0000),
            MultipartRequest::Ports | MultipartRequest::Groups | MultipartRequest::MeterFeatures => {}
            MultipartRequest::Meters(id) | MultipartRequest::MeterStats(id) => {
                w.u32(*id);
                w.zeros(4);
            }
            MultipartRequest::Monitors(_) if w.version < Version::V1_4 => {
                return Err(EncodeError::Unsupported { what: "flow monitor", version: w.version });
            }
            MultipartRequest::Monitors(monitors) => monitors.iter().try_for_each(|m| m.put(w))?,
            MultipartRequest::Unknown { body, .. } => w.bytes(body),
        }
        Ok(())
    }

    pub(super) fn read(mut r: Reader<'_>, version: Version) -> Result<MultipartRequest, DecodeError> {
        let (kind, flags) = (r.u16()?, r.u16()?);
        r.skip(4)?;
        let unknown = MultipartRequest::Unknown { kind, flags, body: r.peek().to_vec() };
        let request = match kind {
            _ if flags != 0 => return Ok(unknown),
            ofpmp::DESC => MultipartRequest::Desc,
            ofpmp::TABLE => MultipartRequest::Tables,
            ofpmp::FLOW => MultipartRequest::Flows(FlowFilter::read(&mut r)?),
            ofpmp::AGGREGATE => MultipartRequest::Aggregate(FlowFilter::read(&mut r)?),
            ofpmp::METER_CONFIG | ofpmp::METER => {
                let id = r.u32()?;
                r.skip(4)?;
                match kind {
                    ofpmp::METER => MultipartRequest::MeterStats(id),
                    _ => MultipartRequest::Meters(id),
                }
            }
            ofpmp::METER_FEATURES => MultipartRequest::MeterFeatures,
            ofpmp::PORT_DESC | ofpmp::GROUP_DESC => {
                let body = if version >= Version::V1_5 { r.u64()? } else { 0 };
                match (kind, body) {
                    (ofpmp::PORT_DESC, 0 | 0xffff_ffff_0000_0000) => MultipartRequest::Ports,
                    (ofpmp::GROUP_DESC, 0 | 0xffff_fffc_0000_0000) => MultipartRequest::Groups,
                    _ => return Ok(unknown),
                }
            }
            ofpmp::FLOW_MONITOR => {
                let mut monitors = Vec::new();
                while !r.is_empty() {
                    monitors.push(MonitorRequest::read(&mut r)?);
                }
                MultipartRequest::Monitors(monitors)
            }
            _ => return Ok(unknown),
        };
        if r.is_empty() { Ok(request) } else { Ok(unknown) }
    }
}

/// `OFPT_MULTIPART_REPLY`: one part of a reply. The entries of a part are whole; [`Reassembly`] joins the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultipartReply {
    /// The multipart type.
    pub kind: u16,
    /// Whether more parts follow, and other flags.
    pub flags: u16,
    /// The entries, as on the wire.
    pub body: Vec<u8>,
}

impl MultipartReply {
    /// Whether more parts follow.
    pub fn has_more(&self) -> bool {
        self.flags & MORE != 0
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) {
        w.u16(self.kind);
        w.u16(self.flags);
        w.zeros(4);
        w.bytes(&self.body);
    }

    pub(super) fn read(mut r: Reader<'_>) -> Result<MultipartReply, DecodeError> {
        let (kind, flags) = (r.u16()?, r.u16()?);
        r.skip(4)?;
        Ok(MultipartReply { kind, flags, body: r.rest().to_vec() })
    }

    /// A reply with these flows, as a switch (a test's, or a simulated one) sends it in OpenFlow 1.5.
    pub fn of_flows(flows: &[FlowStats]) -> Result<MultipartReply, EncodeError> {
        MultipartReply::of(ofpmp::FLOW, |w| flows.iter().try_for_each(|stats| stats.put_oxs(w)))
    }

    /// A reply with these meters, as a switch sends it.
    pub fn of_meters(meters: &[Meter]) -> Result<MultipartReply, EncodeError> {
        MultipartReply::of(ofpmp::METER_CONFIG, |w| Meter::put_all(w, meters))
    }

    /// A reply with these groups, as a switch sends it.
    pub fn of_groups(groups: &[Group]) -> Result<MultipartReply, EncodeError> {
        MultipartReply::of(ofpmp::GROUP_DESC, |w| Group::put_all(w, groups))
    }

    /// A report of a flow monitor, as a switch sends it.
    pub fn of_updates(updates: &[FlowUpdate]) -> Result<MultipartReply, EncodeError> {
        MultipartReply::of(ofpmp::FLOW_MONITOR, |w| updates.iter().try_for_each(|update| update.put(w)))
    }

    /// A reply with these ports, as a switch sends it.
    pub fn of_ports(ports: &[PortDesc]) -> Result<MultipartReply, EncodeError> {
        MultipartReply::of(ofpmp::PORT_DESC, |w| ports.iter().try_for_each(|port| port.put(w)))
    }

    fn of(
        kind: u16,
        put: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
    ) -> Result<MultipartReply, EncodeError> {
        let mut body = Vec::new();
        put(&mut Writer::new(&mut body, Version::V1_5))?;
        Ok(MultipartReply { kind, flags: 0, body })
    }

    fn entries(&self, kind: u16, what: &'static str) -> Result<Reader<'_>, DecodeError> {
        if self.kind != kind {
            return Err(DecodeError::Value { what: "multipart type", value: self.kind.into() });
        }
        Ok(Reader::new(&self.body, what))
    }

    /// The flows of a reply to [`MultipartRequest::Flows`].
    pub fn flows(&self, version: Version) -> Result<Vec<FlowStats>, DecodeError> {
        let mut flows = Vec::new();
        self.flows_each(version, |flow| flows.push(flow))?;
        Ok(flows)
    }

    /// As [`MultipartReply::flows`], one at a time.
    pub fn flows_each(&self, version: Version, mut each: impl FnMut(FlowStats)) -> Result<(), DecodeError> {
        let mut r = self.entries(ofpmp::FLOW, "flow")?;
        while !r.is_empty() {
            each(FlowStats::read(r.structure(0, 16, "flow")?, version)?);
        }
        Ok(())
    }

    /// The ports of a reply to [`MultipartRequest::Ports`].
    pub fn ports(&self, version: Version) -> Result<Vec<PortDesc>, DecodeError> {
        let mut r = self.entries(ofpmp::PORT_DESC, "port")?;
        let mut ports = Vec::new();
        while !r.is_empty() {
            ports.push(PortDesc::read(&mut r, version)?);
        }
        Ok(ports)
    }

    /// The meters of a reply to [`MultipartRequest::Meters`].
    pub fn meters(&self) -> Result<Vec<Meter>, DecodeError> {
        Meter::read_all(self.entries(ofpmp::METER_CONFIG, "meter")?)
    }

    /// What meters counted: a reply to [`MultipartRequest::MeterStats`].
    pub fn meter_stats(&self) -> Result<Vec<MeterStats>, DecodeError> {
        MeterStats::read_all(self.entries(ofpmp::METER, "meter counters")?)
    }

    /// What the switch can do with meters: a reply to [`MultipartRequest::MeterFeatures`].
    pub fn meter_features(&self) -> Result<MeterFeatures, DecodeError> {
        MeterFeatures::read(self.entries(ofpmp::METER_FEATURES, "meter features")?)
    }

    /// The groups of a reply to [`MultipartRequest::Groups`].
    pub fn groups(&self, version: Version) -> Result<Vec<Group>, DecodeError> {
        Group::read_all(self.entries(ofpmp::GROUP_DESC, "group")?, version)
    }

    /// The reports of a flow monitor.
    pub fn updates(&self) -> Result<Vec<FlowUpdate>, DecodeError> {
        FlowUpdate::read_all(self.entries(ofpmp::FLOW_MONITOR, "flow update")?)
    }

    /// The answer to [`MultipartRequest::Aggregate`].
    pub fn aggregate(&self, version: Version) -> Result<Counters, DecodeError> {
        let mut r = self.entries(ofpmp::AGGREGATE, "aggregate")?;
        if version >= Version::V1_5 {
            return Counters::read_oxs(&mut r);
        }
        let (packets, bytes, flows) = (r.u64()?, r.u64()?, r.u32()?);
        Ok(Counters { packets, bytes, flows, ..Counters::default() })
    }

    /// The tables of a reply to [`MultipartRequest::Tables`].
    pub fn tables(&self) -> Result<Vec<TableStats>, DecodeError> {
        let mut r = self.entries(ofpmp::TABLE, "table")?;
        let mut tables = Vec::new();
        while !r.is_empty() {
            let table = r.u8()?;
            r.skip(3)?;
            tables.push(TableStats { table, active: r.u32()?, lookups: r.u64()?, matched: r.u64()? });
        }
        Ok(tables)
    }
}

/// Joins the parts of a multipart reply, within a bound of memory.
#[derive(Debug)]
pub struct Reassembly {
    parts: Option<MultipartReply>,
    limit: usize,
}

impl Reassembly {
    /// A reassembly that refuses replies of more than `limit` bytes.
    pub fn new(limit: usize) -> Reassembly {
        Reassembly { parts: None, limit }
    }

    /// Takes a part; gives the whole reply with the last one.
    pub fn push(&mut self, part: MultipartReply) -> Result<Option<MultipartReply>, DecodeError> {
        let more = part.has_more();
        let whole = match self.parts.take() {
            None => part,
            Some(whole) if whole.kind != part.kind => {
                return Err(DecodeError::Value { what: "multipart type", value: part.kind.into() });
            }
            Some(mut whole) => {
                whole.body.extend_from_slice(&part.body);
                whole
            }
        };
        if whole.body.len() > self.limit {
            return Err(DecodeError::TooLarge { limit: self.limit });
        }
        if more {
            self.parts = Some(whole);
            return Ok(None);
        }
        Ok(Some(MultipartReply { flags: 0, ..whole }))
    }
}
