//! Keys read back into what they name; the inverse of the builders in the parent module, and nothing wider.

use types::{EndpointName, Family, Invalid, Name, NodeName, VrfId};

use super::{Entry, Key, KeyDigest, ObjectKey, Slot, Space};
use crate::change::ChangeId;

impl Entry {
    /// Reads a key back.
    ///
    /// # Errors
    /// [`Invalid`] for a key this version does not know, also one that merely is spelled another way.
    pub fn parse(key: &Key) -> Result<Self, Invalid> {
        let parts: Vec<&str> = key.0.split('/').collect();
        let entry = parse_parts(&parts).unwrap_or_else(|| Err(unknown(key)))?;
        // One spelling per entry: upper-case digits, missing zeros and the like are somebody else's keys.
        if entry.key() == *key { Ok(entry) } else { Err(unknown(key)) }
    }
}

fn unknown(key: &Key) -> Invalid {
    Invalid::new("key", key, "is none this version knows")
}

/// `None` when no pattern fits, an error when one fits and a part of it is wrong.
fn parse_parts(parts: &[&str]) -> Option<Result<Entry, Invalid>> {
    Some(match parts {
        ["meta", "store-id"] => Ok(Entry::StoreId),
        ["meta", "schema"] => Ok(Entry::Schema),
        ["alloc", rest @ ..] => parse_slot(rest)?.map(Entry::Allocation),
        ["refs", rest @ ..] => return parse_reference(rest),
        ["changes", id] => ChangeId::parse(id).map(Entry::Change),
        ["secrets", "ca", name] => Name::new(*name).map(Entry::CaSecret),
        ["tokens", "join", id] => Name::new(*id).map(Entry::JoinToken),
        ["tokens", "admin", id] => Name::new(*id).map(Entry::AdminToken),
        ["tokens", "revoked", digest] => KeyDigest::new(digest).map(Entry::RevokedKey),
        ["leases", "leader"] => Ok(Entry::Leader),
        [folder, names @ ..] => {
            let kind = match *folder {
                "tenants" => "tenant",
                "networks" => "network",
                "groups" => "group",
                "policies" => "policy",
                "netprofiles" => "netprofile",
                "endpoints" => "endpoint",
                "nodes" => "node",
                _ => return None,
            };
            parse_object(kind, names)?.map(Entry::Object)
        }
        [] => return None,
    })
}

fn parse_object(kind: &str, names: &[&str]) -> Option<Result<ObjectKey, Invalid>> {
    let scoped = |make: fn(Name, Name) -> ObjectKey| match names {
        [t, n] => Some(Name::new(*t).and_then(|tenant| Ok(make(tenant, Name::new(*n)?)))),
        _ => None,
    };
    match (kind, names) {
        ("tenant", [t]) => Some(Name::new(*t).map(ObjectKey::Tenant)),
        ("node", [n]) => Some(NodeName::new(*n).map(ObjectKey::Node)),
        ("endpoint", [t, n]) => Some(
            Name::new(*t).and_then(|tenant| Ok(ObjectKey::Endpoint { tenant, name: EndpointName::new(*n)? })),
        ),
        ("network", _) => scoped(|tenant, name| ObjectKey::Network { tenant, name }),
        ("group", _) => scoped(|tenant, name| ObjectKey::Group { tenant, name }),
        ("policy", _) => scoped(|tenant, name| ObjectKey::Policy { tenant, name }),
        ("netprofile", _) => scoped(|tenant, name| ObjectKey::NetProfile { tenant, name }),
        _ => None,
    }
}

fn parse_reference(parts: &[&str]) -> Option<Result<Entry, Invalid>> {
    let width = |kind: &str| if matches!(kind, "tenant" | "node") { 2 } else { 3 };
    let split = width(parts.first()?);
    let (object, user) = parts.split_at_checked(split)?;
    let read = |p: &[&str]| parse_object(p.first()?, p.get(1..)?);
    Some(read(object)?.and_then(|object| match read(user) {
        Some(user) => Ok(Entry::Reference { object, user: user? }),
        None => Err(Invalid::new("reference", parts.join("/"), "names no user")),
    }))
}

fn parse_slot(parts: &[&str]) -> Option<Result<Slot, Invalid>> {
    let (space, digits) = match parts {
        ["vrf", n] => (Ok(Space::Vrf), n),
        ["vni", n] => (Ok(Space::Vni), n),
        ["group", n] => (Ok(Space::Group), n),
        ["policy", n] => (Ok(Space::Policy), n),
        ["endpoint", n] => (Ok(Space::Endpoint), n),
        ["address", vrf, family, n] => {
            let family = match *family {
                "v4" => Family::V4,
                "v6" => Family::V6,
                _ => return None,
            };
            let vrf = hex(vrf).and_then(|n| {
                VrfId::new(u64::try_from(n).map_err(|_| Invalid::new("vrf id", n, "is too large"))?)
            });
            (vrf.map(|vrf| Space::Address(vrf, family)), n)
        }
        _ => return None,
    };
    Some(space.and_then(|space| space.slot(hex(digits)?)))
}

fn hex(digits: &str) -> Result<u128, Invalid> {
    u128::from_str_radix(digits, 16).map_err(|e| Invalid::new("number", digits, e.to_string()))
}
