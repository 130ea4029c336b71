//! The listener bounds what a client can hold before it shows a credential.

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as Client;

use super::*;
use crate::clock::Clock;
use crate::pki::{Ca, ServerCertificate};

/// What is to be cut off is cut off after so long; whoever is to be served has that time, on a busy machine, too.
const SOON: Duration = Duration::from_millis(1500);
const LATE: Duration = Duration::from_secs(20);

struct Served {
    address: SocketAddr,
    roots: RootCertStore,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

async fn served(bounds: Bounds) -> Served {
    let store = store::memory().unwrap();
    let now = jiff::Timestamp::now();
    let ca = Ca::load_or_create(store.as_ref(), now).await.unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.certificate_pem().as_bytes()).unwrap()).unwrap();
    let certificate = ServerCertificate::new(Arc::new(ca), vec!["localhost".to_owned()], Clock::system());
    let tls = certificate.unwrap().for_people().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", axum::routing::get(|| async { "hello" }));
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve(listener, tls, router, bounds, async { drop(stopped.await) }));
    Served { address, roots, stop, task }
}

impl Served {
    async fn connect(&self) -> Client<TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_root_certificates(self.roots.clone()).with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap()
    }
}

/// Reads until the server ends the connection.
async fn rest(client: &mut Client<TcpStream>) -> String {
    let mut bytes = Vec::new();
    // An end without TLS's farewell is an end too.
    let _ = timeout(LATE, client.read_to_end(&mut bytes)).await.expect("the connection ends");
    String::from_utf8_lossy(&bytes).into_owned()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: m\r\n\r\n";

#[tokio::test]
async fn client_that_sends_no_or_half_a_request_is_left() {
    let served = served(Bounds { head: SOON, ..Bounds::default() }).await;
    let answer = async |request: &[u8]| {
        let mut client = served.connect().await;
        client.write_all(request).await.unwrap();
        rest(&mut client).await
    };
    // Also one that goes silent after a request that was answered.
    let halves = (answer(b""), answer(b"GET / HT"), answer(b"GET / HTTP/1.1\r\nhost:"));
    let (none, first, head, whole) = tokio::join!(halves.0, halves.1, halves.2, answer(GET));
    for half in [none, first, head] {
        assert!(!half.contains("200 OK"), "{half}");
    }
    assert!(whole.ends_with("hello"), "{whole}");
}

#[tokio::test]
async fn connection_ends_with_its_age() {
    let served = served(Bounds { age: SOON, ..Bounds::default() }).await;
    rest(&mut served.connect().await).await;
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let served = served(Bounds { connections: 2, head: SOON, ..Bounds::default() }).await;
    let _holding = (served.connect().await, served.connect().await);
    // The third is served once one of the silent two is left.
    let mut third = timeout(LATE, served.connect()).await.expect("gets a place");
    third.write_all(GET).await.unwrap();
    assert!(rest(&mut third).await.ends_with("hello"));
}

#[tokio::test]
async fn end_waits_for_no_silent_client() {
    let served = served(Bounds::default()).await;
    let idle = served.connect().await;
    let unshaken = TcpStream::connect(served.address).await.unwrap();
    served.stop.send(()).unwrap();
    timeout(LATE, served.task).await.expect("ends").unwrap().unwrap();
    drop((idle, unshaken));
}
