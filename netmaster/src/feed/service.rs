//! The six calls. No decisions about intent: those are the use cases'.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use compile::Compiled;
use futures_util::{Stream, StreamExt};
use model::{EndpointSpec, NodeSpec};
use node_api::{
    AttachRequest, ConvertError, DetachReply, DetachRequest, ErrorCode, FenceReply, JoinReply, JoinRequest,
    PROTOCOL_HEADER, RenewReply, RenewRequest, Subscribe, SubscribeParts, wire,
};
use store::Store;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};
use types::Revision;

use super::attach;
use super::current::{CATCH_UP, Horizon};
use super::hub::Hub;
use super::intent::{Caller, IntentRefusal, NodeIntent};
use super::ledger::Ledger;
use super::peer::authorise;
use super::question::Asked;
use super::registry::Registry;
use super::session::{self, End, Session};
use super::snapshot::Snapshot;
use super::status::Board;
use crate::clock::Clock;
use crate::pki::{self, Ca, TokenError, ValidCsr};

/// How long an agent may take to say what it holds.
const SUBSCRIBE: Duration = Duration::from_secs(30);
/// Parts of an update that wait for the transport.
const PARTS: usize = 2;

/// The server's state, shared by all connections.
#[derive(Clone)]
pub(super) struct Service {
    pub hub: Hub,
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub horizon: Horizon,
    pub store: Arc<dyn Store>,
    pub intent: Arc<dyn NodeIntent>,
    pub ca: Arc<Ca>,
    pub board: Board,
    pub registry: Registry,
    pub stop: watch::Receiver<bool>,
    pub clock: Clock,
}

impl From<IntentRefusal> for Status {
    fn from(refusal: IntentRefusal) -> Self {
        refusal.code.with(refusal.text)
    }
}

fn malformed(e: ConvertError) -> Status {
    ErrorCode::Malformed.with(e)
}

fn internal(e: &dyn std::fmt::Display) -> Status {
    tracing::error!(error = %e, "node call failed");
    ErrorCode::Internal.with("see netmaster's log")
}

fn stopping() -> Status {
    ErrorCode::ShuttingDown.with("netmaster is shutting down")
}

impl Service {
    /// A snapshot of at least this revision.
    async fn caught_up(&self, revision: Revision) -> Result<Arc<Snapshot>, Status> {
        let mut snapshots = self.snapshots.clone();
        let reached = timeout(CATCH_UP, snapshots.wait_for(|s| s.revision() >= revision)).await;
        match reached {
            Ok(Ok(snapshot)) => Ok(snapshot.clone()),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => {
                Err(ErrorCode::Behind.with(format_args!("revision {revision} has not arrived here yet")))
            }
        }
    }

    async fn join(&self, request: JoinRequest, source: Option<SocketAddr>) -> Result<JoinReply, Status> {
        let now = self.clock.now();
        let claim = match pki::claim(&*self.store, request.token.expose(), &request.node, now).await {
            Ok(claim) => claim,
            Err(TokenError::Store(e)) if e.is_transient() => {
                return Err(ErrorCode::StoreUnavailable.with("the store does not answer"));
            }
            Err(TokenError::Store(e)) => return Err(internal(&e)),
            Err(reason) => {
                tracing::warn!(node = %request.node, ?source, %reason, "join token refused");
                return Err(
                    ErrorCode::TokenInvalid.with("the join token is not valid for this node (any more)")
                );
            }
        };
        let csr = ValidCsr::parse(&request.csr_pem).map_err(|e| ErrorCode::Malformed.with(e))?;
        // Signed before the token is used up: a failure here must not cost the token.
        let certificate = self.ca.sign_node(&csr, &request.node, now).map_err(|e| internal(&e))?;
        let caller = Caller { node: request.node.clone(), source };
        let spec = NodeSpec { name: request.node.clone(), vtep: request.vtep };
        let token = claim.id.clone();
        let revision = self.intent.admit_node(&caller, spec, csr.key_hash(), claim).await?;
        tracing::info!(node = %request.node, token_id = %token, key_hash = ?csr.key_hash(), %revision, "node joined");
        Ok(JoinReply { certificate_pem: certificate.pem, ca_pem: self.ca.certificate_pem().to_owned() })
    }

    async fn attach(&self, request: AttachRequest, caller: &Caller) -> Result<node_api::AttachReply, Status> {
        let AttachRequest { spec, token } = request;
        self.refuse_foreign(caller, &spec.tenant, &spec.endpoint)?;
        let spec = EndpointSpec {
            tenant: spec.tenant,
            name: spec.endpoint,
            network: spec.network,
            group: spec.group,
            node: caller.node.clone(),
            ipv4: spec.ipv4.map(IpAddr::V4),
            ipv6: spec.ipv6.map(IpAddr::V6),
        };
        crate::kill_point!("attach-asked");
        let (endpoint, revision) = self.intent.create_endpoint(caller, spec, token).await?;
        crate::kill_point!("attach-stored");
        let snapshot = self.caught_up(revision).await?;
        attach::reply(&snapshot.view, &endpoint, revision)
            .ok_or_else(|| ErrorCode::NotFound.with("the endpoint's network was deleted meanwhile"))
    }

    async fn detach(&self, request: DetachRequest, caller: &Caller) -> Result<DetachReply, Status> {
        let DetachRequest { tenant, endpoint, incarnation } = request;
        crate::kill_point!("detach-asked");
        let deleted = self.intent.delete_endpoint(caller, &tenant, &endpoint, incarnation).await;
        let deleted = deleted.inspect_err(|refusal| {
            if refusal.code == ErrorCode::NotYourNode {
                tracing::warn!(node = %caller.node, %tenant, %endpoint, "another node's endpoint");
            }
        })?;
        crate::kill_point!("detach-stored");
        Ok(DetachReply { revision: deleted.revision, left: deleted.left })
    }

    /// An early no; the use case decides again in its transaction.
    fn refuse_foreign(
        &self,
        caller: &Caller,
        tenant: &types::Name,
        endpoint: &types::EndpointName,
    ) -> Result<(), Status> {
        let snapshot = self.snapshots.borrow().clone();
        match snapshot.view.endpoints.get(&(tenant.clone(), endpoint.clone())) {
            Some(e) if e.spec.node != caller.node => {
                tracing::warn!(node = %caller.node, %tenant, %endpoint, owner = %e.spec.node, "another node's endpoint");
                Err(ErrorCode::NotYourNode
                    .with(format_args!("endpoint {tenant}/{endpoint} is on another node")))
            }
            _ => Ok(()),
        }
    }

    /// Waits until this replica has seen what the agent has.
    async fn ready_for(&self, subscribe: &Subscribe) -> Result<(), Status> {
        match &subscribe.known {
            Some(known) if known.store_id == *self.store.store_id() => {
                self.horizon.reach(known.revision, &*self.store, &self.snapshots).await
            }
            // Revisions of another history say nothing; everything is compared by content.
            _ => Ok(()),
        }
    }
}

/// Reads the parts of the first message.
async fn subscription(inbound: &mut Streaming<wire::AgentMessage>) -> Result<Subscribe, Status> {
    let mut parts = SubscribeParts::default();
    loop {
        let message = inbound
            .message()
            .await?
            .ok_or_else(|| ErrorCode::Malformed.with("the session ended before it subscribed"))?;
        if let Some(subscribe) = parts.push(message).map_err(malformed)? {
            return Ok(subscribe);
        }
    }
}

type MasterStream = Pin<Box<dyn Stream<Item = Result<wire::MasterMessage, Status>> + Send>>;

#[tonic::async_trait]
impl wire::node_server::Node for Service {
    async fn join(&self, request: Request<wire::JoinRequest>) -> Result<Response<wire::JoinReply>, Status> {
        let source = request.remote_addr();
        let request = request.into_inner().try_into().map_err(malformed)?;
        Ok(Response::new(self.join(request, source).await?.into()))
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewReply>, Status> {
        let peer = authorise(&request, &self.snapshots, &self.clock).await?;
        let request = RenewRequest::try_from(request.into_inner()).map_err(malformed)?;
        let csr = ValidCsr::parse(&request.csr_pem).map_err(|e| ErrorCode::Malformed.with(e))?;
        // Were the key to change here, an agent that misses the answer could never come back.
        if *csr.key_hash() != peer.key_hash {
            return Err(ErrorCode::Invalid.with("renewal keeps the key; join again to change it"));
        }
        let signed = self.ca.sign_node(&csr, &peer.node, self.clock.now()).map_err(|e| internal(&e))?;
        let ca_pem = self.ca.certificate_pem().to_owned();
        Ok(Response::new(RenewReply { certificate_pem: signed.pem, ca_pem }.into()))
    }

    async fn fence(
        &self,
        request: Request<wire::FenceRequest>,
    ) -> Result<Response<wire::FenceReply>, Status> {
        let peer = authorise(&request, &self.snapshots, &self.clock).await?;
        let caller = Caller { node: peer.node, source: request.remote_addr() };
        let token = self.intent.fence(&caller).await?;
        Ok(Response::new(FenceReply { token }.into()))
    }

    async fn attach(
        &self,
        request: Request<wire::AttachRequest>,
    ) -> Result<Response<wire::AttachReply>, Status> {
        let peer = authorise(&request, &self.snapshots, &self.clock).await?;
        let caller = Caller { node: peer.node, source: request.remote_addr() };
        let request = request.into_inner().try_into().map_err(malformed)?;
        Ok(Response::new(self.attach(request, &caller).await?.into()))
    }

    async fn detach(
        &self,
        request: Request<wire::DetachRequest>,
    ) -> Result<Response<wire::DetachReply>, Status> {
        let peer = authorise(&request, &self.snapshots, &self.clock).await?;
        let caller = Caller { node: peer.node, source: request.remote_addr() };
        let request = request.into_inner().try_into().map_err(malformed)?;
        Ok(Response::new(self.detach(request, &caller).await?.into()))
    }

    type SessionStream = MasterStream;

    async fn session(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<MasterStream>, Status> {
        let peer = authorise(&request, &self.snapshots, &self.clock).await?;
        let mut inbound = request.into_inner();
        // Taken before anything is read, so that a node fills one subscription's memory at most.
        let (mut place, questions) = self.registry.take(peer.node.clone());
        let subscribe = tokio::select! {
            read = timeout(SUBSCRIBE, subscription(&mut inbound)) => {
                read.map_err(|_| ErrorCode::Malformed.with("the session did not subscribe in time"))??
            }
            () = place.superseded() => return Err(session::superseded()),
        };
        session::check(&subscribe, &peer)?;
        self.ready_for(&subscribe).await?;
        tracing::info!(node = %peer.node, version = ?subscribe.agent_version, count = subscribe.held.len(), "session opened");

        let (version, protocol) = (subscribe.agent_version.clone(), subscribe.protocol);
        let store_id = self.store.store_id().clone();
        let begin = |compiled: &Compiled| Ledger::new(subscribe, &store_id, &compiled.node(&peer.node));
        let (subscription, ledger) = self.hub.subscribe(&peer.node, begin).map_err(|_| stopping())?;
        let (out, parts) = mpsc::channel(PARTS);
        let session = Session {
            ledger,
            store_id,
            subscription,
            inbound,
            out,
            board: self.board.clone(),
            stop: self.stop.clone(),
            place,
            clock: self.clock.clone(),
            expires: self.clock.deadline(peer.expires),
            outbox: VecDeque::new(),
            questions,
            asked: Asked::of(protocol),
            peer,
        };
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            let node = session.peer.node.clone();
            let last = match session.run(version).await {
                End::Left => None,
                End::Told(status) => Some(status),
            };
            tracing::info!(%node, reason = last.as_ref().map_or("agent left", |s| s.message()), "session closed");
            // The agent may be gone; then nobody wants to know.
            let _ = end.send(last);
        });
        // The last word goes out after every part that was sent, and waits for no room.
        let last = futures_util::stream::once(ended)
            .filter_map(|word| std::future::ready(word.ok().flatten().map(Err)));
        let stream: MasterStream = Box::pin(ReceiverStream::new(parts).map(Ok).chain(last));
        let mut response = Response::new(stream);
        response.metadata_mut().insert(PROTOCOL_HEADER, MetadataValue::from(node_api::PROTOCOL));
        Ok(response)
    }
}
