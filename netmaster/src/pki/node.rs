//! Node certificates: what a node asks for, what it gets, and who it is when it shows one.

use std::fmt;

use jiff::Timestamp;
use rcgen::{
    CertificateSigningRequestParams, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKey,
    PublicKeyData,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use types::NodeName;

/// SHA-256 of a public key (its SubjectPublicKeyInfo in DER), as `Node.key_sha256` keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHash(String);

impl KeyHash {
    fn of_spki(der: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(der)))
    }

    /// Lower-case hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a stored hash is this one.
    pub fn is(&self, stored: &str) -> bool {
        self.0.as_bytes().ct_eq(stored.as_bytes()).into()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a certificate request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Not a PKCS#10 request, or with extensions nobody here understands.
    #[error("certificate request: {0}")]
    Malformed(String),
    /// Who sent it does not have the key.
    #[error("certificate request: its signature is not by its key")]
    Signature,
    /// A kind of key we do not sign.
    #[error("certificate request: the key must be ECDSA P-256, ECDSA P-384 or Ed25519")]
    Algorithm,
}

/// A request whose sender has shown to own the key.
#[derive(Debug)]
pub struct ValidCsr {
    public_key: PublicKey,
    key_hash: KeyHash,
}

impl ValidCsr {
    /// Checks form, signature and kind of key.
    ///
    /// # Errors
    /// [`CsrError`].
    pub fn parse(pem: &str) -> Result<Self, CsrError> {
        let csr = CertificateSigningRequestParams::from_pem(pem).map_err(|e| match e {
            rcgen::Error::InvalidCertificationRequestSignature => CsrError::Signature,
            e => CsrError::Malformed(e.to_string()),
        })?;
        let public_key = csr.public_key;
        let accepted = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519];
        if !accepted.contains(&public_key.algorithm()) {
            return Err(CsrError::Algorithm);
        }
        let key_hash = KeyHash::of_spki(&public_key.subject_public_key_info());
        Ok(Self { public_key, key_hash })
    }

    /// The key.
    pub(super) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// What the node is registered by.
    pub fn key_hash(&self) -> &KeyHash {
        &self.key_hash
    }
}

/// A signed node certificate. Public.
#[derive(Clone, Debug)]
pub struct NodeCertificate {
    /// The certificate.
    pub pem: String,
    /// Its key's hash.
    pub key_hash: KeyHash,
}

/// Why a certificate that TLS has verified names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not a certificate.
    #[error("the client certificate is malformed")]
    Malformed,
    /// Not exactly one common name that is a node name.
    #[error("the client certificate names no node")]
    NoNode,
}

/// Who a peer is, by the certificate that TLS has verified to be our CA's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The only node it may act as.
    pub node: NodeName,
    /// Its key, to be compared with the registered one.
    pub key_hash: KeyHash,
    /// Until when the certificate is good: TLS has looked once, and connections may outlive it.
    pub expires: Timestamp,
}

impl PeerIdentity {
    /// Reads a certificate. **It must have been verified**: nothing here looks at who signed it.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn of_verified(der: &[u8]) -> Result<Self, PeerError> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|_| PeerError::Malformed)?;
        let mut names = certificate.subject().iter_common_name();
        let (Some(name), None) = (names.next(), names.next()) else {
            return Err(PeerError::NoNode);
        };
        let name = name.as_str().map_err(|_| PeerError::NoNode)?;
        let node = NodeName::new(name).map_err(|_| PeerError::NoNode)?;
        let expires = certificate.validity().not_after.timestamp();
        let expires = Timestamp::from_second(expires).map_err(|_| PeerError::Malformed)?;
        Ok(Self { node, key_hash: KeyHash::of_spki(certificate.public_key().raw), expires })
    }
}
