//! Ports of the switch: `OFPMP_PORT_DESC` and `OFPT_PORT_STATUS` (OpenFlow 1.5.1 sections 7.2.1, 7.4.3).

use types::MacAddr;

use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use crate::{Port, Version};

/// A port of the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortDesc {
    /// Its number.
    pub port: Port,
    /// Its address.
    pub hw_addr: MacAddr,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// `OFPPC_*`: bit 0 means administratively down.
    pub config: u32,
    /// `OFPPS_*`: bit 0 means no link.
    pub state: u32,
    /// Speeds and the like, as on the wire.
    pub properties: Vec<u8>,
}

/// What happened to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortReason {
    /// It is new.
    Add,
    /// It is gone.
    Delete,
    /// Something about it changed.
    Modify,
    /// A number this crate has no name for.
    Unknown(u8),
}

/// `OFPT_PORT_STATUS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortReason,
    /// The port as it is (was, when deleted).
    pub desc: PortDesc,
}

impl PortDesc {
    /// Whether the link is there.
    pub fn is_link_up(&self) -> bool {
        self.state & 1 == 0
    }

    pub(super) fn read(r: &mut Reader<'_>, version: Version) -> Result<PortDesc, DecodeError> {
        if version < Version::V1_4 {
            return PortDesc::read_fixed(r);
        }
        let mut r = r.structure(4, 40, "port")?;
        let port = Port(r.u32()?);
        r.skip(4)?;
        let (hw_addr, _) = (MacAddr::new(r.array()?), r.u16()?);
        let name = read_name(&mut r)?;
        let (config, state) = (r.u32()?, r.u32()?);
        Ok(PortDesc { port, hw_addr, name, config, state, properties: r.rest().to_vec() })
    }

    /// `struct ofp11_port`: 64 bytes.
    fn read_fixed(r: &mut Reader<'_>) -> Result<PortDesc, DecodeError> {
        let port = Port(r.u32()?);
        r.skip(4)?;
        let (hw_addr, _) = (MacAddr::new(r.array()?), r.u16()?);
        let name = read_name(r)?;
        let (config, state) = (r.u32()?, r.u32()?);
        Ok(PortDesc { port, hw_addr, name, config, state, properties: r.bytes(24)?.to_vec() })
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let start = w.pos();
        let bad = |reason| Err(EncodeError::Invalid { what: "port", reason });
        if self.name.len() > 15 {
            return bad("name longer than 15 bytes");
        }
        if w.version < Version::V1_4 && self.properties.len() != 24 {
            return bad("OpenFlow 1.3 has six fixed properties");
        }
        w.u32(self.port.0);
        w.zeros(4);
        w.bytes(&self.hw_addr.octets());
        w.zeros(2);
        w.bytes(self.name.as_bytes());
        w.zeros(16 - self.name.len());
        w.u32(self.config);
        w.u32(self.state);
        w.bytes(&self.properties);
        if w.version >= Version::V1_4 {
            w.patch_len(start + 4, start, "port")?;
        }
        Ok(())
    }
}

fn read_name(r: &mut Reader<'_>) -> Result<String, DecodeError> {
    let bytes = r.bytes(16)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    // Interface names are bytes to the kernel; a name that is no UTF-8 is shown, not matched.
    Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

impl PortStatus {
    pub(super) fn read(mut r: Reader<'_>, version: Version) -> Result<PortStatus, DecodeError> {
        let reason = match r.u8()? {
            0 => PortReason::Add,
            1 => PortReason::Delete,
            2 => PortReason::Modify,
            n => PortReason::Unknown(n),
        };
        r.skip(7)?;
        Ok(PortStatus { reason, desc: PortDesc::read(&mut r, version)? })
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.u8(match self.reason {
            PortReason::Add => 0,
            PortReason::Delete => 1,
            PortReason::Modify => 2,
            PortReason::Unknown(n) => n,
        });
        w.zeros(7);
        self.desc.put(w)
    }
}
