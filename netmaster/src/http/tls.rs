//! TLS of the REST API: rustls with aws-lc, our own certificate.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::pki::ServerIdentity;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// What pki gave is no certificate or key.
    #[error("the server's certificate or key cannot be read")]
    Pem,
    /// rustls refuses it.
    #[error("tls: {0}")]
    Rustls(#[from] rustls::Error),
}

/// A server that shows this certificate and asks clients for none: people authenticate by token.
///
/// # Errors
/// [`TlsError`].
pub fn server_config(identity: &ServerIdentity) -> Result<Arc<ServerConfig>, TlsError> {
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem().as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.expose_key_pem().as_bytes());
    let (certificate, key) = certificate.ok().zip(key.ok()).ok_or(TlsError::Pem)?;
    // Named, not the process default: no global state decides about cryptography.
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
