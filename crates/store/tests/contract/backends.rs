//! Back ends to run cases on, each new and empty.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use store::{EtcdConfig, Limits, Store};
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
    client_port: u16,
    peer_port: u16,
    arguments: Vec<String>,
    dir: TempDir,
}

impl EtcdServer {
    pub async fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        // Another process may take a port between our choosing it and etcd's binding it: choose again.
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let (client_port, peer_port) = free_ports();
            let child = spawn(&dir.path().join("data"), client_port, peer_port, &arguments);
            let mut server = Self { child, client_port, peer_port, arguments: arguments.clone(), dir };
            if server.answers().await {
                return server;
            }
        }
        panic!("etcd does not start");
    }

    pub fn config(&self, prefix: &str) -> EtcdConfig {
        EtcdConfig::new([format!("http://127.0.0.1:{}", self.client_port)], Name::new(prefix).unwrap())
    }

    pub async fn connect(&self, prefix: &str) -> Arc<dyn Store> {
        store::etcd(self.config(prefix)).await.unwrap()
    }

    pub async fn connect_with(
        &self,
        prefix: &str,
        limits: Limits,
    ) -> Result<Arc<dyn Store>, store::StoreError> {
        store::etcd(EtcdConfig { limits, ..self.config(prefix) }).await
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again where it was.
    pub async fn restart(&mut self) {
        let data = self.dir.path().join("data");
        self.child = spawn(&data, self.client_port, self.peer_port, &self.arguments);
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

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_ports() -> (u16, u16) {
    let listeners = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let [a, b] = listeners.map(|l| l.local_addr().unwrap().port());
    (a, b)
}

fn spawn(data: &PathBuf, client_port: u16, peer_port: u16, arguments: &[String]) -> Child {
    let client = format!("http://127.0.0.1:{client_port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    Command::new("etcd")
        .args(["--name", "m1", "--data-dir"])
        .arg(data)
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("m1={peer}"), "--unsafe-no-fsync", "--logger", "zap"])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd is needed to run these tests (Debian: etcd-server)")
}
