//! The generated blocks of the documents are fresh.
//!
//! A block begins with `<!-- generated: WHAT -->` and ends with `<!-- end -->`. WHAT is `tables`, `layout`, `cookies`, or
//! `flows CASE TABLE`: a table of a golden case. `BLESS=1 cargo test -p selvage-pipeline` rewrites them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::fmt::Write;
use std::path::Path;

use pipeline::{ClassId, Cookie, Object, fields, tables};
use support::case::Case;
use types::{EndpointUid, GroupId, PolicyId, RuleId, RuleSlot, Vni, VrfId};

const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- end -->\n";

fn block(what: &str) -> Option<String> {
    let mut words = what.split(' ');
    Some(match (words.next()?, words.next(), words.next()) {
        ("tables", None, None) => table_rows(),
        ("layout", None, None) => layout_rows(),
        ("cookies", None, None) => cookie_rows(),
        ("flows", Some(case), Some(table)) => flow_lines(case, table),
        _ => return None,
    })
}

fn table_rows() -> String {
    let mut out = String::from("| number | table | does |\n|---|---|---|\n");
    for t in tables() {
        writeln!(out, "| {} | {} | {} |", t.number, t.name, t.purpose).unwrap();
    }
    out
}

fn layout_rows() -> String {
    let mut out = String::from("| bits | name | holds | written by | read by |\n|---|---|---|---|---|\n");
    for row in fields::LAYOUT {
        writeln!(out, "| `{}` | {} | {} | {} | {} |", row.bits, row.name, row.meaning, row.written, row.read)
            .unwrap();
    }
    out
}

fn cookie_rows() -> String {
    let objects = [
        ("the pipeline itself", Object::Pipeline),
        ("endpoint", Object::Endpoint(EndpointUid::new(0x2a).unwrap())),
        ("network (VNI)", Object::Network(Vni::new(101).unwrap())),
        ("VRF", Object::Vrf(VrfId::new(1).unwrap())),
        ("rule", Object::Rule(RuleId::new(PolicyId::new(7).unwrap(), RuleSlot::new(2).unwrap()))),
        ("clause of several rules", Object::Clause(0x0123_4567_89ab)),
        ("address class", Object::Class(ClassId::from_bits(0x2ff2_4740).unwrap())),
        ("denied group", Object::DeniedGroup(GroupId::new(3).unwrap())),
    ];
    let mut out = String::from("| object | example | in words |\n|---|---|---|\n");
    for (name, object) in objects {
        let cookie = Cookie::new(object);
        writeln!(out, "| {name} | `{cookie}` | {} |", cookie.explain()).unwrap();
    }
    out
}

fn flow_lines(case: &str, table: &str) -> String {
    let case =
        Case::all().into_iter().find(|c| c.name == case).unwrap_or_else(|| panic!("no golden case {case}"));
    let text = case.render().flows.to_string();
    let header = format!(" {table}");
    let mut lines = text.lines().skip_while(|l| !(l.starts_with("# table") && l.ends_with(&header)));
    let first = lines.next().unwrap_or_else(|| panic!("no table {table}"));
    let rest = lines.take_while(|l| !l.starts_with('#'));
    let lines: Vec<_> = std::iter::once(first).chain(rest).collect();
    format!("```text\n{}\n```\n", lines.join("\n"))
}

/// The document with its blocks as they should be, and how many there are.
fn refreshed(text: &str) -> (String, usize) {
    let mut out = String::new();
    let mut blocks = 0;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (what, after) = after.split_once(" -->\n").unwrap();
        let (old, after) = after.split_once(END).unwrap_or_else(|| panic!("{what}: the block has no end"));
        // Blocks of other generators stay.
        let content = block(what).inspect(|_| blocks += 1).unwrap_or_else(|| old.to_owned());
        write!(out, "{before}{BEGIN}{what} -->\n{content}{END}").unwrap();
        rest = after;
    }
    (out + rest, blocks)
}

#[test]
fn generated_blocks_are_fresh() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut blocks = 0;
    for entry in std::fs::read_dir(docs).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let (fresh, n) = refreshed(&text);
        blocks += n;
        if std::env::var_os("BLESS").is_some() && fresh != text {
            std::fs::write(&path, &fresh).unwrap();
        } else {
            assert!(fresh == text, "{}: generated blocks are stale; BLESS=1 rewrites them", path.display());
        }
    }
    assert!(blocks >= 6, "only {blocks} generated blocks found");
}

#[test]
fn layout_rows_do_not_overlap_and_every_register_is_named_once() {
    // Neighbour discovery, the lists of Flood, the stages before Decide, Turn and the way into the tunnel: none holds
    // anything while another does.
    let stages = ["ND_REQUESTER", "FLOOD_PART", "RECEIVER_GROUP", "TURN_", "TUNNEL_DESTINATION_V6"];
    let shared = |name: &str| stages.iter().any(|stage| name.starts_with(stage));
    for (i, a) in fields::LAYOUT.iter().enumerate() {
        for b in fields::LAYOUT[..i].iter().filter(|b| !(shared(a.name) && shared(b.name))) {
            let overlap = a.bits.field() == b.bits.field() && a.bits.mask() & b.bits.mask() != 0;
            assert!(!overlap, "{} and {}", a.name, b.name);
        }
    }
}
