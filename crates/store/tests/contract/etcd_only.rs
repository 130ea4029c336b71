//! What only etcd has: a network in between, limits of its own, neighbours, a server that restarts.

use store::keys::Space;
use store::{Limits, Prefix, StoreError, Txn, WatchItem, list_all};
use types::Revision;

use crate::backends::EtcdServer;
use crate::cases::{all, commit, head, next, put, tenant, value, vni};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_and_clients_survive_a_crash_of_the_server() {
    let mut server = EtcdServer::start(&[]).await;
    let store = server.connect("crash").await;
    let first = put(&*store, &tenant("a"), "1").await;
    let mut watch = store.watch(Prefix::tenants(), Revision::ZERO);
    assert_eq!(next(&mut watch).await.revision(), first);

    server.kill();
    let down = store.get(&tenant("a")).await.unwrap_err();
    assert!(down.is_transient(), "{down}");
    let lost = store.txn(Txn::new().put(tenant("b"), "x")).await.unwrap_err();
    assert!(lost.is_transient() || matches!(lost, StoreError::Indeterminate { .. }), "{lost}");
    server.restart().await;

    // Another client, so that the old one has to find its way back through the watch alone.
    let other = server.connect("crash").await;
    assert_eq!(other.store_id(), store.store_id());
    let second = put(&*other, &tenant("a"), "2").await;
    let third = put(&*other, &tenant("c"), "3").await;
    assert_eq!(next(&mut watch).await.revision(), second);
    assert_eq!(next(&mut watch).await.revision(), third);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_that_share_an_etcd_do_not_see_each_other() {
    let server = EtcdServer::start(&[]).await;
    let one = server.connect("lab").await;
    let two = server.connect("lab2").await;
    assert_ne!(one.store_id(), two.store_id());
    let start = head(&*one).await;
    let mut watch = one.watch(Prefix::everything(), start);
    put(&*two, &tenant("a"), "two").await;
    let mine = put(&*one, &tenant("b"), "one").await;
    assert_eq!(value(&*one, &tenant("a")).await, None);
    assert_eq!(all(&*one, &Prefix::tenants()).await.len(), 1);
    assert_eq!(next(&mut watch).await.revision(), mine);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_message_arrives_in_lists_and_watches() {
    let server = EtcdServer::start(&[]).await;
    let store = server.connect("large").await;
    let start = head(&*store).await;
    let mut written = Vec::new();
    for n in 1..=7 {
        let filled = Txn::new().put(vni(n), vec![b'x'; 700_000]).put(vni(100 + n), vec![b'y'; 700_000]);
        written.push(commit(&*store, filled).await);
    }
    let mut watch = store.watch(Prefix::allocations(Space::Vni), start);
    for expected in written {
        let WatchItem::Events { revision, events } = next(&mut watch).await else { panic!("resync") };
        assert_eq!((revision, events.len()), (expected, 2));
    }
    let (items, _) = list_all(&*store, &Prefix::allocations(Space::Vni)).await.unwrap();
    assert_eq!(items.len(), 14);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_come_in_pages_of_one_revision() {
    let server = EtcdServer::start(&[]).await;
    let store = server.connect("pages").await;
    for chunk in 0..9 {
        let keys = (0..125).map(|i| vni(1 + chunk * 125 + i));
        commit(&*store, keys.fold(Txn::new(), |txn, key| txn.put(key, "x"))).await;
    }
    assert_eq!(all(&*store, &Prefix::allocations(Space::Vni)).await.len(), 9 * 125);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configured_limits_must_be_granted_by_the_server() {
    let large = Limits { max_ops: 512, max_bytes: 4 << 20 };
    let stock = EtcdServer::start(&[]).await;
    for limits in [
        Limits { max_bytes: large.max_bytes, ..Limits::default() },
        Limits { max_ops: large.max_ops, ..Limits::default() },
    ] {
        let refused = stock.connect_with("limits", limits).await.err();
        assert!(matches!(refused, Some(StoreError::LimitsRefused { .. })), "{refused:?}");
    }

    let wide = EtcdServer::start(&["--max-txn-ops=8192", "--max-request-bytes=8388608"]).await;
    let store = wide.connect_with("limits", large).await.unwrap();
    let before = head(&*store).await;
    let again = wide.connect_with("limits", large).await.unwrap();
    assert_eq!(head(&*again).await, before, "asking for limits writes nothing");
    let keys = (1..=512).map(vni);
    commit(&*store, keys.fold(Txn::new(), |txn, key| txn.put(key, vec![b'x'; 4_000]))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_server_is_a_passing_trouble() {
    let mut server = EtcdServer::start(&[]).await;
    let config = server.config("nobody");
    server.kill();
    let error = store::etcd(config).await.err().unwrap();
    assert!(error.is_transient(), "{error}");
}
