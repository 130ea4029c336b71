//! Why a use case did not happen. Which HTTP status or gRPC code that is, the edges decide.

use model::{InUse, ObjectRef, Rejection};
use store::StoreError;
use store::intent::InformerError;
use types::{NodeName, Revision};

use super::Expected;

/// Why a use case did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppError {
    /// The request breaks a rule.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// There is no such object.
    #[error("no such object: {0}")]
    NotFound(ObjectRef),
    /// It exists, and was to be created.
    #[error("{0} exists already")]
    Exists(ObjectRef),
    /// It is not at the version the writer saw.
    #[error("{object} is at version {}, not {expected}", .found.map_or("none (it does not exist)".to_owned(), |v| v.to_string()))]
    VersionMismatch {
        /// The object.
        object: ObjectRef,
        /// As the writer says it must be.
        expected: Expected,
        /// As it is.
        found: Option<Revision>,
    },
    /// Others need it.
    #[error(transparent)]
    InUse(#[from] InUse),
    /// It belongs to another node than the caller.
    #[error("{0} is on another node")]
    NotYours(ObjectRef),
    /// A node's request carries another fencing token than the node's newest.
    #[error("node {0} has taken a newer fencing token than the one this request carries")]
    Fenced(NodeName),
    /// A node that has as many endpoints as it may make.
    #[error(
        "node {node} has {limit} endpoints, as many as a node may make; remove some, or raise netmaster's --endpoints-per-node"
    )]
    NodeFull {
        /// The node.
        node: NodeName,
        /// How many it may have.
        limit: usize,
    },
    /// Objects to be made that no transaction holds, each being at least one operation.
    #[error("{documents} objects are new, of which a transaction holds {most} at most; split the request")]
    TooMany {
        /// How many are new.
        documents: usize,
        /// As many may be in one.
        most: usize,
    },
    /// A node's key that was revoked.
    #[error("the key of node {0} was revoked: it was removed, or joined again with another; make a new key")]
    KeyRevoked(NodeName),
    /// A one-time token was used meanwhile.
    #[error("the token was used meanwhile")]
    TokenUsed,
    /// Others were faster every time.
    #[error("gave up after {attempts} attempts: others keep changing the same objects; try again")]
    Busy {
        /// How often it was tried.
        attempts: u32,
    },
    /// The write is done, or the conflict seen, but has not arrived in this replica's view.
    #[error("revision {revision} has not arrived at this replica in time; read before trying again")]
    Behind {
        /// The revision.
        revision: Revision,
    },
    /// The view is no longer followed: this process is ending.
    #[error(transparent)]
    Stopped(#[from] InformerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
