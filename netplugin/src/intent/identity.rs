//! Who this node is to netmaster: key, certificate, CA, address. Joining and renewing.
//!
//! The private key is made here and never leaves the node; it is written (0600) before the join token is spent, so that
//! a crash in between costs a token, never a key. The certificate's common name is the only node this agent may act as.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use node_api::client::{Client, ConnectError, Identity as TlsIdentity};
use node_api::{CallError, JoinReply, JoinRequest, JoinToken, RenewRequest};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde::{Deserialize, Serialize};
use types::NodeName;
use x509_parser::pem::parse_x509_pem;

use crate::state_dir::StateDir;

const KEY: &str = "node.key";
const CERTIFICATE: &str = "node.crt";
const CA: &str = "ca.crt";
const SERVER: &str = "netmaster.json";

/// Who the node is, in the state directory.
pub const FILES: [&str; 4] = [KEY, CERTIFICATE, CA, SERVER];

/// A join file: what an operator hands to a node.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JoinFile {
    server: String,
    ca: String,
    node: NodeName,
    token: String,
}

impl JoinFile {
    fn read(path: &Path, node: &NodeName) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("join file {}", path.display()))?;
        let file: Self =
            serde_json::from_str(&text).with_context(|| format!("join file {}", path.display()))?;
        anyhow::ensure!(file.node == *node, "join file {} is for node {}", path.display(), file.node);
        Ok(file)
    }

    async fn spend(self, node: &NodeName, vtep: IpAddr, key_pem: &str) -> anyhow::Result<JoinReply> {
        let client = Client::connect(&self.server, &self.ca, None).await.context("cannot join")?;
        let request = JoinRequest {
            token: JoinToken::new(self.token),
            node: node.clone(),
            vtep,
            csr_pem: certificate_request(key_pem, node)?,
        };
        client.join(request).await.context("cannot join")
    }
}

/// Where netmaster is, kept beside the certificate.
#[derive(Serialize, Deserialize)]
struct Server {
    server: String,
}

/// A node that has joined.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `HOST:PORT` of netmaster's node API.
    pub server: String,
    /// The CA's certificate.
    pub ca_pem: String,
    /// Our certificate and key.
    pub tls: TlsIdentity,
    certificate_pem: String,
}

impl Identity {
    /// The identity in the directory, or the one a join file gives: while there is none, or its certificate has expired
    /// and could not be renewed any more. A file that does not help (its token is spent, say) leaves the expired one.
    ///
    /// # Errors
    /// No certificate and no join file, a join file for another node, or netmaster refused the token; with an expired
    /// certificate only what [passes](is_transient).
    pub async fn load_or_join(
        dir: &StateDir,
        node: &NodeName,
        vtep: IpAddr,
        join: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let held = Self::load(dir)?;
        match (held, join) {
            (Some(held), join) if held.has_expired() => {
                let Some(path) = join else {
                    tracing::error!(
                        "the node's certificate has expired: give --join FILE (netctl node join-token)"
                    );
                    return Ok(held);
                };
                match Self::join(dir, node, vtep, path).await {
                    Err(e) if !is_transient(&e) => {
                        tracing::error!(
                            error = format!("{e:#}"),
                            "the node's certificate has expired, not joined anew"
                        );
                        Ok(held)
                    }
                    joined => joined,
                }
            }
            (Some(held), _) => Ok(held),
            (None, Some(path)) => Self::join(dir, node, vtep, path).await,
            (None, None) => {
                anyhow::bail!("this node has no certificate yet: give --join FILE (netctl node join-token)")
            }
        }
    }

    async fn join(dir: &StateDir, node: &NodeName, vtep: IpAddr, path: &Path) -> anyhow::Result<Self> {
        let file = JoinFile::read(path, node)?;
        let (server, key_pem) = (file.server.clone(), key(dir)?);
        let reply = file.spend(node, vtep, &key_pem).await?;
        Self::keep(dir, node, &server, &reply)
    }

    /// Joins with another key, because netmaster refuses the one there is for ever: its node was removed, or another
    /// machine has its name. Until the join file's token is spent, the old identity stays.
    ///
    /// # Errors
    /// A file that cannot be read, or netmaster refused its token.
    pub async fn rejoin(dir: &StateDir, node: &NodeName, vtep: IpAddr, path: &Path) -> anyhow::Result<Self> {
        let file = JoinFile::read(path, node)?;
        let (server, key_pem) = (file.server.clone(), KeyPair::generate()?.serialize_pem());
        let reply = file.spend(node, vtep, &key_pem).await?;
        // Key and certificate never lie there as a pair that does not fit; a crash in between costs a token.
        dir.remove(CERTIFICATE)?;
        dir.write(KEY, key_pem.as_bytes())?;
        Self::keep(dir, node, &server, &reply)
    }

    fn keep(dir: &StateDir, node: &NodeName, server: &str, reply: &JoinReply) -> anyhow::Result<Self> {
        dir.write(CA, reply.ca_pem.as_bytes())?;
        dir.write(SERVER, &serde_json::to_vec(&Server { server: server.to_owned() })?)?;
        // Last: with a certificate the node has joined.
        dir.write(CERTIFICATE, reply.certificate_pem.as_bytes())?;
        tracing::info!(%node, "node joined");
        Self::load(dir)?.context("the certificate just written is gone")
    }

    fn load(dir: &StateDir) -> anyhow::Result<Option<Self>> {
        let Some(certificate_pem) = text(dir, CERTIFICATE)? else { return Ok(None) };
        let missing = |name: &str| format!("{} is missing", dir.path(name).display());
        let key_pem = text(dir, KEY)?.with_context(|| missing(KEY))?;
        let ca_pem = text(dir, CA)?.with_context(|| missing(CA))?;
        let server: Server = serde_json::from_str(&text(dir, SERVER)?.with_context(|| missing(SERVER))?)?;
        let tls = TlsIdentity::new(certificate_pem.clone(), key_pem);
        Ok(Some(Self { server: server.server, ca_pem, tls, certificate_pem }))
    }

    /// How long until the certificate should be renewed: at two thirds of its life.
    ///
    /// # Errors
    /// When the certificate cannot be read.
    pub fn renew_in(&self) -> anyhow::Result<Duration> {
        let (from, to) = self.validity()?;
        let due = from + (to - from) / 3 * 2;
        Ok(Duration::from_secs(u64::try_from(due).unwrap_or(0).saturating_sub(now()?)))
    }

    /// A certificate that cannot be read has not expired: whoever uses it is told what is wrong with it.
    fn has_expired(&self) -> bool {
        let (Ok((_, to)), Ok(now)) = (self.validity(), now()) else { return false };
        u64::try_from(to).is_ok_and(|to| to <= now)
    }

    /// Seconds since the epoch.
    fn validity(&self) -> anyhow::Result<(i64, i64)> {
        let (_, pem) = parse_x509_pem(self.certificate_pem.as_bytes()).context("certificate is no PEM")?;
        let certificate = pem.parse_x509().context("certificate is no X.509")?;
        let validity = certificate.validity();
        Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
    }

    /// Trades the certificate for a new one, same key.
    ///
    /// # Errors
    /// netmaster refused, or the new certificate could not be written; the old one stays.
    pub async fn renew(&self, dir: &StateDir, node: &NodeName, client: &Client) -> anyhow::Result<Self> {
        let csr_pem = certificate_request(&key(dir)?, node)?;
        let reply = client.renew(RenewRequest { csr_pem }).await?;
        dir.write(CA, reply.ca_pem.as_bytes())?;
        dir.write(CERTIFICATE, reply.certificate_pem.as_bytes())?;
        Self::load(dir)?.context("the certificate just written is gone")
    }
}

/// A refused token stays refused; a netmaster that is not there may come.
pub fn is_transient(e: &anyhow::Error) -> bool {
    let unreachable = matches!(e.downcast_ref::<ConnectError>(), Some(ConnectError::Unreachable { .. }));
    unreachable || e.downcast_ref::<CallError>().is_some_and(CallError::is_transient)
}

fn now() -> anyhow::Result<u64> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs())
}

fn text(dir: &StateDir, name: &str) -> anyhow::Result<Option<String>> {
    let bytes = dir.read(name)?;
    bytes
        .map(|b| String::from_utf8(b).with_context(|| format!("{} is no text", dir.path(name).display())))
        .transpose()
}

/// The node's key: the one in the directory, or a new one.
fn key(dir: &StateDir) -> anyhow::Result<String> {
    if let Some(pem) = text(dir, KEY)? {
        return Ok(pem);
    }
    let pem = KeyPair::generate()?.serialize_pem();
    dir.write(KEY, pem.as_bytes())?;
    Ok(pem)
}

fn certificate_request(key_pem: &str, node: &NodeName) -> anyhow::Result<String> {
    let key = KeyPair::from_pem(key_pem).context("the node's key cannot be read")?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, node.as_str());
    Ok(params.serialize_request(&key)?.pem()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_the_request_names_the_node() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temporary.path()).unwrap();
        let first = key(&dir).unwrap();
        assert_eq!(key(&dir).unwrap(), first);
        let request = certificate_request(&first, &"node-a".parse().unwrap()).unwrap();
        assert!(request.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
        assert!(!format!("{:?}", TlsIdentity::new("", first.clone())).contains("PRIVATE"));
    }

    /// An identity whose certificate began and ends this many days from now.
    fn identity(dir: &StateDir, begins: i64, ends: i64) -> Identity {
        let key = KeyPair::from_pem(&key(dir).unwrap()).unwrap();
        let day = |days: i64| {
            let then =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs((then + days * 86400) as u64)
        };
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        (params.not_before, params.not_after) = (day(begins), day(ends));
        dir.write(CERTIFICATE, params.self_signed(&key).unwrap().pem().as_bytes()).unwrap();
        dir.write(CA, b"").unwrap();
        dir.write(SERVER, br#"{"server":"127.0.0.1:1"}"#).unwrap();
        Identity::load(dir).unwrap().unwrap()
    }

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temporary.path()).unwrap();
        let days = |i: Identity| (i.renew_in().unwrap().as_secs_f64() / 86400.0).round();
        assert_eq!(days(identity(&dir, 0, 90)), 60.0);
        assert_eq!(days(identity(&dir, -50, 40)), 10.0);
        assert_eq!(days(identity(&dir, -80, 10)), 0.0);
    }

    #[tokio::test]
    async fn joining_anew_in_vain_leaves_the_identity_there_is() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temporary.path()).unwrap();
        let (node, vtep): (NodeName, _) = ("node-a".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let held = identity(&dir, -1, 89);
        let file = temporary.path().join("join.json");
        for named in ["node-a", "node-b"] {
            let ca = &held.certificate_pem;
            let text = serde_json::json!({"server": "127.0.0.1:1", "ca": ca, "node": named, "token": "t"});
            std::fs::write(&file, text.to_string()).unwrap();
            let error = Identity::rejoin(&dir, &node, vtep, &file).await.unwrap_err();
            assert_eq!(is_transient(&error), named == "node-a", "{error:#}");
            let still = Identity::load(&dir).unwrap().unwrap();
            assert_eq!(still.certificate_pem, held.certificate_pem);
        }
    }

    /// Nobody listens at the join file's address: who tries to join says so.
    #[tokio::test]
    async fn only_an_expired_certificate_has_the_join_file_used_again() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temporary.path()).unwrap();
        let (node, vtep) = ("node-a".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let file = temporary.path().join("join.json");
        let write = |node: &str, ca: &str| {
            let text = serde_json::json!({"server": "127.0.0.1:1", "ca": ca, "node": node, "token": "t"});
            std::fs::write(&file, text.to_string()).unwrap();
        };
        let good = identity(&dir, -1, 89);
        write("node-a", &good.certificate_pem);
        let held = Identity::load_or_join(&dir, &node, vtep, Some(&file)).await.unwrap();
        assert_eq!(held.certificate_pem, good.certificate_pem);

        let expired = identity(&dir, -90, -1);
        let error = Identity::load_or_join(&dir, &node, vtep, Some(&file)).await.unwrap_err();
        assert!(is_transient(&error), "tried, and to be tried again: {error:#}");
        let held = Identity::load_or_join(&dir, &node, vtep, None).await.unwrap();
        assert_eq!(held.certificate_pem, expired.certificate_pem, "what is enforced stays in force without");
        write("node-b", &good.certificate_pem);
        let held = Identity::load_or_join(&dir, &node, vtep, Some(&file)).await.unwrap();
        assert_eq!(held.certificate_pem, expired.certificate_pem, "a file that does not help does not hurt");
    }

    #[tokio::test]
    async fn without_certificate_and_join_file_it_says_what_to_do() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temporary.path()).unwrap();
        let (node, vtep) = ("node-a".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let error = Identity::load_or_join(&dir, &node, vtep, None).await.unwrap_err();
        assert!(error.to_string().contains("--join"), "{error}");
        let file = temporary.path().join("join.json");
        std::fs::write(&file, r#"{"server":"127.0.0.1:1","ca":"x","node":"node-b","token":"secret"}"#)
            .unwrap();
        let error = Identity::load_or_join(&dir, &node, vtep, Some(&file)).await.unwrap_err();
        assert!(error.to_string().contains("is for node node-b"), "{error}");
        assert!(!format!("{error:?}").contains("secret"));
    }
}
