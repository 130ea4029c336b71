//! Intent: netmaster's calls and session, what is held of it, who we are to it.

use async_trait::async_trait;
use node_api::{AttachReply, AttachRequest, CallError, DetachRequest};
use types::{EndpointUid, FencingToken};

mod count;
pub mod detach_log;
mod dump;
pub mod fence;
pub mod holding;
pub mod identity;
pub mod saved;
pub mod session;

/// What the agent asks of netmaster. A trait so that the agent's scenarios run without one.
#[async_trait]
pub trait Intent: Send + Sync {
    /// Takes the token that attaches must carry from then on.
    async fn fence(&self) -> Result<FencingToken, CallError>;
    /// Makes an endpoint on this node, or finds it.
    async fn attach(&self, request: AttachRequest) -> Result<AttachReply, CallError>;
    /// Deletes an endpoint of this node; succeeds when it is not there. Tells which one has the name and was not meant.
    async fn detach(&self, request: DetachRequest) -> Result<Option<EndpointUid>, CallError>;
    /// Whether netmaster can be asked now.
    fn is_reachable(&self) -> bool;
}
