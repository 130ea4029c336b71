//! Log records: constant messages, and fields of the closed list (`telemetry::field`).
//!
//! Read from the sources' tokens, also inside other macros (`tokio::select!`), where a syntax tree ends. Whatever it does
//! not understand is an error.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The macros of `tracing` that write a record or open a span.
const MACROS: &[&str] = &[
    "error",
    "warn",
    "info",
    "debug",
    "trace",
    "event",
    "span",
    "error_span",
    "warn_span",
    "info_span",
    "debug_span",
    "trace_span",
];

/// Checks every source file of the daemons and their crates.
pub fn check(root: &Path) -> Result<()> {
    let known: BTreeSet<&str> = telemetry::field::FIELDS.iter().map(|(name, _)| *name).collect();
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for file in sources(root)? {
        let text = std::fs::read_to_string(&file)?;
        let tokens: TokenStream = text.parse().map_err(|e| anyhow::anyhow!("{}: {e}", file.display()))?;
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        for record in records(tokens) {
            used.extend(record.fields.iter().cloned());
            wrong.extend(record.complaints(&known).map(|c| format!("{shown}:{}: {c}", record.line)));
        }
    }
    let unused = known.iter().filter(|f| !used.contains(**f));
    wrong.extend(unused.map(|f| format!("field `{f}` of crates/telemetry/src/field.rs is in no record")));
    ensure!(wrong.is_empty(), "log records:\n  {}", wrong.join("\n  "));
    Ok(())
}

fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut dirs = ["netmaster/src", "netplugin/src", "netctl/src"].map(|d| root.join(d)).to_vec();
    for entry in std::fs::read_dir(root.join("crates"))? {
        dirs.push(entry?.path().join("src"));
    }
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !is_test(&path) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_test(path: &Path) -> bool {
    let mut parts = path.components().map(|c| c.as_os_str().to_string_lossy());
    parts.any(|p| p == "tests" || p == "tests.rs" || p.ends_with("_tests.rs"))
}

/// One record as written.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    line: usize,
    fields: Vec<String>,
    /// Its message, as a literal with its quotes.
    message: Option<String>,
    /// What is neither.
    odd: Vec<String>,
}

impl Record {
    fn complaints(&self, known: &BTreeSet<&str>) -> impl Iterator<Item = String> {
        let unknown = self.fields.iter().filter(|f| !known.contains(f.as_str()));
        let unknown = unknown.map(|f| format!("field `{f}` is not in crates/telemetry/src/field.rs"));
        let varying = self.message.iter().filter(|m| m.contains('{'));
        let varying = varying.map(|m| format!("message {m} varies: say what varies in fields"));
        let none = self.message.is_none().then(|| "a record without a message".to_owned());
        let odd = self.odd.iter().map(|o| format!("`{o}` is neither a field nor a constant message"));
        unknown.chain(varying).chain(none).chain(odd).collect::<Vec<_>>().into_iter()
    }
}

/// All records in the tokens, however deep. Test modules are left out: `#[cfg(test)]` before `mod` and its block.
fn records(tokens: TokenStream) -> Vec<Record> {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    let mut test_module = false;
    for (at, tree) in trees.iter().enumerate() {
        let TokenTree::Group(group) = tree else {
            if is_punct(tree, ';') {
                test_module = false;
            }
            continue;
        };
        if group.delimiter() == Delimiter::Bracket
            && group.stream().to_string().replace(' ', "") == "cfg(test)"
        {
            test_module = true;
            continue;
        }
        if test_module && group.delimiter() == Delimiter::Brace {
            test_module = false;
            continue;
        }
        if writes_record(&trees[..at]) {
            found.push(record(group.span_open().start().line, group.stream()));
        }
        found.extend(records(group.stream()));
    }
    found
}

/// Whether what stands before a group is `tracing::MACRO!`.
fn writes_record(before: &[TokenTree]) -> bool {
    let [.., krate, a, b, name, bang] = before else { return false };
    let is_macro = matches!(name, TokenTree::Ident(i) if MACROS.contains(&i.to_string().as_str()));
    let is_tracing = matches!(krate, TokenTree::Ident(i) if i == "tracing");
    is_punct(bang, '!') && is_macro && is_punct(a, ':') && is_punct(b, ':') && is_tracing
}

fn record(line: usize, arguments: TokenStream) -> Record {
    let mut record = Record { line, fields: Vec::new(), message: None, odd: Vec::new() };
    for argument in split(arguments) {
        let mut rest = argument.as_slice();
        if let [TokenTree::Literal(literal)] = rest {
            record.message = Some(literal.to_string());
            continue;
        }
        if let [sigil, after @ ..] = rest
            && (is_punct(sigil, '%') || is_punct(sigil, '?'))
        {
            rest = after;
        }
        match rest {
            [TokenTree::Ident(name)] => record.fields.push(name.to_string()),
            [TokenTree::Ident(name), equals, ..] if is_punct(equals, '=') => {
                record.fields.push(name.to_string())
            }
            _ => record.odd.push(argument.iter().map(ToString::to_string).collect()),
        }
    }
    record
}

/// At its commas; groups are one tree each, so those inside do not count.
fn split(arguments: TokenStream) -> Vec<Vec<TokenTree>> {
    let trees: Vec<TokenTree> = arguments.into_iter().collect();
    let parts = trees.split(|t| is_punct(t, ',')).map(<[TokenTree]>::to_vec);
    parts.filter(|p| !p.is_empty()).collect()
}

fn is_punct(tree: &TokenTree, wanted: char) -> bool {
    matches!(tree, TokenTree::Punct(p) if p.as_char() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(source: &str) -> Vec<String> {
        let known = BTreeSet::from(["node", "error"]);
        records(source.parse().unwrap())
            .iter()
            .flat_map(|r| r.complaints(&known).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn listed_fields_and_constant_messages_pass() {
        let source =
            r#"fn f() { tracing::info!(node = %x.name(), %error, "it happened"); tracing::warn!("x"); }"#;
        assert_eq!(complaints(source), Vec::<String>::new());
        assert_eq!(records(source.parse().unwrap()).len(), 2);
    }

    #[test]
    fn other_fields_are_found_also_inside_other_macros() {
        let source = r#"tokio::select! { _ = x => { tracing::info!(token = %t, "joined") } }"#;
        assert_eq!(complaints(source), ["field `token` is not in crates/telemetry/src/field.rs"]);
    }

    #[test]
    fn messages_that_vary_are_refused() {
        assert!(complaints(r#"tracing::error!("{error:#}")"#)[0].contains("varies"));
        assert!(complaints(r#"tracing::error!("node {}", node)"#)[0].contains("varies"));
        assert!(complaints("tracing::error!(node)")[0].contains("without a message"));
        assert!(complaints(r#"tracing::error!(self.node, "x")"#)[0].contains("neither"));
    }

    #[test]
    fn test_modules_are_left_out() {
        assert!(complaints(r#"#[cfg(test)] mod tests { fn f() { tracing::info!(x, "y") } }"#).is_empty());
    }
}
