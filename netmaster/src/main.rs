//! netmaster's command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use netmaster::app::Quota;
use netmaster::{Config, EtcdAccess, Retention, StoreConfig, reissue_admin_token, renew_store_id, run};
use store::Limits;
use telemetry::{Listen, LogFormat, LogOptions};
use tokio::signal::unix::{SignalKind, signal};
use types::Name;

/// A thousand agents that subscribe at once leave a heap full of holes. mimalloc gives such pages back to the system,
/// glibc's allocator keeps them: 755 MiB with a thousand sessions, of which 134 MiB were in use.
#[global_allocator]
static HEAP: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps intent, serves the REST API (HTTPS) and feeds the nodes.
#[derive(Debug, Parser)]
#[command(name = "netmaster", version)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Folder for the database and credentials
    #[arg(long, default_value = "/var/lib/selvage/netmaster")]
    data_dir: PathBuf,
    /// Where intent is kept
    #[arg(long, value_enum, default_value = "sqlite")]
    store: StoreKind,
    /// etcd's client URLs
    #[arg(long, value_delimiter = ',', default_value = "http://127.0.0.1:2379")]
    etcd_endpoints: Vec<String>,
    /// Name of this cluster's folder in etcd, so that several clusters can share one
    #[arg(long, default_value = "selvage")]
    etcd_prefix: Name,
    /// File with the certificates of the authorities of etcd's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    etcd_ca: Option<PathBuf>,
    /// File with our certificate for etcd (PEM)
    #[arg(long, value_name = "FILE")]
    etcd_cert: Option<PathBuf>,
    /// File with the key of our certificate for etcd
    #[arg(long, value_name = "FILE")]
    etcd_key: Option<PathBuf>,
    /// Name in etcd's certificate, when it is not the endpoint's
    #[arg(long, value_name = "NAME")]
    etcd_server_name: Option<String>,
    /// Who to log in to etcd as
    #[arg(long, value_name = "NAME")]
    etcd_user: Option<String>,
    /// File with the password for etcd
    #[arg(long, value_name = "FILE")]
    etcd_password_file: Option<PathBuf>,
    /// Operations of one transaction at most; by default what etcd grants (--max-txn-ops), 128 with SQLite
    #[arg(long)]
    max_txn_ops: Option<usize>,
    /// Bytes of one transaction at most; by default what etcd grants (--max-request-bytes), 1572864 with SQLite
    #[arg(long)]
    max_request_bytes: Option<usize>,
    /// Where the REST API listens
    #[arg(long, default_value = "127.0.0.1:9999")]
    listen: SocketAddr,
    /// Where the node API listens
    #[arg(long, default_value = "0.0.0.0:9998")]
    node_listen: SocketAddr,
    /// Host names and addresses of this netmaster, for its certificate; the first is what join files tell nodes
    #[arg(long = "name", value_delimiter = ',')]
    names: Vec<String>,
    /// Seconds a freed address stays unused
    #[arg(long, default_value_t = 60)]
    cooling: u64,
    /// Seconds from one audit of the switches by the leader to the next; 0: only when somebody asks (netctl audit)
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    audit_every: u64,
    /// Seconds of history that watches and pages may go back; 0 leaves compaction to somebody else (a shared etcd)
    #[arg(long, default_value_t = 300)]
    history: u64,
    /// Endpoints a node may have when it makes another; what administrators make is not limited
    #[arg(long, default_value_t = Quota::default(), value_name = "COUNT")]
    endpoints_per_node: Quota,
    /// Change records kept at most
    #[arg(long, default_value_t = 100_000)]
    change_records: usize,
    /// Days a change record is kept at most
    #[arg(long, default_value_t = 90)]
    change_days: u32,
    /// Where Prometheus finds metrics (plain HTTP, no tenant is named): ADDRESS:PORT or `off`
    #[arg(long, value_name = "LISTEN", default_value = "127.0.0.1:9997")]
    metrics_listen: Listen,
    /// How log records are written: `text` or `json`, to standard error; RUST_LOG chooses levels
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// What to do instead of serving.
#[derive(Clone, Copy, Debug, Subcommand)]
enum Command {
    /// Give the store a new id, after restoring it: nodes then compare everything. No netmaster may be running on it
    RenewStoreId,
    /// Make a new administrator's token and revoke every other one: written to DATA-DIR/admin.token, shown nowhere. With
    /// SQLite no netmaster may be running on the store
    AdminToken,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StoreKind {
    Sqlite,
    Etcd,
}

impl From<Args> for Config {
    fn from(args: Args) -> Self {
        let store = match args.store {
            StoreKind::Sqlite => StoreConfig::Sqlite,
            StoreKind::Etcd => StoreConfig::Etcd(EtcdAccess {
                endpoints: args.etcd_endpoints,
                prefix: args.etcd_prefix,
                ca: args.etcd_ca,
                certificate: args.etcd_cert,
                key: args.etcd_key,
                server_name: args.etcd_server_name,
                user: args.etcd_user,
                password_file: args.etcd_password_file,
            }),
        };
        let Args { data_dir, listen, node_listen, metrics_listen, names, endpoints_per_node, .. } = args;
        let cooling = Duration::from_secs(args.cooling);
        let audit_every = (args.audit_every > 0).then(|| Duration::from_secs(args.audit_every));
        let retention = Retention {
            history: (args.history > 0).then(|| Duration::from_secs(args.history)),
            records: args.change_records,
            age: Duration::from_secs(86_400) * args.change_days,
        };
        let stock = Limits::default();
        let stated = args.max_txn_ops.is_some() || args.max_request_bytes.is_some();
        let limits = stated.then(|| Limits {
            max_ops: args.max_txn_ops.unwrap_or(stock.max_ops),
            max_bytes: args.max_request_bytes.unwrap_or(stock.max_bytes),
        });
        Self {
            data_dir,
            store,
            limits,
            listen,
            node_listen,
            metrics_listen,
            names,
            cooling,
            audit_every,
            retention,
            endpoints_per_node,
        }
    }
}

async fn terminated() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    LogOptions::of(args.log_format).install();
    // Named defects and kill points (FAILPOINTS in the environment); a release knows nothing of them.
    #[cfg(feature = "failpoints")]
    let _failpoints = fail::FailScenario::setup();
    let done = match args.command {
        None => run(args.into(), terminated()).await,
        Some(Command::RenewStoreId) => renew_store_id(&args.into())
            .await
            .map(|id| tracing::info!(store_id = %id, "the store has a new id")),
        Some(Command::AdminToken) => reissue_admin_token(&args.into()).await.map(|(file, revoked)| {
            tracing::info!(path = %file.display(), count = revoked, "a new administrator's token was written, every other one revoked");
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "netmaster failed");
            ExitCode::FAILURE
        }
    }
}
