//! Random histories under trouble: whatever happens to the server and the network, a follower's sequence has no gap and no
//! duplicate, and what was answered is there.
//!
//! A writer makes random transactions through one client and keeps the log; a follower watches through another one. At
//! random the network goes silent or down, the server is suspended or killed, history is compacted. In the end the
//! follower's mirror must be the store, and every item it saw must be what the log says of its revision.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::keys::TenantObject;
use store::{Compare, Event, Key, Mirror, Outcome, Prefix, Store, StoreError, Txn, WatchItem, WatchStream};
use types::Revision;

use crate::backends::EtcdServer;
use crate::cases::{all, network, put};
use crate::proxy::{Network, Proxy};

/// What each revision wrote: keys with their values, `None` for a deletion.
type Log = BTreeMap<Revision, BTreeMap<Key, Option<String>>>;

fn networks() -> Prefix {
    Prefix::all(TenantObject::Network)
}

/// Does a transaction as careful callers do: again after a passing error, and read back after a lost answer. Every
/// transaction writes a marker that tells whether it happened.
async fn surely(store: &dyn Store, ops: &BTreeMap<Key, Option<String>>, marker: &Key, n: usize) -> Revision {
    let text = n.to_string();
    loop {
        let txn =
            ops.iter().fold(Txn::new().put(marker.clone(), text.clone()), |txn, (key, value)| match value {
                Some(value) => txn.put(key.clone(), value.clone()),
                None => txn.delete(key.clone()),
            });
        match store.txn(txn).await {
            Ok(Outcome::Committed { revision }) => return revision,
            Ok(other) => panic!("transaction {n} was done before: {other:?}"),
            Err(error) if error.is_transient() => {}
            Err(StoreError::Indeterminate { .. }) => {
                if let Some(revision) = happened(store, marker, &text).await {
                    return revision;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn happened(store: &dyn Store, marker: &Key, text: &str) -> Option<Revision> {
    loop {
        match store.get(marker).await {
            Ok(kv) => return kv.filter(|kv| kv.value.as_bytes() == text.as_bytes()).map(|kv| kv.modified),
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
}

/// Random writes; ends with a key that says so.
async fn write(
    store: Arc<dyn Store>,
    mut rng: StdRng,
    count: usize,
    done: tokio::sync::watch::Sender<usize>,
) -> Log {
    let marker = network("marker", "m");
    let mut log = Log::new();
    for n in 0..count {
        let mut ops = BTreeMap::new();
        for _ in 0..rng.random_range(1..4) {
            let key = network("t", &format!("n{}", rng.random_range(0..12)));
            ops.insert(key, rng.random_bool(0.7).then(|| format!("{n}")));
        }
        let revision = surely(&*store, &ops, &marker, n).await;
        ops.insert(marker.clone(), Some(n.to_string()));
        log.insert(revision, ops);
        done.send_replace(n + 1);
    }
    log
}

/// What a follower saw.
struct Seen {
    mirror: Mirror,
    items: Vec<WatchItem>,
}

/// Follows until the last write has arrived, sometimes slowly.
async fn follow(mut watch: WatchStream, mut rng: StdRng, last: usize) -> Seen {
    let mut mirror = Mirror::new(Vec::new(), Revision::ZERO);
    let (mut items, marker, last) = (Vec::new(), network("marker", "m"), last.to_string());
    loop {
        let item = tokio::time::timeout(Duration::from_secs(60), watch.next()).await;
        let item = item.expect("the watch hangs").expect("the watch ended").expect("the watch failed");
        mirror.apply(item.clone());
        items.push(item);
        if mirror.items().get(&marker).is_some_and(|kv| kv.value.as_bytes() == last.as_bytes()) {
            return Seen { mirror, items };
        }
        for _ in 0..rng.random_range(0..20) {
            tokio::task::yield_now().await;
        }
    }
}

fn shown(events: &[Event]) -> BTreeMap<Key, Option<String>> {
    let text = |e: &Event| match e {
        Event::Put { current, .. } => Some(String::from_utf8(current.value.as_bytes().to_vec()).unwrap()),
        Event::Delete { .. } => None,
    };
    events.iter().map(|e| (e.key().clone(), text(e))).collect()
}

/// Holds what was seen against what was written.
fn check(seen: &Seen, log: &Log) -> usize {
    let mut state: BTreeMap<Key, String> = BTreeMap::new();
    let (mut at, mut resyncs) = (Revision::ZERO, 0);
    let mut written = log.iter().peekable();
    for item in &seen.items {
        assert!(item.revision() > at, "{at} and then {}", item.revision());
        at = item.revision();
        let mut expected = BTreeMap::new();
        while let Some((revision, ops)) = written.next_if(|(revision, _)| **revision <= at) {
            if matches!(item, WatchItem::Events { .. }) {
                assert_eq!(*revision, at, "the watch skipped a revision");
            }
            for (key, value) in ops {
                let changed = match value {
                    Some(value) => state.insert(key.clone(), value.clone()).as_ref() != Some(value),
                    None => state.remove(key).is_some(),
                };
                if changed {
                    expected.insert(key.clone(), value.clone());
                }
            }
        }
        match item {
            WatchItem::Events { events, .. } => assert_eq!(shown(events), expected, "at {at}"),
            WatchItem::Resync { items, .. } => {
                resyncs += 1;
                let text = |kv: &store::KeyValue| String::from_utf8(kv.value.as_bytes().to_vec()).unwrap();
                let items: BTreeMap<_, _> = items.iter().map(|kv| (kv.key.clone(), text(kv))).collect();
                assert_eq!(items, state, "resync at {at}");
            }
        }
    }
    assert!(written.next().is_none(), "the watch ended before the writes did");
    resyncs
}

/// One thing that happens. Each lasts until some writes were tried and leaves everything as it was.
async fn disturb(server: &mut EtcdServer, proxies: &[&Proxy], rng: &mut StdRng, control: &dyn Store) {
    let pause = Duration::from_millis(rng.random_range(50..400));
    let over = tokio::time::Instant::now() + pause;
    match rng.random_range(0..5) {
        0 => {
            server.signal("STOP");
            tokio::time::sleep_until(over).await;
            server.signal("CONT");
        }
        1 => {
            server.kill();
            server.restart().await;
        }
        2 | 3 => {
            let to = if rng.random_bool(0.5) { Network::Silent } else { Network::Down };
            let proxy = proxies[rng.random_range(0..proxies.len())];
            proxy.set(to);
            tokio::time::sleep_until(over).await;
            proxy.set(Network::Up);
        }
        _ => {
            // A follower that is behind loses its place.
            let proxy = proxies[proxies.len() - 1];
            proxy.set(Network::Down);
            tokio::time::sleep_until(over).await;
            if let Ok(health) = control.health().await {
                drop(control.compact(health.revision).await);
            }
            proxy.set(Network::Up);
        }
    }
}

async fn random_trouble(seed: u64) {
    const WRITES: usize = 600;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut server = EtcdServer::start(&[]).await;
    let (writers, followers) = (Proxy::before(server.address()).await, Proxy::before(server.address()).await);
    let control = server.connect("trouble").await;
    let writer = store::etcd(server.config_through("trouble", &writers)).await.unwrap();
    let reader = store::etcd(server.config_through("trouble", &followers)).await.unwrap();
    let watch = reader.watch(networks(), Revision::new(control.health().await.unwrap().revision.get()));
    let (done, progress) = tokio::sync::watch::channel(0);
    let writing = tokio::spawn(write(writer, StdRng::seed_from_u64(seed ^ 1), WRITES, done));
    let following = tokio::spawn(follow(watch, StdRng::seed_from_u64(seed ^ 2), WRITES - 1));
    let mut troubles = 0;
    while *progress.borrow() < WRITES {
        disturb(&mut server, &[&writers, &followers], &mut rng, &*control).await;
        troubles += 1;
        // Let some writes through in between.
        let next = *progress.borrow() + 20;
        let mut progress = progress.clone();
        let waited = progress.wait_for(|n| *n >= next.min(WRITES));
        tokio::time::timeout(Duration::from_secs(60), waited).await.expect("writes hang").unwrap();
    }
    let log = writing.await.unwrap();
    let seen = following.await.unwrap();
    let resyncs = check(&seen, &log);
    println!("seed {seed}: {troubles} troubles, {} items, {resyncs} resyncs", seen.items.len());
    let now = all(&*control, &networks()).await;
    assert_eq!(seen.mirror.items().values().cloned().collect::<Vec<_>>(), now);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_through_any_trouble_misses_nothing_and_repeats_nothing() {
    futures_util::future::join_all([1, 2, 3].map(|seed| tokio::spawn(random_trouble(seed))))
        .await
        .into_iter()
        .for_each(|run| run.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_carries_nothing_hangs_nobody() {
    let server = EtcdServer::start(&[]).await;
    let proxy = Proxy::before(server.address()).await;
    let direct = server.connect("silent").await;
    let store = store::etcd(server.config_through("silent", &proxy)).await.unwrap();
    let first = put(&*store, &network("a", "1"), "x").await;
    let mut watch = store.watch(networks(), first);
    proxy.set(Network::Silent);
    let patience = Duration::from_secs(12);
    let read = tokio::time::timeout(patience, store.get(&network("a", "1"))).await.expect("a read hangs");
    assert!(read.unwrap_err().is_transient());
    let create = Txn::new().when(Compare::Absent(network("a", "2"))).put(network("a", "2"), "x");
    let lost = tokio::time::timeout(patience, store.txn(create)).await.expect("a write hangs").unwrap_err();
    assert!(matches!(lost, StoreError::Transient { .. } | StoreError::Indeterminate { .. }), "{lost}");
    // Others go on, and history with them.
    let second = put(&*direct, &network("a", "3"), "x").await;
    direct.compact(second).await.unwrap();
    let third = put(&*direct, &network("a", "4"), "x").await;
    proxy.set(Network::Up);
    let mut mirror = Mirror::new(vec![direct.get(&network("a", "1")).await.unwrap().unwrap()], first);
    while mirror.revision() < third {
        let item =
            tokio::time::timeout(Duration::from_secs(30), watch.next()).await.expect("the watch is silent");
        let events = mirror.apply(item.unwrap().unwrap());
        assert!(!events.is_empty());
    }
    // The write whose answer was lost may have come through or not; the mirror is the store either way.
    assert_eq!(mirror.items().values().cloned().collect::<Vec<_>>(), all(&*direct, &networks()).await);
}

/// Transactions of several keys, while the server is killed again and again: each is there as a whole or not at all, and
/// every answered one is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_mid_transaction_keeps_whole_transactions_only() {
    const KEYS: usize = 8;
    const KILLS: usize = 6;
    /// Answers between two kills.
    const ANSWERS: usize = 12;
    let mut server = EtcdServer::start(&[]).await;
    let store = server.connect("kill").await;
    let (done, mut progress) = tokio::sync::watch::channel(0);
    let writer = Arc::clone(&store);
    // Until nobody wants to know any more: however many it fails to write meanwhile.
    let writing = tokio::spawn(async move {
        let mut answered = Vec::new();
        let mut n = 0;
        while done.receiver_count() > 0 {
            let keys = (0..KEYS).map(|k| network(&format!("t{n}"), &format!("n{k}")));
            let create = keys.fold(Txn::new(), |txn, key| {
                txn.when(Compare::Absent(key.clone())).put(key, vec![b'x'; 2_000])
            });
            match writer.txn(create).await {
                Ok(Outcome::Committed { revision }) => answered.push((n, revision)),
                Ok(other) => panic!("{other:?}"),
                Err(error) => assert!(
                    error.is_transient() || matches!(error, StoreError::Indeterminate { .. }),
                    "{error}"
                ),
            }
            done.send_replace(answered.len());
            n += 1;
        }
        answered
    });
    for _ in 0..KILLS {
        let next = *progress.borrow() + ANSWERS;
        progress.wait_for(|answered| *answered >= next).await.unwrap();
        server.kill();
        server.restart().await;
    }
    drop(progress);
    let answered = writing.await.unwrap();
    let mut stored: BTreeMap<String, Vec<Revision>> = BTreeMap::new();
    let fresh = server.connect("kill").await;
    for kv in all(&*fresh, &networks()).await {
        let tenant = kv.key.as_str().split('/').nth(1).unwrap().to_owned();
        stored.entry(tenant).or_default().push(kv.modified);
    }
    for (tenant, revisions) in &stored {
        assert!(
            revisions.len() == KEYS && revisions.iter().all(|r| *r == revisions[0]),
            "{tenant}: {revisions:?}"
        );
    }
    for (n, revision) in answered {
        assert_eq!(
            stored.get(&format!("t{n}")).map(|r| r[0]),
            Some(revision),
            "transaction {n} was answered"
        );
    }
}
