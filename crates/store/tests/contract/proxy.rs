//! A network between a client and a server that can be taken away: connections stall, or break and are refused.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Carries.
    Up,
    /// Carries nothing, and nobody is told: a cable pulled, a firewall that drops.
    Silent,
    /// Breaks what is open and refuses what is new.
    Down,
}

/// The network. Dropping it breaks every connection.
pub struct Proxy {
    pub address: SocketAddr,
    network: Arc<watch::Sender<Network>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let network = Arc::new(watch::Sender::new(Network::Up));
        let told = Arc::clone(&network);
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *told.borrow() == Network::Down {
                    continue;
                }
                tokio::spawn(carry(client, server, told.subscribe()));
            }
        });
        Self { address, network, accepting }
    }

    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.network.send_replace(Network::Down);
    }
}

async fn carry(client: TcpStream, server: SocketAddr, mut network: watch::Receiver<Network>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = pipe(from_client, to_server, network.clone());
    let back = pipe(from_server, to_client, network.clone());
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = network.wait_for(|n| *n == Network::Down) => {}
    }
}

async fn pipe(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut network: watch::Receiver<Network>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        if network.wait_for(|n| *n != Network::Silent).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
