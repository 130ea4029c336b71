//! Cutting the two messages that grow with a node's span into parts, and putting parts together.
//!
//! Why: a gRPC message is buffered whole on both sides, and refused above 4 MiB; and the buffer a stream was once encoded
//! into or decoded from stays with the stream, so with a thousand sessions the size of a part counts a thousand times.
//! One part is at most [`MAX_PART_BYTES`] unless a single fragment is larger; a message without content is one empty part.
//!
//! # Failure
//! Parts of different messages, a key named twice, or a message without end are a [`ConvertError`]: the session ends.

use std::collections::{BTreeMap, BTreeSet};

use node_state::{FragmentHash, FragmentKey};
use prost::Message;

use crate::convert::{ConvertError, checked, fragment_key, insert_once, parse, required, revision, text};
use crate::session::{Known, Subscribe, Update};
use crate::wire;

/// Target size of a part: one HTTP/2 frame of the size every peer takes (RFC 9113, section 4.2).
pub const MAX_PART_BYTES: usize = 16 * 1024;

/// Fragments of one node: far above any span, so that a hostile peer cannot fill memory.
const MAX_KEYS: usize = 250_000;

/// Keys of another release; their texts may be long.
const MAX_UNKNOWN: usize = 10_000;

/// Bytes of one update in memory, for the same reason.
const MAX_UPDATE_BYTES: usize = 1 << 30;

/// Cuts items so that no part's encoded sizes exceed the limit (unless one item alone does).
pub(crate) fn cut<T>(items: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    // A field's tag and length take at most this much beside the item.
    const FRAME: usize = 8;
    let mut parts = vec![Vec::new()];
    let mut used = 0;
    for item in items {
        let bytes = size(&item) + FRAME;
        if used > 0 && used + bytes > MAX_PART_BYTES {
            parts.push(Vec::new());
            used = 0;
        }
        used += bytes;
        if let Some(last) = parts.last_mut() {
            last.push(item);
        }
    }
    parts
}

/// Whether a part is the last one of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
}

impl Last {
    /// Of so many parts, the one at this place.
    pub(crate) fn at(place: usize, count: usize) -> Self {
        if place + 1 == count { Self::Yes } else { Self::No }
    }

    /// What the field `complete` says, which must be there.
    pub(crate) fn from_wire(field: &'static str, complete: Option<bool>) -> Result<Self, ConvertError> {
        required(field, complete).map(|complete| if complete { Self::Yes } else { Self::No })
    }

    /// As on the wire.
    pub(crate) fn complete(self) -> bool {
        self == Self::Yes
    }
}

impl Subscribe {
    /// The wire messages.
    pub fn into_parts(self) -> Vec<wire::AgentMessage> {
        let held = |(key, hash): (FragmentKey, FragmentHash)| wire::HeldFragment {
            key: key.to_string(),
            hash: hash.as_bytes().to_vec(),
        };
        let fragments: Vec<_> = self.held.into_iter().map(held).collect();
        let (store_id, revision) = match self.known {
            Some(k) => (Some(k.store_id.into()), Some(k.revision.get())),
            None => (None, None),
        };
        let parts = cut(fragments, Message::encoded_len);
        let last = parts.len() - 1;
        let part = |(i, fragments)| wire::Subscribe {
            protocol: Some(self.protocol),
            agent_version: self.agent_version.clone(),
            features: self.features.iter().cloned().collect(),
            store_id: store_id.clone(),
            revision,
            fragments,
            complete: Some(i == last),
            node: self.node.to_string(),
        };
        let message = |m| wire::AgentMessage { message: Some(wire::agent_message::Message::Subscribe(m)) };
        parts.into_iter().enumerate().map(part).map(message).collect()
    }
}

/// Puts the parts of a [`Subscribe`] together.
#[derive(Debug, Default)]
pub struct SubscribeParts {
    so_far: Option<Subscribe>,
}

impl SubscribeParts {
    /// Takes one message in; the whole once it is complete.
    ///
    /// # Errors
    /// [`ConvertError`] for anything that is not the next part of one subscribe.
    pub fn push(&mut self, m: wire::AgentMessage) -> Result<Option<Subscribe>, ConvertError> {
        let Some(wire::agent_message::Message::Subscribe(mut m)) = m.message else {
            return Err(ConvertError::new("agent_message", "subscribe must come first"));
        };
        let complete = required("subscribe.complete", m.complete)?;
        let fragments = std::mem::take(&mut m.fragments);
        let head = subscribe_head(m)?;
        let whole = match &mut self.so_far {
            None => self.so_far.insert(head),
            Some(whole) => {
                if !same_head(whole, &head) {
                    return Err(ConvertError::new("subscribe", "parts differ"));
                }
                whole
            }
        };
        for f in fragments {
            add_held(whole, &f)?;
        }
        if whole.known.is_none() && !(whole.held.is_empty() && whole.unknown.is_empty()) {
            return Err(ConvertError::new("subscribe.store_id", "is missing though fragments are held"));
        }
        Ok(if complete { self.so_far.take() } else { None })
    }
}

/// Everything but the fragments.
fn subscribe_head(m: wire::Subscribe) -> Result<Subscribe, ConvertError> {
    let store_id = m.store_id.map(|s| checked("subscribe.store_id", types::StoreId::new(s))).transpose()?;
    let known = match (store_id, m.revision) {
        (Some(store_id), Some(r)) => Some(Known { store_id, revision: types::Revision::new(r) }),
        (None, None) => None,
        _ => return Err(ConvertError::new("subscribe.revision", "must come with a store id, and only so")),
    };
    if m.features.len() > 256 {
        return Err(ConvertError::new("subscribe.features", "are more than 256"));
    }
    let features = m.features.iter().map(|f| text("subscribe.features", f, 64)).collect::<Result<_, _>>()?;
    Ok(Subscribe {
        node: parse("subscribe.node", &m.node)?,
        protocol: required("subscribe.protocol", m.protocol)?,
        agent_version: text("subscribe.agent_version", &m.agent_version, 128)?,
        features,
        known,
        held: BTreeMap::new(),
        unknown: BTreeSet::new(),
    })
}

fn same_head(a: &Subscribe, b: &Subscribe) -> bool {
    (&a.node, a.protocol, &a.agent_version, &a.features, &a.known)
        == (&b.node, b.protocol, &b.agent_version, &b.features, &b.known)
}

fn add_held(whole: &mut Subscribe, f: &wire::HeldFragment) -> Result<(), ConvertError> {
    if whole.held.len() >= MAX_KEYS || whole.unknown.len() >= MAX_UNKNOWN {
        let reason = format!("are more than {MAX_KEYS}, or more than {MAX_UNKNOWN} of an unknown kind");
        return Err(ConvertError::new("subscribe.fragments", reason));
    }
    let hash = checked("subscribe.fragments.hash", FragmentHash::from_slice(&f.hash))?;
    match fragment_key("subscribe.fragments.key", &f.key)? {
        Ok(key) => insert_once("subscribe.fragments", &mut whole.held, key, hash),
        Err(_) if whole.unknown.insert(f.key.clone()) => Ok(()),
        Err(_) => Err(ConvertError::new("subscribe.fragments", format!("{:?} is named twice", f.key))),
    }
}

/// A remove or an upsert, so that both are cut by one rule.
enum Item {
    Remove(String),
    Upsert(wire::Upsert),
}

impl Update {
    /// The wire messages.
    pub fn into_parts(self) -> Vec<wire::MasterMessage> {
        let removes = self.removes.iter().map(ToString::to_string).chain(self.removes_unknown);
        let upserts = self.upserts.into_iter().map(|(k, f)| wire::Upsert { key: k.to_string(), fragment: f });
        let items = removes.map(Item::Remove).chain(upserts.map(Item::Upsert)).collect();
        let parts = cut(items, |item| match item {
            Item::Remove(key) => key.len(),
            Item::Upsert(u) => u.encoded_len(),
        });
        let last = parts.len() - 1;
        let part = |(i, items): (usize, Vec<Item>)| {
            let (mut upserts, mut removes) = (Vec::new(), Vec::new());
            for item in items {
                match item {
                    Item::Remove(key) => removes.push(key),
                    Item::Upsert(u) => upserts.push(u),
                }
            }
            let store_id = self.store_id.to_string();
            let revision = Some(self.revision.get());
            wire::Update { store_id, revision, upserts, removes, complete: Some(i == last) }
        };
        let message = |m| wire::MasterMessage { message: Some(wire::master_message::Message::Update(m)) };
        parts.into_iter().enumerate().map(part).map(message).collect()
    }
}

/// Puts the parts of [`Update`]s together.
#[derive(Debug, Default)]
pub struct UpdateParts {
    so_far: Option<Update>,
    bytes: usize,
}

impl UpdateParts {
    /// Takes one part in; the whole once it is complete.
    ///
    /// # Errors
    /// [`ConvertError`] for anything that is not the next part of one update.
    pub fn push(&mut self, m: wire::Update) -> Result<Option<Update>, ConvertError> {
        let complete = required("update.complete", m.complete)?;
        let store_id = checked("update.store_id", types::StoreId::new(m.store_id))?;
        let revision = revision("update.revision", m.revision)?;
        let whole = self.so_far.get_or_insert_with(|| Update {
            store_id: store_id.clone(),
            revision,
            upserts: BTreeMap::new(),
            removes: BTreeSet::new(),
            unknown: BTreeMap::new(),
            removes_unknown: BTreeSet::new(),
        });
        if (&whole.store_id, whole.revision) != (&store_id, revision) {
            return Err(ConvertError::new("update", "parts of two updates are mixed"));
        }
        for key in &m.removes {
            // A key that is not understood is not held: removing it changes nothing.
            if let Ok(key) = fragment_key("update.removes", key)?
                && !whole.removes.insert(key)
            {
                return Err(ConvertError::new("update.removes", "a fragment is named twice"));
            }
        }
        for u in m.upserts {
            self.bytes += u.key.len() + u.fragment.len();
            if self.bytes > MAX_UPDATE_BYTES {
                return Err(ConvertError::new("update", "is larger than an update may be"));
            }
            match fragment_key("update.upserts.key", &u.key)? {
                Ok(key) => insert_once("update.upserts", &mut whole.upserts, key, u.fragment)?,
                Err(e) => insert_once("update.upserts", &mut whole.unknown, u.key, e.to_string())?,
            }
        }
        if let Some(both) = whole.upserts.keys().find(|k| whole.removes.contains(k)) {
            return Err(ConvertError::new("update", format!("{both} is both changed and removed")));
        }
        if !complete {
            return Ok(None);
        }
        self.bytes = 0;
        Ok(self.so_far.take())
    }
}
