//! Keys: the only place in Selvage where the names of stored things are spelled.
//!
//! A [`Key`] is made from an [`Entry`] (or an [`ObjectKey`], a [`Slot`]) and from nothing else, so what a key holds is
//! correct and escaped by construction: the vocabulary types allow lower-case letters, digits, `-` and `.` only.
//! Numbers and addresses are fixed-width hexadecimal, so that key order is numeric order.
//!
//! | key | what |
//! |---|---|
//! | `meta/store-id`, `meta/schema` | identity of this history, layout version |
//! | `tenants/<t>`, `nodes/<n>` | objects of the cluster |
//! | `networks/<t>/<n>`, `groups/..`, `policies/..`, `netprofiles/..`, `endpoints/..` | objects of a tenant |
//! | `alloc/<space>/<number>`, `alloc/address/<vrf>/<family>/<address>` | numbers and addresses in use or cooling |
//! | `refs/<kind>/<object>/<kind>/<user>` | index: who uses an object |
//! | `gen/<range>` | generation of a guarded range; hidden from callers |
//! | `changes/<time>-<random>` | change records |
//! | `secrets/ca/<name>`, `tokens/join/<id>`, `tokens/admin/<id>` | credentials |
//! | `tokens/revoked/<digest>` | keys of removed nodes |
//! | `leases/leader` | leadership |
//!
//! # Invariants
//! `parse(key(entry)) == entry`; a prefix of one kind never contains a key of another kind; every key of a guarded
//! range lies in exactly one guarded range ([`Key::guard`]).
//!
//! # Failure
//! [`Entry::parse`] refuses what it does not know: an entry of a newer version is an error, not a guess.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use types::{EndpointName, EndpointUid, Family, GroupId, Invalid, Name, NodeName, PolicyId, Vni, VrfId};

use crate::change::ChangeId;

pub use digest::KeyDigest;

pub use prefix::Prefix;

/// Name of one stored thing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a key back from a back end. Anything ever written by us passes; what it means is [`Entry::parse`]'s matter.
    pub(crate) fn from_stored(bytes: &[u8]) -> Result<Self, Invalid> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Invalid::new("key", String::from_utf8_lossy(bytes), "is not UTF-8"))?;
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-./".contains(&b);
        if text.is_empty() || !text.bytes().all(known) {
            return Err(Invalid::new("key", text, "holds characters no key of ours has"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The guarded range this key lies in: the one whose generation every writer of this key bumps.
    pub(crate) fn guard(&self) -> Option<Prefix> {
        match Entry::parse(self).ok()? {
            Entry::Object(object) => Some(object.range()),
            Entry::Reference { object, .. } => Some(Prefix::references_to(&object)),
            _ => None,
        }
    }

    /// Whether this is a generation, which callers never see.
    pub(crate) fn is_generation(&self) -> bool {
        self.0.starts_with(GENERATIONS)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl From<Entry> for Key {
    fn from(entry: Entry) -> Self {
        entry.key()
    }
}

const GENERATIONS: &str = "gen/";

/// Kinds of objects that live in a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TenantObject {
    /// Networks.
    Network,
    /// Endpoint groups.
    Group,
    /// Policies, each with its rules.
    Policy,
    /// Network profiles.
    NetProfile,
    /// Endpoints.
    Endpoint,
}

impl TenantObject {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Network, Self::Group, Self::Policy, Self::NetProfile, Self::Endpoint];

    fn folder(self) -> &'static str {
        match self {
            Self::Network => "networks",
            Self::Group => "groups",
            Self::Policy => "policies",
            Self::NetProfile => "netprofiles",
            Self::Endpoint => "endpoints",
        }
    }
}

/// Name of an object people declare.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "field names say it: the tenant, and the object's name in it")]
pub enum ObjectKey {
    /// A tenant.
    Tenant(Name),
    /// A network.
    Network { tenant: Name, name: Name },
    /// An endpoint group.
    Group { tenant: Name, name: Name },
    /// A policy.
    Policy { tenant: Name, name: Name },
    /// A network profile.
    NetProfile { tenant: Name, name: Name },
    /// An endpoint.
    Endpoint { tenant: Name, name: EndpointName },
    /// A node.
    Node(NodeName),
}

impl ObjectKey {
    /// The key.
    pub fn key(&self) -> Key {
        Key(match self {
            Self::Tenant(t) => format!("tenants/{t}"),
            Self::Network { tenant, name } => format!("networks/{tenant}/{name}"),
            Self::Group { tenant, name } => format!("groups/{tenant}/{name}"),
            Self::Policy { tenant, name } => format!("policies/{tenant}/{name}"),
            Self::NetProfile { tenant, name } => format!("netprofiles/{tenant}/{name}"),
            Self::Endpoint { tenant, name } => format!("endpoints/{tenant}/{name}"),
            Self::Node(n) => format!("nodes/{n}"),
        })
    }

    /// The guarded range it lies in.
    pub fn range(&self) -> Prefix {
        match self {
            Self::Tenant(_) => Prefix::tenants(),
            Self::Network { tenant, .. } => Prefix::within(TenantObject::Network, tenant),
            Self::Group { tenant, .. } => Prefix::within(TenantObject::Group, tenant),
            Self::Policy { tenant, .. } => Prefix::within(TenantObject::Policy, tenant),
            Self::NetProfile { tenant, .. } => Prefix::within(TenantObject::NetProfile, tenant),
            Self::Endpoint { tenant, .. } => Prefix::within(TenantObject::Endpoint, tenant),
            Self::Node(_) => Prefix::nodes(),
        }
    }

    /// How index keys spell it: the kind in the singular, then the names.
    fn reference(&self) -> String {
        match self {
            Self::Tenant(t) => format!("tenant/{t}"),
            Self::Network { tenant, name } => format!("network/{tenant}/{name}"),
            Self::Group { tenant, name } => format!("group/{tenant}/{name}"),
            Self::Policy { tenant, name } => format!("policy/{tenant}/{name}"),
            Self::NetProfile { tenant, name } => format!("netprofile/{tenant}/{name}"),
            Self::Endpoint { tenant, name } => format!("endpoint/{tenant}/{name}"),
            Self::Node(n) => format!("node/{n}"),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reference())
    }
}

/// A space that numbers or addresses are allocated from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// VRF ids.
    Vrf,
    /// VXLAN network identifiers.
    Vni,
    /// Endpoint group numbers.
    Group,
    /// Policy numbers.
    Policy,
    /// Endpoint numbers.
    Endpoint,
    /// Addresses of one family in one VRF.
    Address(VrfId, Family),
}

impl Space {
    fn folder(self) -> String {
        match self {
            Self::Vrf => "alloc/vrf/".into(),
            Self::Vni => "alloc/vni/".into(),
            Self::Group => "alloc/group/".into(),
            Self::Policy => "alloc/policy/".into(),
            Self::Endpoint => "alloc/endpoint/".into(),
            Self::Address(vrf, family) => format!("alloc/address/{:04x}/{}/", vrf.get(), family_text(family)),
        }
    }

    /// The slot with this number; addresses are their bits in network order.
    ///
    /// # Errors
    /// [`Invalid`] when the space has no such number.
    pub fn slot(self, number: u128) -> Result<Slot, Invalid> {
        let small = || u64::try_from(number).map_err(|_| Invalid::new("number", number, "is too large"));
        Ok(match self {
            Self::Vrf => Slot::Vrf(VrfId::new(small()?)?),
            Self::Vni => Slot::Vni(Vni::new(small()?)?),
            Self::Group => Slot::Group(GroupId::new(small()?)?),
            Self::Policy => Slot::Policy(PolicyId::new(small()?)?),
            Self::Endpoint => Slot::Endpoint(EndpointUid::new(small()?)?),
            Self::Address(vrf, Family::V4) => {
                let bits = u32::try_from(number)
                    .map_err(|_| Invalid::new("IPv4 address", number, "is longer than 32 bits"))?;
                Slot::Address(vrf, Ipv4Addr::from_bits(bits).into())
            }
            Self::Address(vrf, Family::V6) => Slot::Address(vrf, Ipv6Addr::from_bits(number).into()),
        })
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(vrf, family) => write!(f, "{} addresses of vrf {vrf}", family_text(*family)),
            Self::Vrf => f.write_str("vrf ids"),
            Self::Vni => f.write_str("vnis"),
            Self::Group => f.write_str("group ids"),
            Self::Policy => f.write_str("policy ids"),
            Self::Endpoint => f.write_str("endpoint uids"),
        }
    }
}

fn family_text(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}

/// One number or address of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// A VRF id.
    Vrf(VrfId),
    /// A VNI.
    Vni(Vni),
    /// A group number.
    Group(GroupId),
    /// A policy number.
    Policy(PolicyId),
    /// An endpoint number.
    Endpoint(EndpointUid),
    /// An address in a VRF.
    Address(VrfId, IpAddr),
}

impl Slot {
    /// The space it belongs to.
    pub fn space(self) -> Space {
        match self {
            Self::Vrf(_) => Space::Vrf,
            Self::Vni(_) => Space::Vni,
            Self::Group(_) => Space::Group,
            Self::Policy(_) => Space::Policy,
            Self::Endpoint(_) => Space::Endpoint,
            Self::Address(vrf, addr) => Space::Address(vrf, Family::of(addr)),
        }
    }

    /// Its place in the space's order.
    pub fn number(self) -> u128 {
        match self {
            Self::Vrf(n) => n.get().into(),
            Self::Vni(n) => n.get().into(),
            Self::Group(n) => n.get().into(),
            Self::Policy(n) => n.get().into(),
            Self::Endpoint(n) => n.get().into(),
            Self::Address(_, IpAddr::V4(a)) => a.to_bits().into(),
            Self::Address(_, IpAddr::V6(a)) => a.to_bits(),
        }
    }

    /// The key.
    pub fn key(self) -> Key {
        let folder = self.space().folder();
        let width = match self {
            Self::Vrf(_) => 4,
            Self::Vni(_) | Self::Group(_) => 6,
            Self::Policy(_) => 5,
            Self::Endpoint(_) => 12,
            Self::Address(_, IpAddr::V4(_)) => 8,
            Self::Address(_, IpAddr::V6(_)) => 32,
        };
        Key(format!("{folder}{:0width$x}", self.number()))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(vrf, addr) => write!(f, "address {addr} of vrf {vrf}"),
            Self::Vrf(n) => write!(f, "vrf id {n}"),
            Self::Vni(n) => write!(f, "vni {n}"),
            Self::Group(n) => write!(f, "group id {n}"),
            Self::Policy(n) => write!(f, "policy id {n}"),
            Self::Endpoint(n) => write!(f, "endpoint uid {n}"),
        }
    }
}

/// Everything a store may hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// Identity of this history.
    StoreId,
    /// Version of the key layout.
    Schema,
    /// A declared object.
    Object(ObjectKey),
    /// A number or address in use or cooling.
    Allocation(Slot),
    /// `user` refers to `object`.
    #[allow(missing_docs, reason = "said above")]
    Reference { object: ObjectKey, user: ObjectKey },
    /// A change record.
    Change(ChangeId),
    /// A secret of the certificate authority.
    CaSecret(Name),
    /// A join token, by its public id.
    JoinToken(Name),
    /// An administrator's token, by its public id.
    AdminToken(Name),
    /// A node's key that may never act again.
    RevokedKey(KeyDigest),
    /// Who leads.
    Leader,
}

impl Entry {
    /// The key.
    pub fn key(&self) -> Key {
        match self {
            Self::StoreId => Key("meta/store-id".into()),
            Self::Schema => Key("meta/schema".into()),
            Self::Object(object) => object.key(),
            Self::Allocation(slot) => slot.key(),
            Self::Reference { object, user } => {
                Key(format!("refs/{}/{}", object.reference(), user.reference()))
            }
            Self::Change(id) => Key(format!("changes/{id}")),
            Self::CaSecret(name) => Key(format!("secrets/ca/{name}")),
            Self::JoinToken(id) => Key(format!("tokens/join/{id}")),
            Self::AdminToken(id) => Key(format!("tokens/admin/{id}")),
            Self::RevokedKey(digest) => Key(format!("tokens/revoked/{digest}")),
            Self::Leader => Key("leases/leader".into()),
        }
    }
}

mod digest;
#[cfg(test)]
mod page;
mod parse;
mod prefix;
#[cfg(test)]
mod tests;
