//! The driver against real ovsdb-servers: the replica follows, whatever happens to the server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the result")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;
use ovsdb::cache::RowChange;
use ovsdb::driver::ClientError;
use ovsdb::monitor::MonitorMethod;
use ovsdb::operation::{Condition, Mutation, Mutator, Operation, Until, Wait, row};
use ovsdb::outcome::{ErrorTag, FailedAt, OpResult};
use ovsdb::session::{LockName, LockState};
use ovsdb::typed::{RowError, Table};
use ovsdb::vswitch::tables::{Interface, Manager, OpenVSwitch, QoS, Queue};
use ovsdb::vswitch::{PortKind, PortSpec, Vswitch, delete_bridge, ensure_bridge, ensure_ports, monitor_spec};
use ovsdb::{Client, Endpoint, TransactError, Transaction};
use support::proxy::Proxy;
use support::{PATIENCE, Server, bridge_spec, contents, name, owner, soon};
use test_support::wait_for;

async fn add_bridge(client: &Client, bridge: &str) {
    let tx = ensure_bridge(&client.cache(), &owner(), &bridge_spec(bridge)).unwrap();
    client.transact(&tx).await.unwrap();
}

async fn wait_syncs(client: &Client, count: u64) {
    let mut status = client.watch_status();
    let wait = status.wait_for(|status| status.is_synced() && status.syncs >= count);
    tokio::time::timeout_at(soon(), wait).await.unwrap().unwrap();
}

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
async fn own_changes_are_in_the_replica_when_transact_returns() {
    let server = Server::start();
    let client = server.client().await;
    for n in 0..50 {
        let bridge = format!("br{n}");
        add_bridge(&client, &bridge).await;
        assert!(Vswitch::new(&client.cache()).bridge(&bridge).unwrap().is_some(), "{bridge}");
    }
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
    config.probe_interval = Duration::from_millis(200);
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
async fn many_requests_are_in_flight_and_answered_to_their_callers() {
    let server = Server::start();
    let mut config = server.config();
    config.max_in_flight = 8;
    let client = Client::start(config);
    client.wait_synced(soon()).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..100i64 {
        let client = client.clone();
        calls.spawn(async move {
            let mut tx = Transaction::new();
            tx.insert("Flow_Table", row([("name", format!("t{n}").into())]));
            let read = tx.select("Flow_Table", vec![Condition::equal("name", format!("t{n}"))], &["name"]);
            let outcome = client.transact(&tx).await.unwrap();
            assert_eq!(outcome.rows(read), [row([("name", format!("t{n}").into())])]);
        });
    }
    while let Some(result) = calls.join_next().await {
        result.unwrap();
    }
}

#[tokio::test]
async fn slow_request_holds_up_no_other_and_is_cancelled_when_dropped() {
    let server = Server::start();
    let mut config = server.config();
    config.max_in_flight = 2;
    let client = Client::start(config);
    client.wait_synced(soon()).await.unwrap();
    let mut never = Transaction::new();
    never.push(Operation::Wait(Wait {
        table: "Bridge".into(),
        conditions: vec![],
        columns: vec!["name".into()],
        until: Until::Equal,
        rows: vec![row([("name", "no-such-bridge".into())])],
        timeout: None,
    }));
    for _ in 0..4 {
        let waiting = client.transact(&never);
        let echo = client.echo();
        tokio::select! {
            result = waiting => panic!("nobody makes that bridge: {result:?}"),
            answer = echo => answer.unwrap(),
        }
    }
    // Four waits were dropped with room for two: they are cancelled, or this would wait for ever.
    tokio::time::timeout_at(soon(), client.echo()).await.unwrap().unwrap();
}

#[tokio::test]
async fn failed_transactions_say_where_and_why() {
    let server = Server::start();
    let client = server.client().await;
    add_bridge(&client, "br0").await;

    let mut tx = Transaction::new();
    tx.comment("first");
    tx.require("Bridge", vec![Condition::equal("name", "br0")], &["name"], vec![]);
    match client.transact(&tx).await.unwrap_err() {
        ClientError::Transact(error @ TransactError::Refused { .. }) => {
            assert!(
                error.is_transient() && error.to_string().contains("operation 1 (wait): timed out"),
                "{error}"
            );
        }
        other => panic!("{other}"),
    }

    let mut tx = Transaction::new();
    let port = ovsdb::operation::Mutation::new("ports", Mutator::Insert, uuid::Uuid::from_u128(1));
    tx.mutate("Bridge", vec![Condition::equal("name", "br0")], vec![port]);
    match client.transact(&tx).await.unwrap_err() {
        ClientError::Transact(TransactError::Refused { at: FailedAt::Commit, error, .. }) => {
            assert_eq!(error, ErrorTag::ReferentialIntegrityViolation);
        }
        other => panic!("{other}"),
    }

    let mut tx = Transaction::new();
    tx.assert_lock(&LockName::new("nobody_has_it").unwrap());
    match client.transact(&tx).await.unwrap_err() {
        ClientError::Transact(error) => assert_eq!(error.tag(), Some(&ErrorTag::NotOwner)),
        other => panic!("{other}"),
    }

    let mut tx = Transaction::new();
    tx.mutate("Bridge", vec![], vec![Mutation::new("stp_enable", Mutator::Add, 1)]);
    assert!(!client.transact(&tx).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn locks_pass_on_and_come_back_after_a_reconnect() {
    let server = Server::start();
    let (first, second) = (server.client().await, server.client().await);
    let agent = agent_lock();
    assert_eq!(first.lock(&agent).await.unwrap(), LockState::Owned);
    assert_eq!(second.lock(&agent).await.unwrap(), LockState::Waiting);
    first.unlock(&agent).await.unwrap();
    wait_lock(&second, LockState::Owned).await;
    assert_eq!(first.steal(&agent).await.unwrap(), LockState::Owned);
    wait_lock(&second, LockState::Stolen).await;
    server.appctl(&["ovsdb-server/reconnect"]);
    wait_syncs(&first, 2).await;
    wait_lock(&first, LockState::Owned).await;
    let mut tx = Transaction::new();
    tx.assert_lock(&agent);
    first.transact(&tx).await.unwrap();
}

#[tokio::test]
async fn writes_that_need_a_lock_are_refused_once_it_is_lost_and_done_once_it_is_back() {
    let server = Server::start();
    let (first, second) = (server.client().await, server.client().await);
    let agent = agent_lock();
    let mut write = Transaction::new();
    write.assert_lock(&agent);
    write.insert_row([QoS::TYPE.is("linux-htb")]);
    assert_eq!(first.lock(&agent).await.unwrap(), LockState::Owned);
    assert!(first.lock(&agent).await.is_err(), "asked for twice");
    first.transact(&write).await.unwrap();

    assert_eq!(second.steal(&agent).await.unwrap(), LockState::Owned);
    wait_lock(&first, LockState::Stolen).await;
    match first.transact(&write).await.unwrap_err() {
        ClientError::Transact(error) => assert_eq!(error.tag(), Some(&ErrorTag::NotOwner)),
        other => panic!("{other}"),
    }
    assert_eq!(first.lock(&agent).await.unwrap(), LockState::Waiting);
    second.unlock(&agent).await.unwrap();
    wait_lock(&first, LockState::Owned).await;
    first.transact(&write).await.unwrap();
    assert_eq!(server.rows("QoS"), 2, "refused writes did nothing");
}

fn agent_lock() -> LockName {
    LockName::new("agent").unwrap()
}

async fn wait_lock(client: &Client, state: LockState) {
    let mut status = client.watch_status();
    let wait = status.wait_for(|s| s.locks.get(&agent_lock()) == Some(&state));
    tokio::time::timeout_at(soon(), wait).await.unwrap().unwrap();
}

#[tokio::test]
async fn results_are_told_by_operation() {
    let server = Server::start();
    let client = server.client().await;
    let queue = uuid::Uuid::from_u128(0x1234);
    let mut tx = Transaction::new();
    let qos = tx.insert_row([QoS::TYPE.is("linux-htb")]);
    tx.insert_with_uuid(Queue::TABLE, queue, row([("dscp", 1.into())]));
    let mutated =
        tx.mutate(Queue::TABLE, vec![Queue::DSCP.equals(1)], vec![Mutation::new("dscp", Mutator::Add, 1)]);
    let updated = tx.update(QoS::TABLE, vec![], row([("type", "linux-hfsc".into())]));
    let waited = tx.require(QoS::TABLE, vec![], &["type"], vec![row([("type", "linux-hfsc".into())])]);
    let deleted = tx.delete(Queue::TABLE, vec![Queue::DSCP.equals(7)]);
    let commented = tx.comment("nothing to say");
    let committed = tx.push(Operation::Commit { durable: true });
    let selected = tx.select(Queue::TABLE, vec![], &["dscp"]);
    let outcome = client.transact(&tx).await.unwrap();
    assert_eq!([mutated, updated, deleted].map(|index| outcome.count(index)), [Some(1), Some(1), Some(0)]);
    for index in [waited, commented, committed] {
        assert_eq!(outcome.results()[index.get()], OpResult::Done);
    }
    assert_eq!(outcome.rows(selected), [row([("dscp", 2.into())])]);
    let qos = outcome.row_named(&tx, &qos).unwrap();
    assert_eq!(outcome.inserted().collect::<Vec<_>>(), [qos, queue]);

    let mut again = Transaction::new();
    again.insert_with_uuid(Queue::TABLE, queue, row([]));
    match client.transact(&again).await.unwrap_err() {
        ClientError::Transact(error) => assert_eq!(error.tag(), Some(&ErrorTag::DuplicateUuid)),
        other => panic!("{other}"),
    }
    let mut abort = Transaction::new();
    abort.delete(Queue::TABLE, vec![]);
    abort.push(Operation::Abort);
    match client.transact(&abort).await.unwrap_err() {
        ClientError::Transact(error) => assert_eq!(error.tag(), Some(&ErrorTag::Aborted)),
        other => panic!("{other}"),
    }
    assert_eq!(server.rows("Queue"), 1);
}

#[tokio::test]
async fn nul_byte_is_refused_before_it_costs_everybody_the_connection() {
    let server = Server::start();
    let client = server.client().await;
    let mut tx = Transaction::new();
    tx.insert_row([QoS::TYPE.is("linux\0htb")]);
    match client.transact(&tx).await.unwrap_err() {
        ClientError::Transact(error) => assert_eq!(error.to_string(), "operation 0 holds a NUL byte"),
        other => panic!("{other}"),
    }
    client.echo().await.unwrap();
    assert_eq!(client.status().syncs, 1, "the connection is the first one still");
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

#[tokio::test]
async fn five_hundred_ports_are_one_transaction() {
    let server = Server::start();
    let client = server.client().await;
    add_bridge(&client, "br0").await;
    let specs: Vec<_> =
        (0..500).map(|n| PortSpec::new(name(&format!("p{n}")), PortKind::System, None)).collect();
    let tx = ensure_ports(&client.cache(), &owner(), &name("br0"), &specs).unwrap();
    client.transact(&tx).await.unwrap();
    assert_eq!(Vswitch::new(&client.cache()).ports().unwrap().len(), 501);
    assert!(ensure_ports(&client.cache(), &owner(), &name("br0"), &specs).unwrap().is_empty());
    server.wait_equal(&client).await;
}
