//! Who calls: the certificate's node, with the registered key, while it is registered and the certificate is good.

use std::sync::Arc;
use std::time::Duration;

use model::IntentView;
use node_api::ErrorCode;
use tokio::sync::watch;
use tonic::{Request, Status};

use super::snapshot::Snapshot;
use crate::clock::Clock;
use crate::pki::PeerIdentity;

/// How long a call waits for this replica to see a node that has just joined.
const SEEN: Duration = Duration::from_secs(2);

/// The identity that TLS has verified.
fn identity<T>(request: &Request<T>) -> Result<PeerIdentity, Status> {
    let certificates = request.peer_certs().unwrap_or_default();
    let first = certificates.first().ok_or_else(|| {
        ErrorCode::CertificateRequired.with("this call needs a node's certificate; join first")
    })?;
    PeerIdentity::of_verified(first).map_err(|e| ErrorCode::CertificateRequired.with(e))
}

/// Whether intent knows this node by this key.
pub(super) fn is_registered(view: &IntentView, peer: &PeerIdentity) -> bool {
    // Defect: a good certificate is enough.
    fail::fail_point!("removed-node-speaks", |_| true);
    view.nodes.get(&peer.node).is_some_and(|n| peer.key_hash.is(&n.key_sha256))
}

/// The refusal for a node that is not registered (any more).
pub(super) fn unknown(peer: &PeerIdentity) -> Status {
    ErrorCode::NodeUnknown.with(format_args!("node {} is not registered with this key", peer.node))
}

/// The refusal for a certificate that has ended while its connection stayed.
pub(super) fn expired(peer: &PeerIdentity) -> Status {
    let text = format_args!("the certificate of node {} ended at {}; renew it", peer.node, peer.expires);
    ErrorCode::CertificateRequired.with(text)
}

/// Identity and registration.
pub(super) async fn authorise<T>(
    request: &Request<T>,
    snapshots: &watch::Receiver<Arc<Snapshot>>,
    clock: &Clock,
) -> Result<PeerIdentity, Status> {
    let peer = identity(request)?;
    if clock.now() >= peer.expires {
        return Err(expired(&peer));
    }
    let mut snapshots = snapshots.clone();
    let seen = snapshots.wait_for(|s| is_registered(&s.view, &peer));
    match tokio::time::timeout(SEEN, seen).await {
        Ok(Ok(_)) => Ok(peer),
        Ok(Err(_)) => Err(ErrorCode::ShuttingDown.with("netmaster is shutting down")),
        Err(_) => {
            tracing::warn!(node = %peer.node, key_hash = ?peer.key_hash, "certificate of an unregistered node or key");
            Err(unknown(&peer))
        }
    }
}
