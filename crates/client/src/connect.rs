//! Servers, TLS and credentials.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::call::Body;
use crate::{Client, Error};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often all servers are tried, and the pause before the second time; it doubles.
const ROUNDS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// How to reach a cluster.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Addresses of netmasters, `https://HOST:PORT`; any of them will do.
    pub servers: Vec<String>,
    /// The cluster's certificate authority, PEM.
    pub ca_pem: Vec<u8>,
    /// Who asks; public endpoints need nobody.
    pub token: Option<Token>,
}

/// A bearer credential.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Checks that it can be sent: RFC 6750 section 2.1 allows printable characters without blanks.
    ///
    /// # Errors
    /// When it has others; the error does not repeat it.
    pub fn new(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            let reason = "must be one word of printable ASCII characters".to_owned();
            return Err(Error::Setting { what: "token", value: "(hidden)".to_owned(), reason });
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// `HOST:PORT`, for people and the Host header.
    pub authority: String,
    host: String,
    port: u16,
}

impl Server {
    fn parse(text: &str) -> Result<Self, Error> {
        let refuse =
            |reason: &str| Error::Setting { what: "server", value: text.to_owned(), reason: reason.into() };
        let uri: Uri = text.parse().map_err(|_| refuse("must be https://HOST:PORT"))?;
        if uri.scheme_str() != Some("https") {
            return Err(refuse("must begin with https:// (netmaster serves nothing else)"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(refuse("must have no path"));
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(9999);
        let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Ok(Self { authority: shown, host, port })
    }
}

impl Client {
    /// Checks the settings; connects to nobody yet.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn new(setting: &Setting) -> Result<Self, Error> {
        let servers = setting.servers.iter().map(|s| Server::parse(s)).collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            let reason = "name at least one".to_owned();
            return Err(Error::Setting { what: "server", value: String::new(), reason });
        }
        Ok(Self { servers, tls: tls(&setting.ca_pem)?, token: setting.token.clone() })
    }

    /// A connection to the first server that takes one.
    pub(crate) async fn connect(&self) -> Result<(Server, SendRequest<Body>), Error> {
        let mut pause = PAUSE;
        let mut round = 1;
        loop {
            let mut last = None;
            for server in &self.servers {
                match self.connect_to(server).await {
                    Ok(sender) => return Ok((server.clone(), sender)),
                    Err(reason) => last = Some((server.authority.clone(), reason)),
                }
            }
            let (server, failed) = last.unwrap_or_default();
            // A certificate that is not our authority's will not become it.
            if round == ROUNDS || !failed.transient {
                return Err(Error::Unreachable { server, reason: failed.reason });
            }
            wait(pause).await;
            (round, pause) = (round + 1, pause * 2);
        }
    }

    async fn connect_to(&self, server: &Server) -> Result<SendRequest<Body>, Failed> {
        let name = ServerName::try_from(server.host.clone()).map_err(Failed::for_good)?;
        let tcp = timeout(CONNECT_TIMEOUT, TcpStream::connect((server.host.as_str(), server.port)));
        let tcp = tcp.await.map_err(|_| Failed::late())?.map_err(Failed::for_now)?;
        let tls = timeout(CONNECT_TIMEOUT, TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp));
        let tls = tls.await.map_err(|_| Failed::late())?.map_err(|e| {
            // rustls reports a refused certificate as invalid data.
            if e.kind() == std::io::ErrorKind::InvalidData { Failed::for_good(e) } else { Failed::for_now(e) }
        })?;
        let (sender, connection) = handshake(TokioIo::new(tls)).await.map_err(Failed::for_now)?;
        // Ends with the sender; what goes wrong is reported to whoever waits for the answer.
        tokio::spawn(connection);
        Ok(sender)
    }
}

#[derive(Default)]
struct Failed {
    reason: String,
    transient: bool,
}

impl Failed {
    fn for_good(e: impl std::fmt::Display) -> Self {
        Self { reason: e.to_string(), transient: false }
    }

    fn for_now(e: impl std::fmt::Display) -> Self {
        Self { reason: e.to_string(), transient: true }
    }

    fn late() -> Self {
        Self::for_now(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))
    }
}

/// Trusts this authority and no other.
fn tls(ca_pem: &[u8]) -> Result<Arc<rustls::ClientConfig>, Error> {
    let refuse =
        |reason: String| Error::Setting { what: "certificate authority", value: String::new(), reason };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        let certificate = certificate.map_err(|e| refuse(format!("is no PEM: {e}")))?;
        roots.add(certificate).map_err(|e| refuse(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refuse("holds no certificate".to_owned()));
    }
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| refuse(e.to_string()))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

#[expect(clippy::disallowed_methods, reason = "back-off between two attempts to connect")]
async fn wait(pause: Duration) {
    tokio::time::sleep(pause).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_is_https_without_a_path() {
        assert_eq!(Server::parse("https://[fd00::1]:99").unwrap().authority, "[fd00::1]:99");
        assert_eq!(Server::parse("https://netmaster/").unwrap().authority, "netmaster:9999");
        for bad in ["http://a:1", "a:1", "https://a/x", "https://a?x", ""] {
            assert!(Server::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn token_is_never_shown() {
        let token = Token::new("s3cret\n").unwrap();
        assert_eq!(token.header(), "Bearer s3cret");
        assert!(!format!("{token:?}").contains("s3cret"));
        let text = Token::new("two words").unwrap_err().to_string();
        assert!(!text.contains("words"), "{text}");
    }

    #[test]
    fn authority_must_hold_a_certificate() {
        assert!(matches!(tls(b"nothing"), Err(Error::Setting { .. })));
    }
}
