//! Who does what must be done once: this replica's part in it.
//!
//! A replica stands for election as long as it runs. While it leads it does its duties; when it is deposed, or finds out
//! by its own clock that its lease is over, it drops them where they are and stands again. Nothing depends on its dropping
//! them in time: every transaction of a duty is fenced ([`store::election`]).
//!
//! # Failure
//! Trouble with the store is waited out. A permanent error is logged and tried again after [`RETRY`]: serving goes on
//! without singleton tasks, and `status` shows that nobody leads.

use std::sync::Arc;
use std::time::Duration;

use store::Store;
use store::election::{Fence, campaign};

/// How long a leader that died goes on being one.
pub const TTL: Duration = Duration::from_secs(10);
/// Wait after an error that waiting should not cure.
const RETRY: Duration = Duration::from_secs(30);

/// A replica that stands for election.
#[derive(Clone)]
pub struct Candidate {
    /// The store all candidates share.
    pub store: Arc<dyn Store>,
    /// This replica's name, for people.
    pub name: String,
    /// How long a leader that died goes on being one.
    pub ttl: Duration,
}

/// Stands for election and does the duties while leading, until `stop`; then makes room for another. `duties` must end
/// when the fence lets nothing through any more.
pub async fn run<D: Future<Output = ()>>(
    candidate: Candidate,
    duties: impl Fn(Fence) -> D,
    stop: impl Future<Output = ()>,
) {
    tokio::pin!(stop);
    loop {
        let Candidate { store, name, ttl } = &candidate;
        let leadership = tokio::select! {
            () = &mut stop => return,
            elected = campaign(store, name, *ttl) => elected,
        };
        let leadership = match leadership {
            Ok(leadership) => leadership,
            Err(error) => {
                tracing::error!(%error, "cannot stand for election");
                tokio::select! {
                    () = &mut stop => return,
                    () = tokio::time::sleep_until(tokio::time::Instant::now() + RETRY) => continue,
                }
            }
        };
        let token = leadership.fence().token();
        tracing::info!(fence = %token, name, "leading");
        tokio::select! {
            () = &mut stop => {
                // Should this fail, the lease runs out.
                drop(leadership.resign().await);
                return;
            }
            () = leadership.lost() => tracing::warn!(fence = %token, "no longer leading: the lease was not renewed in time"),
            () = duties(leadership.fence().clone()) => tracing::warn!(fence = %token, "no longer leading: deposed"),
        }
    }
}
