//! Conversations with a scripted server.

use super::*;
use crate::cache::RowChange;
use crate::operation::{Condition, Row};

const TXN: &str = "00000000-0000-0000-0000-0000000000aa";
const ROW: &str = "00000000-0000-0000-0000-000000000001";

fn schema() -> Value {
    json!({"name": "D", "version": "1.0.0", "tables": {"T": {"columns": {"n": {"type": "integer"}}}}})
}

fn session() -> Session {
    Session::new("D", MonitorSpec::new().table("T", &["n"]))
}

/// Everything the session wants to send.
fn sent(session: &mut Session) -> Vec<Message> {
    std::iter::from_fn(|| session.poll_output())
        .filter_map(|output| if let Output::Send(message) = output { Some(message) } else { None })
        .collect()
}

fn events(session: &mut Session) -> Vec<RowEvent> {
    std::iter::from_fn(|| session.poll_output())
        .filter_map(|output| if let Output::Changed(events) = output { Some(events) } else { None })
        .flatten()
        .collect()
}

/// The one request the session sends: id, method and parameters.
fn request(session: &mut Session) -> (Value, String, Vec<Value>) {
    match sent(session).as_slice() {
        [Message::Request { id, method, params }] => (id.clone(), method.clone(), params.clone()),
        other => panic!("one request expected: {other:?}"),
    }
}

fn answer(session: &mut Session, id: &Value, result: Value) {
    session.handle(json!({"id": id, "result": result, "error": null})).unwrap();
}

/// Connects and returns the parameters of the monitor request with its id.
fn connect(session: &mut Session) -> (Value, Vec<Value>) {
    session.connected();
    let (id, method, _) = request(session);
    assert_eq!(method, "get_schema");
    answer(session, &id, schema());
    let (id, method, params) = request(session);
    assert_eq!(method, "monitor_cond_since");
    (id, params)
}

fn dump(n: i64) -> Value {
    json!({"T": {ROW: {"initial": {"n": n}}}})
}

fn synced() -> Session {
    let mut session = session();
    let (id, _) = connect(&mut session);
    answer(&mut session, &id, json!([false, TXN, dump(1)]));
    assert_eq!(session.phase(), Phase::Synced);
    session
}

fn n(session: &Session) -> Option<i64> {
    let row = session.cache().row("T", parse_uuid(ROW).unwrap())?;
    match Row::get(row, "n")?.as_scalar()? {
        crate::Atom::Integer(n) => Some(*n),
        _ => None,
    }
}

fn update3(txn: &str, updates: Value) -> Value {
    json!({"id": null, "method": "update3", "params": ["monitor", txn, updates]})
}

fn lock(name: &str) -> LockName {
    LockName::new(name).unwrap()
}

#[test]
fn first_connection_asks_for_everything() {
    let mut session = session();
    let (_, params) = connect(&mut session);
    let zero = Uuid::nil().to_string();
    assert_eq!(json!(params), json!(["D", "monitor", {"T": [{"columns": ["n"]}]}, zero]));
}

#[test]
fn resumes_from_the_last_transaction_and_applies_only_the_difference() {
    let mut session = synced();
    let later = "00000000-0000-0000-0000-0000000000bb";
    session.handle(update3(later, json!({"T": {ROW: {"modify": {"n": 2}}}}))).unwrap();
    session.disconnected();
    let (id, params) = connect(&mut session);
    assert_eq!(params[3], json!(later));
    answer(&mut session, &id, json!([true, later, {"T": {ROW: {"modify": {"n": 3}}}}]));
    assert!(session.resumed());
    assert_eq!(n(&session), Some(3));
}

#[test]
fn dump_after_a_lost_history_is_reported_as_changes() {
    let mut session = synced();
    session.disconnected();
    let (id, _) = connect(&mut session);
    events(&mut session);
    answer(&mut session, &id, json!([false, TXN, dump(5)]));
    let events = events(&mut session);
    assert!(matches!(events.as_slice(), [RowEvent { change: RowChange::Modified { .. }, .. }]), "{events:?}");
    assert_eq!(n(&session), Some(5));
}

#[test]
fn falls_back_step_by_step() {
    let mut session = session();
    let (id, _) = connect(&mut session);
    session.handle(json!({"id": id, "result": null, "error": "unknown method"})).unwrap();
    let (id, method, params) = request(&mut session);
    assert_eq!((method.as_str(), params.len()), ("monitor_cond", 3));
    session.handle(json!({"id": id, "result": null, "error": "unknown method"})).unwrap();
    let (id, method, _) = request(&mut session);
    assert_eq!(method, "monitor");
    answer(&mut session, &id, json!({"T": {ROW: {"new": {"n": 1}}}}));
    session
        .handle(json!({"id": null, "method": "update", "params": ["monitor", {"T": {ROW: {"old": {"n": 1}, "new": {"n": 2}}}}]}))
        .unwrap();
    assert_eq!((session.method(), n(&session)), (MonitorMethod::Plain, Some(2)));
}

#[test]
fn monitor_cond_differences_are_applied() {
    let mut session = session();
    let (id, _) = connect(&mut session);
    session.handle(json!({"id": id, "result": null, "error": "unknown method"})).unwrap();
    let (id, _, _) = request(&mut session);
    answer(&mut session, &id, dump(1));
    let modify = json!({"T": {ROW: {"modify": {"n": 2}}}});
    session.handle(json!({"id": null, "method": "update2", "params": ["monitor", modify]})).unwrap();
    assert_eq!(n(&session), Some(2));
}

#[test]
fn answers_the_servers_echo_with_its_parameters() {
    let mut session = synced();
    sent(&mut session);
    session.handle(json!({"id": "echo", "method": "echo", "params": [1, "x"]})).unwrap();
    let reply = Message::Response { id: json!("echo"), outcome: Ok(json!([1, "x"])) };
    assert_eq!(sent(&mut session), [reply]);
}

#[test]
fn update_that_cannot_be_applied_forces_a_full_dump() {
    let mut session = synced();
    let unknown = json!({"T": {"00000000-0000-0000-0000-000000000009": {"delete": null}}});
    assert!(matches!(session.handle(update3(TXN, unknown)), Err(SessionError::Cache(_))));
    session.disconnected();
    let (_, params) = connect(&mut session);
    assert_eq!(params[3], json!(Uuid::nil().to_string()));
}

#[test]
fn connection_lost_while_conditions_change_forces_a_full_dump() {
    let mut session = synced();
    let conditions = BTreeMap::from([("T".to_owned(), Some(vec![Condition::equal("n", 1)]))]);
    session.change_conditions(conditions).unwrap();
    session.disconnected();
    let (_, params) = connect(&mut session);
    assert_eq!(params[3], json!(Uuid::nil().to_string()));
    assert_eq!(params[2]["T"][0]["where"], json!([["n", "==", 1]]));
}

#[test]
fn refused_conditions_are_taken_back() {
    let mut session = synced();
    let conditions = BTreeMap::from([("T".to_owned(), Some(vec![Condition::equal("n", 1)]))]);
    let id = session.change_conditions(conditions).unwrap();
    session.handle(json!({"id": id, "result": null, "error": "no"})).unwrap();
    session.disconnected();
    let (_, params) = connect(&mut session);
    assert_eq!(params[2], json!({"T": [{"columns": ["n"]}]}));
}

#[test]
fn cancelled_request_may_be_answered_or_not() {
    let mut session = synced();
    sent(&mut session);
    let (first, second) = (session.request("transact", vec![]), session.request("transact", vec![]));
    session.cancel(first);
    session.cancel(second);
    let cancels =
        sent(&mut session).into_iter().filter(|m| matches!(m, Message::Notification { .. })).count();
    assert_eq!(cancels, 2);
    session.handle(json!({"id": second, "result": null, "error": "canceled"})).unwrap();
    assert!(session.handle(json!({"id": second, "result": [], "error": null})).is_err(), "answered twice");
}

#[test]
fn stolen_lock_is_not_asked_for_again_and_a_lost_one_is() {
    let mut session = synced();
    for name in ["kept", "stolen"] {
        let id = session.lock(&lock(name));
        session.handle(json!({"id": id, "result": {"locked": true}, "error": null})).unwrap();
    }
    session.handle(json!({"id": null, "method": "stolen", "params": ["stolen"]})).unwrap();
    session.disconnected();
    assert_eq!(session.locks()[&lock("kept")], LockState::Waiting);
    let (id, _) = connect(&mut session);
    answer(&mut session, &id, json!([false, TXN, dump(1)]));
    let (_, method, params) = request(&mut session);
    assert_eq!((method.as_str(), params), ("lock", vec![json!("kept")]));
}

/// Methods of the requests sent.
fn methods(session: &mut Session) -> Vec<String> {
    let method = |message| match message {
        Message::Request { method, .. } => method,
        other => panic!("request expected: {other:?}"),
    };
    sent(session).into_iter().map(method).collect()
}

#[test]
fn stolen_lock_is_withdrawn_before_it_is_asked_for_again() {
    let mut session = synced();
    let name = lock("l");
    let id = session.lock(&name);
    session.handle(json!({"id": id, "result": {"locked": true}, "error": null})).unwrap();
    session.handle(json!({"id": null, "method": "stolen", "params": ["l"]})).unwrap();
    sent(&mut session);
    session.lock(&name);
    assert_eq!(methods(&mut session), ["unlock", "lock"]);
    assert_eq!(session.locks()[&name], LockState::Waiting);
    session.steal(&name);
    assert_eq!(methods(&mut session), ["unlock", "steal"]);
}

#[test]
fn lock_that_is_ours_stays_ours_when_it_is_asked_for_again() {
    let mut session = synced();
    let name = lock("l");
    let id = session.lock(&name);
    session.handle(json!({"id": id, "result": {"locked": true}, "error": null})).unwrap();
    let id = session.lock(&name);
    session.handle(json!({"id": id, "result": null, "error": "must issue unlock before new lock"})).unwrap();
    assert_eq!(session.locks()[&name], LockState::Owned);
}

#[test]
fn news_of_a_lock_given_up_is_not_taken_for_news_of_the_next() {
    let mut session = synced();
    let name = lock("l");
    let id = session.lock(&name);
    session.handle(json!({"id": id, "result": {"locked": false}, "error": null})).unwrap();
    // Crosses the server's `locked`.
    session.unlock(&name);
    let id = session.lock(&name);
    session.handle(json!({"id": null, "method": "locked", "params": ["l"]})).unwrap();
    session.handle(json!({"id": id, "result": {"locked": false}, "error": null})).unwrap();
    assert_eq!(session.locks()[&name], LockState::Waiting);
}

#[test]
fn refused_condition_does_not_take_back_a_later_one() {
    let mut session = synced();
    let n = |n: i64| BTreeMap::from([("T".to_owned(), Some(vec![Condition::equal("n", n)]))]);
    let first = session.change_conditions(n(1)).unwrap();
    let second = session.change_conditions(n(2)).unwrap();
    session.handle(json!({"id": first, "result": null, "error": "no"})).unwrap();
    session.handle(json!({"id": second, "result": {}, "error": null})).unwrap();
    session.disconnected();
    let (_, params) = connect(&mut session);
    assert_eq!(params[2]["T"][0]["where"], json!([["n", "==", 2]]));
}

#[test]
fn history_that_the_server_does_not_have_is_not_asked_for() {
    let mut session = synced();
    let nil = Uuid::nil().to_string();
    session.handle(update3(&nil, json!({"T": {ROW: {"modify": {"n": 2}}}}))).unwrap();
    session.disconnected();
    let (id, params) = connect(&mut session);
    assert_eq!(params[3], json!(nil));
    let found = json!({"id": id, "result": [true, nil, {}], "error": null});
    assert!(session.handle(found).is_err(), "a resumption nobody asked for");
}

#[test]
fn update_with_a_malformed_transaction_id_changes_nothing() {
    let mut session = synced();
    assert!(session.handle(update3("x", json!({"T": {ROW: {"modify": {"n": 2}}}}))).is_err());
    assert_eq!(n(&session), Some(1));
}

#[test]
fn columns_the_server_lacks_are_left_out_and_named_when_they_may_be() {
    use crate::vswitch::tables::Interface;
    let spec = MonitorSpec::new().column(Interface::NAME).optional_column(Interface::MTU_REQUEST);
    let mut session = Session::new("D", spec);
    session.connected();
    let (id, _, _) = request(&mut session);
    let columns = json!({"name": {"type": "string"}});
    answer(
        &mut session,
        &id,
        json!({"name": "D", "version": "1.0.0", "tables": {"Interface": {"columns": columns}}}),
    );
    let (id, _, params) = request(&mut session);
    assert_eq!(params[2], json!({"Interface": [{"columns": ["name"]}]}));
    assert_eq!(session.absent_columns(), BTreeSet::from(["Interface.mtu_request".to_owned()]));
    answer(&mut session, &id, json!([false, TXN, {"Interface": {ROW: {"initial": {"name": "p"}}}}]));
    let row = session.cache().only::<Interface>().unwrap();
    assert!(matches!(row.get(Interface::MTU_REQUEST), Err(crate::typed::RowError::Absent { .. })));
}

#[test]
fn messages_that_do_not_belong_break_the_connection() {
    for message in [
        json!({"id": 99, "result": {}, "error": null}),
        json!({"id": null, "method": "update3", "params": ["other", TXN, {}]}),
        json!({"id": null, "method": "update2", "params": ["monitor", {}]}),
        json!({"id": null, "method": "update3", "params": ["monitor", "no-uuid", {}]}),
        json!({"id": null, "method": "monitor_canceled", "params": ["monitor"]}),
        json!({"id": null, "method": "surprise", "params": []}),
        json!({"id": null, "method": "update3", "params": ["monitor", TXN]}),
        json!({"id": null, "method": "locked", "params": ["9 lives"]}),
        update3(TXN, json!({"U": {}})),
        update3(TXN, json!({"T": {ROW: {"insert": {"n": 1}}}})),
        update3(TXN, json!({"T": {ROW: {"initial": {"n": 1}}}})),
        update3(TXN, json!({"T": {ROW: {"modify": {"n": "one"}}}})),
        update3(TXN, json!({"T": {ROW: {"modify": {"n": ["set", [1, 2]]}}}})),
        update3(TXN, json!({"T": {ROW: {"modify": {"_version": 1}}}})),
        update3(TXN, json!({"T": {ROW: {"modify": [], "delete": null}}})),
        update3(
            TXN,
            json!({"T": {"00000000-0000-0000-0000-00000000000A": {"insert": {}},
            "00000000-0000-0000-0000-00000000000a": {"insert": {}}}}),
        ),
        json!([]),
    ] {
        let mut session = synced();
        assert!(session.handle(message.clone()).is_err(), "{message}");
        assert_eq!(n(&session), Some(1), "{message}");
        assert_eq!(session.cache().rows("T").count(), 1, "{message}");
    }
}
