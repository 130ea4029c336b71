//! Transactions and locks on a real ovsdb-server: results by operation, refusals by name, callers who do not get into
//! each other's way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the result")]

mod support;

use ovsdb::driver::ClientError;
use ovsdb::operation::{Condition, Mutation, Mutator, Operation, Until, Wait, row};
use ovsdb::outcome::{ErrorTag, FailedAt, OpResult};
use ovsdb::session::{LockName, LockState};
use ovsdb::typed::Table;
use ovsdb::vswitch::tables::{QoS, Queue};
use ovsdb::vswitch::{PortKind, PortSpec, Vswitch, ensure_ports};
use ovsdb::{Client, TransactError, Transaction};
use support::{Server, add_bridge, name, owner, soon, wait_syncs};

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
