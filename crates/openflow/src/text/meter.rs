//! Meters in the syntax of ovs-ofctl(8), "Meter Syntax".

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use super::ParseError;
use super::print_match::Hex;
use super::value::parse_number;
use crate::{ALL_METERS, Band, CONTROLLER_METER, Meter, MeterFlags, SLOWPATH_METER};

const NAMES: [(&str, u32); 3] =
    [("controller", CONTROLLER_METER), ("slowpath", SLOWPATH_METER), ("all", ALL_METERS)];
const FLAGS: [(&str, MeterFlags); 4] = [
    ("kbps", MeterFlags::KBPS),
    ("pktps", MeterFlags::PKTPS),
    ("burst", MeterFlags::BURST),
    ("stats", MeterFlags::STATS),
];

impl Display for Meter {
    /// `meter=1,kbps,burst,bands=type=drop,rate=10,burst_size=20`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, id)| *id == self.id) {
            Some((name, _)) => write!(f, "meter={name}")?,
            None => write!(f, "meter={}", self.id)?,
        }
        let mut rest = self.flags.0;
        for (name, flag) in FLAGS.iter().filter(|(_, flag)| self.flags.0 & flag.0 != 0) {
            write!(f, ",{name}")?;
            rest &= !flag.0;
        }
        if rest != 0 {
            write!(f, ",unknown_flags={rest:#x}")?;
        }
        f.write_str(if self.bands.is_empty() { "" } else { ",bands=" })?;
        let burst = self.flags.0 & MeterFlags::BURST.0 != 0;
        for (i, band) in self.bands.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            print_band(f, band, burst)?;
        }
        Ok(())
    }
}

fn print_band(f: &mut Formatter<'_>, band: &Band, with_burst: bool) -> fmt::Result {
    let burst = match band {
        Band::Drop { rate, burst } => {
            write!(f, "type=drop,rate={rate}")?;
            burst
        }
        Band::DscpRemark { rate, burst, .. } => {
            write!(f, "type=dscp_remark,rate={rate}")?;
            burst
        }
        Band::Unknown(bytes) => return write!(f, "type=unknown:{}", Hex(bytes)),
    };
    if with_burst || *burst != 0 {
        write!(f, ",burst_size={burst}")?;
    }
    if let Band::DscpRemark { prec_level, .. } = band {
        write!(f, ",prec_level={prec_level}")?;
    }
    Ok(())
}

impl FromStr for Meter {
    type Err = ParseError;

    /// What [`Display`] prints; `band=` is `bands=`, and without a unit it is `kbps`, as in ovs-ofctl(8).
    fn from_str(text: &str) -> Result<Meter, ParseError> {
        let bad = |reason: &str| ParseError::new("meter", text, reason);
        let (head, bands) = match text.find("band=").or_else(|| text.find("bands=")) {
            Some(at) => (&text[..at], text[at..].split_once('=').map_or("", |(_, bands)| bands)),
            None => (text, ""),
        };
        let (mut id, mut flags) = (None, MeterFlags::default());
        for item in head.split([',', ' ']).filter(|item| !item.is_empty()) {
            if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == item) {
                flags = flags.union(*flag);
            } else if let Some(name) = item.strip_prefix("meter=") {
                id = Some(parse_id(name).ok_or_else(|| bad("not a meter"))?);
            } else if let Some(n) = item.strip_prefix("unknown_flags=") {
                let n = parse_number(n).and_then(|n| u16::try_from(n).ok());
                flags = flags.union(MeterFlags(n.ok_or_else(|| bad("bad flags"))?));
            } else {
                return Err(bad("unknown key"));
            }
        }
        if flags.0 & (MeterFlags::KBPS.0 | MeterFlags::PKTPS.0) == 0 {
            flags = flags.union(MeterFlags::KBPS);
        }
        let id = id.ok_or_else(|| bad("no meter="))?;
        let bands = bands.split("type=").filter(|band| !band.trim().is_empty());
        Ok(Meter { id, flags, bands: bands.map(parse_band).collect::<Result<_, _>>()? })
    }
}

/// A name, or a number from 1 to `OFPM13_MAX`.
fn parse_id(text: &str) -> Option<u32> {
    let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, id)| *id);
    let number = || parse_number(text).and_then(|n| u32::try_from(n).ok());
    named.or_else(|| number().filter(|id| (1..=0xffff_0000).contains(id)))
}

/// What stands after `type=`.
fn parse_band(text: &str) -> Result<Band, ParseError> {
    let bad = |reason: &str| ParseError::new("band", text, reason);
    let mut items = text.split([',', ' ', '\n']).filter(|item| !item.is_empty());
    let kind = items.next().unwrap_or_default();
    if let Some(hex) = kind.strip_prefix("unknown:") {
        return super::parse_hex(hex).map(Band::Unknown).ok_or_else(|| bad("not hexadecimal"));
    }
    let (mut rate, mut burst, mut prec_level) = (None, 0, 0);
    for item in items {
        let (key, value) = item.split_once('=').ok_or_else(|| bad("not key=value"))?;
        let n = parse_number(value).and_then(|n| u32::try_from(n).ok()).ok_or_else(|| bad("bad number"))?;
        match key {
            "rate" => rate = Some(n),
            "burst_size" => burst = n,
            "prec_level" => prec_level = u8::try_from(n).map_err(|_| bad("bad number"))?,
            _ => return Err(bad("unknown key")),
        }
    }
    let rate = rate.ok_or_else(|| bad("no rate"))?;
    match kind {
        "drop" => Ok(Band::Drop { rate, burst }),
        "dscp_remark" => Ok(Band::DscpRemark { rate, burst, prec_level }),
        _ => Err(bad("unknown type")),
    }
}
