//! What only etcd has: a network in between, limits of its own, neighbours, a server that restarts.

use std::time::Duration;

use etcd_client::PermissionType;
use tokio::io::AsyncBufReadExt;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use store::election::{FencedError, campaign};
use store::keys::{Space, TenantObject};
use store::{
    Compare, EtcdConfig, EtcdTls, EtcdUser, Limits, Outcome, Prefix, Store, StoreError, Txn, WatchItem,
    follow, list_all,
};
use types::Revision;

use crate::backends::{Cluster, EtcdServer, Setup, send};
use crate::cases::{all, commit, head, network, next, put, tenant, value, vni};

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
async fn probed_limits_are_the_most_the_server_grants() {
    let (most, stock) = (Limits::RAISED, Limits::default());
    for (args, granted) in [
        (&[][..], stock),
        (&["--max-txn-ops=8192"], Limits { max_ops: most.max_ops, ..stock }),
        (&["--max-request-bytes=8388608"], Limits { max_bytes: most.max_bytes, ..stock }),
        (&["--max-txn-ops=8192", "--max-request-bytes=8388608"], most),
    ] {
        let server = EtcdServer::start(args).await;
        assert_eq!(store::etcd_probed(server.config("probed")).await.unwrap().limits(), granted, "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configured_limits_must_be_granted_by_the_server() {
    let large = Limits { max_ops: 512, max_bytes: 4 << 20 };
    let stock = EtcdServer::start(&[]).await;
    for limits in [
        Limits { max_bytes: large.max_bytes, ..Limits::default() },
        Limits { max_ops: large.max_ops, ..Limits::default() },
    ] {
        let refused = store::etcd(EtcdConfig { limits, ..stock.config("limits") }).await.err();
        assert!(matches!(refused, Some(StoreError::LimitsRefused { .. })), "{refused:?}");
    }

    let wide = EtcdServer::start(&["--max-txn-ops=8192", "--max-request-bytes=8388608"]).await;
    let store = store::etcd(EtcdConfig { limits: large, ..wide.config("limits") }).await.unwrap();
    let before = head(&*store).await;
    let again = store::etcd(EtcdConfig { limits: large, ..wide.config("limits") }).await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_does_not_hang_its_clients() {
    let server = EtcdServer::start(&[]).await;
    let store = server.connect("frozen").await;
    let first = put(&*store, &tenant("a"), "1").await;
    let mut watch = store.watch(Prefix::tenants(), first);

    server.signal("STOP");
    let read = tokio::time::timeout(Duration::from_secs(12), store.get(&tenant("a"))).await;
    let write =
        tokio::time::timeout(Duration::from_secs(12), store.txn(Txn::new().put(tenant("b"), "2"))).await;
    server.signal("CONT");
    let read = read.expect("a read hangs").unwrap_err();
    assert!(read.is_transient(), "{read}");
    // It reads before it writes, and so never got to writing.
    assert!(write.expect("a write hangs").unwrap_err().is_transient());

    let second = retried_put(&*store, "c").await;
    assert_eq!(next(&mut watch).await.revision(), second);
}

/// Writes as callers do: again after a passing error.
async fn retried_put(store: &dyn Store, name: &str) -> Revision {
    let create = || Txn::new().when(Compare::Absent(tenant(name))).put(tenant(name), "x");
    for _ in 0..10 {
        match store.txn(create()).await {
            Ok(outcome) => return outcome.revision().expect("a conflict"),
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    panic!("no success after the server went on");
}

/// A server that demands encryption and client certificates, with what a client needs.
struct Pki {
    setup: Setup,
    _dir: tempfile::TempDir,
}

fn pki() -> Pki {
    let dir = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &ca).unwrap().pem(), key.serialize_pem())
    };
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).to_str().unwrap().to_owned()
    };
    let (server_cert, server_key) = issue("127.0.0.1");
    let (client_cert, client_key) = issue("netmaster");
    let arguments = vec![
        format!("--cert-file={}", write("server.pem", &server_cert)),
        format!("--key-file={}", write("server.key", &server_key)),
        format!("--trusted-ca-file={}", write("ca.pem", &ca.pem())),
        "--client-cert-auth".to_owned(),
    ];
    let tls = EtcdTls {
        ca_pem: ca.pem().into_bytes(),
        client_pem: Some((client_cert.into_bytes(), client_key.into_bytes())),
        server_name: None,
    };
    Pki { setup: Setup { arguments, tls: Some(tls) }, _dir: dir }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encryption_checks_both_sides() {
    let pki = pki();
    let server = EtcdServer::start_with(pki.setup.clone()).await;
    let store = server.connect("tls").await;
    put(&*store, &tenant("a"), "1").await;

    let config = || server.config("tls");
    let tls = || pki.setup.tls.clone().unwrap();
    let other_ca = self::pki().setup.tls.unwrap().ca_pem;
    for (who, tls) in [
        ("a client that trusts another authority", EtcdTls { ca_pem: other_ca, ..tls() }),
        ("a client without certificate", EtcdTls { client_pem: None, ..tls() }),
        ("a client that expects another name", EtcdTls { server_name: Some("other".into()), ..tls() }),
    ] {
        let refused = store::etcd(EtcdConfig { tls: Some(tls), ..config() }).await;
        assert!(refused.is_err(), "{who} was let in");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_is_needed_and_errors_keep_the_password() {
    let server = EtcdServer::start(&[]).await;
    let mut admin = etcd_client::Client::connect(server.config("x").endpoints, None).await.unwrap();
    admin.user_add("root", "root-password", None).await.unwrap();
    admin.role_add("root").await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    admin.user_add("selvage", "hunter2", None).await.unwrap();
    admin.role_add("selvage").await.unwrap();
    let own = etcd_client::Permission::new(PermissionType::Readwrite, "/login/").with_prefix();
    admin.role_grant_permission("selvage", own).await.unwrap();
    admin.user_grant_role("selvage", "selvage").await.unwrap();
    admin.auth_enable().await.unwrap();

    let with = |password: &str, prefix: &str| {
        let user = Some(EtcdUser { name: "selvage".into(), password: password.into() });
        EtcdConfig { user, ..server.config(prefix) }
    };
    let store = store::etcd(with("hunter2", "login")).await.unwrap();
    let at = put(&*store, &tenant("a"), "1").await;
    let mut watch = store.watch(Prefix::everything(), Revision::new(at.get() - 1));
    assert_eq!(next(&mut watch).await.revision(), at);
    // Leading and its duties need no more rights than the folder's.
    let leadership = campaign(&store, "r1", LEADER_TTL).await.unwrap();
    let _ = leadership.fence().txn(&*store, Txn::new().put(tenant("b"), "1")).await.unwrap();
    store.compact(at).await.unwrap();
    leadership.resign().await.unwrap();

    for config in [with("wrong-hunter2", "login"), with("hunter2", "elsewhere"), server.config("login")] {
        assert!(!format!("{config:?}").contains("hunter2"));
        let refused = store::etcd(config).await.err().expect("let in");
        assert!(!refused.is_transient(), "{refused}");
        assert!(!refused.to_string().contains("hunter2") && !format!("{refused:?}").contains("hunter2"));
    }
}

/// Tells the test binary to be the leader below, on this etcd.
const LEAD_ON: &str = "SELVAGE_TEST_LEAD_ON";
const LEADER_TTL: Duration = Duration::from_secs(2);

/// Not a test of its own: leads and writes numbers, and never asks whether its time is over, as a process that was just
/// woken does not know it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leading_process() {
    let Ok(url) = std::env::var(LEAD_ON) else { return };
    let config = EtcdConfig::new([url], types::Name::new("paused").unwrap());
    let store = store::etcd(config).await.unwrap();
    let leadership = campaign(&store, "paused", LEADER_TTL).await.unwrap();
    for n in 1.. {
        match leadership.fence().txn(&*store, Txn::new().put(vni(n), "x")).await {
            Ok(_) => println!("wrote {n}"),
            Err(FencedError::Deposed(_)) => return println!("deposed"),
            Err(FencedError::Store(error)) => assert!(error.is_transient(), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_leader_wakes_up_and_its_write_is_refused() {
    let server = EtcdServer::start(&[]).await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "etcd_only::leading_process", "--nocapture"])
        .env(LEAD_ON, format!("http://{}", server.address()))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = async |what: &str| {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(what) {
                return true;
            }
        }
        false
    };
    assert!(said("wrote 20").await, "it never led");
    let pid = child.id().unwrap();
    send("STOP", pid);
    let store = server.connect("paused").await;
    let next = tokio::time::timeout(Duration::from_secs(20), campaign(&store, "next", LEADER_TTL));
    let next = next.await.expect("nobody takes over from a suspended leader").unwrap();
    let before = all(&*store, &Prefix::allocations(Space::Vni)).await;
    send("CONT", pid);
    assert!(said("deposed").await, "it went on writing");
    child.wait().await.unwrap();
    assert_eq!(all(&*store, &Prefix::allocations(Space::Vni)).await, before, "a deposed leader wrote");
    assert!(before.iter().all(|kv| kv.modified < next.fence().token()));
}

/// Three members; whichever is killed, suspended or leads, writers and watchers go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_any_one_member_loses_nothing() {
    let mut cluster = Cluster::start().await;
    let store = cluster.connect("three").await;
    let mut followed = follow(&store, Prefix::all(TenantObject::Network)).await.unwrap();
    let mut written = Vec::new();
    let mut n = 0;
    let mut some = async |written: &mut Vec<(String, Revision)>| {
        for _ in 0..10 {
            n += 1;
            let name = format!("n{n}");
            let revision = surely_created(&*store, &name).await;
            written.push((name, revision));
        }
    };
    some(&mut written).await;
    // Every member in turn, and so the leader wherever it is.
    for member in 0..3 {
        cluster.kill(member);
        some(&mut written).await;
        cluster.restart(member).await;
        cluster.signal(member, "STOP");
        some(&mut written).await;
        cluster.signal(member, "CONT");
    }
    some(&mut written).await;
    let last = written.last().unwrap().0.clone();
    let mut seen: Vec<(String, Revision)> = Vec::new();
    while seen.last().is_none_or(|(name, _)| *name != last) {
        let events =
            tokio::time::timeout(Duration::from_secs(30), followed.next()).await.expect("the watch hangs");
        for event in events.unwrap() {
            let store::Event::Put { current, previous: None } = event else { panic!("{event:?}") };
            seen.push((current.key.as_str().rsplit('/').next().unwrap().to_owned(), current.modified));
        }
    }
    assert_eq!(seen, written);
}

/// Creates an object, again and again until it is certain that it exists. A member that is away refuses within a
/// millisecond: it is time that shows whether the others answer, not the number of tries.
async fn surely_created(store: &dyn Store, name: &str) -> Revision {
    let key = network("t", name);
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        ticks.tick().await;
        match store.txn(Txn::new().when(Compare::Absent(key.clone())).put(key.clone(), "x")).await {
            Ok(Outcome::Committed { revision }) => return revision,
            // After a lost answer: it was we.
            Ok(Outcome::Conflict { failed, .. }) => return failed[0].present.as_ref().unwrap().modified,
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                let passes = error.is_transient() || matches!(error, StoreError::Indeterminate { .. });
                assert!(passes, "{error}");
                let is_late = tokio::time::Instant::now() > deadline;
                assert!(!is_late, "{name} cannot be written with two of three members: {error}");
            }
        }
    }
}
