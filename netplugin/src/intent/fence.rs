//! Calls that cannot happen later than the agent believes.
//!
//! A request to attach may end without an answer: netmaster stalls, the connection is cut, this process dies. It may
//! still be on its way, and would make an endpoint after the runtime has deleted the container: one that nobody holds and
//! nobody removes. So each carries the node's *fencing token*, which is stored with the node. Taking a new one makes void
//! whatever carries another: it has happened, or never will (docs/design/0005).
//!
//! # Invariants
//! * A token is forgotten when an attach that carries it ends without a decision, and with the process.
//! * Nobody is told that an endpoint is gone without a token: so no attach of this node is on its way then whose end is
//!   not waited for. Those that are waited for are of other endpoint names (the name's turn, `cni_server`).
//!
//! A request for a token that arrives late itself makes void the newer ones: the next attach is refused and takes another.
//!
//! # Failure
//! [`CallError`]. Without a token nothing was asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use node_api::{AttachReply, AttachRequest, AttachSpec, CallError, DetachRequest, ErrorCode};
use types::{EndpointUid, FencingToken};

use super::Intent;

/// How often an attach takes a newer token before it fails: each time somebody else took one in between.
const ATTEMPTS: u32 = 3;

/// [`Intent`], fenced.
pub struct Fenced {
    intent: Arc<dyn Intent>,
    token: Mutex<Option<FencingToken>>,
    /// Held by who takes a token: the others wait and share it.
    taking: tokio::sync::Mutex<()>,
}

impl Fenced {
    /// A new process: it does not know what the one before asked for.
    pub fn new(intent: Arc<dyn Intent>) -> Self {
        Self { intent, token: Mutex::default(), taking: tokio::sync::Mutex::default() }
    }

    /// Makes an endpoint on this node, or finds it. When this fails the endpoint may exist, and may still come to be until
    /// [`Self::detach`] has been answered.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn attach(&self, spec: &AttachSpec) -> Result<AttachReply, CallError> {
        let mut attempt = 1;
        loop {
            let token = self.token().await?;
            let doubt = Doubt { fenced: self, token: Some(token) };
            let answer = self.intent.attach(AttachRequest { spec: spec.clone(), token }).await;
            match answer {
                // The doubt stays: the token is of no use.
                Err(e) if e.code == Some(ErrorCode::Fenced) && attempt < ATTEMPTS => attempt += 1,
                Err(e) if e.code == Some(ErrorCode::Fenced) || !e.is_final() => return Err(e),
                decided => {
                    doubt.lift();
                    return decided;
                }
            }
        }
    }

    /// Deletes an endpoint of this node, after whatever was asked for before; succeeds when it is not there. Tells which
    /// one has the name and was not meant.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn detach(&self, request: DetachRequest) -> Result<Option<EndpointUid>, CallError> {
        // Defect: what was given up may happen later.
        if !crate::sabotaged!("no-fence") {
            self.token().await?;
        }
        self.intent.detach(request).await
    }

    /// Whether netmaster can be asked now.
    pub fn is_reachable(&self) -> bool {
        self.intent.is_reachable()
    }

    /// The token, taken when there is none.
    async fn token(&self) -> Result<FencingToken, CallError> {
        let _turn = self.taking.lock().await;
        if let Some(token) = *self.lock() {
            return Ok(token);
        }
        let taken = self.intent.fence().await?;
        *self.lock() = Some(taken);
        Ok(taken)
    }

    // Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, Option<FencingToken>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attach that netmaster has not decided. Dropped as such, its token is forgotten, unless a newer one is known, which
/// has made it void already.
struct Doubt<'a> {
    fenced: &'a Fenced,
    /// `None` when it is decided.
    token: Option<FencingToken>,
}

impl Doubt<'_> {
    fn lift(mut self) {
        self.token = None;
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        self.fenced.lock().take_if(|known| Some(*known) == self.token);
    }
}

#[cfg(test)]
mod tests;
