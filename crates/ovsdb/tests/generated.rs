//! The generated tables are fresh: what is checked in is what the generator makes of the checked-in schema, and that
//! is the schema of the Open vSwitch the other tests run. `BLESS=1 cargo test -p selvage-ovsdb --test generated`
//! rewrites them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the result")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ovsdb::codegen::generate;
use ovsdb::schema::DatabaseSchema;

const SCHEMA: &str = "schema/vswitch.ovsschema";
const INSTALLED: &str = "/usr/share/openvswitch/vswitch.ovsschema";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read_schema(path: &Path) -> DatabaseSchema {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    DatabaseSchema::from_json(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn formatted(text: &str) -> String {
    let config = here("../../rustfmt.toml").display().to_string();
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition=2024", "--config-path", &config])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    rustfmt.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = rustfmt.wait_with_output().unwrap();
    assert!(out.status.success(), "rustfmt refused:\n{text}");
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn generated_tables_are_fresh() {
    let dir = here("src/vswitch/tables");
    let sources = generate(&read_schema(&here(SCHEMA)), SCHEMA).unwrap();
    let fresh: BTreeMap<_, _> = sources.into_iter().map(|s| (s.file, formatted(&s.text))).collect();
    if std::env::var_os("BLESS").is_some() {
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        fresh.iter().for_each(|(file, text)| std::fs::write(dir.join(file), text).unwrap());
    }
    let entries = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap());
    let checked_in: BTreeMap<_, _> = entries
        .map(|e| (e.file_name().into_string().unwrap(), std::fs::read_to_string(e.path()).unwrap()))
        .collect();
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&fresh), names(&checked_in), "./dev bless rewrites {}", dir.display());
    for (file, text) in &fresh {
        assert!(*text == checked_in[file], "{file} is stale: ./dev bless rewrites it");
    }
}

#[test]
fn checked_in_schema_is_that_of_the_installed_switch() {
    // The tables are generated from Open vSwitch 3.1; another one installed is no failure, its schema is another one.
    let (ours, theirs) = (read_schema(&here(SCHEMA)), read_schema(Path::new(INSTALLED)));
    if ours.version() == theirs.version() {
        assert_eq!(ours, theirs);
    }
}
