//! Licences and bans, offline: every linked package's licence must be one that deny.toml allows, and none of the
//! banned packages may be linked at all.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::deps::{fetch, text};
use crate::step::cargo;

#[derive(Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    name: String,
}

/// Checks every package that is linked on this platform.
pub fn check(root: &Path) -> Result<()> {
    let rules: Rules =
        toml::from_str(&std::fs::read_to_string(root.join("deny.toml"))?).context("deny.toml")?;
    fetch(root)?;
    // Every package that is built on this platform, tests and build scripts included. (`cargo metadata` also lists
    // optional packages that no feature switches on.)
    let mut command =
        cargo(&["tree", "--offline", "--workspace", "--edges=normal,build,dev", "--prefix=none"]);
    let tree = text(command.arg("--format={p}|{l}").current_dir(root))?;
    let mut wrong = BTreeSet::new();
    for (package, licence) in tree.lines().filter_map(|l| l.trim_end_matches(" (*)").split_once('|')) {
        let name = package.split_whitespace().next().unwrap_or_default();
        if rules.bans.deny.iter().any(|b| b.name == name) {
            wrong.insert(format!("{package} is banned; see: cargo tree -i {name}"));
        }
        if !allowed(licence, &rules.licenses.allow) {
            wrong.insert(format!("{package}: licence {licence:?} is not allowed"));
        }
    }
    let wrong: Vec<_> = wrong.into_iter().collect();
    ensure!(wrong.is_empty(), "deny.toml:\n  {}", wrong.join("\n  "));
    Ok(())
}

/// Whether an SPDX expression (SPDX 2.3 annex D) can be satisfied with these licences. What cannot be read is not.
fn allowed(expression: &str, allow: &BTreeSet<String>) -> bool {
    // An old spelling of OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, at: 0, allow };
    parser.either() == Some(true) && parser.at == words.len()
}

struct Parser<'a> {
    words: &'a [&'a str],
    at: usize,
    allow: &'a BTreeSet<String>,
}

impl Parser<'_> {
    fn either(&mut self) -> Option<bool> {
        let mut ok = self.both()?;
        while self.accept("OR") {
            ok |= self.both()?;
        }
        Some(ok)
    }

    fn both(&mut self) -> Option<bool> {
        let mut ok = self.one()?;
        while self.accept("AND") {
            ok &= self.one()?;
        }
        Some(ok)
    }

    fn one(&mut self) -> Option<bool> {
        if self.accept("(") {
            let ok = self.either()?;
            return self.accept(")").then_some(ok);
        }
        let mut name = self.next()?.to_owned();
        if self.accept("WITH") {
            name = format!("{name} WITH {}", self.next()?);
        }
        Some(self.allow.contains(&name))
    }

    fn next(&mut self) -> Option<&str> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    fn accept(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at) == Some(&word);
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_need_one_side_of_or_and_both_of_and() {
        let allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"];
        let allow: BTreeSet<_> = allow.iter().map(|s| (*s).to_owned()).collect();
        let ok = |e| allowed(e, &allow);
        assert!(ok("MIT OR GPL-3.0") && ok("MIT/GPL-3.0") && ok("(MIT OR GPL-3.0) AND Unicode-3.0"));
        assert!(ok("Apache-2.0 WITH LLVM-exception OR GPL-2.0"));
        assert!(!ok("MIT AND GPL-3.0") && !ok("GPL-3.0") && !ok("MIT WITH LLVM-exception"));
        assert!(!ok("") && !ok("(none)") && !ok("MIT OR") && !ok("(MIT") && !ok("MIT MIT"));
    }
}
