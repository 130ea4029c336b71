//! The agent's side of the connection: TLS from PEM texts, typed calls, and the session's two halves.
//!
//! netmaster is verified by our own CA and the name [`crate::SERVER_NAME`]; no system roots are consulted. The channel
//! reconnects by itself for calls; a session that ends is over, the agent opens a new one.
//!
//! # Failure
//! [`ConnectError`] when there is no connection to start with, [`CallError`] for every call. A reply that does not
//! convert is a `CallError` too, with status `Internal`: it is never half used.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::convert::ConvertError;
use crate::error::CallError;
use crate::part::UpdateParts;
use crate::session::{AgentMessage, MasterMessage, Nack, Realized, Subscribe};
use crate::wire::node_client::NodeClient;
use crate::{
    AttachReply, AttachRequest, DetachReply, DetachRequest, FenceReply, JoinReply, JoinRequest,
    PROTOCOL_HEADER, RenewReply, RenewRequest, SERVER_NAME, wire,
};

/// HTTP/2 ping on an idle connection: a dead netmaster is noticed within `PING + PONG`.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(5);
/// A call waits for at most the store's bounded retries.
const CALL: Duration = Duration::from_secs(30);

/// A node's certificate and private key.
#[derive(Clone)]
pub struct Identity {
    certificate_pem: String,
    key_pem: String,
}

impl Identity {
    /// From the texts of the files.
    pub fn new(certificate_pem: impl Into<String>, key_pem: impl Into<String>) -> Self {
        Self { certificate_pem: certificate_pem.into(), key_pem: key_pem.into() }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(redacted)")
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// `HOST:PORT` or a PEM text is no good.
    #[error("cannot use server {server:?} with these certificates")]
    Config {
        /// The address as given.
        server: String,
        /// The transport's words.
        #[source]
        source: tonic::transport::Error,
    },
    /// Nobody answers, or it is not our netmaster.
    #[error("cannot connect to {server}")]
    Unreachable {
        /// The address.
        server: String,
        /// The transport's words.
        #[source]
        source: tonic::transport::Error,
    },
}

/// A connection to netmaster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: NodeClient<Channel>,
}

impl Client {
    /// Connects to `server` (`HOST:PORT`), which must show a certificate of the CA in `ca_pem`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        server: &str,
        ca_pem: &str,
        identity: Option<&Identity>,
    ) -> Result<Self, ConnectError> {
        let config = |source| ConnectError::Config { server: server.to_owned(), source };
        let mut tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca_pem)).domain_name(SERVER_NAME);
        if let Some(id) = identity {
            tls = tls.identity(tonic::transport::Identity::from_pem(&id.certificate_pem, &id.key_pem));
        }
        let channel = Endpoint::from_shared(format!("https://{server}"))
            .and_then(|e| e.tls_config(tls))
            .map_err(config)?
            .connect_timeout(CONNECT)
            .timeout(CALL)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .keep_alive_while_idle(true)
            .connect()
            .await
            .map_err(|source| ConnectError::Unreachable { server: server.to_owned(), source })?;
        Ok(Self { inner: NodeClient::new(channel) })
    }

    /// Trades a token for a certificate.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn join(&self, request: JoinRequest) -> Result<JoinReply, CallError> {
        reply(self.inner.clone().join(wire::JoinRequest::from(request)).await)
    }

    /// Trades the certificate in use for a new one.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn renew(&self, request: RenewRequest) -> Result<RenewReply, CallError> {
        reply(self.inner.clone().renew(wire::RenewRequest::from(request)).await)
    }

    /// Takes the token that attaches of this node must carry from then on.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn fence(&self) -> Result<FenceReply, CallError> {
        reply(self.inner.clone().fence(wire::FenceRequest {}).await)
    }

    /// Makes an endpoint on this node.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn attach(&self, request: AttachRequest) -> Result<AttachReply, CallError> {
        reply(self.inner.clone().attach(wire::AttachRequest::from(request)).await)
    }

    /// Deletes an endpoint of this node.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn detach(&self, request: DetachRequest) -> Result<DetachReply, CallError> {
        reply(self.inner.clone().detach(wire::DetachRequest::from(request)).await)
    }

    /// Opens the node's session.
    ///
    /// # Errors
    /// [`CallError`] when netmaster refuses it.
    pub async fn session(&self, subscribe: Subscribe) -> Result<(SessionSender, SessionReceiver), CallError> {
        let parts = subscribe.into_parts();
        // Room for the parts before anybody reads, and for one message while another is on its way.
        let (tx, rx) = mpsc::channel(parts.len() + 8);
        for part in parts {
            tx.send(part).await.map_err(|_| closed())?;
        }
        let response = self.inner.clone().session(ReceiverStream::new(rx)).await?;
        let protocol = response.metadata().get(PROTOCOL_HEADER).and_then(|p| p.to_str().ok()?.parse().ok());
        let protocol = protocol
            .ok_or_else(|| unreadable(ConvertError::new(PROTOCOL_HEADER, "is missing, or is no number")))?;
        let stream = response.into_inner();
        Ok((SessionSender { tx }, SessionReceiver { stream, protocol, parts: UpdateParts::default() }))
    }
}

/// Converts a reply.
fn reply<W, T>(result: Result<tonic::Response<W>, tonic::Status>) -> Result<T, CallError>
where
    T: TryFrom<W, Error = ConvertError>,
{
    result?.into_inner().try_into().map_err(unreadable)
}

fn unreadable(e: ConvertError) -> CallError {
    CallError { code: None, status: Code::Internal, text: format!("netmaster's answer: {e}") }
}

fn closed() -> CallError {
    CallError { code: None, status: Code::Unavailable, text: "the session is closed".to_owned() }
}

/// What the agent says in its session. Dropping it ends the session.
#[derive(Clone, Debug)]
pub struct SessionSender {
    tx: mpsc::Sender<wire::AgentMessage>,
}

impl SessionSender {
    /// Sends, waiting while netmaster is slow to read.
    ///
    /// # Errors
    /// [`CallError`] when the session is over; the receiver knows why.
    pub async fn send(&self, message: AgentMessage) -> Result<(), CallError> {
        self.tx.send(message.into()).await.map_err(|_| closed())
    }

    /// The update of this revision is held.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn ack(&self, revision: types::Revision) -> Result<(), CallError> {
        self.send(AgentMessage::Ack(revision)).await
    }

    /// It is held but for these fragments.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn nack(&self, nack: Nack) -> Result<(), CallError> {
        self.send(AgentMessage::Nack(nack)).await
    }

    /// What the switch enforces.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn realized(&self, realized: Realized) -> Result<(), CallError> {
        self.send(AgentMessage::Realized(realized)).await
    }
}

/// What netmaster says in the session.
#[derive(Debug)]
pub struct SessionReceiver {
    stream: tonic::Streaming<wire::MasterMessage>,
    protocol: u32,
    parts: UpdateParts,
}

impl SessionReceiver {
    /// [`crate::PROTOCOL`] of netmaster: what it does not know must not be said to it.
    pub fn protocol(&self) -> u32 {
        self.protocol
    }

    /// The next whole message; `None` when netmaster ended the session in order. Cancel-safe: parts read
    /// so far stay here for the next call.
    ///
    /// # Errors
    /// [`CallError`]: the session is over.
    pub async fn next(&mut self) -> Result<Option<MasterMessage>, CallError> {
        use wire::master_message::Message;
        while let Some(m) = self.stream.message().await? {
            match m.message {
                None => {
                    let e = ConvertError::new("master_message", "is missing or of an unknown kind");
                    return Err(unreadable(e));
                }
                Some(Message::Ping(_)) => return Ok(Some(MasterMessage::Ping)),
                Some(Message::Count(c)) => {
                    return Ok(Some(MasterMessage::Count(c.try_into().map_err(unreadable)?)));
                }
                Some(Message::Dump(d)) => {
                    return Ok(Some(MasterMessage::Dump(d.try_into().map_err(unreadable)?)));
                }
                Some(Message::Update(u)) => {
                    if let Some(whole) = self.parts.push(u).map_err(unreadable)? {
                        return Ok(Some(MasterMessage::Update(whole)));
                    }
                }
            }
        }
        Ok(None)
    }
}
