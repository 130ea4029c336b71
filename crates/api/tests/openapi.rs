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
                if target.starts_with("#/components/responses/") {
                    return;
                }
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

#[test]
fn every_status_is_listed_with_its_body_and_none_in_general() {
    let document: Value = serde_json::from_str(&generated()).unwrap();
    for route in api::v1::routes() {
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        let responses = operation["responses"].as_object().unwrap();
        let listed: BTreeSet<u16> = responses.keys().map(|s| s.parse().expect("a status")).collect();
        assert_eq!(listed, route.statuses(), "{route:?}");
        for (status, response) in responses {
            let shared =
                response["$ref"].as_str().map(|name| name.trim_start_matches("#/components/responses/"));
            let response = shared.map_or(response, |name| &document["components"]["responses"][name]);
            let types: Vec<_> =
                response["content"].as_object().into_iter().flatten().map(|(t, _)| t).collect();
            let wanted: &[&str] = match status.as_str() {
                "204" | "304" => &[],
                "200" if route.is_watchable() => &["application/json", "text/event-stream"],
                "200" | "201" => &["application/json"],
                _ => &["application/problem+json"],
            };
            assert_eq!(types, wanted, "{route:?} {status}");
        }
    }
}
