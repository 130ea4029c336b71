//! What can go wrong in a store, sorted by what the caller may do about it.
//!
//! [`StoreError::is_transient`] is the one question callers ask: the same request may succeed later, and it is certain
//! that nothing was written. [`StoreError::Indeterminate`] is neither: read back before trying again.

use types::Revision;

use crate::envelope::EnvelopeError;
use crate::keys::{Key, Prefix};
use crate::lease::LeaseId;

/// Why a store refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The transaction is beyond the limits; nothing was written.
    #[error(
        "transaction too large: {ops} operations of {max_ops}, {bytes} bytes of {max_bytes}; split the request"
    )]
    TooLarge {
        /// Operations (or comparisons, whichever are more), those the store adds included.
        ops: usize,
        /// Most allowed.
        max_ops: usize,
        /// Size on the wire, at most.
        bytes: usize,
        /// Most allowed.
        max_bytes: usize,
    },
    /// The transaction writes one key twice.
    #[error("the transaction names {0} twice")]
    DuplicateKey(Key),
    /// Nobody keeps a generation for this range.
    #[error("the range {0} is not guarded, so whether it changed cannot be compared")]
    RangeNotGuarded(Prefix),
    /// Leases expire without telling the range's generation.
    #[error("{0} lies in a guarded range and cannot have a lease")]
    LeasedGuardedKey(Key),
    /// The revision asked for is no longer kept.
    #[error("revision {requested} is compacted; the oldest kept is {oldest}")]
    Compacted {
        /// The revision asked for.
        requested: Revision,
        /// The oldest readable one (0 when the store does not tell).
        oldest: Revision,
    },
    /// The revision asked for is not yet written.
    #[error("revision {requested} does not exist yet")]
    FutureRevision {
        /// The revision asked for.
        requested: Revision,
    },
    /// The lease has expired or was revoked.
    #[error("lease {0} is gone")]
    LeaseGone(LeaseId),
    /// Others changed the same keys all the time.
    #[error("gave up after {attempts} attempts: the same keys keep changing")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// Another process has this database open.
    #[error("the store {0} is in use by another process")]
    InUse(String),
    /// The key layout is of another version.
    #[error("the store has layout {found:?}; this version knows {supported:?}")]
    Layout {
        /// As stored.
        found: String,
        /// As known.
        supported: &'static str,
    },
    /// The history under us is another one: restored or replaced while we ran.
    #[error("the store's identity changed from {expected} to {found}; restart to adopt it")]
    IdentityChanged {
        /// At start.
        expected: String,
        /// Now.
        found: String,
    },
    /// What is stored cannot be read.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// A stored object was not understood.
    #[error("{key}: {source}")]
    Object {
        /// Where.
        key: Key,
        /// Why.
        source: EnvelopeError,
    },
    /// The configuration makes no sense.
    #[error("store configuration: {0}")]
    Config(String),
    /// The server does not grant the configured limits.
    #[error(
        "the server refuses the configured limits of {max_ops} operations and {max_bytes} bytes: {reason}"
    )]
    LimitsRefused {
        /// Configured.
        max_ops: usize,
        /// Configured.
        max_bytes: usize,
        /// What it said.
        reason: String,
    },
    /// Not now; nothing was written.
    #[error("{backend} is unavailable during {operation}: {reason}")]
    Transient {
        /// Which back end.
        backend: &'static str,
        /// What was being done.
        operation: &'static str,
        /// What it said.
        reason: String,
    },
    /// The answer was lost: the transaction may have been committed or not.
    #[error("{backend} gave no answer to {operation}, which may have happened: {reason}")]
    Indeterminate {
        /// Which back end.
        backend: &'static str,
        /// What was being done.
        operation: &'static str,
        /// What is known.
        reason: String,
    },
    /// Trying again will not help.
    #[error("{backend} failed during {operation}: {reason}")]
    Permanent {
        /// Which back end.
        backend: &'static str,
        /// What was being done.
        operation: &'static str,
        /// What it said.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same request may succeed later and certainly wrote nothing now.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. } | Self::Contended { .. })
    }
}
