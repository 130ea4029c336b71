//! Intent on disk, and a netmaster process on it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use model::{IntentView, NodeSpec, Spec};
use netmaster::app::{Actor, App, Subject};
use netmaster::auth::first_start;
use netmaster::clock::Clock;
use netmaster::pki::{Ca, ValidCsr};
use node_api::client::Identity;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use store::intent::Extra;
use store::{EtcdConfig, Limits, Store};
use test_support::Etcd;
use types::{NodeName, Revision};

/// How much intent there is.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Nodes.
    pub nodes: usize,
    /// Tenants beside the one that is on every node.
    pub tenants: usize,
    /// Endpoints of each of these, on ten nodes.
    pub endpoints_each: usize,
}

/// What keeps the intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file in the cluster's folder.
    Sqlite,
    /// An etcd of the cluster's own, with its data on a disk.
    Etcd,
}

/// Intent in a folder, with all that agents and people need to use it.
pub struct Cluster {
    pub view: IntentView,
    pub ca: String,
    pub identities: Vec<Identity>,
    token: PathBuf,
    etcd: Option<Etcd>,
}

/// The cluster's folder in etcd.
const PREFIX: &str = "bench";

/// The tenant that is on every node.
pub const WIDE: &str = "wide";

pub fn node_name(n: usize) -> Result<NodeName> {
    Ok(NodeName::new(format!("node-{n:04}"))?)
}

fn actor() -> Actor {
    let (source, request_id) = ("bench".to_owned(), "bench".to_owned());
    Actor { subject: Subject::System("bench"), source, request_id }
}

fn specs(documents: impl IntoIterator<Item = serde_json::Value>) -> Result<Vec<(Spec, Option<Revision>)>> {
    documents.into_iter().map(|d| Ok((serde_json::from_value(d)?, None))).collect()
}

/// A tenant with one network, one group and one policy.
fn tenant(name: &str) -> [serde_json::Value; 4] {
    let rule = json!({"name": "web", "direction": "ingress", "services": ["tcp/80"], "action": "allow"});
    [
        json!({"kind": "tenant", "name": name, "defaultAction": "allow"}),
        json!({"kind": "network", "tenant": name, "name": "net", "ipv4": {"subnet": "10.0.0.0/16"}}),
        json!({"kind": "policy", "tenant": name, "name": "pol", "rules": [rule]}),
        json!({"kind": "group", "tenant": name, "name": "grp", "network": "net", "policies": ["pol"]}),
    ]
}

fn endpoint(tenant: &str, n: usize, node: &NodeName) -> serde_json::Value {
    let address = std::net::Ipv4Addr::from(0x0a00_0001 + n as u32);
    json!({
        "kind": "endpoint", "tenant": tenant, "name": format!("c{n:06}.eth0"), "network": "net", "group": "grp",
        "node": node, "ipv4": address,
    })
}

impl Cluster {
    /// Writes the intent as requests would, many objects at a time.
    pub async fn seed(dir: &Path, shape: Shape, backend: Backend) -> Result<Self> {
        let etcd = match backend {
            Backend::Sqlite => None,
            Backend::Etcd => Some(Etcd::start_durable()?),
        };
        let store: Arc<dyn Store> = match &etcd {
            None => store::sqlite_with(&dir.join("netmaster.db"), Limits::RAISED).await?,
            Some(etcd) => store::etcd_probed(EtcdConfig::new([etcd.url()], PREFIX.parse()?)).await?,
        };
        let token = dir.join("admin.token");
        first_start(store.as_ref(), &token, &Clock::system()).await?;
        let ca = Ca::load_or_create(store.as_ref(), Timestamp::now()).await?;
        let (informer, follow) = store::intent::start(store.clone()).await?;
        let follow = tokio::spawn(follow);
        let app = App::new(store.clone(), informer, Clock::system());
        let mut identities = Vec::new();
        for n in 0..shape.nodes {
            identities.push(join(&app, &ca, n).await?);
        }
        let names: Vec<NodeName> = (0..shape.nodes).map(node_name).collect::<Result<_>>()?;
        let on = |n: usize| &names[n % names.len()];
        for t in 0..=shape.tenants {
            let (name, count) =
                if t == 0 { (WIDE.to_owned(), shape.nodes) } else { (format!("t{t}"), shape.endpoints_each) };
            app.apply(&actor(), specs(tenant(&name))?).await?;
            let place = |n: usize| if t == 0 { on(n) } else { on(t * 10 + n % 10) };
            let endpoints: Vec<usize> = (0..count).collect();
            for some in endpoints.chunks(400) {
                app.apply(&actor(), specs(some.iter().map(|n| endpoint(&name, *n, place(*n))))?).await?;
            }
        }
        let view = (**app.snapshot().view()).clone();
        follow.abort();
        drop(follow.await);
        app.settled().await;
        Ok(Self { view, ca: ca.certificate_pem().to_owned(), identities, token, etcd })
    }

    /// Starts netmaster; also how long it took to serve.
    pub async fn start(&self, dir: &Path) -> Result<(Netmaster, Duration)> {
        let file = dir.join("addresses.json");
        if file.exists() {
            std::fs::remove_file(&file)?;
        }
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_netmaster"))
            .args(["--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0"])
            .args(["--metrics-listen", "off", "--data-dir"])
            .arg(dir)
            .args(self.etcd.iter().flat_map(|etcd| {
                ["--store", "etcd", "--etcd-prefix", PREFIX, "--etcd-endpoints", etcd.url()]
            }))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start netmaster")?;
        let mut netmaster = Netmaster { child, api: String::new(), node: String::new() };
        let addresses = test_support::wait_for("netmaster to serve", Duration::from_secs(120), async || {
            let text = std::fs::read_to_string(&file).map_err(|e| e.to_string())?;
            serde_json::from_str::<serde_json::Value>(&text).map_err(|e| e.to_string())
        });
        let addresses = addresses.await.map_err(|e| anyhow::anyhow!("{e}"))?;
        let text = |field: &str| addresses[field].as_str().map(str::to_owned).context("no address");
        (netmaster.api, netmaster.node) = (text("api")?, text("node")?);
        Ok((netmaster, started.elapsed()))
    }

    /// Changes the rule of the tenant that is everywhere; the revision from which on it is so.
    pub async fn change_policy(&self, netmaster: &Netmaster, port: u16) -> Result<Revision> {
        let token = std::fs::read_to_string(&self.token)?;
        let setting = client::Setting {
            servers: vec![netmaster.api.clone()],
            ca_pem: self.ca.clone().into_bytes(),
            token: Some(client::Token::new(&token)?),
        };
        let [_, _, mut policy, _] = tenant(WIDE);
        // As it is written, not as it is stored.
        policy["rules"] = json!([{
            "name": "web", "direction": "ingress", "protocol": "tcp", "port": port, "action": "allow",
        }]);
        let documents = vec![api::v1::Document::Policy(serde_json::from_value(policy)?)];
        let body = api::v1::ApplyBody { documents };
        let applied = client::Client::new(&setting)?.apply(&body).await?;
        Ok(applied.revision.parse()?)
    }
}

async fn join(app: &App, ca: &Ca, n: usize) -> Result<Identity> {
    let (key, name) = (KeyPair::generate()?, node_name(n)?);
    let csr = ValidCsr::parse(&CertificateParams::default().serialize_request(&key)?.pem()?)?;
    let certificate = ca.sign_node(&csr, &name, Timestamp::now())?;
    let vtep = IpAddr::from((0xac10_0000 + n as u32 + 1).to_be_bytes());
    let key_sha256 = csr.key_hash().as_str().to_owned();
    app.put_node(&actor(), NodeSpec { name, vtep }, key_sha256, Extra::default()).await?;
    Ok(Identity::new(certificate.pem, key.serialize_pem()))
}

/// A netmaster process. Dropping it ends it.
pub struct Netmaster {
    child: Child,
    api: String,
    /// Where nodes connect.
    pub node: String,
}

impl Netmaster {
    /// Resident memory in MiB (`VmRSS`, proc(5)).
    pub fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib >> 10)
    }
}

impl Drop for Netmaster {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
