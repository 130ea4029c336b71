//! Objects and their stored form.

use model::{Endpoint, Group, Kind, NetProfile, Network, Node, Object, ObjectRef, Policy, Tenant};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::{EndpointName, Invalid, Name, NodeName};

use crate::StoreError;
use crate::envelope::Codec;
use crate::keys::{Key, ObjectKey};
use crate::kv::Value;

const TENANT: Codec = Codec::first("Tenant");
const NETWORK: Codec = Codec::first("Network");
const GROUP: Codec = Codec::first("Group");
const POLICY: Codec = Codec::first("Policy");
const NETPROFILE: Codec = Codec::first("NetProfile");
const ENDPOINT: Codec = Codec::first("Endpoint");
const NODE: Codec = Codec::first("Node");

/// Where an object is stored.
///
/// # Errors
/// [`Invalid`] when the reference is not of a name its kind can have.
pub fn object_key(object: &ObjectRef) -> Result<ObjectKey, Invalid> {
    let tenant = || {
        let missing = || Invalid::new("object", object, "lives in a tenant, and none is given");
        object.tenant.clone().ok_or_else(missing)
    };
    let name = || Name::new(object.name.as_str());
    Ok(match object.kind {
        Kind::Node => ObjectKey::Node(NodeName::new(object.name.as_str())?),
        Kind::Tenant => ObjectKey::Tenant(name()?),
        Kind::Network => ObjectKey::Network { tenant: tenant()?, name: name()? },
        Kind::Policy => ObjectKey::Policy { tenant: tenant()?, name: name()? },
        Kind::NetProfile => ObjectKey::NetProfile { tenant: tenant()?, name: name()? },
        Kind::Group => ObjectKey::Group { tenant: tenant()?, name: name()? },
        Kind::Endpoint => {
            ObjectKey::Endpoint { tenant: tenant()?, name: EndpointName::new(object.name.as_str())? }
        }
    })
}

/// Which object a key names.
pub(super) fn object_ref(key: &ObjectKey) -> ObjectRef {
    let (kind, tenant, name) = match key {
        ObjectKey::Node(n) => (Kind::Node, None, n.to_string()),
        ObjectKey::Tenant(n) => (Kind::Tenant, None, n.to_string()),
        ObjectKey::Network { tenant, name } => (Kind::Network, Some(tenant), name.to_string()),
        ObjectKey::Policy { tenant, name } => (Kind::Policy, Some(tenant), name.to_string()),
        ObjectKey::NetProfile { tenant, name } => (Kind::NetProfile, Some(tenant), name.to_string()),
        ObjectKey::Group { tenant, name } => (Kind::Group, Some(tenant), name.to_string()),
        ObjectKey::Endpoint { tenant, name } => (Kind::Endpoint, Some(tenant), name.to_string()),
    };
    ObjectRef { kind, tenant: tenant.cloned(), name }
}

fn codec(kind: Kind) -> Codec {
    match kind {
        Kind::Node => NODE,
        Kind::Tenant => TENANT,
        Kind::Network => NETWORK,
        Kind::Policy => POLICY,
        Kind::NetProfile => NETPROFILE,
        Kind::Group => GROUP,
        Kind::Endpoint => ENDPOINT,
    }
}

/// The stored form, and the key it belongs under.
pub(super) fn encode(object: &Object) -> Result<(Key, Value), StoreError> {
    let reference = object.object_ref();
    let key = object_key(&reference).map_err(|e| StoreError::Corrupt(e.to_string()))?.key();
    let value = match object {
        Object::Node(o) => put(NODE, &key, o),
        Object::Tenant(o) => put(TENANT, &key, o),
        Object::Network(o) => put(NETWORK, &key, o),
        Object::Policy(o) => put(POLICY, &key, o),
        Object::NetProfile(o) => put(NETPROFILE, &key, o),
        Object::Group(o) => put(GROUP, &key, o),
        Object::Endpoint(o) => put(ENDPOINT, &key, o),
    }?;
    Ok((key, value))
}

fn put<T: Serialize>(codec: Codec, key: &Key, object: &T) -> Result<Value, StoreError> {
    codec.encode(object).map_err(|source| StoreError::Object { key: key.clone(), source })
}

/// Reads an object back, and checks that it is the one its key names.
pub(super) fn decode(key: &ObjectKey, value: &Value) -> Result<Object, StoreError> {
    let reference = object_ref(key);
    let codec = codec(reference.kind);
    let object = match reference.kind {
        Kind::Node => Object::Node(get::<Node>(codec, key, value)?),
        Kind::Tenant => Object::Tenant(get::<Tenant>(codec, key, value)?),
        Kind::Network => Object::Network(get::<Network>(codec, key, value)?),
        Kind::Policy => Object::Policy(get::<Policy>(codec, key, value)?),
        Kind::NetProfile => Object::NetProfile(get::<NetProfile>(codec, key, value)?),
        Kind::Group => Object::Group(get::<Group>(codec, key, value)?),
        Kind::Endpoint => Object::Endpoint(get::<Endpoint>(codec, key, value)?),
    };
    if object.object_ref() != reference {
        return Err(StoreError::Corrupt(format!("{} holds {}", key.key(), object.object_ref())));
    }
    Ok(object)
}

fn get<T: DeserializeOwned>(codec: Codec, key: &ObjectKey, value: &Value) -> Result<T, StoreError> {
    codec.decode(value).map_err(|source| StoreError::Object { key: key.key(), source })
}

/// The object as change records show it.
pub(super) fn record(object: &Object) -> Result<serde_json::Value, StoreError> {
    let json = match object {
        Object::Node(o) => serde_json::to_value(o),
        Object::Tenant(o) => serde_json::to_value(o),
        Object::Network(o) => serde_json::to_value(o),
        Object::Policy(o) => serde_json::to_value(o),
        Object::NetProfile(o) => serde_json::to_value(o),
        Object::Group(o) => serde_json::to_value(o),
        Object::Endpoint(o) => serde_json::to_value(o),
    };
    json.map_err(|e| StoreError::Corrupt(e.to_string()))
}
