//! Building netmaster and ending it.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use store::Store;
use store::intent::{Depth, History, Informer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::{App, Reports};
use crate::audit::Auditor;
use crate::auth::{self, Auth};
use crate::clock::Clock;
use crate::config::{Config, StoreConfig};
use crate::feed::{Changes, Feed, FeedConfig};
use crate::http::{Api, WatchBounds, Watches, router, serve};
use crate::leader::{self, Candidate};
use crate::metrics::Metrics;
use crate::metrics::store::Metered;
use crate::pki::{self, Ca, Lives, ServerCertificate};
use crate::{open, tasks};

/// Where the administrator's token is, in the data folder.
const TOKEN_FILE: &str = "admin.token";

/// What `addresses.json` says.
#[derive(Serialize)]
struct Addresses {
    api: String,
    node: String,
    /// `None` when they are not served.
    metrics: Option<String>,
}

/// Runs netmaster until `shutdown`, or until something it cannot do without fails.
///
/// # Errors
/// What failed, at start or later.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let clock = Clock::system();
    let metrics = Arc::new(Metrics::default());
    let (store, ca) = prepare(&config, &clock, &metrics).await?;
    let (informer, history, follow) = follow(&store).await?;
    let app = App::new(store.clone(), informer, clock.clone()).with_quota(config.endpoints_per_node);
    let feed = Feed::start(FeedConfig {
        changes: Changes::of(app.deltas()),
        store: store.clone(),
        intent: Arc::new(app.clone()),
        ca: ca.clone(),
        clock: clock.clone(),
    });
    let listeners = Listeners::bind(&config).await?;
    let (api_address, node_address) = (listeners.api.1, listeners.node.1);
    let names = server_names(&config, api_address, node_address);
    let certificate = ServerCertificate::new(ca.clone(), names, clock).context("server certificate")?;

    let reports = Reports { status: feed.status(), compiled: feed.snapshots() };
    let auditor = Auditor::new(reports.clone(), feed.questions(), app.clock().clone(), metrics.clone());
    let api = Api {
        app: app.clone(),
        reports: reports.clone(),
        questions: feed.questions(),
        auditor: auditor.clone(),
        metrics: metrics.clone(),
        auth: Auth::new(app.clone()),
        watches: Watches::new(history, WatchBounds::default()),
        ca,
        node_server: node_server(&config, node_address).into(),
    };
    let (stop, stopped) = watch::channel(false);
    let (people, bounds) = (certificate.for_people()?, serve::Bounds::default());
    let rest = serve::serve(listeners.api.0, people, router(api), bounds, until(stopped.clone()));
    let nodes = feed.serve(listeners.node.0, certificate.for_nodes()?, until(stopped.clone()));
    let leader =
        tokio::spawn(lead(&config, app.clone(), auditor, replica_name(&config, api_address), stopped));

    let metrics_address = listeners.metrics.as_ref().and_then(|l| l.local_addr().ok());
    let metrics = serve_metrics(listeners.metrics, metrics, app.clone(), reports);
    publish(&config.data_dir, api_address, node_address, metrics_address)?;
    let limits = store.limits();
    tracing::info!(api = %api_address, node = %node_address, store_id = %store.store_id(), metrics = %config.metrics_listen, ?limits, "serving");
    let serving = async {
        tokio::try_join!(async { rest.await.context("rest api") }, async { nodes.await.context("node api") })
            .map(drop)
    };
    let mut beside = Beside { follow, leader, metrics };
    let result = serve_until(serving, &mut beside.follow, &certificate, shutdown, &stop).await;
    stop.send_replace(true);
    beside.end(&app).await;
    result
}

/// Follows intent and its history, from what they are now.
async fn follow(store: &Arc<dyn Store>) -> anyhow::Result<(Informer, History, Following)> {
    let (informer, follow) = store::intent::start(store.clone()).await.context("cannot read intent")?;
    let (history, follow_history) =
        store::intent::history(store.clone(), Depth::default()).await.context("cannot read history")?;
    let both = async { tokio::try_join!(follow, follow_history).map(drop) };
    Ok((informer, history, tokio::spawn(both)))
}

/// Stands for election, and does what must be done once while leading.
fn lead(
    config: &Config,
    app: App,
    auditor: Auditor,
    name: String,
    stopped: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + use<> {
    let candidate = Candidate { store: app.store().clone(), name, ttl: leader::TTL };
    let (cooling, retention, audit_every) = (config.cooling, config.retention.clone(), config.audit_every);
    let duties = move |fence| {
        let (auditor, done) = (auditor.clone(), tasks::run(app.clone(), fence, cooling, retention.clone()));
        async move {
            tokio::select! {
                () = done => {}
                () = tasks::audit::run(&auditor, audit_every) => {}
            }
        }
    };
    leader::run(candidate, duties, until(stopped))
}

/// Serves until `shutdown`, or until something fails without which it cannot.
async fn serve_until(
    serving: impl Future<Output = anyhow::Result<()>>,
    follow: &mut Following,
    certificate: &ServerCertificate,
    shutdown: impl Future<Output = ()>,
    stop: &watch::Sender<bool>,
) -> anyhow::Result<()> {
    tokio::pin!(serving, shutdown);
    tokio::select! {
        ended = &mut serving => ended,
        ended = follow => Err(intent_lost(ended)),
        never = certificate.keep() => match never {},
        () = &mut shutdown => {
            tracing::info!("shutting down");
            stop.send_replace(true);
            // Sessions and requests end now; what hangs does not keep us.
            tokio::time::timeout(std::time::Duration::from_secs(5), &mut serving).await.unwrap_or(Ok(()))
        }
    }
}

/// The task that follows intent. It ends when it cannot.
type Following = JoinHandle<Result<(), store::StoreError>>;

/// What goes on beside serving. All of it holds the store.
struct Beside {
    follow: Following,
    leader: JoinHandle<()>,
    metrics: JoinHandle<()>,
}

impl Beside {
    /// Ends it: who opens the store next must find it closed.
    async fn end(mut self, app: &App) {
        // A write that is under way ends, answered or not.
        drop(tokio::time::timeout(std::time::Duration::from_secs(1), app.settled()).await);
        // A leader makes room for the next one, if the store lets it.
        if tokio::time::timeout(std::time::Duration::from_secs(1), &mut self.leader).await.is_err() {
            self.leader.abort();
            drop(self.leader.await);
        }
        self.metrics.abort();
        drop(self.metrics.await);
        // Where it has ended, it was waited for.
        if !self.follow.is_finished() {
            self.follow.abort();
            drop(self.follow.await);
        }
    }
}

/// Where we serve.
struct Listeners {
    api: (TcpListener, SocketAddr),
    node: (TcpListener, SocketAddr),
    /// `None` when they are not served.
    metrics: Option<TcpListener>,
}

impl Listeners {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        let (api, node) = (bind(config.listen).await?, bind(config.node_listen).await?);
        let metrics = config.metrics_listen.bind().await;
        let metrics =
            metrics.with_context(|| format!("cannot serve metrics at {}", config.metrics_listen))?;
        Ok(Self { api, node, metrics })
    }
}

/// Gives the store that the configuration names a new identity, as has to be done after a restore; what it is. Nobody
/// may be serving from it.
///
/// # Errors
/// Those of opening it and of writing.
pub async fn renew_store_id(config: &Config) -> anyhow::Result<types::StoreId> {
    let store = open::open(config).await.context("cannot open the store")?;
    store::identity::renew(store.as_ref()).await.context("cannot renew the store's id")
}

/// Makes a new administrator's token, in the file of the first one, and every other one useless; where it is, and how many
/// were revoked. The configuration's data folder must be that of a netmaster.
///
/// # Errors
/// Those of opening the store (a SQLite file that a netmaster serves from is in use) and of [`auth::reissue`].
pub async fn reissue_admin_token(config: &Config) -> anyhow::Result<(std::path::PathBuf, usize)> {
    let database = config.data_dir.join(open::DATABASE);
    let exists = config.store != StoreConfig::Sqlite || database.exists();
    anyhow::ensure!(exists, "there is no {}: is --data-dir the one of netmaster?", database.display());
    let store = open::open(config).await.context("cannot open the store")?;
    let file = config.data_dir.join(TOKEN_FILE);
    let done = auth::reissue(store.as_ref(), &file, &Clock::system()).await?;
    Ok((file, done.revoked.len()))
}

/// Opens the store, and makes what a new one or a new folder lacks.
async fn prepare(
    config: &Config,
    clock: &Clock,
    metrics: &Metrics,
) -> anyhow::Result<(Arc<dyn Store>, Arc<Ca>)> {
    make_dir(&config.data_dir)?;
    let store = open::open(config).await.context("cannot open the store")?;
    let store = Metered::over(store, metrics.store.clone());
    let token_file = config.data_dir.join(TOKEN_FILE);
    if auth::first_start(store.as_ref(), &token_file, clock).await.context("first start")? {
        tracing::info!(path = %token_file.display(), "first start: the administrator's token was written");
    }
    let ca = Ca::load_or_create(store.as_ref(), clock.now()).await.context("certificate authority")?;
    let written = pki::write_public(&config.data_dir.join("ca.crt"), ca.certificate_pem().as_bytes());
    written.context("cannot write ca.crt")?;
    Ok((store, Arc::new(ca.with_lives(lives()))))
}

/// How long certificates live. A test does not wait for months: `certificates-live=return(SECONDS)`.
fn lives() -> Lives {
    fail::fail_point!("certificates-live", |seconds| {
        let life = jiff::SignedDuration::from_secs(seconds.and_then(|s| s.parse().ok()).unwrap_or(60));
        Lives { server: life, node: life }
    });
    Lives::default()
}

async fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

fn serve_metrics(
    listener: Option<TcpListener>,
    metrics: Arc<Metrics>,
    app: App,
    reports: Reports,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(listener) = listener else { return };
        telemetry::serve(listener, move || {
            let (metrics, app, reports) = (metrics.clone(), app.clone(), reports.clone());
            async move { metrics.text(&app, &reports).await }
        })
        .await;
    })
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // The sender lives until the end of `run`; should it be gone, stopping is right too.
    drop(stopped.wait_for(|s| *s).await);
}

fn intent_lost(ended: Result<Result<(), store::StoreError>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow::anyhow!("intent is no longer followed"),
        Ok(Err(e)) => anyhow::Error::new(e).context("intent is no longer followed"),
        Err(e) => anyhow::Error::new(e).context("intent is no longer followed"),
    }
}

fn make_dir(dir: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot make {}", dir.display()))
}

/// Everything clients may call us, for the certificate.
fn server_names(config: &Config, api: SocketAddr, node: SocketAddr) -> Vec<String> {
    let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let bound = [api, node].into_iter().filter(|a| !a.ip().is_unspecified()).map(|a| a.ip().to_string());
    config.names.iter().cloned().chain(local).chain(bound).collect()
}

/// What people know this replica by.
fn replica_name(config: &Config, api: SocketAddr) -> String {
    let kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
    let host =
        config.names.first().cloned().or_else(|| kernel().ok()).unwrap_or_else(|| "netmaster".to_owned());
    format!("{host}:{}", api.port())
}

/// What join files tell nodes.
fn node_server(config: &Config, node: SocketAddr) -> String {
    let host = match config.names.first() {
        Some(name) => name.clone(),
        None if node.ip().is_unspecified() => "127.0.0.1".to_owned(),
        None => node.ip().to_string(),
    };
    if host.contains(':') { format!("[{host}]:{}", node.port()) } else { format!("{host}:{}", node.port()) }
}

/// Says where we serve, for whoever started us with port 0.
fn publish(dir: &Path, api: SocketAddr, node: SocketAddr, metrics: Option<SocketAddr>) -> anyhow::Result<()> {
    let metrics = metrics.map(|m| format!("http://{m}/metrics"));
    let addresses = Addresses { api: format!("https://{api}"), node: node.to_string(), metrics };
    let json = serde_json::to_vec_pretty(&addresses)?;
    pki::write_secret(&dir.join("addresses.json"), &json).context("cannot write addresses.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_files_name_what_nodes_can_reach() {
        let config = |names: &[&str]| Config {
            data_dir: "/nonexistent".into(),
            store: StoreConfig::Memory,
            limits: None,
            listen: ([127, 0, 0, 1], 0).into(),
            node_listen: ([0, 0, 0, 0], 0).into(),
            metrics_listen: telemetry::Listen::Off,
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            cooling: std::time::Duration::ZERO,
            audit_every: None,
            retention: crate::config::Retention::default(),
            endpoints_per_node: crate::app::Quota::default(),
        };
        let any = SocketAddr::from(([0, 0, 0, 0], 9998));
        assert_eq!(node_server(&config(&["m.example", "x"]), any), "m.example:9998");
        assert_eq!(node_server(&config(&["fd00::1"]), any), "[fd00::1]:9998");
        assert_eq!(node_server(&config(&[]), SocketAddr::from(([192, 0, 2, 1], 7))), "192.0.2.1:7");
        assert_eq!(node_server(&config(&[]), any), "127.0.0.1:9998");
    }
}
