//! The REST API as something sees it that is not `netctl`, a load balancer say: an answer with its status, and the
//! certificate it was shown. Blocking; a request is a connection.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// Longer than netmaster asks its store.
const PATIENCE: Duration = Duration::from_secs(8);

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status (RFC 9110).
    pub status: u16,
    /// Its content.
    pub body: String,
    /// Who answered.
    pub certificate: Certificate,
}

/// A certificate, as far as renewals are about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    serial: Vec<u8>,
    /// When it ends, in seconds since the epoch.
    pub ends: i64,
}

impl Certificate {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn of_der(der: &[u8]) -> Result<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).context("no certificate")?;
        Ok(Self { serial: parsed.raw_serial().to_vec(), ends: parsed.validity().not_after.timestamp() })
    }

    /// Reads the first of a PEM file.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_pem(pem: &[u8]) -> Result<Self> {
        Self::of_der(&CertificateDer::from_pem_slice(pem).context("no PEM certificate")?)
    }

    /// Whether its life is over.
    ///
    /// # Errors
    /// A clock before the epoch.
    pub fn has_ended(&self) -> Result<bool> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        Ok(i64::try_from(now)? > self.ends)
    }
}

/// GET, from a server whose certificate this authority signed.
///
/// # Errors
/// No connection, a certificate that is not good, or no answer within [`PATIENCE`].
pub fn get(server: SocketAddr, ca_pem: &[u8], path: &str, token: Option<&str>) -> Result<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem).context("the CA")?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config =
        config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), server.ip().into())?;
    let mut tcp = TcpStream::connect_timeout(&server, PATIENCE).context("no connection")?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let mut stream = Stream::new(&mut tls, &mut tcp);
    let authorization = token.map(|t| format!("Authorization: Bearer {t}\r\n")).unwrap_or_default();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).context("TLS")?;
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        // Closed without close_notify: a cut answer would lack its head or be no JSON.
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => {}
        other => drop(other.with_context(|| format!("no answer to GET {path}"))?),
    }
    let shown = tls.peer_certificates().and_then(<[_]>::first).context("no certificate was shown")?;
    answer(&text, Certificate::of_der(shown)?).with_context(|| format!("GET {path}"))
}

fn answer(text: &[u8], certificate: Certificate) -> Result<Answer> {
    let text = String::from_utf8_lossy(text);
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("half an answer: {text:?}"))?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    Ok(Answer {
        status: status.with_context(|| format!("no HTTP: {head:?}"))?,
        body: body.to_owned(),
        certificate,
    })
}
