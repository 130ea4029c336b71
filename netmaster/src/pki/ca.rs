//! The certificate authority: made once per store, whoever starts first; signs servers and nodes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use serde::{Deserialize, Serialize};
use store::envelope::{Codec, EnvelopeError};
use store::keys::Entry;
use store::{Compare, Outcome, Store, StoreError, Txn};
use types::{Name, NodeName};

use super::date::set_validity;
use super::node::{NodeCertificate, ValidCsr};

/// Ten years: replacing the CA means every node joins again.
const CA_LIFE: SignedDuration = SignedDuration::from_hours(24 * 3650);

/// As long as a node's certificate lives at most: a revocation need not last longer.
pub(super) const NODE_LIFE: SignedDuration = SignedDuration::from_hours(24 * 90);

/// How long certificates live. Whoever they are for renews them long before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// A server's.
    pub server: SignedDuration,
    /// A node's, ninety days at most.
    pub node: SignedDuration,
}

impl Default for Lives {
    fn default() -> Self {
        Self { server: SignedDuration::from_hours(24 * 397), node: NODE_LIFE }
    }
}

const CODEC: Codec = Codec::first("CertificateAuthority");

/// Why there is no CA, or it cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The store's part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored was not understood.
    #[error("the stored certificate authority cannot be read: {0}")]
    Stored(#[from] EnvelopeError),
    /// What is stored is no CA.
    #[error("the stored certificate authority cannot be used: {0}")]
    Unusable(&'static str),
    /// Signing failed. rcgen's errors do not hold key material.
    #[error("cannot make a certificate: {0}")]
    Sign(#[from] rcgen::Error),
    /// A subject alternative name that is none.
    #[error("{0:?} is neither a host name nor an address")]
    ServerName(String),
    /// The clock is outside of what certificates can say.
    #[error("cannot compute a certificate's dates: {0}")]
    Date(#[from] jiff::Error),
}

/// What the store keeps. No `Debug`: it holds the key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCa {
    certificate_pem: String,
    key_pem: String,
}

/// The certificate authority.
pub struct Ca {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
    lives: Lives,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ca(redacted)")
    }
}

impl Ca {
    /// The store's CA; makes it when there is none. Replicas that start at once all end with the same one.
    ///
    /// # Errors
    /// [`CaError`].
    pub async fn load_or_create(store: &dyn Store, now: Timestamp) -> Result<Self, CaError> {
        let key =
            Entry::CaSecret(Name::new("ca").map_err(|_| CaError::Unusable("its key has no name"))?).key();
        if let Some(kv) = store.get(&key).await? {
            return Self::from_stored(CODEC.decode(&kv.value)?);
        }
        let fresh = generate(now)?;
        let txn = Txn::new().when(Compare::Absent(key.clone())).put(key.clone(), CODEC.encode(&fresh)?);
        match store.txn(txn).await {
            Ok(Outcome::Committed { .. }) => return Self::from_stored(fresh),
            // Somebody was faster, or our own write got through: what is stored now decides.
            Ok(_) | Err(StoreError::Indeterminate { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        let kv = store.get(&key).await?.ok_or(CaError::Unusable("it vanished"))?;
        Self::from_stored(CODEC.decode(&kv.value)?)
    }

    fn from_stored(stored: StoredCa) -> Result<Self, CaError> {
        let key =
            KeyPair::from_pem(&stored.key_pem).map_err(|_| CaError::Unusable("its key is malformed"))?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(stored.certificate_pem.as_bytes())
            .map_err(|_| CaError::Unusable("its certificate is not PEM"))?;
        let certificate = pem.parse_x509().map_err(|_| CaError::Unusable("its certificate is malformed"))?;
        if !certificate.is_ca() {
            return Err(CaError::Unusable("its certificate is not that of a CA"));
        }
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(CaError::Unusable("its key is not that of its certificate"));
        }
        let issuer = Issuer::from_ca_cert_pem(&stored.certificate_pem, key)?;
        Ok(Self { certificate_pem: stored.certificate_pem, issuer, lives: Lives::default() })
    }

    /// The same, whose certificates live this long.
    #[must_use]
    pub fn with_lives(self, lives: Lives) -> Self {
        Self { lives, ..self }
    }

    /// How long its certificates live.
    pub fn lives(&self) -> Lives {
        self.lives
    }

    /// The CA's certificate: what peers trust. Public.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A new key and certificate for this process, good for these host names and addresses and always for
    /// [`node_api::SERVER_NAME`].
    ///
    /// # Errors
    /// [`CaError`].
    pub fn server_identity<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        now: Timestamp,
    ) -> Result<ServerIdentity, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = leaf("netmaster", ExtendedKeyUsagePurpose::ServerAuth);
        for name in std::iter::once(node_api::SERVER_NAME).chain(names) {
            let san = server_name(name)?;
            if !params.subject_alt_names.contains(&san) {
                params.subject_alt_names.push(san);
            }
        }
        set_validity(&mut params, now, self.lives.server)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ServerIdentity { certificate_pem: certificate.pem(), key })
    }

    /// A certificate for this node and the key that signed the request. Nothing else of the request is used.
    ///
    /// # Errors
    /// [`CaError`].
    pub fn sign_node(
        &self,
        csr: &ValidCsr,
        node: &NodeName,
        now: Timestamp,
    ) -> Result<NodeCertificate, CaError> {
        let mut params = leaf(node.as_str(), ExtendedKeyUsagePurpose::ClientAuth);
        set_validity(&mut params, now, self.lives.node.min(NODE_LIFE))?;
        let certificate = params.signed_by(csr.public_key(), &self.issuer)?;
        Ok(NodeCertificate { pem: certificate.pem(), key_hash: csr.key_hash().clone() })
    }
}

fn generate(now: Timestamp) -> Result<StoredCa, CaError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    // Told apart when several installations' CAs meet in one trust store.
    params.distinguished_name = common_name(&format!("Selvage CA {:08x}", rand::random::<u32>()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now, CA_LIFE)?;
    let certificate = params.self_signed(&key)?;
    Ok(StoredCa { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

fn leaf(name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

fn server_name(name: &str) -> Result<SanType, CaError> {
    if let Ok(address) = IpAddr::from_str(name) {
        return Ok(SanType::IpAddress(address));
    }
    let refused = || CaError::ServerName(name.to_owned());
    // A host name; wildcards and blanks have no place here.
    NodeName::new(name.to_ascii_lowercase()).map_err(|_| refused())?;
    Ia5String::try_from(name).map(SanType::DnsName).map_err(|_| refused())
}

/// A server's certificate and private key.
pub struct ServerIdentity {
    certificate_pem: String,
    key: KeyPair,
}

impl ServerIdentity {
    /// The certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, PKCS#8 PEM. For the TLS stack only.
    pub fn expose_key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerIdentity(redacted)")
    }
}

#[cfg(test)]
#[path = "ca_tests.rs"]
mod tests;
