//! A proxy before a server: cuts the stream into pieces, and the connection at any byte.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use ovsdb::frame::Framer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// What all connections share.
struct Shared {
    server: PathBuf,
    /// Bytes from the server after which the connection is cut; negative: never.
    left: AtomicI64,
    /// Probes the server has sent.
    server_echoes: AtomicU64,
    /// Cuts so far; a connection lives in one of these epochs.
    epoch: watch::Receiver<u64>,
    open: watch::Receiver<bool>,
}

pub struct Proxy {
    dir: TempDir,
    shared: Arc<Shared>,
    epoch: watch::Sender<u64>,
    open: watch::Sender<bool>,
}

impl Proxy {
    pub fn start(server: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("proxy.sock")).unwrap();
        let (epoch, epoch_rx) = watch::channel(0);
        let (open, open_rx) = watch::channel(true);
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            left: AtomicI64::new(-1),
            server_echoes: AtomicU64::new(0),
            epoch: epoch_rx,
            open: open_rx,
        });
        tokio::spawn(accept(listener, shared.clone()));
        Self { dir, shared, epoch, open }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("proxy.sock")
    }

    /// Cuts the connections there are.
    pub fn cut(&self) {
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Cuts once, after the server has sent so many more bytes.
    pub fn cut_after(&self, bytes: i64) {
        self.shared.left.store(bytes, Ordering::SeqCst);
    }

    /// Lets nobody through any more, or everybody again.
    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
        if !open {
            self.cut();
        }
    }

    pub fn server_echoes(&self) -> u64 {
        self.shared.server_echoes.load(Ordering::SeqCst)
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = shared.clone();
        let mut epoch = shared.epoch.clone();
        epoch.mark_unchanged();
        tokio::spawn(async move {
            if !*shared.open.borrow() {
                return;
            }
            tokio::select! {
                () = relay(client, &shared) => {}
                _ = epoch.changed() => {}
            }
        });
    }
}

async fn relay(client: UnixStream, shared: &Shared) {
    let Ok(server) = UnixStream::connect(&shared.server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async { drop(tokio::io::copy(&mut from_client, &mut to_server).await) };
    let down = async {
        let mut framer = Framer::new(1 << 28);
        // Small and odd: no message arrives in one piece.
        let mut buffer = [0; 611];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            let budget = shared.left.load(Ordering::SeqCst);
            let count_i64 = i64::try_from(count).unwrap();
            let passed = if budget < 0 { count } else { usize::try_from(budget.min(count_i64)).unwrap() };
            framer.push(&buffer[..passed]);
            while let Ok(Some(message)) = framer.next_message() {
                if message["method"] == "echo" {
                    shared.server_echoes.fetch_add(1, Ordering::SeqCst);
                }
            }
            if to_client.write_all(&buffer[..passed]).await.is_err() {
                return;
            }
            if passed < count {
                shared.left.store(-1, Ordering::SeqCst);
                return;
            }
            if budget >= 0 {
                shared.left.store(budget - count_i64, Ordering::SeqCst);
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
