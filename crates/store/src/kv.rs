//! What a store holds: values under keys, with the revisions they were created and last modified at.

use std::fmt;

use bytes::Bytes;
use types::Revision;

use crate::keys::Key;
use crate::lease::LeaseId;

/// Stored bytes. Debug output shows the length only: a value may be a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Value(Bytes);

impl Value {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.len())
    }
}

/// One stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// Its key.
    pub key: Key,
    /// The bytes.
    pub value: Value,
    /// The revision at which the key last came into being: a fencing token for keys that are created and deleted.
    pub created: Revision,
    /// The revision that wrote this value.
    pub modified: Revision,
    /// The lease it dies with.
    pub lease: Option<LeaseId>,
}

/// One key's part in a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The key has this value now.
    Put {
        /// The value, with its revisions.
        current: KeyValue,
        /// What it replaced: absent for a new key, and when history before it was compacted.
        previous: Option<KeyValue>,
    },
    /// The key is gone.
    Delete {
        /// The key.
        key: Key,
        /// Its last value; absent when history before it was compacted.
        previous: Option<KeyValue>,
    },
}

impl Event {
    /// The key it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { current, .. } => &current.key,
            Self::Delete { key, .. } => key,
        }
    }
}

/// What part of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// At most this many items; the store may give fewer (500 at most), also none, with more to follow.
    pub limit: usize,
    /// Where the last page ended.
    pub from: Option<Cursor>,
    /// Whether it may be larger than others' pages.
    bulk: bool,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self::first(Self::MAX)
    }
}

impl PageRequest {
    /// Most items a page holds.
    pub const MAX: usize = 500;

    /// The first page of this size.
    pub fn first(limit: usize) -> Self {
        Self { limit, from: None, bulk: false }
    }

    /// What follows a page of [`list_all`](crate::list_all) and the like: as many items as fit into a few MiB if they are
    /// like those of the page. etcd looks at all keys of the rest for every page, so pages of 500 would cost the square
    /// of what there is.
    pub(crate) fn following(items: &[KeyValue], cursor: Cursor) -> Self {
        const BYTES: usize = 8 << 20;
        const LARGEST: usize = 20_000;
        let bytes: usize = items.iter().map(|kv| kv.key.as_str().len() + kv.value.len() + 64).sum();
        let fit = BYTES.saturating_mul(items.len()) / bytes.max(1);
        Self { limit: fit.clamp(Self::MAX, LARGEST), from: Some(cursor), bulk: true }
    }

    /// The page after one that ended at `cursor`.
    pub fn after(limit: usize, cursor: Cursor) -> Self {
        Self { limit, from: Some(cursor), bulk: false }
    }

    /// The first page of what follows a key.
    pub fn beyond(limit: usize, key: Key) -> Self {
        Self { limit, from: Some(Cursor { at: None, last: Some(key) }), bulk: false }
    }

    /// A page of the store as of a revision: the first, or what follows a key.
    pub(crate) fn at_revision(limit: usize, revision: Revision, after: Option<Key>) -> Self {
        Self { limit, from: Some(Cursor { at: Some(revision), last: after }), bulk: false }
    }

    /// The revision wanted; `None` is now.
    pub(crate) fn at(&self) -> Option<Revision> {
        self.from.as_ref().and_then(|cursor| cursor.at)
    }

    /// The key to begin after.
    pub(crate) fn last(&self) -> Option<&Key> {
        self.from.as_ref().and_then(|cursor| cursor.last.as_ref())
    }

    pub(crate) fn effective_limit(&self) -> usize {
        let most = if self.bulk { usize::MAX } else { Self::MAX };
        self.limit.clamp(1, most)
    }
}

/// A place in a list: all pages of one list show the store at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    at: Option<Revision>,
    last: Option<Key>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In key order.
    pub items: Vec<KeyValue>,
    /// The revision this shows; the same on every page of one list.
    pub revision: Revision,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

impl Page {
    /// Builds a page of items of one span that were read with `limit`; hides generations. `then` is where the range
    /// goes on after the span.
    pub(crate) fn new(mut items: Vec<KeyValue>, limit: usize, revision: Revision, then: Option<Key>) -> Self {
        let full = items.len() >= limit;
        let last = items.last().filter(|_| full).map(|kv| kv.key.clone());
        let next = last.or(then).map(|last| Cursor { at: Some(revision), last: Some(last) });
        items.retain(|kv| !kv.key.is_generation());
        Self { items, revision, next }
    }
}
