//! The certificate this process shows whoever connects, renewed while it serves.
//!
//! Both servers, REST and node API, ask [`ServerCertificate`] for it at each handshake. A connection keeps what it was
//! opened with, so a renewal ends no session; whoever connects later sees the newest.
//!
//! # Invariants
//! * A certificate is renewed when a third of its life is left, by the clock and not by time slept: a machine that was
//!   suspended does it when it wakes.
//! * Each one has a key of its own, which is never written anywhere.
//!
//! # Failure
//! A certificate that cannot be made is logged and tried again; the last one goes on being shown.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::{Instant, sleep_until};

use super::ca::{Ca, CaError, ServerIdentity};
use crate::clock::Clock;

/// The clock is looked at this often at least.
const LOOK: Duration = Duration::from_secs(3600);
/// Before a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No certificate.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// What was made is no certificate or key.
    #[error("the server's certificate or key cannot be read")]
    Pem,
    /// rustls refuses it.
    #[error("tls: {0}")]
    Rustls(#[from] rustls::Error),
    /// The CA's certificate cannot verify clients.
    #[error("tls: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// This process' certificate for these names, the newest.
pub struct ServerCertificate {
    ca: Arc<Ca>,
    names: Vec<String>,
    clock: Clock,
    // Named, not the process default: no global state decides about cryptography.
    provider: Arc<CryptoProvider>,
    shown: RwLock<Shown>,
}

struct Shown {
    key: Arc<CertifiedKey>,
    renew_at: Timestamp,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").field("names", &self.names).finish_non_exhaustive()
    }
}

impl ServerCertificate {
    /// The first one. Somebody has to [`Self::keep`] it.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn new(ca: Arc<Ca>, names: Vec<String>, clock: Clock) -> Result<Arc<Self>, ServerError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let shown = RwLock::new(make(&ca, &names, clock.now(), &provider)?);
        Ok(Arc::new(Self { ca, names, clock, provider, shown }))
    }

    /// Renews it in time, for ever.
    pub async fn keep(&self) -> std::convert::Infallible {
        let mut not_before = Instant::now();
        loop {
            let due = self.clock.deadline(self.shown.read().unwrap_or_else(PoisonError::into_inner).renew_at);
            sleep_until(due.min(Instant::now() + LOOK).max(not_before)).await;
            if due > Instant::now() {
                continue;
            }
            match make(&self.ca, &self.names, self.clock.now(), &self.provider) {
                Ok(_) if is_kept() => {}
                Ok(newer) => {
                    tracing::info!(renew_at = %newer.renew_at, "server certificate renewed");
                    *self.shown.write().unwrap_or_else(PoisonError::into_inner) = newer;
                }
                Err(error) => tracing::error!(%error, "server certificate not renewed, will retry"),
            }
            // However short its life is, and however the clock jumps: never in a tight loop.
            let third = Duration::try_from(self.ca.lives().server / 3).unwrap_or_default();
            not_before = Instant::now() + AGAIN.min(third);
        }
    }

    /// TLS for people: they authenticate by token, so no certificate is asked for.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn for_people(self: &Arc<Self>) -> Result<Arc<ServerConfig>, ServerError> {
        let config = ServerConfig::builder_with_provider(self.provider.clone());
        let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut config = config.with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// TLS for nodes: a certificate that is shown must be of our CA and good, and none need be shown, because who joins
    /// has none. Nobody resumes: a certificate is looked at whenever somebody connects, and a thousand nodes' tickets
    /// would only be kept.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn for_nodes(self: &Arc<Self>) -> Result<Arc<ServerConfig>, ServerError> {
        let mut roots = RootCertStore::empty();
        roots.add(der(self.ca.certificate_pem())?)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), self.provider.clone());
        let verifier = verifier.allow_unauthenticated().build()?;
        let config = ServerConfig::builder_with_provider(self.provider.clone());
        let config = config.with_safe_default_protocol_versions()?.with_client_cert_verifier(verifier);
        let mut config = config.with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.read().unwrap_or_else(PoisonError::into_inner).key.clone())
    }
}

/// Defect: the first one is shown for ever.
fn is_kept() -> bool {
    fail::fail_point!("keep-server-certificate", |_| true);
    false
}

fn der(pem: &str) -> Result<CertificateDer<'static>, ServerError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| ServerError::Pem)
}

fn make(ca: &Ca, names: &[String], now: Timestamp, provider: &CryptoProvider) -> Result<Shown, ServerError> {
    let identity = ca.server_identity(names.iter().map(String::as_str), now)?;
    let key = certified(&identity, provider)?;
    let life = ca.lives().server;
    let renew_at = now.checked_add(life / 3 * 2).unwrap_or(Timestamp::MAX);
    Ok(Shown { key: Arc::new(key), renew_at })
}

fn certified(identity: &ServerIdentity, provider: &CryptoProvider) -> Result<CertifiedKey, ServerError> {
    let key = PrivateKeyDer::from_pem_slice(identity.expose_key_pem().as_bytes());
    let key = key.map_err(|_| ServerError::Pem)?;
    Ok(CertifiedKey::from_der(vec![der(identity.certificate_pem())?], key, provider)?)
}
