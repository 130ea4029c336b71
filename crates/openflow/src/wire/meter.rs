//! Meters: `OFPT_METER_MOD` and `OFPMP_METER_CONFIG` (OpenFlow 1.5.1 sections 7.3.4.4, 7.3.5.16).

use super::cursor::{DecodeError, EncodeError, Reader, Writer};

/// `OFPM_ALL`: every meter, in requests.
pub const ALL_METERS: u32 = 0xffff_ffff;
/// `OFPM_CONTROLLER`: what every packet to a controller passes.
pub const CONTROLLER_METER: u32 = 0xffff_fffe;
/// `OFPM_SLOWPATH`: what every packet that needs `ovs-vswitchd` passes.
pub const SLOWPATH_METER: u32 = 0xffff_fffd;

/// What a [`MeterMod`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterCommand {
    /// Adds a meter; refused if it is there.
    Add,
    /// Changes a meter; refused if it is not there.
    Modify,
    /// Deletes it, and every flow that uses it.
    Delete,
}

/// What a meter counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterFlags(pub u16);

impl MeterFlags {
    /// Rates in kilobits per second.
    pub const KBPS: MeterFlags = MeterFlags(1);
    /// Rates in packets per second.
    pub const PKTPS: MeterFlags = MeterFlags(2);
    /// Bands have a burst size.
    pub const BURST: MeterFlags = MeterFlags(4);
    /// Keep statistics.
    pub const STATS: MeterFlags = MeterFlags(8);

    /// Both sets.
    #[must_use]
    pub fn union(self, other: MeterFlags) -> MeterFlags {
        MeterFlags(self.0 | other.0)
    }
}

/// A rate above which something happens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Band {
    /// Drops.
    Drop {
        /// The rate.
        rate: u32,
        /// The burst size.
        burst: u32,
    },
    /// Raises the drop precedence of the DSCP (RFC 2474; `OFPMBT_DSCP_REMARK`). Open vSwitch has none.
    DscpRemark {
        /// The rate.
        rate: u32,
        /// The burst size.
        burst: u32,
        /// By how much.
        prec_level: u8,
    },
    /// A band this crate has no name for, header included.
    Unknown(Vec<u8>),
}

/// A meter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meter {
    /// Its id, from 1.
    pub id: u32,
    /// What it counts.
    pub flags: MeterFlags,
    /// Its bands.
    pub bands: Vec<Band>,
}

/// A change to the meters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterMod {
    /// What it does.
    pub command: MeterCommand,
    /// The meter; flags and bands do not count when deleting.
    pub meter: Meter,
}

impl MeterMod {
    /// Deletes a meter ([`ALL_METERS`]: all) and every flow that uses it.
    pub fn delete(id: u32) -> MeterMod {
        MeterMod {
            command: MeterCommand::Delete,
            meter: Meter { id, flags: MeterFlags::default(), bands: Vec::new() },
        }
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) {
        w.u16(match self.command {
            MeterCommand::Add => 0,
            MeterCommand::Modify => 1,
            MeterCommand::Delete => 2,
        });
        w.u16(self.meter.flags.0);
        w.u32(self.meter.id);
        put_bands(w, &self.meter.bands);
    }

    pub(super) fn read(mut r: Reader<'_>) -> Result<MeterMod, DecodeError> {
        let command = match r.u16()? {
            0 => MeterCommand::Add,
            1 => MeterCommand::Modify,
            2 => MeterCommand::Delete,
            n => return Err(DecodeError::Value { what: "meter command", value: n.into() }),
        };
        let (flags, id) = (MeterFlags(r.u16()?), r.u32()?);
        Ok(MeterMod { command, meter: Meter { id, flags, bands: read_bands(r)? } })
    }
}

impl Meter {
    /// A meter that drops what exceeds `rate` kilobits per second.
    pub fn kbps(id: u32, rate: u32, burst: u32) -> Meter {
        let flags = MeterFlags::KBPS.union(MeterFlags::BURST);
        Meter { id, flags, bands: vec![Band::Drop { rate, burst }] }
    }

    /// A meter that drops what exceeds `rate` packets per second.
    pub fn pktps(id: u32, rate: u32, burst: u32) -> Meter {
        let flags = MeterFlags::PKTPS.union(MeterFlags::BURST);
        Meter { id, flags, bands: vec![Band::Drop { rate, burst }] }
    }

    /// The entries of an `OFPMP_METER_CONFIG` reply.
    pub(super) fn read_all(mut r: Reader<'_>) -> Result<Vec<Meter>, DecodeError> {
        let mut meters = Vec::new();
        while !r.is_empty() {
            let mut entry = r.structure(0, 8, "meter")?;
            entry.skip(2)?;
            let (flags, id) = (MeterFlags(entry.u16()?), entry.u32()?);
            meters.push(Meter { id, flags, bands: read_bands(entry)? });
        }
        Ok(meters)
    }

    pub(super) fn put_all(w: &mut Writer<'_>, meters: &[Meter]) -> Result<(), EncodeError> {
        for meter in meters {
            let start = w.pos();
            w.u16(0);
            w.u16(meter.flags.0);
            w.u32(meter.id);
            put_bands(w, &meter.bands);
            w.patch_len(start, start, "meter")?;
        }
        Ok(())
    }
}

/// What a meter counted: `struct ofp_meter_stats` (OpenFlow 1.5.1 section 7.3.5.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterStats {
    /// Which one.
    pub id: u32,
    /// Packets it was asked about.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that each band took hold of: what a drop band dropped.
    pub banded: Vec<u64>,
}

impl MeterStats {
    /// The entries of an `OFPMP_METER` reply.
    pub(super) fn read_all(mut r: Reader<'_>) -> Result<Vec<MeterStats>, DecodeError> {
        let mut stats = Vec::new();
        while !r.is_empty() {
            let mut entry = r.structure(4, 40, "meter counters")?;
            let id = entry.u32()?;
            // Length, padding, how many flows use it.
            entry.skip(2 + 6 + 4)?;
            let (packets, bytes) = (entry.u64()?, entry.u64()?);
            // How long it is there.
            entry.skip(8)?;
            let mut banded = Vec::new();
            while !entry.is_empty() {
                banded.push(entry.u64()?);
                entry.skip(8)?;
            }
            stats.push(MeterStats { id, packets, bytes, banded });
        }
        Ok(stats)
    }
}

/// What a switch can do with meters: `struct ofp_meter_features` (OpenFlow 1.3.5 section 7.3.5.15; Open vSwitch sends this
/// form in later versions, too).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterFeatures {
    /// So many meters there can be at once.
    pub max_meters: u32,
    /// A meter has so many bands at most.
    pub max_bands: u8,
}

impl MeterFeatures {
    /// The body of an `OFPMP_METER_FEATURES` reply.
    pub(super) fn read(mut r: Reader<'_>) -> Result<MeterFeatures, DecodeError> {
        let max_meters = r.u32()?;
        // Which bands there are, and what they can do.
        r.skip(4 + 4)?;
        let max_bands = r.u8()?;
        r.skip(3)?;
        Ok(MeterFeatures { max_meters, max_bands })
    }
}

fn put_bands(w: &mut Writer<'_>, bands: &[Band]) {
    for band in bands {
        match band {
            Band::Drop { rate, burst } => {
                w.u16(1);
                w.u16(16);
                w.u32(*rate);
                w.u32(*burst);
                w.zeros(4);
            }
            Band::DscpRemark { rate, burst, prec_level } => {
                w.u16(2);
                w.u16(16);
                w.u32(*rate);
                w.u32(*burst);
                w.u8(*prec_level);
                w.zeros(3);
            }
            Band::Unknown(bytes) => w.bytes(bytes),
        }
    }
}

fn read_bands(mut r: Reader<'_>) -> Result<Vec<Band>, DecodeError> {
    let mut bands = Vec::new();
    while !r.is_empty() {
        let mut band = r.structure(2, 12, "meter band")?;
        let whole = band.peek();
        let kind = band.u32()?;
        let (rate, burst) = (band.u32()?, band.u32()?);
        bands.push(match kind {
            0x0001_0010 => Band::Drop { rate, burst },
            0x0002_0010 => Band::DscpRemark { rate, burst, prec_level: band.u8()? },
            _ => Band::Unknown(whole.to_vec()),
        });
    }
    Ok(bands)
}
