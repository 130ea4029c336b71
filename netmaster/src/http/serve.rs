//! Serving the API over TLS.
//!
//! Whoever reaches the port can open connections, so each of them costs a bounded amount for a bounded time, before a
//! credential is seen: the number of connections, the handshake, the wait for a request's head, and the age of a
//! connection have limits ([`Bounds`]). HTTP/1.1 only: HTTP/2 has no limit for the wait before its preface, and nothing here
//! needs it. Handshakes run beside each other, so that a slow or silent client delays nobody.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts};
use http::request::Parts;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::Service;

/// What clients can make us hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, from the end of the one before.
    pub head: Duration,
    /// Of a connection; a client that goes on opens another.
    pub age: Duration,
    /// For what is on its way when a connection is to end.
    pub grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(15),
            age: Duration::from_secs(300),
            grace: Duration::from_secs(30),
        }
    }
}

/// Serves until `shutdown`; requests that have begun are finished.
///
/// # Errors
/// None after the listener was made.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    router: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (place, stream, peer) = accept(&listener, &places) => {
                let server = Server { tls: TlsAcceptor::from(tls.clone()), router: router.clone(), bounds };
                let stopped = stopped.clone();
                connections.spawn(async move {
                    let _place = place;
                    server.connection(stream, peer, stopped).await;
                });
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// A connection, once there is a place for it. Cancel-safe.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
    // `None` only if the semaphore were closed, which nobody does.
    let place = places.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (place, stream, peer),
            Err(error) => {
                // Out of file descriptors, mostly: the next attempt may do; the pause keeps the log readable.
                tracing::warn!(%error, "cannot accept a connection");
                sleep_until(Instant::now() + Duration::from_millis(100)).await;
            }
        }
    }
}

/// What a connection needs.
struct Server {
    tls: TlsAcceptor,
    router: Router,
    bounds: Bounds,
}

impl Server {
    async fn connection(self, stream: TcpStream, peer: SocketAddr, mut stopped: watch::Receiver<bool>) {
        let handshake = tokio::select! {
            handshake = timeout(self.bounds.handshake, self.tls.accept(stream)) => handshake,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        match handshake {
            Ok(Ok(stream)) => self.requests(stream, peer, stopped).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "tls handshake failed"),
            Err(_) => tracing::debug!(%peer, "tls handshake took too long"),
        }
    }

    async fn requests(
        self,
        stream: TlsStream<TcpStream>,
        peer: SocketAddr,
        mut stopped: watch::Receiver<bool>,
    ) {
        let router = self.router;
        let (close, closing) = watch::channel(false);
        let closing = Closing(Some(closing));
        let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(Peer(peer)));
            request.extensions_mut().insert(closing.clone());
            router.clone().call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.bounds.head)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection failed");
                }
                return;
            }
            _ = stopped.wait_for(|stop| *stop) => {}
            () = sleep_until(Instant::now() + self.bounds.age) => {}
        }
        close.send_replace(true);
        connection.as_mut().graceful_shutdown();
        if timeout(self.bounds.grace, connection).await.is_err() {
            tracing::debug!(%peer, "connection cut off");
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Tells answers without end that their connection is to end. Requests that come by no connection never are told.
#[derive(Clone, Debug, Default)]
pub struct Closing(Option<watch::Receiver<bool>>);

impl Closing {
    /// Whether it is time.
    pub fn is_now(&self) -> bool {
        self.0.as_ref().is_some_and(|closing| *closing.borrow())
    }

    /// Waits until it is. Cancel-safe.
    pub async fn wait(&mut self) {
        match &mut self.0 {
            // Its sender goes with the connection.
            Some(closing) => drop(closing.wait_for(|closing| *closing).await),
            None => std::future::pending().await,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Closing {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
