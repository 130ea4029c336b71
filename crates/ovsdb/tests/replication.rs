//! The driver against real ovsdb-servers: the replica follows, whatever happens to the server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the result")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;
use ovsdb::cache::RowChange;
use ovsdb::driver::ClientError;
use ovsdb::monitor::MonitorMethod;
use ovsdb::operation::{Condition, Operation, Until, Wait, row};
use ovsdb::outcome::OpResult;
use ovsdb::typed::RowError;
use ovsdb::vswitch::tables::{Interface, Manager, OpenVSwitch};
use ovsdb::vswitch::{PortKind, PortSpec, Vswitch, delete_bridge, ensure_bridge, ensure_ports, monitor_spec};
use ovsdb::{Client, Endpoint, Transaction};
use support::proxy::Proxy;
use support::{PATIENCE, Server, add_bridge, bridge_spec, contents, name, owner, soon, wait_syncs};
use test_support::wait_for;

/// Changes of every kind a column can go through, made by another client.
fn churn(server: &Server) {
    server.vsctl(&[
        "--may-exist",
        "add-br",
        "br1",
        "--",
        "add-port",
        "br1",
        "p1",
        "--",
        "add-port",
        "br1",
        "p2",
    ]);
    server.vsctl(&[
        "set",
        "interface",
        "p1",
        "ofport_request=5",
        "external_ids:a=1",
        "external_ids:b=2",
        "options:x=y",
    ]);
    server.vsctl(&["set", "interface", "p1", "ofport_request=6", "external_ids:b=3"]);
    server.vsctl(&[
        "remove",
        "interface",
        "p1",
        "external_ids",
        "a",
        "--",
        "clear",
        "interface",
        "p1",
        "ofport_request",
    ]);
    server.vsctl(&["set", "bridge", "br1", "protocols=OpenFlow13,OpenFlow15", "fail_mode=standalone"]);
    server.vsctl(&["set", "bridge", "br1", "protocols=OpenFlow15,OpenFlow10", "fail_mode=secure"]);
    server.vsctl(&[
        "set",
        "port",
        "p2",
        "tag=7",
        "--",
        "--id=@t",
        "create",
        "flow_table",
        "prefixes=ip_dst",
        "--",
        "set",
        "bridge",
        "br1",
        "flow_tables:3=@t",
    ]);
    server.vsctl(&["del-port", "br1", "p2"]);
}

#[tokio::test]
async fn replica_equals_the_dump_after_every_kind_of_change() {
    let server = Server::start();
    let client = server.client().await;
    assert_eq!(client.status().method, MonitorMethod::CondSince);
    churn(&server);
    server.wait_equal(&client).await;
}

#[tokio::test]
async fn falls_back_to_older_monitors() {
    let server = Server::start();
    server.appctl(&["ovsdb-server/disable-monitor-cond"]);
    let client = server.client().await;
    assert_eq!(client.status().method, MonitorMethod::Plain);
    churn(&server);
    server.wait_equal(&client).await;
}

#[tokio::test]
async fn killed_server_is_found_again_and_the_gap_reported() {
    let mut server = Server::start();
    let client = server.client().await;
    add_bridge(&client, "br-old").await;
    let mut events = client.events();
    server.kill();
    let error = wait_for_failure(&client).await;
    assert!(error.is_transient(), "{error}");
    assert!(
        Vswitch::new(&client.cache()).bridge("br-old").unwrap().is_some(),
        "the replica outlives the server"
    );
    server.start_again();
    wait_syncs(&client, 2).await;
    churn(&server);
    server.wait_equal(&client).await;
    let event = events.next().await.unwrap().unwrap();
    assert!(
        event.iter().all(|e| !matches!(&e.change, RowChange::Deleted(_))),
        "no row is reported gone: {event:?}"
    );
}

async fn wait_for_failure(client: &Client) -> ClientError {
    let mut status = client.watch_status();
    tokio::time::timeout_at(soon(), status.wait_for(|s| !s.is_synced())).await.unwrap().unwrap();
    client.transact(&Transaction::new()).await.unwrap_err()
}

#[tokio::test]
async fn changes_missed_while_disconnected_arrive_as_events() {
    let mut server = Server::start();
    let client = server.client().await;
    add_bridge(&client, "br-gone").await;
    add_bridge(&client, "br-kept").await;
    let before = contents(&client.cache(), &monitor_spec());
    let mut events = client.events();
    // While the client waits out its back-off the server comes back and changes.
    server.kill();
    wait_for_failure(&client).await;
    server.start_again();
    server.vsctl(&[
        "del-br",
        "br-gone",
        "--",
        "add-br",
        "br-new",
        "--",
        "set",
        "bridge",
        "br-kept",
        "external_ids:x=y",
    ]);
    wait_syncs(&client, 2).await;
    server.wait_equal(&client).await;
    let mut rows = before;
    replay(&mut rows, &mut events, &client).await;
}

#[tokio::test]
async fn clustered_database_is_resumed_without_a_dump() {
    let server = Server::start_clustered();
    let client = server.client().await;
    add_bridge(&client, "br0").await;
    assert!(!client.status().resumed);
    server.appctl(&["ovsdb-server/reconnect"]);
    wait_syncs(&client, 2).await;
    assert!(client.status().resumed, "{:?}", client.status());
    churn(&server);
    server.wait_equal(&client).await;
}

#[tokio::test]
async fn more_changes_than_the_server_remembers_are_made_up_by_a_dump_without_a_gap() {
    let server = Server::start_clustered();
    let proxy = Proxy::start(&server.socket());
    let mut config = server.config();
    config.endpoint = Endpoint::unix(proxy.socket());
    config.max_backoff = Duration::from_millis(20);
    let client = Client::start(config);
    client.wait_synced(soon()).await.unwrap();
    let writer = server.client().await;
    add_bridge(&writer, "br-gone").await;
    // The server keeps a hundred transactions, as long as they are smaller than the database (`ovsdb_txn_history_run`
    // in OVS ovsdb/transaction.c).
    let specs: Vec<_> =
        (0..100).map(|n| PortSpec::new(name(&format!("p{n}")), PortKind::System, None)).collect();
    writer
        .transact(&ensure_ports(&writer.cache(), &owner(), &name("br-gone"), &specs).unwrap())
        .await
        .unwrap();
    // Of that large one nothing is kept after a few more.
    for n in 0..5 {
        add_bridge(&writer, &format!("br-small{n}")).await;
    }
    server.wait_equal(&client).await;
    for (missed, resumed) in [(3, true), (150, false)] {
        let mut rows = contents(&client.cache(), &monitor_spec());
        let mut events = client.events();
        let syncs = client.status().syncs;
        proxy.set_open(false);
        wait_for_failure(&client).await;
        for n in 0..missed {
            let mut tx = Transaction::new();
            let root = Vswitch::new(&writer.cache()).root().unwrap().uuid;
            tx.update_row(root, [OpenVSwitch::NEXT_CFG.is(missed + n)]);
            writer.transact(&tx).await.unwrap();
        }
        add_bridge(&writer, &format!("br-{missed}")).await;
        if !resumed {
            let tx = delete_bridge(&writer.cache(), &owner(), &name("br-gone")).unwrap();
            writer.transact(&tx).await.unwrap();
        }
        proxy.set_open(true);
        wait_syncs(&client, syncs + 1).await;
        assert_eq!(client.status().resumed, resumed, "{missed} missed");
        server.wait_equal(&client).await;
        replay(&mut rows, &mut events, &client).await;
    }
}

/// Applies events to what was there before until it is what is there now.
async fn replay(rows: &mut support::Contents, events: &mut ovsdb::driver::Events, client: &Client) {
    while *rows != contents(&client.cache(), &monitor_spec()) {
        let batch = tokio::time::timeout_at(soon(), events.next()).await.unwrap().unwrap().unwrap();
        for event in batch.iter() {
            let table = rows.get_mut(&event.table).unwrap();
            match &event.change {
                RowChange::Inserted(new) => assert_eq!(table.insert(event.uuid, (**new).clone()), None),
                RowChange::Modified { old, new } => {
                    assert_eq!(table.insert(event.uuid, (**new).clone()).as_ref(), Some(&**old));
                }
                RowChange::Deleted(old) => assert_eq!(table.remove(&event.uuid).as_ref(), Some(&**old)),
            }
        }
    }
}

#[tokio::test]
async fn servers_probes_are_answered_while_a_transaction_waits() {
    let server = Server::start_managed();
    let writer = server.client().await;
    let socket = server.socket().with_file_name("managed.sock");
    // Open vSwitch probes no more often than once a second.
    let mut tx = Transaction::new();
    let target = format!("punix:{}", socket.display());
    let manager = tx.insert_row([Manager::TARGET.is(target), Manager::INACTIVITY_PROBE.is(1000)]);
    let root = Vswitch::new(&writer.cache()).root().unwrap().uuid;
    tx.mutate_row(root, vec![OpenVSwitch::MANAGER_OPTIONS.insert_named([&manager])]);
    writer.transact(&tx).await.unwrap();

    let proxy = Proxy::start(&socket);
    let mut config = server.config();
    config.endpoint = Endpoint::unix(proxy.socket());
    config.probe_interval = Duration::from_secs(60);
    let client = Client::start(config);
    client.wait_synced(soon()).await.unwrap();
    let (syncs, echoes) = (client.status().syncs, proxy.server_echoes());
    let waiting = tokio::spawn({
        let client = client.clone();
        let until = vec![row([("name", "br-late".into())])];
        let mut late = Transaction::new();
        late.push(Operation::Wait(Wait {
            table: "Bridge".into(),
            conditions: vec![],
            columns: vec!["name".into()],
            until: Until::Equal,
            rows: until,
            timeout: None,
        }));
        async move { client.transact(&late).await }
    });
    // It disconnects a client that leaves a second probe unanswered.
    wait_for("three probes of the server", PATIENCE, async || {
        let seen = proxy.server_echoes() - echoes;
        if seen >= 3 { Ok(()) } else { Err(format!("{seen}")) }
    })
    .await
    .unwrap();
    add_bridge(&writer, "br-late").await;
    let outcome = tokio::time::timeout_at(soon(), waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(outcome.results(), [OpResult::Done]);
    assert_eq!(client.status().syncs, syncs, "the connection is the same still");
}

#[tokio::test]
async fn converted_database_is_read_by_its_new_schema() {
    let server = Server::start();
    let mut config = server.config();
    config.max_backoff = Duration::from_millis(20);
    config.monitor = config.monitor.optional_column(Interface::LLDP);
    let client = Client::start(config);
    client.wait_synced(soon()).await.unwrap();
    assert!(client.status().absent_columns.is_empty());
    add_bridge(&client, "br0").await;

    let text = std::fs::read_to_string(support::SCHEMA).unwrap();
    let mut schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    schema["version"] = "8.4.0".into();
    schema.as_object_mut().unwrap().remove("cksum");
    schema["tables"]["Interface"]["columns"].as_object_mut().unwrap().remove("lldp");
    server.convert(&schema);
    let mut status = client.watch_status();
    let converted = status.wait_for(|s| s.is_synced() && s.schema_version.as_deref() == Some("8.4.0"));
    let seen = tokio::time::timeout_at(soon(), converted).await.unwrap().unwrap().clone();
    assert_eq!(seen.absent_columns.into_iter().collect::<Vec<_>>(), ["Interface.lldp"]);
    churn(&server);
    server.wait_equal(&client).await;
    let cache = client.cache();
    let row = cache.typed::<Interface>().next().unwrap();
    assert!(matches!(row.get(Interface::LLDP), Err(RowError::Absent { .. })));
    assert!(row.get(Interface::NAME).is_ok());
}

#[tokio::test]
async fn frozen_server_is_given_up_and_found_again_when_it_thaws() {
    let server = Server::start();
    let mut config = server.config();
    // Also the time an answer may take before the server freezes: on a busy machine, too.
    config.probe_interval = Duration::from_secs(1);
    let client = Client::start(config);
    client.wait_synced(soon()).await.unwrap();
    add_bridge(&client, "br0").await;
    server.signal(Signal::SIGSTOP);
    let tx = ensure_bridge(&client.cache(), &owner(), &bridge_spec("br1")).unwrap();
    let lost = tokio::time::timeout_at(soon(), client.transact(&tx)).await.unwrap().unwrap_err();
    assert!(matches!(lost, ClientError::ConnectionLost), "{lost}");
    assert!(client.status().last_error.is_some_and(|e| e.contains("probe")));
    server.signal(Signal::SIGCONT);
    wait_syncs(&client, 2).await;
    server.wait_equal(&client).await;
}

#[tokio::test]
async fn conditions_select_rows_and_survive_a_reconnect() {
    let server = Server::start();
    let client = server.client().await;
    for bridge in ["br-a", "br-b"] {
        add_bridge(&client, bridge).await;
    }
    let bridges =
        |client: &Client| Vswitch::new(&client.cache()).bridges().unwrap().into_keys().collect::<Vec<_>>();
    let only =
        |name: &str| BTreeMap::from([("Bridge".to_owned(), Some(vec![Condition::equal("name", name)]))]);
    client.change_conditions(only("br-b")).await.unwrap();
    assert_eq!(bridges(&client), ["br-b"]);
    server.appctl(&["ovsdb-server/reconnect"]);
    wait_syncs(&client, 2).await;
    assert_eq!(bridges(&client), ["br-b"]);
    client.change_conditions(BTreeMap::from([("Bridge".to_owned(), Some(vec![]))])).await.unwrap();
    assert_eq!(bridges(&client), [""; 0]);
    client.change_conditions(BTreeMap::from([("Bridge".to_owned(), None)])).await.unwrap();
    assert_eq!(bridges(&client), ["br-a", "br-b"]);
    server.wait_equal(&client).await;
}

#[tokio::test]
async fn columns_the_server_lacks_are_named() {
    let server = Server::start();
    let mut config = server.config();
    config.monitor = config.monitor.table("Bridge", &["colour"]);
    let client = Client::start(config);
    let mut status = client.watch_status();
    let seen =
        tokio::time::timeout_at(soon(), status.wait_for(|s| s.last_error.is_some())).await.unwrap().unwrap();
    assert!(seen.last_error.as_ref().is_some_and(|e| e.contains("Bridge.colour")), "{seen:?}");
}

#[tokio::test]
async fn lists_databases_and_reports_the_schema_version() {
    let server = Server::start();
    let client = server.client().await;
    assert!(client.list_dbs().await.unwrap().contains(&"Open_vSwitch".to_owned()));
    assert!(client.status().schema_version.is_some_and(|v| v.starts_with("8.")));
}
