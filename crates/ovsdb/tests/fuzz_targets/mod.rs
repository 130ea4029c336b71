//! The fuzz targets as plain functions: any input at all goes in, nothing comes out, a broken promise panics.
//! `fuzz/` runs them under libFuzzer; `tests/fuzz.rs` replays the corpora and mutates them.

use std::collections::BTreeMap;

use ovsdb::cache::{Database, RowChange};
use ovsdb::codegen;
use ovsdb::difference::{apply, difference};
use ovsdb::frame::Framer;
use ovsdb::json;
use ovsdb::monitor::MonitorSpec;
use ovsdb::operation::{Condition, Operation, Row, Transaction, row};
use ovsdb::outcome::Outcome;
use ovsdb::rpc::Message;
use ovsdb::schema::{ColumnType, DatabaseSchema};
use ovsdb::session::{LockName, Output, Phase, Session};
use ovsdb::unixctl;
use ovsdb::value::Datum;
use serde_json::Value;
use uuid::Uuid;

/// Takes any input; a broken promise panics.
pub type Target = fn(&[u8]);

/// Every target by the name of its corpus.
pub const TARGETS: [(&str, Target); 7] = [
    ("frame", frame),
    ("json", json_text),
    ("value", value),
    ("message", message),
    ("schema", schema),
    ("session", session),
    ("outcome", outcome),
];

const LIMIT: usize = 1 << 12;
const MEMORY: usize = 1 << 20;

fn parse(data: &[u8]) -> Option<Value> {
    json::parse(data, MEMORY).ok()
}

/// Messages up to the first error, and that error.
fn cut(stream: &[u8], piece: usize) -> (Vec<Value>, Option<String>) {
    let mut framer = Framer::new(LIMIT);
    let mut messages = Vec::new();
    for bytes in stream.chunks(piece.max(1)) {
        framer.push(bytes);
        loop {
            match framer.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error.to_string())),
            }
        }
    }
    (messages, None)
}

/// The first byte says into pieces of what size the rest is cut: it makes no difference.
pub fn frame(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else { return };
    assert_eq!(cut(stream, piece.into()), cut(stream, stream.len()));
}

/// What is accepted means what `serde_json` says it means, and is the same when it is written and read again.
pub fn json_text(data: &[u8]) {
    match json::parse(data, MEMORY) {
        Ok(value) => {
            assert_eq!(serde_json::from_slice::<Value>(data).unwrap(), value);
            if is_exact(&value) {
                assert_eq!(parse(value.to_string().as_bytes()), Some(value));
            }
        }
        Err(json::JsonError::Syntax(_)) => assert!(serde_json::from_slice::<Value>(data).is_err()),
        // `serde_json` takes the last of two members, and any memory.
        Err(json::JsonError::DuplicateMember(_) | json::JsonError::TooMuchMemory { .. }) => {}
    }
}

/// `serde_json` reads reals of more than 15 digits or large exponents to within a unit in the last place, so they may
/// be others when they are read again. ovsdb-server writes 15 digits.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(elements) => elements.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// Pairs of values: what can be decoded can be encoded; differences obey their law in every type that fits.
pub fn value(data: &[u8]) {
    let Some(value) = parse(data) else { return };
    if let Ok(datum) = Datum::from_json(&value) {
        assert_eq!(Datum::from_json(&datum.to_json()).unwrap(), datum);
    }
    let Value::Array(pair) = value else { return };
    let [old, new] = pair.as_slice() else { return };
    let (Ok(old), Ok(new)) = (Datum::from_json(old), Datum::from_json(new)) else { return };
    for column in columns() {
        let (Ok(old), Ok(new)) = (column.check(old.clone()), column.check(new.clone())) else { continue };
        let diff = difference(&column, &old, &new).unwrap();
        assert_eq!(apply(&column, &old, &diff).unwrap(), new);
        // Taken for a difference, the new value may lead anywhere but out of the type.
        if let Ok(applied) = apply(&column, &old, &new) {
            assert_eq!(column.check(applied.clone()), Ok(applied));
        }
    }
}

fn columns() -> Vec<ColumnType> {
    test_schema().table("T").unwrap().columns.values().map(|column| column.column_type.clone()).collect()
}

/// JSON-RPC in any shape, and answers of a control socket.
pub fn message(data: &[u8]) {
    let Some(value) = parse(data) else { return };
    if let Ok(message) = Message::from_json(value.clone()) {
        assert_eq!(Message::from_json(message.to_json()).unwrap(), message);
    }
    let _ = unixctl::response("version", value);
}

/// A schema that is understood has defaults of its own types, and generates code or says why not.
pub fn schema(data: &[u8]) {
    let Some(value) = parse(data) else { return };
    let Ok(schema) = DatabaseSchema::from_json(&value) else { return };
    for table in schema.tables().values() {
        for column in table.columns.values() {
            let default = column.column_type.default_datum().unwrap();
            assert_eq!(column.column_type.check(default.clone()), Ok(default));
        }
    }
    let _ = codegen::generate(&schema, "the fuzzer");
}

/// The result of a transaction with every kind of operation.
pub fn outcome(data: &[u8]) {
    let mut tx = Transaction::new();
    let name = tx.insert("T", row([]));
    tx.select("T", vec![], &["n"]);
    let updated = tx.update("T", vec![], row([]));
    tx.require("T", vec![], &[], vec![]);
    tx.comment("c");
    tx.push(Operation::Commit { durable: false });
    tx.assert_lock(&LockName::new("l").unwrap());
    let Some(reply) = parse(data) else { return };
    match Outcome::from_json(&tx, &reply) {
        Ok(outcome) => {
            assert_eq!(outcome.results().len(), tx.operations().len());
            assert!(outcome.row_named(&tx, &name).is_some() && outcome.count(updated).is_some());
        }
        Err(error) => drop(error.to_string()),
    }
}

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{"T":{"columns":{
    "n":{"type":"integer"},"r":{"type":{"key":"real","min":0}},"b":{"type":"boolean"},
    "s":{"type":{"key":"string","min":0,"max":"unlimited"}},"u":{"type":{"key":"uuid","min":0,"max":3}},
    "i":{"type":{"key":"integer","min":1,"max":3}},"p":{"type":{"key":"string","value":"integer","min":0,"max":1}},
    "m":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}}}}"#;

fn test_schema() -> DatabaseSchema {
    DatabaseSchema::from_json(&serde_json::from_str(SCHEMA).unwrap()).unwrap()
}

/// Connections to a server that says anything, one after the other, divided by the byte 0xff. Requests are numbered
/// from 0 across them: schema, monitor, then what [`ask`] asks.
pub fn session(data: &[u8]) {
    let spec = MonitorSpec::new().table("T", &["n", "r", "b", "s", "u", "i", "p", "m"]);
    let mut session = Session::new("D", spec.clone());
    let mut copy = Copy::new();
    for stream in data.split(|byte| *byte == 0xff).take(8) {
        session.connected();
        let mut asked = false;
        let mut framer = Framer::new(LIMIT);
        framer.push(stream);
        while let Ok(Some(message)) = framer.next_message() {
            let before = session.cache().clone();
            let outcome = session.handle(message);
            drain(&mut session, &mut copy);
            if outcome.is_err() {
                assert_eq!(*session.cache(), before, "an error changes nothing");
                break;
            }
            check(&session, &copy);
            if session.phase() == Phase::Synced && !asked {
                asked = true;
                ask(&mut session);
            }
        }
        session.disconnected();
        drain(&mut session, &mut copy);
        check(&session, &copy);
    }
}

/// A request of every kind.
fn ask(session: &mut Session) {
    let (first, second) = (LockName::new("l").unwrap(), LockName::new("k").unwrap());
    session.lock(&first);
    session.steal(&second);
    let conditions = BTreeMap::from([("T".to_owned(), Some(vec![Condition::equal("n", 1)]))]);
    session.change_conditions(conditions).unwrap();
    let cancelled = session.request("transact", vec![]);
    session.request("transact", vec![]);
    session.cancel(cancelled);
    session.probe();
    session.unlock(&second);
}

type Copy = BTreeMap<(String, Uuid), Row>;

fn drain(session: &mut Session, copy: &mut Copy) {
    while let Some(output) = session.poll_output() {
        let Output::Changed(events) = output else { continue };
        for event in events {
            let key = (event.table, event.uuid);
            match event.change {
                RowChange::Inserted(new) => assert_eq!(copy.insert(key, (*new).clone()), None),
                RowChange::Modified { old, new } => {
                    assert_eq!(copy.insert(key, (*new).clone()).as_ref(), Some(&*old));
                }
                RowChange::Deleted(old) => assert_eq!(copy.remove(&key).as_ref(), Some(&*old)),
            }
        }
    }
}

/// The events add up to the replica, and every row has all columns of the server's schema with values of their types.
fn check(session: &Session, copy: &Copy) {
    let cache: &Database = session.cache();
    let rows: Copy = cache.rows("T").map(|(uuid, row)| (("T".to_owned(), uuid), Row::clone(row))).collect();
    assert_eq!(rows, *copy);
    let Some(schema) = session.schema().filter(|_| session.phase() == Phase::Synced) else { return };
    for row in rows.values() {
        assert_eq!(row.len(), 8);
        for (column, datum) in row {
            let column = schema.column("T", column).unwrap();
            assert_eq!(column.check(datum.clone()).as_ref(), Ok(datum));
        }
    }
}
