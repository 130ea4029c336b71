//! The driver against an in-process server, for what a real one does not do on demand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the result")]

use std::time::Duration;

use ovsdb::frame::Framer;
use ovsdb::monitor::MonitorSpec;
use ovsdb::{Client, Config, Endpoint};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const ZERO: &str = "00000000-0000-0000-0000-000000000000";
const ROW: &str = "00000000-0000-0000-0000-000000000001";

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// The server's end of one connection.
struct Peer {
    stream: TcpStream,
    framer: Framer,
}

impl Peer {
    async fn accept(listener: &TcpListener) -> Self {
        let stream = tokio::time::timeout_at(soon(), listener.accept()).await.unwrap().unwrap().0;
        Self { stream, framer: Framer::new(1 << 20) }
    }

    async fn receive(&mut self) -> Value {
        loop {
            if let Some(message) = self.framer.next_message().unwrap() {
                return message;
            }
            let mut input = [0; 4096];
            let count = tokio::time::timeout_at(soon(), self.stream.read(&mut input)).await.unwrap().unwrap();
            assert_ne!(count, 0, "client closed the connection");
            self.framer.push(&input[..count]);
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Answers schema and monitor requests; row `ROW` has n = 1.
    async fn sync(&mut self) {
        let request = self.receive().await;
        assert_eq!(request["method"], "get_schema");
        let schema = json!({"name": "D", "version": "1.0.0", "tables": {"T": {"columns": {"n": {"type": "integer"}}}}});
        self.send(json!({"id": request["id"], "result": schema, "error": null}).to_string().as_bytes()).await;
        let request = self.receive().await;
        assert_eq!(request["method"], "monitor_cond_since");
        let dump = json!([false, ZERO, {"T": {ROW: {"initial": {"n": 1}}}}]);
        self.send(json!({"id": request["id"], "result": dump, "error": null}).to_string().as_bytes()).await;
    }
}

async fn start(probe_interval: Duration) -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint: Endpoint = format!("tcp:{}", listener.local_addr().unwrap()).parse().unwrap();
    let mut config = Config::new(endpoint, "D", MonitorSpec::new().table("T", &["n"]));
    config.probe_interval = probe_interval;
    (listener, Client::start(config))
}

fn modify(n: i64) -> String {
    json!({"id": null, "method": "update3", "params": ["monitor", ZERO, {"T": {ROW: {"modify": {"n": n}}}}]})
        .to_string()
}

async fn wait_n(client: &Client, n: i64) {
    let is_n = |db: &ovsdb::Database| db.rows("T").any(|(_, row)| row["n"] == n.into()).then_some(());
    client.wait_for("the update", soon(), is_n).await.unwrap();
}

#[tokio::test]
async fn several_messages_in_one_read_and_one_message_in_several() {
    let (listener, client) = start(Duration::from_secs(60)).await;
    let mut peer = Peer::accept(&listener).await;
    peer.sync().await;
    client.wait_synced(soon()).await.unwrap();
    let mut events = client.events();
    let (two, third) = (modify(2) + &modify(3), modify(4));
    let cut = third.len() / 2;
    peer.send((two + &third[..cut]).as_bytes()).await;
    wait_n(&client, 3).await;
    peer.send(&third.as_bytes()[cut..]).await;
    wait_n(&client, 4).await;
    for _ in 2..=4 {
        assert_eq!(events.next().await.unwrap().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn servers_echo_is_answered_while_a_request_is_in_flight() {
    let (listener, client) = start(Duration::from_secs(60)).await;
    let mut peer = Peer::accept(&listener).await;
    peer.sync().await;
    client.wait_synced(soon()).await.unwrap();
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.list_dbs().await }
    });
    let request = peer.receive().await;
    assert_eq!(request["method"], "list_dbs");
    peer.send(br#"{"id":"echo","method":"echo","params":["are you there"]}"#).await;
    assert_eq!(peer.receive().await, json!({"id": "echo", "result": ["are you there"], "error": null}));
    peer.send(json!({"id": request["id"], "result": ["D"], "error": null}).to_string().as_bytes()).await;
    assert_eq!(call.await.unwrap().unwrap(), ["D"]);
}

#[tokio::test]
async fn idle_server_is_probed_and_an_answer_keeps_the_connection() {
    let (listener, client) = start(Duration::from_millis(300)).await;
    let mut peer = Peer::accept(&listener).await;
    peer.sync().await;
    for _ in 0..4 {
        let probe = peer.receive().await;
        assert_eq!(probe["method"], "echo");
        peer.send(json!({"id": probe["id"], "result": [], "error": null}).to_string().as_bytes()).await;
    }
    assert_eq!((client.status().syncs, client.status().is_synced()), (1, true));
}

#[tokio::test]
async fn nonsense_breaks_the_connection_and_the_next_one_is_synced_in_full() {
    let (listener, client) = start(Duration::from_secs(60)).await;
    let mut peer = Peer::accept(&listener).await;
    peer.sync().await;
    wait_n(&client, 1).await;
    peer.send(br#"{"id":null,"method":"update3","params":["monitor","x",{"U":{}}]}"#).await;
    let mut peer = Peer::accept(&listener).await;
    peer.sync().await;
    let mut status = client.watch_status();
    tokio::time::timeout_at(soon(), status.wait_for(|s| s.syncs == 2)).await.unwrap().unwrap();
    wait_n(&client, 1).await;
}

#[tokio::test]
async fn task_ends_with_the_last_handle() {
    let (listener, client) = start(Duration::from_secs(60)).await;
    let mut peer = Peer::accept(&listener).await;
    peer.sync().await;
    client.wait_synced(soon()).await.unwrap();
    let clone = client.clone();
    drop(client);
    assert!(clone.status().is_synced());
    drop(clone);
    let closed = tokio::time::timeout_at(soon(), peer.stream.read(&mut [0; 16])).await.unwrap().unwrap();
    assert_eq!(closed, 0);
}
