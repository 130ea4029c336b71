//! Replication laws: whatever method carries the changes, the replica equals the server's tables.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::difference::difference;
use crate::monitor::{Decoder, MonitorMethod, MonitorSpec};
use crate::value::{Atom, Datum};

fn schema() -> DatabaseSchema {
    DatabaseSchema::from_json(&json!({"name": "D", "version": "1.0.0", "tables": {"T": {"columns": {
        "n": {"type": "integer"},
        "o": {"type": {"key": "string", "min": 0}},
        "s": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
        "m": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}},
        "r": {"type": "real"},
    }}}}))
    .unwrap()
}

fn spec() -> MonitorSpec {
    MonitorSpec::new().table("T", &["n", "o", "s", "m", "r"])
}

fn decode(method: MonitorMethod, value: &Value) -> Updates {
    Decoder { schema: &schema(), spec: &spec() }.decode(method, value).unwrap()
}

fn row_strategy() -> impl Strategy<Value = Row> {
    let o = proptest::option::of("[a-c]");
    let s = proptest::collection::btree_set(0i64..5, 0..4);
    let m = proptest::collection::btree_map("[a-d]", 0i64..3, 0..4);
    (0i64..4, o, s, m, 0i32..4).prop_map(|(n, o, s, m, r)| {
        let real = crate::value::Real::new(f64::from(r) / 2.0).unwrap();
        crate::operation::row([
            ("n", n.into()),
            ("o", Datum::set(o)),
            ("s", Datum::set(s)),
            ("m", Datum::map(m)),
            ("r", Atom::Real(real).into()),
        ])
    })
}

type Rows = BTreeMap<Uuid, Row>;

fn rows_strategy() -> impl Strategy<Value = Rows> {
    proptest::collection::btree_map((0u128..6).prop_map(Uuid::from_u128), row_strategy(), 0..6)
}

fn row_json(row: &Row) -> Value {
    Value::Object(row.iter().map(|(c, d)| (c.clone(), d.to_json())).collect())
}

fn dump(rows: &Rows, method: MonitorMethod) -> Value {
    let kind = if method == MonitorMethod::Plain { "new" } else { "initial" };
    json!({"T": rows.iter().map(|(u, r)| (u.to_string(), json!({kind: row_json(r)}))).collect::<Map<_, _>>()})
}

/// The update a server would send for the change from `old` to `new`.
fn update(old: &Rows, new: &Rows, method: MonitorMethod) -> Value {
    let plain = method == MonitorMethod::Plain;
    let schema = schema();
    let mut rows = Map::new();
    for (uuid, row) in new {
        let entry = match old.get(uuid) {
            Some(before) if before == row => continue,
            None if plain => json!({ "new": row_json(row) }),
            Some(before) if plain => json!({ "old": row_json(before), "new": row_json(row) }),
            None => json!({ "insert": row_json(row) }),
            Some(before) => {
                let changed = row.iter().filter(|(c, d)| before[*c] != **d);
                let changed = changed.map(|(c, d)| {
                    let diff = difference(schema.column("T", c).unwrap(), &before[c], d).unwrap();
                    (c.clone(), diff)
                });
                json!({ "modify": row_json(&changed.collect()) })
            }
        };
        rows.insert(uuid.to_string(), entry);
    }
    for uuid in old.keys().filter(|u| !new.contains_key(u)) {
        let kind = if plain { "old" } else { "delete" };
        rows.insert(uuid.to_string(), json!({ kind: if plain { json!({}) } else { Value::Null } }));
    }
    json!({ "T": rows })
}

fn contents(database: &Database) -> Rows {
    database.rows("T").map(|(uuid, row)| (uuid, Row::clone(row))).collect()
}

/// Replays events over a plain map, as a watcher would.
fn replay(rows: &mut Rows, events: &[RowEvent]) {
    for event in events {
        match &event.change {
            RowChange::Inserted(new) => assert!(rows.insert(event.uuid, Row::clone(new)).is_none()),
            RowChange::Modified { old, new } => {
                assert_eq!(rows.insert(event.uuid, Row::clone(new)).as_ref(), Some(&**old));
            }
            RowChange::Deleted(old) => assert_eq!(rows.remove(&event.uuid).as_ref(), Some(&**old)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn replica_and_replayed_events_follow_every_monitor_method(a in rows_strategy(), b in rows_strategy()) {
        for method in [MonitorMethod::CondSince, MonitorMethod::Cond, MonitorMethod::Plain] {
            let mut database = Database::new();
            let mut watched = Rows::new();
            replay(&mut watched, &database.replace(&decode(method, &dump(&a, method))).unwrap());
            let events = database.apply(&schema(), &decode(method, &update(&a, &b, method))).unwrap();
            replay(&mut watched, &events);
            prop_assert_eq!(contents(&database), b.clone());
            prop_assert_eq!(&watched, &b);
        }
    }

    #[test]
    fn a_new_dump_is_reported_as_the_difference_to_the_old(a in rows_strategy(), b in rows_strategy()) {
        let mut database = Database::new();
        database.replace(&decode(MonitorMethod::CondSince, &dump(&a, MonitorMethod::CondSince))).unwrap();
        let mut watched = a.clone();
        let events = database.replace(&decode(MonitorMethod::CondSince, &dump(&b, MonitorMethod::CondSince))).unwrap();
        replay(&mut watched, &events);
        prop_assert_eq!(contents(&database), b.clone());
        prop_assert_eq!(&watched, &b);
        let again = database.replace(&decode(MonitorMethod::CondSince, &dump(&b, MonitorMethod::CondSince))).unwrap();
        prop_assert_eq!(again, vec![]);
    }

    /// Some of the steps are dumps, as after a reconnect; the last snapshot is asked for the way from every earlier one.
    #[test]
    fn a_snapshot_tells_what_is_different_from_every_earlier_one(
        steps in proptest::collection::vec((any::<bool>(), rows_strategy()), 1..6),
    ) {
        let (method, mut before, mut database) = (MonitorMethod::Cond, Rows::new(), Database::new());
        let mut snapshots = vec![database.clone()];
        for (is_dump, rows) in &steps {
            if *is_dump {
                database.replace(&decode(method, &dump(rows, method))).unwrap();
            } else {
                database.apply(&schema(), &decode(method, &update(&before, rows, method))).unwrap();
            }
            before.clone_from(rows);
            snapshots.push(database.clone());
        }
        for earlier in &snapshots {
            let mut watched = contents(earlier);
            replay(&mut watched, &database.changes_since(earlier).unwrap());
            prop_assert_eq!(&watched, &contents(&database));
        }
        prop_assert_eq!(database.changes_since(&database), Some(vec![]));
        let mut stranger = Database::new();
        stranger.replace(&decode(method, &dump(&before, method))).unwrap();
        prop_assert_eq!(&stranger, &database);
        prop_assert!(before.is_empty() || database.changes_since(&stranger).is_none());
    }

    #[test]
    fn rows_are_found_by_value_as_if_all_were_looked_at(a in rows_strategy(), b in rows_strategy()) {
        let method = MonitorMethod::Cond;
        let mut indexed = Database::with_indexes(&spec().lookup("T", &["n", "o", "s", "m"]));
        let mut plain = Database::new();
        for database in [&mut indexed, &mut plain] {
            database.replace(&decode(method, &dump(&a, method))).unwrap();
            database.apply(&schema(), &decode(method, &update(&a, &b, method))).unwrap();
        }
        let numbers = (0..5).flat_map(|n| ["n", "s"].map(|column| (column, Atom::from(n))));
        let texts = ["a", "b", "d"].into_iter().flat_map(|t| ["o", "m"].map(|column| (column, Atom::from(t))));
        for (column, value) in numbers.chain(texts) {
            let visits = indexed.visits();
            let found = indexed.find("T", column, &value);
            prop_assert_eq!(&found, &plain.find("T", column, &value));
            prop_assert_eq!(indexed.visits() - visits, found.len() as u64, "nothing else is looked at");
        }
        prop_assert_eq!(indexed, plain);
    }
}

#[test]
fn insert_fills_omitted_columns_with_defaults() {
    let uuid = Uuid::from_u128(1);
    let updates = decode(MonitorMethod::CondSince, &json!({"T": {uuid.to_string(): {"insert": {"n": 3}}}}));
    let RowUpdate::Insert(row) = &updates["T"][&uuid] else { panic!("full row") };
    assert_eq!(row.len(), 5);
    assert_eq!((&row["n"], &row["o"], &row["m"]), (&3.into(), &Datum::empty_set(), &Datum::empty_map()));
}

#[test]
fn a_snapshot_is_not_changed_by_later_updates() {
    let uuid = Uuid::from_u128(1);
    let mut database = Database::new();
    let insert = json!({"T": {uuid.to_string(): {"insert": {"n": 3}}}});
    database.apply(&schema(), &decode(MonitorMethod::Cond, &insert)).unwrap();
    let snapshot = database.clone();
    let modify = json!({"T": {uuid.to_string(): {"modify": {"n": 4}}}});
    database.apply(&schema(), &decode(MonitorMethod::Cond, &modify)).unwrap();
    assert_eq!(snapshot.row("T", uuid).unwrap()["n"], 3.into());
    assert_eq!(database.row("T", uuid).unwrap()["n"], 4.into());
}

#[test]
fn change_of_an_unknown_row_is_refused_as_a_whole() {
    let (known, unknown) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for kind in [json!({"modify": {"n": 1}}), json!({"delete": null})] {
        let mut database = Database::new();
        let value = json!({"T": {known.to_string(): {"insert": {}}, unknown.to_string(): kind}});
        let error = database.apply(&schema(), &decode(MonitorMethod::Cond, &value)).unwrap_err();
        assert_eq!(error, CacheError::NoSuchRow { table: "T".into(), uuid: unknown });
        assert_eq!(database, Database::new());
    }
}

#[test]
fn refuses_updates_it_does_not_understand() {
    let id = Uuid::from_u128(1).to_string();
    for value in [
        json!([]),
        json!({"U": {}}),
        json!({"T": {"x": {"delete": null}}}),
        json!({"T": {id.clone(): {"upsert": {}}}}),
        json!({"T": {id.clone(): {"insert": {}, "delete": null}}}),
        json!({"T": {id.clone(): {"insert": {"x": 1}}}}),
        json!({"T": {id.clone(): {"insert": {"n": "one"}}}}),
        json!({"T": {id.clone(): {"insert": {"n": ["set", []]}}}}),
    ] {
        let result = Decoder { schema: &schema(), spec: &spec() }.decode(MonitorMethod::Cond, &value);
        assert!(result.is_err(), "{value}");
    }
}
