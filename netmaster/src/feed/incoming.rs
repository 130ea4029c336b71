//! Connections to the node API: bounded in number, because whoever reaches the port can open them with no credential yet;
//! and past their handshake, of which many go on at once, so that a slow or silent peer delays nobody.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, stream};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// A connection and its place.
pub(super) struct Placed {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Connections whose handshake is done, at most so many at once with those on which it goes on; more wait in the
/// kernel's queue.
pub(super) fn bounded(
    listener: TcpListener,
    connections: usize,
    tls: Arc<ServerConfig>,
) -> impl Stream<Item = io::Result<TlsStream<Placed>>> + Send {
    let incoming = Incoming {
        listener,
        places: Arc::new(Semaphore::new(connections)),
        tls: TlsAcceptor::from(tls),
        handshakes: JoinSet::new(),
    };
    stream::unfold(incoming, |mut incoming| async { Some((Ok(incoming.next().await), incoming)) })
}

struct Incoming {
    listener: TcpListener,
    places: Arc<Semaphore>,
    tls: TlsAcceptor,
    handshakes: JoinSet<Option<TlsStream<Placed>>>,
}

impl Incoming {
    /// The next connection. Dropping this ends the handshakes that go on.
    async fn next(&mut self) -> TlsStream<Placed> {
        loop {
            tokio::select! {
                accepted = accept(&self.listener, &self.places) => {
                    self.handshakes.spawn(handshake(self.tls.clone(), accepted));
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
            Ok(stream) => return Placed { stream, _place: place },
            Err(error) => {
                // Out of file descriptors, mostly: the next attempt may do; the pause keeps the log readable.
                tracing::warn!(%error, "cannot accept a connection");
                sleep_until(Instant::now() + Duration::from_millis(100)).await;
            }
        }
    }
}

async fn handshake(tls: TlsAcceptor, stream: Placed) -> Option<TlsStream<Placed>> {
    let peer = stream.stream.peer_addr().ok();
    match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(?peer, %error, "tls handshake failed"),
        Err(_) => tracing::debug!(?peer, "tls handshake took too long"),
    }
    None
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

    use super::super::tests::fixture::tls_to;
    use super::*;
    use crate::clock::Clock;
    use crate::pki::{Ca, ServerCertificate};

    async fn listen(
        places: usize,
    ) -> (SocketAddr, Arc<Ca>, impl Stream<Item = io::Result<TlsStream<Placed>>>) {
        let store = store::memory().unwrap();
        let ca = Arc::new(Ca::load_or_create(&*store, jiff::Timestamp::now()).await.unwrap());
        let tls =
            ServerCertificate::new(ca.clone(), Vec::new(), Clock::system()).unwrap().for_nodes().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (listener.local_addr().unwrap(), ca, bounded(listener, places, tls))
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_its_connection_is_gone() {
        let (address, ca, incoming) = listen(2).await;
        let mut incoming = std::pin::pin!(incoming);
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let ca = ca.clone();
                tokio::spawn(async move { tls_to(address, &ca).await.unwrap() })
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

    #[tokio::test]
    async fn client_that_says_nothing_delays_nobody() {
        let (address, ca, incoming) = listen(2).await;
        let mut incoming = std::pin::pin!(incoming);
        let _silent = TcpStream::connect(address).await.unwrap();
        let (client, served) = tokio::join!(tls_to(address, &ca), incoming.next());
        client.unwrap();
        served.unwrap().unwrap();
    }
}
