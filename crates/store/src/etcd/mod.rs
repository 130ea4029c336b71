//! The store in an etcd cluster, for several netmasters.
//!
//! All keys of one Selvage cluster lie below `/<name>/`, so clusters and tests can share an etcd. A name is one path
//! segment: no cluster's prefix contains another's. Revisions are etcd's own; compaction therefore concerns everyone
//! who uses that etcd.
//!
//! # Invariants
//! - Pings every 10 s, answer within 5 s: etcd cuts off clients that ping more often than every 5 s
//!   (`--grpc-keepalive-min-time`), and without pings a frozen server is never noticed.
//! - Reads are linearizable. Lists come in pages of 500 at one revision, watches in fragments: a message has a cap.
//! - Watches never resume by themselves in the client library; `watch.rs` does it.
//!
//! # Failure
//! Every error is sorted in `error.rs`. A lost answer to a transaction is [`StoreError::Indeterminate`].

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Certificate, Client, ConnectOptions, GetOptions, Identity, KvClient, TlsOptions, TxnOp};
use types::{Name, Revision, StoreId};

use crate::error::StoreError;
use crate::keys::{Entry, Key, Prefix};
use crate::kv::{KeyValue, Page, PageRequest, Value};
use crate::lease::LeaseId;
use crate::txn::{Limits, Outcome, Prepared, Txn};
use crate::watch::WatchStream;
use crate::{FirstKeys, Health, Store, check_identity, identity};
use error::{read_failed, write_failed};

mod error;
mod txn;
mod watch;

/// How to reach an etcd.
#[derive(Clone, Debug)]
pub struct EtcdConfig {
    /// URLs of the members, `https://` when `tls` is given.
    pub endpoints: Vec<String>,
    /// The Selvage cluster's name: its keys lie below `/<name>/`.
    pub prefix: Name,
    /// Who to log in as.
    pub user: Option<EtcdUser>,
    /// How to encrypt.
    pub tls: Option<EtcdTls>,
    /// The most one transaction may do; verified at connection when more than stock etcd allows.
    pub limits: Limits,
}

impl EtcdConfig {
    /// Without login or encryption, with the stock limits.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>, prefix: Name) -> Self {
        let endpoints = endpoints.into_iter().map(Into::into).collect();
        Self { endpoints, prefix, user: None, tls: None, limits: Limits::default() }
    }
}

/// An etcd user. Debug output hides the password.
#[derive(Clone)]
pub struct EtcdUser {
    /// Name.
    pub name: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for EtcdUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdUser").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Encryption towards etcd. Debug output hides keys.
#[derive(Clone)]
pub struct EtcdTls {
    /// Certificates (PEM) of the authorities that may sign the servers'.
    pub ca_pem: Vec<u8>,
    /// Our certificate chain and key (PEM), where etcd wants them.
    pub client_pem: Option<(Vec<u8>, Vec<u8>)>,
    /// The name the servers' certificates must have, when it is not the endpoint's.
    pub server_name: Option<String>,
}

impl fmt::Debug for EtcdTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

const BACKEND: &str = "etcd";
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The client library's default of 4 MiB is less than a page of 500 large objects.
const MESSAGE_CAP: usize = 256 << 20;

#[derive(Clone)]
pub(crate) struct EtcdStore {
    client: Client,
    root: String,
    limits: Limits,
    id: StoreId,
}

impl EtcdStore {
    pub(crate) async fn connect(config: EtcdConfig) -> Result<Self, StoreError> {
        if config.endpoints.is_empty() {
            return Err(StoreError::Config("no etcd endpoint is given".into()));
        }
        let client = Client::connect(&config.endpoints, Some(options(&config)))
            .await
            .map_err(read_failed("connect"))?;
        let root = format!("/{}/", config.prefix);
        let mut store = Self { client, root, limits: config.limits, id: identity::random()? };
        store.verify_limits().await?;
        store.id = identity::establish(&store).await?;
        Ok(store)
    }

    fn kv(&self) -> KvClient {
        self.client.kv_client().max_decoding_message_size(MESSAGE_CAP)
    }

    /// The key's name in etcd.
    fn path(&self, key: &str) -> String {
        format!("{}{key}", self.root)
    }

    fn key(&self, path: &[u8]) -> Result<Key, StoreError> {
        let foreign = || StoreError::Corrupt(format!("etcd gave a key outside {}", self.root));
        let key = path.strip_prefix(self.root.as_bytes()).ok_or_else(foreign)?;
        Key::from_stored(key).map_err(|e| StoreError::Corrupt(e.to_string()))
    }

    fn key_value(&self, kv: &etcd_client::KeyValue) -> Result<KeyValue, StoreError> {
        Ok(KeyValue {
            key: self.key(kv.key())?,
            value: Value::from(kv.value().to_vec()),
            created: revision(kv.create_revision())?,
            modified: revision(kv.mod_revision())?,
            lease: LeaseId::from_stored(kv.lease()),
        })
    }

    /// Asks for as much as is configured, without writing: operations that only read, and a put whose condition
    /// cannot hold.
    async fn verify_limits(&self) -> Result<(), StoreError> {
        let Limits { max_ops, max_bytes } = self.limits;
        let stock = Limits::default();
        let key = self.path(Entry::StoreId.key().as_str());
        let refused = |e: etcd_client::Error| match read_failed("verify the limits")(e) {
            StoreError::Permanent { reason, .. } => StoreError::LimitsRefused { max_ops, max_bytes, reason },
            other => other,
        };
        if max_ops > stock.max_ops {
            let count = Some(GetOptions::new().with_count_only());
            let gets: Vec<_> = (0..max_ops).map(|_| TxnOp::get(key.as_str(), count.clone())).collect();
            self.kv().txn(etcd_client::Txn::new().and_then(gets)).await.map_err(refused)?;
        }
        if max_bytes > stock.max_bytes {
            let never = etcd_client::Compare::version(key.as_str(), etcd_client::CompareOp::Less, 0);
            // The operation's own framing is part of the limit.
            let put = TxnOp::put(key.as_str(), vec![0; max_bytes.saturating_sub(512)], None);
            self.kv().txn(etcd_client::Txn::new().when([never]).and_then([put])).await.map_err(refused)?;
        }
        Ok(())
    }
}

fn options(config: &EtcdConfig) -> ConnectOptions {
    let mut options = ConnectOptions::new()
        .with_keep_alive(KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT)
        .with_keep_alive_while_idle(true)
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        // A member cut off from the others ends its watches instead of going silent.
        .with_require_leader(true);
    if let Some(user) = &config.user {
        options = options.with_user(&user.name, &user.password).with_auto_token_refresh(true);
    }
    if let Some(tls) = &config.tls {
        let mut with = TlsOptions::new().ca_certificate(Certificate::from_pem(&tls.ca_pem));
        if let Some((chain, key)) = &tls.client_pem {
            with = with.identity(Identity::from_pem(chain, key));
        }
        if let Some(name) = &tls.server_name {
            with = with.domain_name(name);
        }
        options = options.with_tls(with);
    }
    options
}

fn revision(n: i64) -> Result<Revision, StoreError> {
    u64::try_from(n).map(Revision::new).map_err(|_| StoreError::Corrupt(format!("etcd gave revision {n}")))
}

fn number(revision: Revision) -> Result<i64, StoreError> {
    i64::try_from(revision.get()).map_err(|_| StoreError::FutureRevision { requested: revision })
}

fn header_revision(header: Option<&etcd_client::ResponseHeader>) -> Result<Revision, StoreError> {
    let header = header.ok_or_else(|| StoreError::Corrupt("etcd answered without a header".into()))?;
    revision(header.revision())
}

#[async_trait]
impl Store for EtcdStore {
    fn store_id(&self) -> &StoreId {
        &self.id
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    async fn get(&self, key: &Key) -> Result<Option<KeyValue>, StoreError> {
        let answer = self.kv().get(self.path(key.as_str()), None).await.map_err(read_failed("get"))?;
        answer.kvs().first().map(|kv| self.key_value(kv)).transpose()
    }

    async fn list(&self, prefix: &Prefix, page: PageRequest) -> Result<Page, StoreError> {
        let span = prefix.span(page.last());
        let limit = page.effective_limit();
        let mut options = GetOptions::new()
            .with_range(self.path(&span.end))
            .with_limit(i64::try_from(limit).unwrap_or(i64::MAX));
        let mut first = self.path(&span.start);
        if span.beyond {
            first.push('\0');
        }
        if let Some(at) = page.at() {
            options = options.with_revision(number(at)?);
        }
        let answer = self.kv().get(first, Some(options)).await;
        let answer = answer.map_err(|e| error::list_failed(e, page.at()))?;
        let items = answer.kvs().iter().map(|kv| self.key_value(kv)).collect::<Result<Vec<_>, _>>()?;
        let at = page.at().map_or_else(|| header_revision(answer.header()), Ok)?;
        Ok(Page::new(items, limit, at, span.then))
    }

    async fn first_keys(&self, prefix: &Prefix, limit: usize) -> Result<FirstKeys, StoreError> {
        let (start, end) = prefix.bounds();
        let limit = i64::try_from(limit.clamp(1, PageRequest::MAX)).unwrap_or(i64::MAX);
        let options = GetOptions::new().with_range(self.path(&end)).with_keys_only().with_limit(limit);
        let answer = self.kv().get(self.path(&start), Some(options)).await.map_err(read_failed("list"))?;
        let keys = answer.kvs().iter().map(|kv| self.key(kv.key())).collect::<Result<_, _>>()?;
        // etcd counts the whole range, whatever the limit.
        Ok(FirstKeys { keys, total: usize::try_from(answer.count()).unwrap_or_default() })
    }

    async fn txn(&self, txn: Txn) -> Result<Outcome, StoreError> {
        self.commit(&Prepared::new(txn, self.limits)?).await
    }

    fn watch(&self, prefix: Prefix, after: Revision) -> WatchStream {
        watch::watch(self.clone(), prefix, after)
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        // etcd counts seconds; longer is safe, since the holder keeps its own time.
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let seconds = i64::try_from(seconds.max(1)).unwrap_or(i64::MAX);
        let granted = self.client.lease_client().grant(seconds, None).await.map_err(read_failed("grant"))?;
        Ok(LeaseId::new(granted.id()))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        // Opening the stream is one keep-alive, and its answer the first message.
        match self.client.lease_client().keep_alive(lease.get()).await {
            Ok(_) => Ok(()),
            Err(e) if error::is_lease_gone(&e) => Err(StoreError::LeaseGone(lease)),
            Err(e) => Err(read_failed("keep a lease alive")(e)),
        }
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        match self.client.lease_client().revoke(lease.get()).await {
            Ok(_) => Ok(()),
            Err(e) if error::is_lease_gone(&e) => Ok(()),
            Err(e) => Err(write_failed("revoke")(e)),
        }
    }

    async fn compact(&self, up_to: Revision) -> Result<(), StoreError> {
        match self.kv().compact(number(up_to)?, None).await {
            Ok(_) => Ok(()),
            Err(e) if error::is_compacted(&e) => Ok(()),
            Err(e) if error::is_future(&e) => Err(StoreError::FutureRevision { requested: up_to }),
            Err(e) => Err(write_failed("compact")(e)),
        }
    }

    async fn health(&self) -> Result<Health, StoreError> {
        check_identity(self).await?;
        let key = self.path(Entry::StoreId.key().as_str());
        let options = GetOptions::new().with_count_only();
        let answer = self.kv().get(key, Some(options)).await.map_err(read_failed("health"))?;
        Ok(Health { revision: header_revision(answer.header())? })
    }

    async fn writable(&self) -> Result<(), StoreError> {
        // A linearizable read is answered by a leader with a quorum, which is what a write needs.
        self.health().await.map(drop)
    }
}
