//! Building the feed and serving it.

use std::sync::Arc;
use std::time::Duration;

use node_api::wire::node_server::NodeServer;
use rustls::ServerConfig;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Server;

use super::current::Horizon;
use super::hub::Hub;
use super::incoming::{self, Bounds};
use super::intent::NodeIntent;
use super::question::Questions;
use super::registry::Registry;
use super::service::Service;
use super::small::Small;
use super::snapshot::{self, Changes, Snapshot};
use super::status::{Board, Status};
use crate::clock::Clock;
use crate::pki::Ca;

/// HTTP/2 ping on an idle connection: a dead agent's session ends within `PING + PONG`.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);
/// Calls at once on one connection: an agent has one session and a call per endpoint it plugs in.
const STREAMS: u32 = 256;

/// Why the node API is not served.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The transport failed.
    #[error("node api: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// What a feed is built from.
pub struct FeedConfig {
    /// Intent, as it changes.
    pub changes: Changes,
    /// Where join tokens are, and which history this is.
    pub store: Arc<dyn Store>,
    /// The use cases nodes may call.
    pub intent: Arc<dyn NodeIntent>,
    /// Signs nodes and this server.
    pub ca: Arc<Ca>,
    /// Tells when certificates and tokens end.
    pub clock: Clock,
}

/// The feed. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    hub: Hub,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    board: Board,
    registry: Registry,
    store: Arc<dyn Store>,
    intent: Arc<dyn NodeIntent>,
    ca: Arc<Ca>,
    clock: Clock,
}

impl Feed {
    /// Compiles intent as it is, and follows every change of it. Needs a Tokio runtime.
    pub fn start(config: FeedConfig) -> Self {
        let FeedConfig { changes, store, intent, ca, clock } = config;
        let board = Board::default();
        let hub = Hub::new(store.store_id().clone(), &changes.start, board.clone());
        let snapshots = hub.snapshots();
        tokio::spawn(snapshot::follow(changes, hub.clone()));
        Self { hub, snapshots, board, registry: Registry::default(), store, intent, ca, clock }
    }

    /// Who is connected and what is realized.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.board.subscribe()
    }

    /// Intent that is compiled, with the objects that are not.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// What can be asked of the agents that have a session here.
    pub fn questions(&self) -> Questions {
        Questions::new(self.registry.clone())
    }

    /// Serves the node API until `shutdown`, then ends every session. Join comes without a certificate, so `tls` must not
    /// insist on one; every other call asks for it (`peer`).
    ///
    /// # Errors
    /// [`FeedError`].
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Arc<ServerConfig>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), FeedError> {
        let (stop, stopped) = watch::channel(false);
        let service = Service {
            hub: self.hub.clone(),
            snapshots: self.snapshots.clone(),
            horizon: Horizon::default(),
            store: self.store.clone(),
            intent: self.intent.clone(),
            ca: self.ca.clone(),
            board: self.board.clone(),
            registry: self.registry.clone(),
            stop: stopped,
            clock: self.clock.clone(),
        };
        let shutdown = async {
            shutdown.await;
            stop.send_replace(true);
        };
        Server::builder()
            .http2_keepalive_interval(Some(PING))
            .http2_keepalive_timeout(Some(PONG))
            .max_concurrent_streams(STREAMS)
            .add_service(Small(NodeServer::new(service)))
            .serve_with_incoming_shutdown(incoming::bounded(listener, Bounds::default(), tls), shutdown)
            .await?;
        Ok(())
    }
}
