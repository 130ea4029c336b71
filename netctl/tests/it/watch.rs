//! `--watch`: what is seen, in which order, and how it ends.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use test_support::wait_for;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::master::Master;
use crate::running::Running;

async fn does(master: &Master, line: &str) {
    let said = master.netctl(line.split(' ').map(str::to_owned).collect(), String::new()).await;
    assert!(!said.starts_with('!'), "{line}: {said}");
}

/// What programs read: one JSON object a line.
fn event(line: &str) -> (String, String) {
    let event: Value = serde_json::from_str(line).expect("one JSON object a line");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    (text(&event["type"]), format!("{}/{}", text(&event["object"]["tenant"]), text(&event["object"]["name"])))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_one_line_of_json() {
    let master = Master::start().await;
    does(&master, "tenant create blue").await;
    does(&master, "policy create -t blue old").await;
    let mut watch = Running::start(&master, &master.server, "get policies -t blue --watch -o json");
    watch.says("old").await;
    does(&master, "policy create -t blue guard").await;
    does(&master, "policy rule-add -t blue guard web -l tcp -P 80").await;
    does(&master, "policy create other").await;
    does(&master, "policy rm -t blue guard").await;
    watch.says("deleted").await;
    let seen: Vec<_> = watch.said().iter().map(|l| event(l)).collect();
    let seen: Vec<_> = seen.iter().map(|(kind, name)| (kind.as_str(), name.as_str())).collect();
    let wanted = [
        ("added", "blue/old"),
        ("added", "blue/guard"),
        ("modified", "blue/guard"),
        ("deleted", "blue/guard"),
    ];
    assert_eq!(seen, wanted);
    watch.interrupt();
    assert_eq!(watch.end().await, Some(0));
    assert_eq!(watch.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_object_is_watched_by_name_in_a_table() {
    let master = Master::start().await;
    let mut watch = Running::start(&master, &master.server, "get net front -w");
    does(&master, "network create -s 10.1.2.0/24 back").await;
    does(&master, "network create -s 10.1.1.0/24 front").await;
    watch.says("added").await;
    does(&master, "network rm front").await;
    watch.says("deleted").await;
    let said = watch.said();
    let words: Vec<Vec<_>> = said.iter().map(|l| l.split_whitespace().take(3).collect()).collect();
    assert_eq!(words[0], ["Event", "Tenant", "Network"]);
    assert_eq!(words[2..], [["added", "default", "front"], ["deleted", "default", "front"]]);
    watch.interrupt();
    assert_eq!(watch.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_come_later_are_watched_too() {
    let master = Master::start().await;
    does(&master, "tenant create blue").await;
    does(&master, "policy create -t blue guard").await;
    let mut watch = Running::start(&master, &master.server, "get policy --all --watch -o json");
    watch.says("guard").await;
    does(&master, "tenant create red").await;
    does(&master, "policy create -t red fence").await;
    let added = watch.says("fence").await;
    assert_eq!(event(&added), ("added".to_owned(), "red/fence".to_owned()));
    // A tenant that goes takes nothing along, and is no failure.
    does(&master, "policy rm -t red fence").await;
    does(&master, "tenant rm red").await;
    does(&master, "policy create -t blue last").await;
    watch.says("last").await;
    // Each tenant has a stream of its own: what comes last in one may be read before what comes first in another.
    watch.says("deleted").await;
    let kinds: Vec<_> =
        watch.said().iter().map(|l| event(l)).filter(|(_, name)| name == "red/fence").collect();
    assert_eq!(kinds.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), ["added", "deleted"]);
    watch.interrupt();
    assert_eq!(watch.end().await, Some(0));
}

/// Connections to netmaster that can be cut.
struct Wire {
    address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
    listening: AbortHandle,
}

impl Wire {
    async fn to(server: &str) -> Self {
        let server = server.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let all = Arc::clone(&connections);
        let listening = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(&server).await.unwrap();
                all.lock().unwrap().spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address, connections, listening: listening.abort_handle() }
    }

    fn cut(&self) {
        self.connections.lock().unwrap().abort_all();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connection_is_told_and_nothing_is_missed_or_seen_twice() {
    let master = Master::start().await;
    let wire = Wire::to(&master.server).await;
    let mut watch =
        Running::start(&master, &format!("https://{}", wire.address), "get policy --watch -o name");
    does(&master, "policy create before").await;
    watch.says("added before").await;
    // It may be between its list and its stream, where nothing is open that could be lost.
    let told = wait_for("a complaint", Duration::from_secs(20), async || {
        wire.cut();
        let complaints = watch.complaints();
        if complaints.iter().any(|c| c.starts_with("connection lost, trying again: ")) {
            Ok(())
        } else {
            Err("none")
        }
    });
    told.await.unwrap();
    does(&master, "policy create meanwhile").await;
    watch.says("added meanwhile").await;
    does(&master, "policy rm before").await;
    watch.says("deleted before").await;
    assert_eq!(watch.said(), ["added before", "added meanwhile", "deleted before"]);
    watch.interrupt();
    assert_eq!(watch.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_ends_after_its_time_and_with_a_refusal() {
    let master = Master::start().await;
    let mut watch = Running::start(&master, &master.server, "get tenant --watch --timeout 4s -o name");
    assert_eq!((watch.end().await, watch.said()), (Some(0), vec!["added default".to_owned()]));
    let refused = Running::start(&master, &master.server, "get policy -t nobody --watch").end().await;
    assert_eq!(refused, Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_is_shown_again_when_it_changes() {
    let master = Master::start().await;
    let mut watch = Running::start(&master, &master.server, "status --watch");
    watch.says("nothing is wrong").await;
    master.join("node-1", "192.0.2.1").await;
    watch.says("1 thing is wrong").await;
    watch.says("node node-1").await;
    does(&master, "node rm node-1").await;
    watch.interrupt();
    assert_eq!(watch.end().await, Some(0));
}
