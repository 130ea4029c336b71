//! What compiles is read as it was written, and what the server has otherwise is named, never guessed.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::monitor::{MonitorSpec, RowUpdate, Updates};
use crate::operation::Transaction;
use crate::schema::{DatabaseSchema, SchemaError};
use crate::vswitch::tables::{Bridge, BridgeFailMode, FlowTable, Interface, Mirror, OpenVSwitch, Port};

fn schema() -> serde_json::Value {
    serde_json::from_str(include_str!("../../schema/vswitch.ovsschema")).unwrap()
}

fn parsed(value: &serde_json::Value) -> DatabaseSchema {
    DatabaseSchema::from_json(value).unwrap()
}

fn snapshot(table: &str, rows: impl IntoIterator<Item = (Uuid, Row)>) -> Database {
    let rows = rows.into_iter().map(|(uuid, row)| (uuid, RowUpdate::Initial(row))).collect();
    let mut database = Database::new();
    database.replace(&Updates::from([(table.to_owned(), rows)])).unwrap();
    database
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read(
        name in "[a-z]{0,5}",
        ofport in proptest::option::of(any::<i64>()),
        ids in proptest::collection::btree_map("[a-z]{0,3}", "[a-z]{0,3}", 0..4),
        mpids in proptest::collection::btree_set(any::<i64>(), 0..4),
        lacp in proptest::option::of(any::<bool>()),
    ) {
        let row = cells([
            Interface::NAME.is(name.as_str()),
            Interface::OFPORT.is(ofport),
            Interface::EXTERNAL_IDS.is(ids.clone()),
            Interface::CFM_REMOTE_MPIDS.is(mpids.clone()),
            Interface::LACP_CURRENT.is(lacp),
        ]);
        let database = snapshot("Interface", [(Uuid::from_u128(7), row)]);
        let row = database.only::<Interface>().unwrap();
        prop_assert_eq!(row.row().uuid(), Uuid::from_u128(7));
        prop_assert_eq!(row.get(Interface::NAME).unwrap(), name);
        prop_assert_eq!(row.get(Interface::OFPORT).unwrap(), ofport);
        prop_assert_eq!(row.get(Interface::EXTERNAL_IDS).unwrap(), ids);
        prop_assert_eq!(row.get(Interface::CFM_REMOTE_MPIDS).unwrap(), mpids);
        prop_assert_eq!(row.get(Interface::LACP_CURRENT).unwrap(), lacp);
    }
}

#[test]
fn enumerated_values_of_a_newer_schema_are_kept_and_equal_nothing_known() {
    let id = Uuid::from_u128(1);
    let row = Row::from([("fail_mode".to_owned(), "open".into())]);
    let database = snapshot("Bridge", [(id, row)]);
    let mode = database.only::<Bridge>().unwrap().get(Bridge::FAIL_MODE).unwrap().unwrap();
    assert_eq!(mode.as_str(), "open");
    assert!(mode != BridgeFailMode::Secure && mode != BridgeFailMode::Standalone);
    assert_eq!(Bridge::FAIL_MODE.equals(mode).value, "open".into());
}

#[test]
fn references_lead_to_rows_of_their_table() {
    let port = Uuid::from_u128(2);
    let database = snapshot("Port", [(port, cells([Port::NAME.is("p")]))]);
    let found = database.typed_row(Ref::<Port>::new(port)).unwrap();
    assert_eq!(found.get(Port::NAME).unwrap(), "p");
    assert!(database.typed_row(Ref::<Bridge>::new(port)).is_none());
    let weak = Mirror::OUTPUT_PORT.is(Ref::new(port));
    assert_eq!(cells([weak])["output_port"], port.into());
}

#[test]
fn values_of_another_type_are_named() {
    let id = Uuid::from_u128(1);
    let database = snapshot("Interface", [(id, Row::from([("ofport".to_owned(), "one".into())]))]);
    let row = database.only::<Interface>().unwrap();
    let error = row.get(Interface::OFPORT).unwrap_err();
    assert_eq!(error.to_string(), format!("column Interface.ofport of row {id} is not an optional integer"));
}

#[test]
fn absent_columns_are_explained_and_never_read_as_their_default() {
    let database = snapshot("Interface", [(Uuid::from_u128(1), Row::new())]);
    let row = database.only::<Interface>().unwrap();
    let error = row.get(Interface::ERROR).unwrap_err();
    assert_eq!(error, RowError::Absent { table: "Interface", column: "error" });
    assert!(error.to_string().contains("the server's schema lacks it"), "{error}");
    assert_eq!(row.get_if_present(Interface::ERROR), Ok(None));
}

#[test]
fn tables_of_one_row_have_one() {
    let error = Database::new().only::<OpenVSwitch>().err().unwrap();
    assert_eq!(error.to_string(), "database has 0 Open_vSwitch rows where one is expected");
    let rows = [1, 2, 3].map(|n| (Uuid::from_u128(n), Row::new()));
    let error = snapshot("Open_vSwitch", rows).only::<OpenVSwitch>().err().unwrap();
    assert_eq!(error, RowError::NotOne { table: "Open_vSwitch", count: 3 });
}

#[test]
fn every_generated_column_is_in_the_schema_it_was_generated_from() {
    let schema = parsed(&schema());
    for (table, columns) in [
        (Bridge::TABLE, Bridge::COLUMNS),
        (Interface::TABLE, Interface::COLUMNS),
        (FlowTable::TABLE, FlowTable::COLUMNS),
    ] {
        let known: Vec<_> = schema.table(table).unwrap().columns.keys().map(String::as_str).collect();
        assert_eq!(columns, known);
    }
}

#[test]
fn server_without_a_required_column_is_refused_and_without_an_optional_one_is_not() {
    let mut older = schema();
    older["tables"]["Interface"]["columns"].as_object_mut().unwrap().remove("mtu_request");
    older["tables"].as_object_mut().unwrap().remove("CT_Zone");
    let (older, current) = (parsed(&older), parsed(&schema()));
    let required = MonitorSpec::new().column(Interface::MTU_REQUEST);
    let missing = SchemaError::NoColumn { table: "Interface".into(), column: "mtu_request".into() };
    assert_eq!(required.resolve(&older), Err(missing));

    use crate::vswitch::tables::CTZone;
    let optional = MonitorSpec::new()
        .column(Interface::NAME)
        .optional_column(Interface::MTU_REQUEST)
        .optional_column(CTZone::EXTERNAL_IDS);
    let resolved = optional.resolve(&older).unwrap();
    assert_eq!(resolved.tables().keys().collect::<Vec<_>>(), ["Interface"]);
    assert_eq!(
        optional.absent_from(&resolved),
        BTreeSet::from(["CT_Zone.external_ids".to_owned(), "Interface.mtu_request".to_owned()])
    );
    assert_eq!(optional.resolve(&current).unwrap(), optional);
}

#[test]
fn server_with_a_column_of_another_type_is_refused_by_name() {
    for (changed, fits) in [
        (json!({"key": "integer", "min": 0, "max": "unlimited"}), false),
        (json!({"key": "string", "min": 0}), false),
        (json!({"key": "integer", "value": "integer", "min": 0}), false),
        (json!("integer"), true),
        (json!({"key": {"type": "integer", "minInteger": 5}, "min": 0}), true),
    ] {
        let mut other = schema();
        other["tables"]["Interface"]["columns"]["ofport"]["type"] = changed.clone();
        let resolved = MonitorSpec::new().column(Interface::OFPORT).resolve(&parsed(&other));
        match resolved {
            Ok(_) => assert!(fits, "{changed}"),
            Err(error) => {
                assert!(!fits, "{changed}");
                assert_eq!(
                    error.to_string(),
                    "column Interface.ofport is not an optional integer in this schema"
                );
            }
        }
    }
}

#[test]
fn typed_operations_say_what_untyped_ones_do() {
    let mut tx = Transaction::new();
    let interface = tx.insert_row([Interface::NAME.is("p"), Interface::OFPORT_REQUEST.is(7)]);
    let port = tx.insert_row([Port::NAME.is("p"), Port::INTERFACES.refers([&interface])]);
    let bridge = Ref::<Bridge>::new(Uuid::nil());
    tx.mutate_row(bridge, vec![Bridge::PORTS.insert_named([&port]), Bridge::PORTS.delete(BTreeSet::new())]);
    tx.update_row(bridge, [Bridge::EXTERNAL_IDS.is(BTreeMap::new())]);
    let nil = Uuid::nil().to_string();
    assert_eq!(
        json!(tx.to_params("D")),
        json!(["D",
            {"op": "insert", "table": "Interface", "row": {"name": "p", "ofport_request": 7}, "uuid-name": "row0"},
            {"op": "insert", "table": "Port", "row": {"name": "p", "interfaces": ["named-uuid", "row0"]}, "uuid-name": "row1"},
            {"op": "mutate", "table": "Bridge", "where": [["_uuid", "==", ["uuid", nil]]], "mutations": [
                ["ports", "insert", ["named-uuid", "row1"]], ["ports", "delete", ["set", []]]]},
            {"op": "update", "table": "Bridge", "where": [["_uuid", "==", ["uuid", nil]]],
                "row": {"external_ids": ["map", []]}},
        ])
    );
}
