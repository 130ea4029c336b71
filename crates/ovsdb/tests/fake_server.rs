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
const MAX_MESSAGE: usize = 1 << 16;
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
    // Also the time an answer may take: on a busy machine, too.
    let (listener, client) = start(Duration::from_secs(1)).await;
    let mut peer = Peer::accept(&listener).await;
    peer.sync().await;
    for _ in 0..3 {
        let probe = peer.receive().await;
        assert_eq!(probe["method"], "echo");
        peer.send(json!({"id": probe["id"], "result": [], "error": null}).to_string().as_bytes()).await;
    }
    assert_eq!((client.status().syncs, client.status().is_synced()), (1, true));
}

/// What a server must not say to a synced client, and what the client then says of it.
fn nonsense() -> Vec<(Vec<u8>, &'static str)> {
    const OTHER: &str = "00000000-0000-0000-0000-00000000000a";
    let update = |updates: Value| {
        json!({"id": null, "method": "update3", "params": ["monitor", ZERO, updates]})
            .to_string()
            .into_bytes()
    };
    let twice = format!(
        r#"{{"id":null,"method":"update3","params":["monitor","{ZERO}",{{"T":{{"{ROW}":{{"delete":null}},"{ROW}":{{"modify":{{"n":9}}}}}}}}]}}"#
    );
    let large = format!(r#"{{"id":null,"method":"{}"#, "x".repeat(MAX_MESSAGE));
    let costly =
        format!(r#"{{"id":null,"method":"echo","params":[{}0]}}"#, r#"{"":0},"#.repeat(MAX_MESSAGE / 8));
    let deep = format!(r#"{{"id":null,"method":"echo","params":{}"#, "[".repeat(100));
    vec![
        (update(json!({"U": {ROW: {"delete": null}}})), "table U is not monitored"),
        (update(json!({"T": {ROW: {"modify": {"m": 1}}}})), "column T.m, which is not monitored"),
        (update(json!({"T": {ROW: {"modify": {"n": "one"}}}})), "value of T.n does not fit the schema"),
        (update(json!({"T": {ROW: {"modify": {"n": ["map", []]}}}})), "expected a set, found a map"),
        (update(json!({"T": {ROW: {"modify": {"n": ["set", [1, 1]]}}}})), "duplicate element 1"),
        (update(json!({"T": {ROW: {"modify": {"n": 1e19}}}})), "expected elements of type Integer"),
        (update(json!({"T": {OTHER: {"modify": {"n": 1}}}})), "which is not in the replica"),
        (update(json!({"T": {OTHER: {"delete": null}}})), "which is not in the replica"),
        (update(json!({"T": {ROW: {"insert": {"n": 1}}}})), "which is in the replica already"),
        (update(json!({"T": {ROW: {"initial": {"n": 1}}}})), "of a dump"),
        (
            update(json!({"T": {OTHER: {"insert": {}}, OTHER.to_uppercase(): {"insert": {}}}})),
            "two updates of row",
        ),
        (update(json!({"T": {"row": {"insert": {}}}})), "\"row\" is not a UUID"),
        (twice.into_bytes(), "is given twice"),
        (
            br#"{"id":null,"method":"update3","params":["monitor","x",{}]}"#.to_vec(),
            "malformed transaction id",
        ),
        (br#"{"id":null,"method":"update","params":["monitor",{}]}"#.to_vec(), "unexpected update"),
        (
            br#"{"id":null,"method":"monitor_canceled","params":["monitor"]}"#.to_vec(),
            "cancelled the monitor",
        ),
        (br#"{"id":null,"method":"surprise","params":[]}"#.to_vec(), "unexpected notification surprise"),
        (br#"{"id":99,"result":{},"error":null}"#.to_vec(), "unexpected response to request 99"),
        (br#"{"id":1}{"method":2}"#.to_vec(), "unexpected response to request 1"),
        (b"HTTP/1.1 400 Bad Request".to_vec(), "byte 0x48 between messages"),
        (b"{\"id\":\"\xff\"}".to_vec(), "not valid JSON"),
        (large.into_bytes(), "exceeds the limit of 65536 bytes"),
        (costly.into_bytes(), "bytes of memory"),
        (deep.into_bytes(), "nested more than 64 levels"),
    ]
}

#[tokio::test]
async fn nonsense_ends_the_connection_by_name_and_the_next_one_is_synced_in_full() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint: Endpoint = format!("tcp:{}", listener.local_addr().unwrap()).parse().unwrap();
    let mut config = Config::new(endpoint, "D", MonitorSpec::new().table("T", &["n"]));
    config.max_backoff = Duration::from_millis(1);
    config.max_message = MAX_MESSAGE;
    let client = Client::start(config);
    let mut status = client.watch_status();
    let mut peer = Peer::accept(&listener).await;
    for (syncs, (message, error)) in (1..).zip(nonsense()) {
        // Until now the client never resumes: what it has cannot be trusted.
        peer.sync().await;
        tokio::time::timeout_at(soon(), status.wait_for(|s| s.syncs == syncs)).await.unwrap().unwrap();
        peer.send(&message).await;
        let ended = tokio::time::timeout_at(soon(), status.wait_for(|s| s.last_error.is_some())).await;
        let said = ended.unwrap().unwrap().last_error.clone().unwrap();
        assert!(said.contains(error), "{said:?} does not say {error:?}");
        assert_eq!(client.cache().rows("T").map(|(_, row)| row["n"].clone()).collect::<Vec<_>>(), [1.into()]);
        peer = Peer::accept(&listener).await;
        assert_eq!(client.status().protocol_errors, syncs);
    }
}

/// What a server must not answer to the requests for its schema and a dump.
fn false_starts() -> Vec<(Option<Value>, Value, &'static str)> {
    let schema =
        |columns: Value| json!({"name": "D", "version": "1.0.0", "tables": {"T": {"columns": columns}}});
    let good = || Some(schema(json!({"n": {"type": "integer"}})));
    vec![
        (None, json!("no schema"), "schema member"),
        (None, json!({"name": "E", "version": "1", "tables": {}}), "unexpected schema of database E"),
        (None, schema(json!({"n": {"type": "decimal"}})), "type of column T.n is not understood"),
        (None, schema(json!({"m": {"type": "integer"}})), "schema has no column T.n"),
        (good(), json!({}), "not a triple"),
        (good(), json!([false, "x", {}]), "malformed transaction id"),
        (good(), json!([true, ZERO, {}]), "resumption nobody asked for"),
        (good(), json!([false, ZERO, {"T": {ROW: {"modify": {"n": 2}}}}]), "dump holds a change of row"),
        (good(), json!([false, ZERO, {"T": {ROW: {"initial": {"n": true}}}}]), "value of T.n does not fit"),
        (good(), json!([false, ZERO, {"T": [], "U": {}}]), "row updates are not an object"),
    ]
}

#[tokio::test]
async fn false_start_is_named_and_the_next_one_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint: Endpoint = format!("tcp:{}", listener.local_addr().unwrap()).parse().unwrap();
    let mut config = Config::new(endpoint, "D", MonitorSpec::new().table("T", &["n"]));
    config.max_backoff = Duration::from_millis(1);
    let client = Client::start(config);
    let mut status = client.watch_status();
    for (schema, last, error) in false_starts() {
        let mut peer = Peer::accept(&listener).await;
        for result in schema.into_iter().chain([last]) {
            let request = peer.receive().await;
            let answer = json!({"id": request["id"], "result": result, "error": null});
            peer.send(answer.to_string().as_bytes()).await;
        }
        let named = status.wait_for(|s| s.last_error.as_ref().is_some_and(|said| said.contains(error)));
        let named = tokio::time::timeout_at(soon(), named).await;
        assert!(named.is_ok(), "{error:?} is not in {:?}", client.status().last_error);
        assert_eq!((client.status().syncs, client.cache().rows("T").count()), (0, 0));
    }
    Peer::accept(&listener).await.sync().await;
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
