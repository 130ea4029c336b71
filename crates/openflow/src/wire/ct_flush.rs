//! `NXT_CT_FLUSH` (Open vSwitch 3.1 and later, `nicira-ext.h`): forget tracked connections.
//!
//! The message has two levels of properties: a tuple is a property whose value, after four bytes of padding, is
//! properties again. An IPv4 address is written as an IPv4-mapped IPv6 one.
//!
//! # Failure
//! What this type cannot say (families, ports, reply tuples) decodes to `None`, so the message is kept as bytes: reading it
//! as less would forget more connections than it asks for.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU8;

use super::cursor::{DecodeError, EncodeError, Reader, Writer};

const ORIGINAL_TUPLE: u16 = 0;
const ZONE: u16 = 2;
const SOURCE: u16 = 0;
const DESTINATION: u16 = 1;

/// Which tracked connections to forget: those of the zone whose original direction is from and to these addresses,
/// by this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CtFlush {
    /// The conntrack zone.
    pub zone: u16,
    /// Where they come from; `None`: anywhere.
    pub source: Option<IpAddr>,
    /// Where they go to; `None`: anywhere.
    pub destination: Option<IpAddr>,
    /// IP protocol number; `None`: any.
    pub protocol: Option<NonZeroU8>,
}

impl CtFlush {
    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        // Any family.
        w.u8(self.protocol.map_or(0, NonZeroU8::get));
        w.zeros(7);
        if self.source.is_some() || self.destination.is_some() {
            let start = w.pos();
            w.u16(ORIGINAL_TUPLE);
            w.u16(0);
            w.zeros(4);
            for (kind, address) in [(SOURCE, self.source), (DESTINATION, self.destination)] {
                if let Some(address) = address {
                    w.property(kind, &mapped(address).octets())?;
                }
            }
            w.patch_len(start + 2, start, "original tuple")?;
        }
        // The length counts the padding here, as ovs-ofctl writes it.
        let [high, low] = self.zone.to_be_bytes();
        w.property(ZONE, &[high, low, 0, 0])
    }

    pub(super) fn read(mut r: Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let head = r.u64()?.to_be_bytes();
        let protocol = NonZeroU8::new(head[0]);
        if head[1..] != [0; 7] {
            return Ok(None);
        }
        let mut tuple = None;
        if !r.is_empty() && r.peek_u16(0)? == ORIGINAL_TUPLE {
            let (_, value) = r.property()?;
            let Some(read) = read_tuple(Reader::new(value, "original tuple"))? else { return Ok(None) };
            tuple = Some(read);
        }
        let (ZONE, &[high, low, 0, 0]) = r.property()? else { return Ok(None) };
        let (source, destination) = tuple.unwrap_or_default();
        let zone = u16::from_be_bytes([high, low]);
        Ok(r.is_empty().then_some(Self { zone, source, destination, protocol }))
    }
}

/// Source and destination; `None` when it says nothing, or something else.
type Tuple = (Option<IpAddr>, Option<IpAddr>);

fn read_tuple(mut r: Reader<'_>) -> Result<Option<Tuple>, DecodeError> {
    if r.u32()? != 0 || r.is_empty() {
        return Ok(None);
    }
    let (mut source, mut destination) = (None, None);
    while !r.is_empty() {
        let (kind, value) = r.property()?;
        let slot = match kind {
            SOURCE if source.is_none() && destination.is_none() => &mut source,
            DESTINATION if destination.is_none() => &mut destination,
            _ => return Ok(None),
        };
        let Ok(octets) = <[u8; 16]>::try_from(value) else { return Ok(None) };
        *slot = Some(Ipv6Addr::from(octets).to_canonical());
    }
    Ok(Some((source, destination)))
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}
