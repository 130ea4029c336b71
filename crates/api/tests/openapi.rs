//! The document in `openapi/` is what the code says, and is whole.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../openapi/netmaster-v1.json")
}

fn generated() -> String {
    let mut text = api::document().to_pretty_json().expect("serializes");
    text.push('\n');
    text
}

#[test]
fn checked_in_document_is_fresh() {
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file(), generated()).unwrap();
    }
    let stored = std::fs::read_to_string(file()).unwrap_or_default();
    assert!(stored == generated(), "openapi/netmaster-v1.json is stale: run ./dev bless");
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                found.insert(target.trim_start_matches("#/components/schemas/").to_owned());
            }
            map.values().for_each(|v| references(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}

#[test]
fn every_reference_has_a_schema_and_limits_are_visible() {
    let document: Value = serde_json::from_str(&generated()).unwrap();
    let mut referenced = BTreeSet::new();
    references(&document, &mut referenced);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let missing: Vec<_> = referenced.iter().filter(|name| !schemas.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(schemas["Vni"]["maximum"], 16_777_215);
    assert_eq!(schemas["Name"]["maxLength"], 63);
    assert!(schemas["Name"]["pattern"].as_str().unwrap().starts_with("^[a-z0-9]"));
}

#[test]
fn every_route_is_in_the_document_once() {
    let document: Value = serde_json::from_str(&generated()).unwrap();
    let mut operations = BTreeSet::new();
    for route in api::v1::routes() {
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        let name = route.call.operation();
        assert_eq!(operation["operationId"], *name, "{route:?}");
        assert!(operations.insert(name.clone()), "{name} twice");
    }
}
