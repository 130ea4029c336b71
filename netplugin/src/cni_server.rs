//! The runtime's requests: attach, detach, check, one procedure each.
//!
//! A procedure is a chain of steps, each waited for, each undone by DEL or by the next ADD of the same endpoint; between
//! any two the process may die ([`crate::kill_point!`]). Requests for one endpoint are carried out one after the other,
//! requests for different endpoints together.
//!
//! # Invariants
//! * ADD answers when the endpoint's flows are in the switch and its link is up, in this order.
//! * DEL takes flows out before the port, and the port before the address is given back.
//!
//! # Failure
//! Errors are the specification's ([`cni::CniError`]). A failed ADD takes back what it did, and nothing else: whoever was
//! attached under the same name before stays attached.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cni::{Attachment, CniError, Code, Reply, Request, Verb};
use node_api::ErrorCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedMutexGuard, watch};
use types::EndpointUid;

use crate::agent::{AgentHandle, Condition, Request as AgentRequest, WaitError};
use crate::intent::Intent;
use crate::intent::detach_log::{DetachLog, Named};
use crate::intent::fence::Fenced;
use crate::metrics::{Metrics, Step};
use crate::netlink::Interfaces;
use crate::ports::{PortLabels, Ports, PortsView};

mod add;
mod check;
mod del;
mod housekeeping;

pub use housekeeping::Housekeeping;

/// How long intent may take to reach this node after netmaster took it.
const KNOWN: Duration = Duration::from_secs(15);
/// How long the switch may take to be ready and to take a bundle.
const FLOWS: Duration = Duration::from_secs(20);

/// What procedures work on.
pub struct Context {
    /// The owner of the state.
    pub agent: AgentHandle,
    /// netmaster.
    pub intent: Arc<dyn Intent>,
    /// The bridge's ports.
    pub ports: Arc<dyn Ports>,
    /// What is plugged.
    pub view: watch::Receiver<PortsView>,
    /// Interfaces.
    pub interfaces: Arc<dyn Interfaces>,
    /// Endpoints netmaster does not know to be gone.
    pub detach_log: DetachLog,
    /// Where the plugin journals deletions while the agent is away.
    pub journal_dir: PathBuf,
    /// MTU of endpoints, unless intent says a smaller one.
    pub mtu: Mtu,
    /// Where requests and their steps are counted.
    pub metrics: Arc<Metrics>,
}

/// Where an endpoint's MTU comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mtu {
    /// The operator said so.
    Fixed(u32),
    /// The interface with the tunnel endpoint's address, minus the encapsulation; looked up at every ADD.
    OfUplink(IpAddr),
}

/// Carries requests out.
pub struct CniServer {
    context: Context,
    intent: Fenced,
    busy: Mutex<BTreeMap<Named, Arc<tokio::sync::Mutex<()>>>>,
}

impl CniServer {
    /// A server that works on this context.
    pub fn new(context: Context) -> Self {
        let intent = Fenced::new(Arc::clone(&context.intent));
        Self { context, intent, busy: Mutex::default() }
    }

    /// One request.
    pub async fn answer(&self, request: Request) -> Reply {
        let result = match request.check() {
            Ok(()) => self.carry_out(&request).await,
            Err(e) => Err(e),
        };
        match result {
            Ok(reply) => reply,
            Err(error) => {
                tracing::warn!(verb = ?request.verb, code = error.code.number(), error = error.msg, details = error.details,
                    "CNI request failed");
                Reply::Failed(error.for_version(&request.cni_version))
            }
        }
    }

    async fn carry_out(&self, request: &Request) -> Result<Reply, CniError> {
        match request.verb {
            Verb::Add => Ok(Reply::Added(self.add(&Target::of(request)?, request).await?)),
            Verb::Del => self.del(&Target::of(request)?).await.map(|()| Reply::Done),
            Verb::Check => self.check(&Target::of(request)?, request).await.map(|()| Reply::Done),
            Verb::Status => self.status().await.map(|()| Reply::Done),
            Verb::Gc => self.collect_garbage(request).await.map(|()| Reply::Done),
        }
    }

    /// Does a step and notes how long it took.
    async fn timed<T>(&self, step: Step, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let done = work.await;
        self.context.metrics.stepped(step, begun.elapsed());
        done
    }

    /// Waits for the endpoint's turn.
    async fn turn(&self, named: &Named) -> OwnedMutexGuard<()> {
        let mutex = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever holds a clone is at work or waiting; the rest is left over.
            busy.retain(|_, mutex| Arc::strong_count(mutex) > 1);
            Arc::clone(busy.entry(named.clone()).or_default())
        };
        mutex.lock_owned().await
    }

    /// Whether requests for other endpoints are being carried out.
    fn has_company(&self) -> bool {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.values().filter(|mutex| Arc::strong_count(mutex) > 1).count() > 1
    }

    /// Flows, port, interface: gone, in this order.
    async fn unplug(&self, uid: EndpointUid) -> Result<(), CniError> {
        let context = &self.context;
        if context.view.borrow().endpoints.contains_key(&uid) {
            context.agent.request(AgentRequest::Leave(uid)).await.map_err(wait_error("leave"))?;
            let gone = self.timed(Step::FlowsGone, context.agent.wait(Condition::Gone(uid), FLOWS));
            gone.await.map_err(wait_error("flows of the endpoint not removed"))?;
            crate::kill_point!("cni-del-flows");
        }
        let unplugged = self.timed(Step::PortGone, context.ports.unplug(uid));
        unplugged.await.map_err(|e| node_failed("port not removed", e))?;
        crate::kill_point!("cni-del-port");
        let deleted = self.timed(Step::InterfaceGone, context.interfaces.delete(uid));
        deleted.await.map_err(|e| node_failed("interface not removed", e))?;
        crate::kill_point!("cni-del-interface");
        Ok(())
    }

    /// Takes out an endpoint that intent, which is known good, no longer has.
    pub async fn reclaim(&self, uid: EndpointUid) {
        let labels = self.context.view.borrow().endpoints.get(&uid).and_then(|p| p.labels.clone().ok());
        let _turn = match &labels {
            Some(l) => Some(self.turn(&(l.tenant.clone(), l.endpoint.clone())).await),
            None => None,
        };
        tracing::info!(endpoint = format!("{:012x}", uid.get()), "endpoint is not in intent, taking it out");
        if let Err(e) = self.unplug(uid).await {
            tracing::warn!(endpoint = format!("{:012x}", uid.get()), error = %e, "endpoint not reclaimed, will retry");
            // The agent may be shutting down: then nobody needs to know.
            let _ = self.context.agent.request(AgentRequest::ReclaimFailed(uid)).await;
        }
    }

    async fn status(&self) -> Result<(), CniError> {
        let unavailable = |details: &str| {
            CniError::new(Code::NotAvailable, "the node cannot attach endpoints now", details)
        };
        let status = self.context.agent.status().await.map_err(wait_error("status"))?;
        if !status.switch_connected {
            return Err(unavailable("the switch is not connected"));
        }
        if !self.intent.is_reachable() {
            return Err(unavailable("netmaster is away"));
        }
        Ok(())
    }
}

/// Whom a request is about.
struct Target {
    named: Named,
    attachment: Attachment,
}

impl Target {
    fn of(request: &Request) -> Result<Self, CniError> {
        let missing = || CniError::new(Code::InvalidEnvironment, "refused request", "it names no attachment");
        let endpoint = request.endpoint.clone().ok_or_else(missing)?;
        let attachment = request.attachment.clone().ok_or_else(missing)?;
        Ok(Self { named: (request.tenant.clone(), endpoint), attachment })
    }

    /// Whether a port was plugged for this endpoint name, and for this container and interface, too.
    fn is_attached_as(&self, labels: &PortLabels) -> bool {
        (&labels.tenant, &labels.endpoint) == (&self.named.0, &self.named.1)
            && (&labels.container_id, &labels.ifname)
                == (&self.attachment.container_id, &self.attachment.ifname)
    }
}

fn node_failed(msg: &'static str, e: impl std::fmt::Display) -> CniError {
    CniError::new(Code::NodeFailed, msg, e)
}

/// Late and stopped pass; hopeless does not.
fn wait_error(msg: &'static str) -> impl Fn(WaitError) -> CniError {
    move |e| {
        let code = match e {
            WaitError::Hopeless(_) => Code::NodeFailed,
            WaitError::Late(_) | WaitError::Stopped => Code::TryAgainLater,
        };
        CniError::new(code, msg, e)
    }
}

fn call_error(msg: &'static str, e: &node_api::CallError) -> CniError {
    let code = match e.code {
        Some(ErrorCode::NotFound | ErrorCode::Invalid | ErrorCode::Conflict) => Code::InvalidConfig,
        _ if e.is_transient() => Code::TryAgainLater,
        _ => Code::NodeFailed,
    };
    CniError::new(code, msg, e)
}

/// Listens on the socket and serves until the listener fails or the future is dropped.
///
/// # Errors
/// When the socket cannot be bound.
pub async fn listen(server: Arc<CniServer>, socket: PathBuf) -> std::io::Result<()> {
    let listener = bind(&socket)?;
    tracing::info!(path = %socket.display(), "serving CNI requests");
    loop {
        let (stream, _) = listener.accept().await?;
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            if let Err(e) = serve(&server, stream).await {
                tracing::debug!(error = %e, "CNI connection failed");
            }
        });
    }
}

/// The socket appears with its final mode: whoever may open it may attach endpoints.
///
/// # Errors
/// What the file system returned.
pub fn bind(socket: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(parent) = socket.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let temporary = socket.with_extension("new");
    match std::fs::remove_file(&temporary) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        other => other?,
    }
    let listener = UnixListener::bind(&temporary)?;
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&temporary, socket)?;
    Ok(listener)
}

async fn serve(server: &CniServer, mut stream: UnixStream) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    (&mut stream).take(cni::MAX_MESSAGE).read_to_end(&mut bytes).await?;
    let reply = match serde_json::from_slice::<Request>(&bytes) {
        Ok(request) => {
            let (verb, begun) = (request.verb, Instant::now());
            let reply = server.answer(request).await;
            server.context.metrics.answered(verb, &reply, begun.elapsed());
            reply
        }
        Err(e) => Reply::Failed(CniError::new(Code::Decode, "refused request", e)),
    };
    stream.write_all(&serde_json::to_vec(&reply)?).await?;
    stream.shutdown().await
}
