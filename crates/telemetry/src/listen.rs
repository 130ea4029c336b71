//! `GET /metrics`, for Prometheus to scrape.
//!
//! Plain HTTP without credentials, as exporters are: metrics hold totals and node names, nothing of tenants. By default
//! only the machine itself can ask. What whoever reaches the port can make us hold is bounded: connections, the wait for
//! a request, and the time for an answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Scrapers at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 16;
/// For the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// Of a connection: scrapers connect again.
const AGE: Duration = Duration::from_secs(60);
const PATH: &str = "/metrics";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr),
}

/// Neither an address nor `off`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither ADDRESS:PORT nor `off`")]
pub struct NotAnAddress(String);

impl FromStr for Listen {
    type Err = NotAnAddress;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "off" => Ok(Self::Off),
            other => other.parse().map(Self::At).map_err(|_| NotAnAddress(other.to_owned())),
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => write!(f, "{address}"),
        }
    }
}

impl Listen {
    /// The listener, unless it is to be off.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(self) -> std::io::Result<Option<TcpListener>> {
        match self {
            Self::Off => Ok(None),
            Self::At(address) => TcpListener::bind(address).await.map(Some),
        }
    }
}

/// Serves what `gather` gives, for ever.
pub async fn serve<F, Fut>(listener: TcpListener, gather: F)
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = String> + Send,
{
    let gather = Arc::new(gather);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // `None` only if the semaphore were closed, which nobody does.
        let place = places.clone().acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, _)) => {
                let gather = gather.clone();
                tokio::spawn(async move {
                    let _place = place;
                    // A scraper that is too slow asks again.
                    let _ = timeout(AGE, connection(stream, gather)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, mostly: the next attempt may do.
                tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection<F, Fut>(stream: TcpStream, gather: Arc<F>)
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = String> + Send,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let gather = gather.clone();
        async move { Ok::<_, Infallible>(answer(&request, gather.as_ref()).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection failed");
    }
}

async fn answer<B, F, Fut>(request: &Request<B>, gather: &F) -> Response<Full<Bytes>>
where
    F: Fn() -> Fut,
    Fut: Future<Output = String>,
{
    let (status, header, body) = match (request.uri().path(), request.method()) {
        (PATH, &Method::GET) => (StatusCode::OK, (CONTENT_TYPE, OPENMETRICS), gather().await),
        (PATH, _) => (StatusCode::METHOD_NOT_ALLOWED, (ALLOW, "GET"), String::new()),
        _ => (StatusCode::NOT_FOUND, (CONTENT_TYPE, "text/plain"), format!("see {PATH}\n")),
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header.0, http::HeaderValue::from_static(header.1));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(head: &str) -> String {
        let listener = Listen::At(([127, 0, 0, 1], 0).into()).bind().await.unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, || async { "selvage_test_up 1\n# EOF\n".to_owned() }));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        server.abort();
        text
    }

    #[tokio::test]
    async fn metrics_are_served_as_openmetrics() {
        let text = ask("GET /metrics HTTP/1.1").await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        assert!(text.contains(OPENMETRICS) && text.ends_with("# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn nothing_else_is_served() {
        assert!(ask("GET / HTTP/1.1").await.starts_with("HTTP/1.1 404"));
        assert!(ask("GET /metrics/x HTTP/1.1").await.starts_with("HTTP/1.1 404"));
        assert!(ask("POST /metrics HTTP/1.1").await.starts_with("HTTP/1.1 405"));
    }

    #[test]
    fn addresses_and_off_are_understood_and_nothing_else() {
        assert_eq!("off".parse::<Listen>().unwrap(), Listen::Off);
        let at: Listen = "[::1]:9997".parse().unwrap();
        assert_eq!(at.to_string(), "[::1]:9997");
        assert!("localhost".parse::<Listen>().is_err() && "".parse::<Listen>().is_err());
    }
}
