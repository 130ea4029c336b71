//! Operations as RFC 7047 section 5.2 spells them.

use super::*;

#[test]
fn encodes_every_operation_as_rfc_7047_section_5_2() {
    let mut tx = Transaction::new();
    let name = tx.insert("Port", row([("name", "p".into())]));
    tx.mutate(
        "Bridge",
        vec![Condition::equal("name", "br")],
        vec![Mutation::new("ports", Mutator::Insert, Datum::scalar(name.clone()))],
    );
    tx.require(
        "Bridge",
        vec![Condition::has_pair("external_ids", "o", "me")],
        &["name"],
        vec![row([("name", "br".into())])],
    );
    tx.select("Open_vSwitch", vec![], &["next_cfg"]);
    tx.update("Port", vec![Condition::new("tag", Function::Greater, 3)], row([("tag", Datum::empty_set())]));
    tx.delete("Port", vec![]);
    tx.push(Operation::Commit { durable: true });
    tx.push(Operation::Abort);
    tx.comment("why");
    tx.assert_lock(&LockName::new("l").unwrap());
    assert_eq!(
        json!(tx.to_params("DB")),
        json!(["DB",
            {"op": "insert", "table": "Port", "row": {"name": "p"}, "uuid-name": "row0"},
            {"op": "mutate", "table": "Bridge", "where": [["name", "==", "br"]],
             "mutations": [["ports", "insert", ["named-uuid", "row0"]]]},
            {"op": "wait", "table": "Bridge", "where": [["external_ids", "includes", ["map", [["o", "me"]]]]],
             "columns": ["name"], "until": "==", "rows": [{"name": "br"}], "timeout": 0},
            {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]},
            {"op": "update", "table": "Port", "where": [["tag", ">", 3]], "row": {"tag": ["set", []]}},
            {"op": "delete", "table": "Port", "where": []},
            {"op": "commit", "durable": true},
            {"op": "abort"},
            {"op": "comment", "comment": "why"},
            {"op": "assert", "lock": "l"},
        ])
    );
}

#[test]
fn nul_bytes_are_found_wherever_they_hide() {
    let clean = row([("name", "p".into())]);
    for (at, bad) in [row([("name", "p\0".into())]), row([("na\0me", "p".into())])].into_iter().enumerate() {
        let mut tx = Transaction::new();
        (0..at).for_each(|_| drop(tx.insert("Port", clean.clone())));
        tx.update("Port", vec![], bad);
        assert_eq!(tx.nul_byte(), Some(OpIndex(at)));
    }
    let mut tx = Transaction::new();
    tx.insert("Port", row([("external_ids", Datum::map([("k", "a\\0b")]))]));
    assert_eq!(tx.nul_byte(), None);
    tx.comment("\0");
    assert_eq!(tx.nul_byte(), Some(OpIndex(1)));
}

#[test]
fn setting_keys_deletes_before_it_inserts() {
    let pairs = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    let [delete, insert] = &Mutation::set_keys("external_ids", &pairs)[..] else { panic!("two mutations") };
    assert_eq!((delete.mutator, &delete.value), (Mutator::Delete, &Datum::set(["k"])));
    assert_eq!((insert.mutator, &insert.value), (Mutator::Insert, &Datum::map([("k", "v")])));
}
