//! Attaching and detaching endpoints of the calling node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use types::{EndpointName, EndpointUid, Family, FencingToken, HostCidr, MacAddr, Name, Revision, Vni, VrfId};

use crate::convert::{ConvertError, checked, parse, parse_optional, required, revision, text};
use crate::wire;

/// Linux's `IFNAMSIZ` without the terminating zero.
const MAX_INTERFACE: usize = 15;
const MAX_CONTAINER_ID: usize = 255;

/// The token that attaches of the calling node must carry from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FenceReply {
    /// One that no request carries yet.
    pub token: FencingToken,
}

impl TryFrom<wire::FenceReply> for FenceReply {
    type Error = ConvertError;
    fn try_from(m: wire::FenceReply) -> Result<Self, ConvertError> {
        let token = required("fence_reply.fencing_token", m.fencing_token)?;
        Ok(Self { token: checked("fence_reply.fencing_token", FencingToken::new(token))? })
    }
}

impl From<FenceReply> for wire::FenceReply {
    fn from(m: FenceReply) -> Self {
        Self { fencing_token: Some(m.token.get()) }
    }
}

/// An endpoint that the calling node is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachSpec {
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

/// Makes an endpoint on the calling node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachRequest {
    /// The endpoint.
    pub spec: AttachSpec,
    /// The node's newest: refused with any other, so that what was given up does not happen later.
    pub token: FencingToken,
}

impl TryFrom<wire::AttachRequest> for AttachRequest {
    type Error = ConvertError;
    fn try_from(m: wire::AttachRequest) -> Result<Self, ConvertError> {
        let token = required("attach.fencing_token", m.fencing_token)?;
        let spec = AttachSpec {
            tenant: parse("attach.tenant", &m.tenant)?,
            network: parse("attach.network", &m.network)?,
            group: parse_optional("attach.group", m.group.as_deref())?,
            endpoint: parse("attach.endpoint", &m.endpoint)?,
            ipv4: parse_optional("attach.ipv4", m.ipv4.as_deref())?,
            ipv6: parse_optional("attach.ipv6", m.ipv6.as_deref())?,
            interface: text("attach.interface", &m.interface, MAX_INTERFACE)?,
            container_id: text("attach.container_id", &m.container_id, MAX_CONTAINER_ID)?,
        };
        Ok(Self { spec, token: checked("attach.fencing_token", FencingToken::new(token))? })
    }
}

impl From<AttachRequest> for wire::AttachRequest {
    fn from(AttachRequest { spec, token }: AttachRequest) -> Self {
        Self {
            tenant: spec.tenant.into(),
            network: spec.network.into(),
            group: spec.group.map(Into::into),
            endpoint: spec.endpoint.into(),
            ipv4: spec.ipv4.map(|a| a.to_string()),
            ipv6: spec.ipv6.map(|a| a.to_string()),
            interface: spec.interface,
            container_id: spec.container_id,
            fencing_token: Some(token.get()),
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

/// Which endpoint of a name a deletion is about. Names are used again, numbers are not: a deletion that a cut connection
/// delivers late must not hit the next endpoint of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incarnation {
    /// Whichever there is: agents that know nothing of incarnations mean that.
    Any,
    /// The one with this number.
    Numbered(EndpointUid),
    /// None: the reply tells which there is. For who attached without hearing the answer.
    Unknown,
}

/// Deletes an endpoint of the calling node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachRequest {
    /// Its tenant.
    pub tenant: Name,
    /// Its name in the tenant.
    pub endpoint: EndpointName,
    /// Which one of that name.
    pub incarnation: Incarnation,
}

impl TryFrom<Option<wire::detach_request::Incarnation>> for Incarnation {
    type Error = ConvertError;
    fn try_from(m: Option<wire::detach_request::Incarnation>) -> Result<Self, ConvertError> {
        use wire::detach_request::Incarnation as Wire;
        match m {
            None => Ok(Self::Any),
            Some(Wire::Uid(uid)) => checked("detach.uid", EndpointUid::new(uid)).map(Self::Numbered),
            Some(Wire::Unknown(true)) => Ok(Self::Unknown),
            Some(Wire::Unknown(false)) => Err(ConvertError::new("detach.unknown", "must be true or absent")),
        }
    }
}

impl From<Incarnation> for Option<wire::detach_request::Incarnation> {
    fn from(m: Incarnation) -> Self {
        use wire::detach_request::Incarnation as Wire;
        match m {
            Incarnation::Any => None,
            Incarnation::Numbered(uid) => Some(Wire::Uid(uid.get())),
            Incarnation::Unknown => Some(Wire::Unknown(true)),
        }
    }
}

impl TryFrom<wire::DetachRequest> for DetachRequest {
    type Error = ConvertError;
    fn try_from(m: wire::DetachRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            tenant: parse("detach.tenant", &m.tenant)?,
            endpoint: parse("detach.endpoint", &m.endpoint)?,
            incarnation: m.incarnation.try_into()?,
        })
    }
}

impl From<DetachRequest> for wire::DetachRequest {
    fn from(m: DetachRequest) -> Self {
        let incarnation = m.incarnation.into();
        Self { tenant: m.tenant.into(), endpoint: m.endpoint.into(), incarnation }
    }
}

/// What was asked for is gone from intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetachReply {
    /// From this revision on.
    pub revision: Revision,
    /// The calling node's endpoint that has the name and was not meant.
    pub left: Option<EndpointUid>,
}

impl TryFrom<wire::DetachReply> for DetachReply {
    type Error = ConvertError;
    fn try_from(m: wire::DetachReply) -> Result<Self, ConvertError> {
        let left = m.left.map(|uid| checked("detach_reply.left", EndpointUid::new(uid))).transpose()?;
        Ok(Self { revision: revision("detach_reply.revision", m.revision)?, left })
    }
}

impl From<DetachReply> for wire::DetachReply {
    fn from(m: DetachReply) -> Self {
        Self { revision: Some(m.revision.get()), left: m.left.map(EndpointUid::get) }
    }
}
