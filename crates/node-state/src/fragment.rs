//! Fragments: named, content-hashed, strictly parsed pieces of a node's state.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use types::{EndpointUid, GroupId, Invalid, NodeName, PolicyId, Vni, VrfId};

use crate::span::{Endpoint, Group, Network, Node, Policy, Vrf};

/// Version of the fragment format. Nothing older was ever released, so there is nothing older to read.
pub const SCHEMA: u32 = 1;

/// What a reader understands. A parameter, so that tests can be the release before and the one to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    schema: u32,
    features: BTreeSet<String>,
}

impl Dialect {
    /// What the release with this schema reads, with these features.
    pub fn new(schema: u32, features: impl IntoIterator<Item = String>) -> Self {
        Self { schema, features: features.into_iter().collect() }
    }

    /// What is enforced beyond the schema: what a subscription says.
    pub fn features(&self) -> &BTreeSet<String> {
        &self.features
    }
}

impl Default for Dialect {
    /// This release's.
    fn default() -> Self {
        Self::new(SCHEMA, [])
    }
}

/// Names a fragment. Text form `kind/id`, as on the wire and in logs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FragmentKey {
    /// A peer node.
    Node(NodeName),
    /// A tenant's address space.
    Vrf(VrfId),
    /// A network.
    Network(Vni),
    /// An endpoint group.
    Group(GroupId),
    /// A policy with its rules.
    Policy(PolicyId),
    /// An endpoint.
    Endpoint(EndpointUid),
}

impl std::fmt::Display for FragmentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(n) => write!(f, "node/{n}"),
            Self::Vrf(id) => write!(f, "vrf/{id}"),
            Self::Network(vni) => write!(f, "network/{vni}"),
            Self::Group(id) => write!(f, "group/{id}"),
            Self::Policy(id) => write!(f, "policy/{id}"),
            Self::Endpoint(uid) => write!(f, "endpoint/{:012x}", uid.get()),
        }
    }
}

impl std::str::FromStr for FragmentKey {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let bad = |reason: &str| Invalid::new("fragment key", s, reason);
        let (kind, id) = s.split_once('/').ok_or_else(|| bad("must be KIND/ID"))?;
        let key = match kind {
            "node" => Self::Node(id.parse()?),
            "vrf" => Self::Vrf(id.parse()?),
            "network" => Self::Network(id.parse()?),
            "group" => Self::Group(id.parse()?),
            "policy" => Self::Policy(id.parse()?),
            "endpoint" => {
                let uid = u64::from_str_radix(id, 16)
                    .map_err(|_| bad("the endpoint uid is no hexadecimal number"))?;
                Self::Endpoint(EndpointUid::new(uid)?)
            }
            _ => return Err(bad("unknown kind")),
        };
        // One spelling only: "vrf/007" and "vrf/7" must not be two keys.
        if key.to_string() == s { Ok(key) } else { Err(bad("is not in canonical form")) }
    }
}

impl TryFrom<String> for FragmentKey {
    type Error = Invalid;
    fn try_from(s: String) -> Result<Self, Invalid> {
        s.parse()
    }
}

impl From<FragmentKey> for String {
    fn from(k: FragmentKey) -> Self {
        k.to_string()
    }
}

/// SHA-256 of a fragment's encoded bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentHash([u8; 32]);

impl FragmentHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads a digest off the wire.
    ///
    /// # Errors
    /// [`Invalid`] unless there are 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Invalid> {
        let digest = bytes
            .try_into()
            .map_err(|_| Invalid::new("fragment hash", hex::encode(bytes), "must be 32 bytes"))?;
        Ok(Self(digest))
    }
}

impl std::fmt::Display for FragmentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for FragmentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0[..6]))
    }
}

/// A piece of a node's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Fragment {
    /// A peer node.
    Node(Node),
    /// A tenant's address space.
    Vrf(Vrf),
    /// A network.
    Network(Network),
    /// An endpoint group.
    Group(Group),
    /// A policy with its rules.
    Policy(Policy),
    /// An endpoint.
    Endpoint(Endpoint),
}

/// The frame around a fragment: what a reader must understand before it may read the rest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<F> {
    schema: u32,
    /// Features a reader must support to enforce this fragment. None exist yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requires: Vec<String>,
    fragment: F,
}

/// The frame alone, read first and leniently, so that a newer schema is called that and not "unknown field".
#[derive(Deserialize)]
struct Preamble {
    schema: u32,
    #[serde(default)]
    requires: Vec<String>,
}

/// Why a fragment was not understood. The text goes back to netmaster in a nack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// Written by a newer release.
    #[error("fragment {key}: schema {found} is not understood here (only 1 to {newest})")]
    Schema {
        /// Which fragment.
        key: FragmentKey,
        /// Its schema.
        found: u32,
        /// The newest that is understood.
        newest: u32,
    },
    /// Needs something this reader cannot do.
    #[error("fragment {key}: requires feature {feature:?}, which is not supported here")]
    Feature {
        /// Which fragment.
        key: FragmentKey,
        /// The feature.
        feature: String,
    },
    /// Malformed, or with an unknown field or value.
    #[error("fragment {key}: {reason}")]
    Malformed {
        /// Which fragment.
        key: FragmentKey,
        /// The parser's words.
        reason: String,
    },
}

impl Fragment {
    /// The key this fragment must be stored under.
    pub fn key(&self) -> FragmentKey {
        match self {
            Self::Node(n) => FragmentKey::Node(n.name.clone()),
            Self::Vrf(v) => FragmentKey::Vrf(v.id),
            Self::Network(n) => FragmentKey::Network(n.vni),
            Self::Group(g) => FragmentKey::Group(g.id),
            Self::Policy(p) => FragmentKey::Policy(p.id),
            Self::Endpoint(e) => FragmentKey::Endpoint(e.uid),
        }
    }

    /// Canonical bytes: fields in declaration order, sets sorted.
    pub fn encode(&self) -> Vec<u8> {
        let envelope = Envelope { schema: SCHEMA, requires: Vec::new(), fragment: self };
        // Serializing plain structs with string keys into memory has no failing path in serde_json.
        serde_json::to_vec(&envelope).unwrap_or_default()
    }

    /// [`Self::decode_as`] in this release's dialect.
    ///
    /// # Errors
    /// [`FragmentError`].
    pub fn decode(key: &FragmentKey, bytes: &[u8]) -> Result<Self, FragmentError> {
        Self::decode_as(&Dialect::default(), key, bytes)
    }

    /// Strict parse, and the check that the content belongs under `key`.
    ///
    /// # Errors
    /// [`FragmentError`]; nothing is ever ignored.
    pub fn decode_as(dialect: &Dialect, key: &FragmentKey, bytes: &[u8]) -> Result<Self, FragmentError> {
        let malformed = |reason: String| FragmentError::Malformed { key: key.clone(), reason };
        let preamble: Preamble = serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))?;
        let newest = dialect.schema;
        if !(1..=newest).contains(&preamble.schema) {
            return Err(FragmentError::Schema { key: key.clone(), found: preamble.schema, newest });
        }
        let missing = |feature: &String| !dialect.features.contains(feature);
        if let Some(feature) = preamble.requires.into_iter().find(missing) {
            return Err(FragmentError::Feature { key: key.clone(), feature });
        }
        let fragment =
            serde_json::from_slice::<Envelope<Self>>(bytes).map_err(|e| malformed(e.to_string()))?;
        let fragment = fragment.fragment;
        if fragment.key() != *key {
            return Err(malformed(format!("holds {}", fragment.key())));
        }
        Ok(fragment)
    }
}
