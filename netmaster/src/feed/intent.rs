//! What nodes may change in intent. The use cases (`app`) implement it; the feed knows no more of them.

use std::net::SocketAddr;

use async_trait::async_trait;
use model::{Endpoint, EndpointSpec, NodeSpec};
use node_api::{ErrorCode, Incarnation};
use types::{EndpointName, EndpointUid, FencingToken, Name, NodeName, Revision};

use crate::pki::{Claim, KeyHash};

/// On whose behalf a change is made, for the change record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The node, proven by certificate (or, when it joins, by token).
    pub node: NodeName,
    /// Where the call came from.
    pub source: Option<SocketAddr>,
}

/// A change that was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct IntentRefusal {
    /// What the agent decides by.
    pub code: ErrorCode,
    /// What people read.
    pub text: String,
}

/// A deletion that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// What was meant is gone from this revision on.
    pub revision: Revision,
    /// The caller's endpoint that has the name and was not meant.
    pub left: Option<EndpointUid>,
}

/// The writing side of intent, as far as nodes may use it. Each call is one transaction; when it returns, it is
/// committed.
#[async_trait]
pub trait NodeIntent: Send + Sync + 'static {
    /// Gives the caller a new fencing token: what it asked for with another one has happened, or never will.
    ///
    /// # Errors
    /// [`IntentRefusal`].
    async fn fence(&self, caller: &Caller) -> Result<FencingToken, IntentRefusal>;

    /// Makes an endpoint, `spec.node` being the caller, unless `token` is not its newest ([`ErrorCode::Fenced`], decided
    /// in the transaction). The endpoint that exists already is returned and not changed; the revision is one at which it
    /// exists. One that is in another network or group, or has other addresses than `spec` says, is refused with
    /// [`ErrorCode::Conflict`]; one on another node with [`ErrorCode::NotYourNode`].
    ///
    /// # Errors
    /// [`IntentRefusal`].
    async fn create_endpoint(
        &self,
        caller: &Caller,
        spec: EndpointSpec,
        token: FencingToken,
    ) -> Result<(Endpoint, Revision), IntentRefusal>;

    /// Deletes an endpoint of the caller, this incarnation of the name and no other; one that does not exist is deleted
    /// already. An endpoint on another node is refused with [`ErrorCode::NotYourNode`], decided in the transaction.
    ///
    /// # Errors
    /// [`IntentRefusal`].
    async fn delete_endpoint(
        &self,
        caller: &Caller,
        tenant: &Name,
        endpoint: &EndpointName,
        incarnation: Incarnation,
    ) -> Result<Deleted, IntentRefusal>;

    /// Registers a node, or a node that joins again with a new key. `claim`'s comparison and operation are part of the
    /// transaction; when that comparison fails the answer is [`ErrorCode::TokenInvalid`].
    ///
    /// # Errors
    /// [`IntentRefusal`].
    async fn admit_node(
        &self,
        caller: &Caller,
        spec: NodeSpec,
        key: &KeyHash,
        claim: Claim,
    ) -> Result<Revision, IntentRefusal>;
}
