//! Clients of the REST API as a program would be one: a connection kept open, one request after the other.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use model::{Supply, Taken, plan_node};
use netmaster::StoreConfig;
use netmaster::clock::Clock;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use store::intent::{Author, Extra, commit, start};
use test_support::wait_for;
use tokio::net::TcpStream;
use types::EndpointUid;

use crate::Rate;

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    Tenants,
    Networks,
    Groups,
    Endpoints,
}

impl Noun {
    pub const ALL: [Self; 4] = [Self::Tenants, Self::Networks, Self::Groups, Self::Endpoints];

    pub fn name(self) -> &'static str {
        match self {
            Self::Tenants => "tenants",
            Self::Networks => "networks",
            Self::Groups => "groups",
            Self::Endpoints => "endpoints",
        }
    }

    /// Contiv 1.2's netmaster with one etcd, one client.
    pub fn contiv_per_second(self) -> f64 {
        match self {
            Self::Tenants => 921.0,
            Self::Networks => 117.0,
            Self::Groups => 70.0,
            Self::Endpoints => 92.0,
        }
    }

    fn path(self) -> String {
        match self {
            Self::Tenants => "/api/v1/tenants".to_owned(),
            _ => format!("/api/v1/tenants/for-{0}/{0}", self.name()),
        }
    }

    fn body(self, n: usize) -> Value {
        match self {
            Self::Tenants => json!({"name": format!("t{n}")}),
            Self::Networks => {
                let subnet = format!("10.{}.{}.0/24", n / 256, n % 256);
                json!({"name": format!("n{n}"), "ipv4": {"subnet": subnet}})
            }
            Self::Groups => json!({"name": format!("g{n}"), "network": "web"}),
            Self::Endpoints => json!({"name": format!("e{n}"), "network": "web", "node": "n1"}),
        }
    }

    /// Makes what the objects lie in.
    pub async fn prepare(self, client: &mut Client) -> Result<()> {
        if self == Self::Tenants {
            return Ok(());
        }
        let tenant = format!("for-{}", self.name());
        client.create("/api/v1/tenants", &json!({"name": tenant})).await?;
        if self != Self::Networks {
            let network = json!({"name": "web", "ipv4": {"subnet": "10.0.0.0/8"}});
            client.create(&format!("/api/v1/tenants/{tenant}/networks"), &network).await?;
        }
        Ok(())
    }

    /// Whether a listed object is one of those that were made.
    fn is_ours(self, name: &str) -> bool {
        let digits = name.strip_prefix(&self.name()[..1]);
        digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
    }
}

/// Registers the node that endpoints are on, as its joining would.
pub async fn register_node(config: &StoreConfig, data_dir: &Path) -> Result<()> {
    let store = match config {
        StoreConfig::Etcd(etcd) => {
            store::etcd(store::EtcdConfig::new(etcd.endpoints.clone(), etcd.prefix.clone())).await?
        }
        _ => store::sqlite(&data_dir.join("netmaster.db")).await?,
    };
    let (informer, _follow) = start(store.clone()).await?;
    let snapshot = informer.snapshot();
    let spec = serde_json::from_value(json!({"name": "n1", "vtep": "198.18.0.1"}))?;
    let mut uid = || EndpointUid::MAX;
    let supply = Supply { taken: &Taken::default(), uid: &mut uid };
    let plan = plan_node(snapshot.view(), supply, spec, "00".repeat(32))?;
    let at = Clock::system().stamp();
    let author = Author { who: "bench".into(), from: "bench".into(), request_id: "bench".into(), at };
    commit(store.as_ref(), &snapshot, &plan, author, Extra::default()).await?;
    Ok(())
}

/// Where netmaster serves, and what it wants to see.
pub struct Server {
    address: String,
    token: String,
    tls: Arc<ClientConfig>,
}

impl Server {
    /// Waits until it serves.
    pub async fn reached(data_dir: &Path) -> Result<Self> {
        let file = data_dir.join("addresses.json");
        let address = wait_for("netmaster to serve", Duration::from_secs(20), || async {
            let text = std::fs::read_to_string(&file).map_err(|e| e.to_string())?;
            let json: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
            let api = json["api"].as_str().ok_or("no api")?;
            Ok::<_, String>(api.trim_start_matches("https://").to_owned())
        })
        .await?;
        let token = std::fs::read_to_string(data_dir.join("admin.token"))?.trim().to_owned();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(data_dir.join("ca.crt"))?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
        Ok(Self { address, token, tls })
    }
}

/// One connection.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    token: String,
}

impl Client {
    pub async fn connect(server: &Server) -> Result<Self> {
        let stream = TcpStream::connect(&server.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        let stream = tokio_rustls::TlsConnector::from(server.tls.clone()).connect(name, stream).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender.
        tokio::spawn(async { drop(connection.await) });
        Ok(Self { sender, token: server.token.clone() })
    }

    async fn call(&mut self, method: Method, path: &str, body: &Value) -> Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.token));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    async fn create(&mut self, path: &str, body: &Value) -> Result<()> {
        let (status, answer) = self.call(Method::POST, path, body).await?;
        ensure!(status == StatusCode::CREATED, "POST {path}: {status} {}", String::from_utf8_lossy(&answer));
        Ok(())
    }

    /// How many of the noun there are, as the API lists them.
    pub async fn count(&mut self, noun: Noun) -> Result<usize> {
        let (mut path, mut count) = (noun.path(), 0);
        loop {
            let (status, answer) = self.call(Method::GET, &path, &Value::Null).await?;
            ensure!(status == StatusCode::OK, "GET {path}: {status}");
            let list: Value = serde_json::from_slice(&answer)?;
            let items = list["items"].as_array().context("no items")?;
            count += items.iter().filter_map(|i| i["name"].as_str()).filter(|n| noun.is_ours(n)).count();
            match list["continue"].as_str().filter(|c| !c.is_empty()) {
                Some(next) => path = format!("{}?continue={next}", noun.path()),
                None => return Ok(count),
            }
        }
    }
}

/// Makes `count` objects, each client one after the other.
pub async fn create_many(clients: &mut [Client], noun: Noun, count: usize) -> Result<Rate> {
    let next = AtomicUsize::new(0);
    let path = noun.path();
    let begun = Instant::now();
    let work = clients.iter_mut().map(|client| {
        let (next, path) = (&next, &path);
        async move {
            let mut latencies = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Ok::<_, anyhow::Error>(latencies);
                }
                let body = noun.body(n);
                let asked = Instant::now();
                client.create(path, &body).await?;
                latencies.push(asked.elapsed());
            }
        }
    });
    let latencies = futures_util::future::try_join_all(work).await?;
    Ok(Rate::of(latencies.concat(), begun.elapsed()))
}
