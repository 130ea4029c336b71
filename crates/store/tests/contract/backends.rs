//! Back ends to run cases on, each new and empty.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use store::{EtcdConfig, EtcdTls, Store};
use tempfile::TempDir;
use types::Name;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Memory,
    Sqlite,
    Etcd,
}

/// A running store with two clients.
pub struct Fixture {
    pub backend: Backend,
    pub store: Arc<dyn Store>,
    /// Another client of the same store: a connection of its own where the back end has such.
    pub other: Arc<dyn Store>,
    _keep: Keep,
}

/// What must outlive the clients.
enum Keep {
    Nothing,
    Directory { _dir: TempDir },
    Server { _server: Box<EtcdServer> },
}

impl Fixture {
    pub async fn start(backend: Backend) -> Self {
        let (store, other, keep) = match backend {
            Backend::Memory => {
                let store = store::memory().unwrap();
                (Arc::clone(&store), store, Keep::Nothing)
            }
            Backend::Sqlite => {
                let dir = tempfile::tempdir().unwrap();
                let store = store::sqlite(&dir.path().join("store.db")).await.unwrap();
                (Arc::clone(&store), store, Keep::Directory { _dir: dir })
            }
            Backend::Etcd => {
                let server = EtcdServer::start(&[]).await;
                let store = server.connect("contract").await;
                let other = server.connect("contract").await;
                (store, other, Keep::Server { _server: Box::new(server) })
            }
        };
        Self { backend, store, other, _keep: keep }
    }

    /// A fixture over a given store, for sabotage.
    pub fn over(store: Arc<dyn Store>) -> Self {
        Self { backend: Backend::Memory, other: Arc::clone(&store), store, _keep: Keep::Nothing }
    }
}

/// A private etcd on the loopback, killed on drop.
pub struct EtcdServer {
    child: Child,
    setup: Setup,
    client_port: u16,
    peer_port: u16,
    dir: TempDir,
}

/// How to run an etcd.
#[derive(Clone, Default)]
pub struct Setup {
    /// Further arguments.
    pub arguments: Vec<String>,
    /// How clients encrypt; the server's side of it is in the arguments.
    pub tls: Option<EtcdTls>,
}

impl EtcdServer {
    pub async fn start(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        Self::start_with(Setup { arguments, tls: None }).await
    }

    pub async fn start_with(setup: Setup) -> Self {
        // Another process may take a port between our choosing it and etcd's binding it: choose again.
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let (client_port, peer_port) = free_ports();
            let child = spawn(&dir.path().join("data"), client_port, peer_port, &setup);
            let mut server = Self { child, setup: setup.clone(), client_port, peer_port, dir };
            if server.answers().await {
                return server;
            }
        }
        panic!("etcd does not start");
    }

    pub fn config(&self, prefix: &str) -> EtcdConfig {
        let url = format!("{}://127.0.0.1:{}", self.setup.scheme(), self.client_port);
        EtcdConfig { tls: self.setup.tls.clone(), ..EtcdConfig::new([url], Name::new(prefix).unwrap()) }
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.client_port).into()
    }

    /// How to reach it over a network that can be taken away.
    pub fn config_through(&self, prefix: &str, proxy: &crate::proxy::Proxy) -> EtcdConfig {
        EtcdConfig::new([format!("http://{}", proxy.address)], Name::new(prefix).unwrap())
    }

    pub async fn connect(&self, prefix: &str) -> Arc<dyn Store> {
        store::etcd(self.config(prefix)).await.unwrap()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it as a hung machine would (`STOP`), or lets it go on (`CONT`).
    pub fn signal(&self, signal: &str) {
        send(signal, self.child.id());
    }

    /// Starts it again where it was.
    pub async fn restart(&mut self) {
        let data = self.dir.path().join("data");
        self.child = spawn(&data, self.client_port, self.peer_port, &self.setup);
        assert!(self.answers().await, "etcd did not come back");
    }

    /// Waits until it serves; false when it ended instead.
    async fn answers(&mut self) -> bool {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while tokio::time::Instant::now() < deadline {
            ticks.tick().await;
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if store::etcd(self.config("probe")).await.is_ok() {
                return true;
            }
        }
        panic!("etcd does not answer");
    }
}

impl Setup {
    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Signals a process. After `STOP` it has stopped: the signal alone leaves its threads the time to answer once more.
pub fn send(signal: &str, pid: u32) {
    assert!(Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap().success());
    let stopped = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        tasks.filter_map(Result::ok).all(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // proc_pid_stat(5): the state follows the name, which is in parentheses.
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    };
    while signal == "STOP" && !stopped() {
        std::thread::yield_now();
    }
}

fn free_ports() -> (u16, u16) {
    let listeners = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let [a, b] = listeners.map(|l| l.local_addr().unwrap().port());
    (a, b)
}

fn spawn(data: &Path, client_port: u16, peer_port: u16, setup: &Setup) -> Child {
    let client = format!("{}://127.0.0.1:{client_port}", setup.scheme());
    let peer = format!("http://127.0.0.1:{peer_port}");
    Command::new("etcd")
        .args(["--name", "m1", "--data-dir"])
        .arg(data)
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("m1={peer}"), "--unsafe-no-fsync", "--logger", "zap"])
        .args(&setup.arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd is needed to run these tests (Debian: etcd-server)")
}

/// Three etcds that are one.
pub struct Cluster {
    members: Vec<Child>,
    ports: Vec<(u16, u16)>,
    dir: TempDir,
}

impl Cluster {
    pub async fn start() -> Self {
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let ports: Vec<_> = (0..3).map(|_| free_ports()).collect();
            let mut cluster = Self { members: Vec::new(), ports, dir };
            cluster.members = (0..3).map(|n| cluster.spawn(n)).collect();
            if cluster.answers().await {
                return cluster;
            }
        }
        panic!("three etcds do not start");
    }

    fn spawn(&self, member: usize) -> Child {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let (client, peer) = self.ports[member];
        let all: Vec<_> =
            self.ports.iter().enumerate().map(|(n, (_, peer))| format!("m{n}={}", url(*peer))).collect();
        Command::new("etcd")
            .args(["--name", &format!("m{member}"), "--data-dir"])
            .arg(self.dir.path().join(format!("m{member}")))
            .args(["--listen-client-urls", &url(client), "--advertise-client-urls", &url(client)])
            .args(["--listen-peer-urls", &url(peer), "--initial-advertise-peer-urls", &url(peer)])
            .args(["--initial-cluster", &all.join(","), "--unsafe-no-fsync", "--logger", "zap"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd is needed to run these tests (Debian: etcd-server)")
    }

    pub async fn connect(&self, prefix: &str) -> Arc<dyn Store> {
        store::etcd(self.config(prefix)).await.unwrap()
    }

    fn config(&self, prefix: &str) -> EtcdConfig {
        let urls = self.ports.iter().map(|(client, _)| format!("http://127.0.0.1:{client}"));
        EtcdConfig::new(urls, Name::new(prefix).unwrap())
    }

    pub fn kill(&mut self, member: usize) {
        let _ = self.members[member].kill();
        let _ = self.members[member].wait();
    }

    pub fn signal(&self, member: usize, signal: &str) {
        send(signal, self.members[member].id());
    }

    pub async fn restart(&mut self, member: usize) {
        self.members[member] = self.spawn(member);
        assert!(self.answers().await, "member {member} did not come back");
    }

    /// Waits until every member answers by itself; false when one ended instead.
    async fn answers(&mut self) -> bool {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        let mut answering = 0;
        while answering < self.ports.len() {
            ticks.tick().await;
            assert!(tokio::time::Instant::now() < deadline, "etcd does not answer");
            if self.members.iter_mut().any(|m| m.try_wait().unwrap().is_some()) {
                return false;
            }
            let url = format!("http://127.0.0.1:{}", self.ports[answering].0);
            let alone = EtcdConfig::new([url], Name::new("probe").unwrap());
            answering += usize::from(store::etcd(alone).await.is_ok());
        }
        true
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|n| self.kill(n));
    }
}
