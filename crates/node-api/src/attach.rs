//! Attaching and detaching endpoints of the calling node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use types::{EndpointName, EndpointUid, Family, HostCidr, MacAddr, Name, Revision, Vni, VrfId};

use crate::convert::{ConvertError, checked, parse, parse_optional, required, revision, text};
use crate::wire;

/// Linux's `IFNAMSIZ` without the terminating zero.
const MAX_INTERFACE: usize = 15;
const MAX_CONTAINER_ID: usize = 255;

/// Makes an endpoint on the calling node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachRequest {
    /// Its tenant.
    pub tenant: Name,
    /// Its network.
    pub network: Name,
    /// Its group, when it has one.
    pub group: Option<Name>,
    /// Its name in the tenant.
    pub endpoint: EndpointName,
    /// A wanted IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// A wanted IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// The interface's name inside the container, for explanations; may be empty.
    pub interface: String,
    /// The container, for explanations; may be empty.
    pub container_id: String,
}

impl TryFrom<wire::AttachRequest> for AttachRequest {
    type Error = ConvertError;
    fn try_from(m: wire::AttachRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            tenant: parse("attach.tenant", &m.tenant)?,
            network: parse("attach.network", &m.network)?,
            group: parse_optional("attach.group", m.group.as_deref())?,
            endpoint: parse("attach.endpoint", &m.endpoint)?,
            ipv4: parse_optional("attach.ipv4", m.ipv4.as_deref())?,
            ipv6: parse_optional("attach.ipv6", m.ipv6.as_deref())?,
            interface: text("attach.interface", &m.interface, MAX_INTERFACE)?,
            container_id: text("attach.container_id", &m.container_id, MAX_CONTAINER_ID)?,
        })
    }
}

impl From<AttachRequest> for wire::AttachRequest {
    fn from(m: AttachRequest) -> Self {
        Self {
            tenant: m.tenant.into(),
            network: m.network.into(),
            group: m.group.map(Into::into),
            endpoint: m.endpoint.into(),
            ipv4: m.ipv4.map(|a| a.to_string()),
            ipv6: m.ipv6.map(|a| a.to_string()),
            interface: m.interface,
            container_id: m.container_id,
        }
    }
}

/// What the endpoint is in the data plane, enough to configure its interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachReply {
    /// Its number.
    pub uid: EndpointUid,
    /// Its VRF.
    pub vrf: VrfId,
    /// Its network.
    pub vni: Vni,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its addresses with the lengths of their subnets, IPv4 first; never empty.
    pub addresses: Vec<HostCidr>,
    /// Its gateways, at most one per family, IPv4 first.
    pub gateways: Vec<IpAddr>,
    /// The network's MTU, when intent says one.
    pub mtu: Option<u32>,
    /// Intent holds the endpoint from this revision on.
    pub revision: Revision,
}

impl TryFrom<wire::AttachReply> for AttachReply {
    type Error = ConvertError;
    fn try_from(m: wire::AttachReply) -> Result<Self, ConvertError> {
        let uid = required("attach_reply.uid", m.uid)?;
        let vrf = required("attach_reply.vrf", m.vrf)?;
        let vni = required("attach_reply.vni", m.vni)?;
        let addresses = parse_each("attach_reply.addresses", &m.addresses)?;
        let gateways = parse_each("attach_reply.gateways", &m.gateways)?;
        if addresses.is_empty() {
            return Err(ConvertError::new("attach_reply.addresses", "is missing"));
        }
        one_per_family("attach_reply.addresses", addresses.iter().map(|a: &HostCidr| a.addr()))?;
        one_per_family("attach_reply.gateways", gateways.iter().copied())?;
        Ok(Self {
            uid: checked("attach_reply.uid", EndpointUid::new(uid))?,
            vrf: checked("attach_reply.vrf", VrfId::new(vrf.into()))?,
            vni: checked("attach_reply.vni", Vni::new(vni.into()))?,
            mac: parse("attach_reply.mac", &m.mac)?,
            addresses,
            gateways,
            mtu: m.mtu,
            revision: revision("attach_reply.revision", m.revision)?,
        })
    }
}

fn parse_each<T>(field: &'static str, values: &[String]) -> Result<Vec<T>, ConvertError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    values.iter().map(|v| parse(field, v)).collect()
}

/// IPv4 first, at most one of each.
fn one_per_family(field: &'static str, addresses: impl Iterator<Item = IpAddr>) -> Result<(), ConvertError> {
    let families: Vec<Family> = addresses.map(Family::of).collect();
    if families.is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err(ConvertError::new(field, "must be at most one per family, IPv4 first"))
    }
}

impl From<AttachReply> for wire::AttachReply {
    fn from(m: AttachReply) -> Self {
        Self {
            uid: Some(m.uid.get()),
            vrf: Some(m.vrf.get().into()),
            vni: Some(m.vni.get()),
            mac: m.mac.to_string(),
            addresses: m.addresses.iter().map(ToString::to_string).collect(),
            gateways: m.gateways.iter().map(ToString::to_string).collect(),
            mtu: m.mtu,
            revision: Some(m.revision.get()),
        }
    }
}

/// Deletes an endpoint of the calling node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachRequest {
    /// Its tenant.
    pub tenant: Name,
    /// Its name in the tenant.
    pub endpoint: EndpointName,
}

impl TryFrom<wire::DetachRequest> for DetachRequest {
    type Error = ConvertError;
    fn try_from(m: wire::DetachRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            tenant: parse("detach.tenant", &m.tenant)?,
            endpoint: parse("detach.endpoint", &m.endpoint)?,
        })
    }
}

impl From<DetachRequest> for wire::DetachRequest {
    fn from(m: DetachRequest) -> Self {
        Self { tenant: m.tenant.into(), endpoint: m.endpoint.into() }
    }
}

/// The endpoint is gone from intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetachReply {
    /// From this revision on.
    pub revision: Revision,
}

impl TryFrom<wire::DetachReply> for DetachReply {
    type Error = ConvertError;
    fn try_from(m: wire::DetachReply) -> Result<Self, ConvertError> {
        Ok(Self { revision: revision("detach_reply.revision", m.revision)? })
    }
}

impl From<DetachReply> for wire::DetachReply {
    fn from(m: DetachReply) -> Self {
        Self { revision: Some(m.revision.get()) }
    }
}
