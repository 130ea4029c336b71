//! Golden files: `view.json` in, `compiled.json` out. `BLESS=1 cargo test -p selvage-compile golden` rewrites.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{ViewFile, view_of};
use serde_json::{Value, json};

fn run(case: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case);
    let file: ViewFile =
        serde_json::from_str(&std::fs::read_to_string(dir.join("view.json")).unwrap()).unwrap();
    let view = view_of(file.revision, file.objects());
    let compiled = compile::compile(&view);

    let mut nodes = BTreeMap::new();
    for node in view.nodes.keys() {
        let fragment = |key| -> Value { serde_json::from_slice(&compiled.fragments()[key].bytes).unwrap() };
        let span: BTreeMap<String, Value> =
            compiled.node(node).keys().map(|k| (k.to_string(), fragment(k))).collect();
        nodes.insert(node.to_string(), span);
    }
    let refused: BTreeMap<String, String> =
        compiled.refused().iter().map(|(o, why)| (o.to_string(), why.to_string())).collect();
    let got = json!({ "revision": compiled.revision(), "nodes": nodes, "refused": refused });

    let path = dir.join("compiled.json");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&got).unwrap())).unwrap();
    }
    let want: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(got, want, "{case}: got\n{}", serde_json::to_string_pretty(&got).unwrap());
}

#[test]
fn golden_two_tenants() {
    run("two-tenants");
}

#[test]
fn golden_refused() {
    run("refused");
}
