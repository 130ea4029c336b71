//! Connections to the node API: bounded in number, because whoever reaches the port can open them with no credential yet;
//! and past their handshake, of which many go on at once, so that a slow or silent peer delays nobody.
//!
//! Once the handshake has told who it is, a connection counts as one of its caller's, who may have few: strangers, who
//! show no certificate, together and only for as long as joining takes, and each key of a node for itself. So neither
//! somebody without credential nor a machine that was taken over keeps the nodes out.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, stream};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::pki::PeerIdentity;

/// What callers can make us hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections at once, with those whose handshake goes on; more wait in the kernel's queue.
    pub connections: usize,
    /// For a handshake.
    pub handshake: Duration,
    /// Of them, without a certificate.
    pub strangers: usize,
    /// Life of one without a certificate: it may join, and nothing else.
    pub stranger: Duration,
    /// Of one key: an agent needs one, and others are left when it connects anew.
    pub of_one: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            // Several per node, of as many nodes as one replica feeds.
            connections: 8192,
            handshake: Duration::from_secs(10),
            strangers: 256,
            stranger: Duration::from_secs(30),
            of_one: 16,
        }
    }
}

/// Who a connection counts for: the hash of a certificate's key; `None` for strangers.
type Caller = Option<String>;

/// How many connections callers have.
#[derive(Clone, Debug, Default)]
struct Callers(Arc<Mutex<BTreeMap<Caller, usize>>>);

/// One of a caller's connections.
#[derive(Debug)]
struct Counted {
    callers: Callers,
    caller: Caller,
}

impl Callers {
    /// One more, unless the caller has as many as it may.
    fn count(&self, caller: Caller, most: usize) -> Option<Counted> {
        // Nothing panics while it is held, so what a poisoned lock guards is whole.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = all.entry(caller.clone()).or_default();
        if *open >= most {
            return None;
        }
        *open += 1;
        Some(Counted { callers: self.clone(), caller })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut all = self.callers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = all.get_mut(&self.caller) {
            *open -= 1;
            if *open == 0 {
                all.remove(&self.caller);
            }
        }
    }
}

/// A connection and its places.
pub(super) struct Placed {
    stream: TcpStream,
    /// When it is over, whatever goes on: nothing is read any more.
    end: Option<Pin<Box<Sleep>>>,
    /// `None` until the handshake is done.
    counted: Option<Counted>,
    _place: OwnedSemaphorePermit,
}

/// Connections whose handshake is done, within these bounds.
pub(super) fn bounded(
    listener: TcpListener,
    bounds: Bounds,
    tls: Arc<ServerConfig>,
) -> impl Stream<Item = io::Result<TlsStream<Placed>>> + Send {
    let incoming = Incoming {
        listener,
        places: Arc::new(Semaphore::new(bounds.connections)),
        door: Door { tls: TlsAcceptor::from(tls), bounds, callers: Callers::default() },
        handshakes: JoinSet::new(),
    };
    stream::unfold(incoming, |mut incoming| async { Some((Ok(incoming.next().await), incoming)) })
}

struct Incoming {
    listener: TcpListener,
    places: Arc<Semaphore>,
    door: Door,
    handshakes: JoinSet<Option<TlsStream<Placed>>>,
}

impl Incoming {
    /// The next connection. Dropping this ends the handshakes that go on.
    async fn next(&mut self) -> TlsStream<Placed> {
        loop {
            tokio::select! {
                accepted = accept(&self.listener, &self.places) => {
                    self.handshakes.spawn(self.door.clone().let_in(accepted));
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(stream)) = done {
                        return stream;
                    }
                }
            }
        }
    }
}

/// A connection, once there is a place for it. Cancel-safe.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Placed {
    let Ok(place) = places.clone().acquire_owned().await else {
        // Nobody closes the semaphore; were it closed, there would be no place.
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => return Placed { stream, end: None, counted: None, _place: place },
            Err(error) => {
                // Out of file descriptors, mostly: the next attempt may do; the pause keeps the log readable.
                tracing::warn!(%error, "cannot accept a connection");
                sleep_until(Instant::now() + Duration::from_millis(100)).await;
            }
        }
    }
}

/// What a connection has to pass. Cheap to clone.
#[derive(Clone)]
struct Door {
    tls: TlsAcceptor,
    bounds: Bounds,
    callers: Callers,
}

impl Door {
    async fn let_in(self, stream: Placed) -> Option<TlsStream<Placed>> {
        let peer = stream.stream.peer_addr().ok();
        let mut stream = match timeout(self.bounds.handshake, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(?peer, %error, "tls handshake failed");
                return None;
            }
            Err(_) => {
                tracing::debug!(?peer, "tls handshake took too long");
                return None;
            }
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(|all| all.first());
        let node = certificate.and_then(|der| PeerIdentity::of_verified(der).ok());
        let (caller, most) = match &node {
            Some(identity) => (Some(identity.key_hash.as_str().to_owned()), self.bounds.of_one),
            None => (None, self.bounds.strangers),
        };
        let Some(counted) = self.callers.count(caller, most) else {
            let node = node.map(|identity| identity.node.to_string());
            tracing::debug!(?peer, ?node, "has too many connections");
            return None;
        };
        let placed = stream.get_mut().0;
        placed.end = node.is_none().then(|| Box::pin(sleep_until(Instant::now() + self.bounds.stranger)));
        placed.counted = Some(counted);
        Some(stream)
    }
}

impl Connected for Placed {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(end) = &mut self.end
            && end.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures_util::{FutureExt, StreamExt};
    use tokio::io::AsyncReadExt;
    use tokio::task::JoinHandle;

    use super::super::tests::fixture::{Shown, identity, tls_to};
    use super::*;
    use crate::clock::Clock;
    use crate::pki::{Ca, ServerCertificate};

    async fn listen(
        bounds: Bounds,
    ) -> (SocketAddr, Arc<Ca>, impl Stream<Item = io::Result<TlsStream<Placed>>>) {
        let store = store::memory().unwrap();
        let ca = Arc::new(Ca::load_or_create(&*store, jiff::Timestamp::now()).await.unwrap());
        let tls =
            ServerCertificate::new(ca.clone(), Vec::new(), Clock::system()).unwrap().for_nodes().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (listener.local_addr().unwrap(), ca, bounded(listener, bounds, tls))
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_its_connection_is_gone() {
        let (address, ca, incoming) = listen(Bounds { connections: 2, ..Bounds::default() }).await;
        let mut incoming = std::pin::pin!(incoming);
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let ca = ca.clone();
                tokio::spawn(async move { tls_to(address, &ca, None).await.unwrap() })
            })
            .collect();
        let first = incoming.next().await.unwrap().unwrap();
        let _second = incoming.next().await.unwrap().unwrap();
        assert!(incoming.next().now_or_never().is_none(), "two places, three connections");
        drop(first);
        let _third = incoming.next().await.unwrap().unwrap();
        for client in clients {
            client.await.unwrap();
        }
    }

    /// A connection that is cut off or closed as soon as it is there.
    fn turned_away(address: SocketAddr, ca: &Arc<Ca>, who: Option<Shown>) -> JoinHandle<()> {
        let ca = ca.clone();
        tokio::spawn(async move {
            let mut client = tls_to(address, &ca, who.as_ref()).await.unwrap();
            // How it ends is not our matter.
            let _ = client.read(&mut [0]).await;
        })
    }

    #[tokio::test]
    async fn strangers_leave_room_for_nodes_and_do_not_stay() {
        let bounds = Bounds { strangers: 1, stranger: Duration::from_millis(50), ..Bounds::default() };
        let (address, ca, incoming) = listen(bounds).await;
        let mut incoming = std::pin::pin!(incoming);
        let (client, served) = tokio::join!(tls_to(address, &ca, None), incoming.next());
        let (mut served, first) = (served.unwrap().unwrap(), client.unwrap());
        // One more stranger is turned away, a node is not.
        tokio::select! {
            over = turned_away(address, &ca, None) => over.unwrap(),
            _ = incoming.next() => panic!("two strangers, one place"),
        }
        let identity = identity(&ca, "node-a");
        let (node, its) = tokio::join!(tls_to(address, &ca, Some(&identity)), incoming.next());
        let (_node, mut its) = (node.unwrap(), its.unwrap().unwrap());
        let over = served.read(&mut [0]).await.unwrap_err();
        assert_eq!(over.kind(), io::ErrorKind::TimedOut);
        assert!(its.read(&mut [0]).now_or_never().is_none(), "a node stays");
        drop((first, served));
        let (third, served) = tokio::join!(tls_to(address, &ca, None), incoming.next());
        drop((third.unwrap(), served.unwrap().unwrap()));
    }

    #[tokio::test]
    async fn one_key_has_few_connections_and_takes_none_of_another_ones() {
        let (address, ca, incoming) = listen(Bounds { of_one: 2, ..Bounds::default() }).await;
        let mut incoming = std::pin::pin!(incoming);
        let (a, b) = (identity(&ca, "node-a"), identity(&ca, "node-b"));
        let mut kept = Vec::new();
        for identity in [&a, &a, &b] {
            let (client, served) = tokio::join!(tls_to(address, &ca, Some(identity)), incoming.next());
            kept.push((client.unwrap(), served.unwrap().unwrap()));
        }
        tokio::select! {
            over = turned_away(address, &ca, Some((a.0.clone(), a.1.clone_key()))) => over.unwrap(),
            _ = incoming.next() => panic!("three connections of one key"),
        }
        drop(kept.remove(0));
        let (client, served) = tokio::join!(tls_to(address, &ca, Some(&a)), incoming.next());
        drop((client.unwrap(), served.unwrap().unwrap()));
    }

    #[tokio::test]
    async fn client_that_says_nothing_delays_nobody() {
        let (address, ca, incoming) = listen(Bounds { connections: 2, ..Bounds::default() }).await;
        let mut incoming = std::pin::pin!(incoming);
        let _silent = TcpStream::connect(address).await.unwrap();
        let (client, served) = tokio::join!(tls_to(address, &ca, None), incoming.next());
        client.unwrap();
        served.unwrap().unwrap();
    }
}
