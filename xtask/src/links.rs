//! Links in Markdown: every relative target exists, and the heading it names too.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Checks all Markdown files that git knows.
pub fn check(root: &Path) -> Result<()> {
    let out =
        Command::new("git").args(["ls-files", "*.md"]).current_dir(root).output().context("git ls-files")?;
    ensure!(out.status.success(), "git ls-files: {}", String::from_utf8_lossy(&out.stderr).trim());
    let mut wrong = Vec::new();
    for file in String::from_utf8(out.stdout)?.lines() {
        let text = std::fs::read_to_string(root.join(file)).with_context(|| file.to_owned())?;
        for target in targets(&text) {
            if let Err(why) = resolve(&root.join(file), &text, target) {
                wrong.push(format!("{file}: ({target}) {why}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "broken links:\n  {}", wrong.join("\n  "));
    Ok(())
}

/// The `target` of every `[text](target)` outside code blocks.
fn targets(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code || line.starts_with("    ") {
            continue;
        }
        let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(links.filter(|t| !t.contains("://") && !t.starts_with("mailto:")));
    }
    found
}

fn resolve(file: &Path, own: &str, target: &str) -> Result<(), String> {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(p, a)| (p, Some(a)));
    let there = file.parent().unwrap_or(Path::new(".")).join(path);
    if !path.is_empty() && !there.exists() {
        return Err("does not exist".into());
    }
    let Some(anchor) = anchor else { return Ok(()) };
    let other = if path.is_empty() { Ok(own.to_owned()) } else { std::fs::read_to_string(&there) };
    let text = other.map_err(|e| e.to_string())?;
    let mut headings = text.lines().filter(|l| l.starts_with('#')).map(slug);
    if headings.any(|h| h == anchor) { Ok(()) } else { Err("names no heading there".into()) }
}

/// A heading's anchor, as forges make it: lower case, blanks to hyphens, punctuation gone.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let keep = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    keep.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_and_to_the_web_are_not_ours() {
        let text = "see [a](x.md#y), [b](https://c)\n```\n[no](z)\n```\n";
        assert_eq!(targets(text), ["x.md#y"]);
    }

    #[test]
    fn missing_file_and_missing_heading_are_found() {
        let here = Path::new("xtask/Cargo.toml");
        assert!(resolve(here, "# Two words, here\n", "#two-words-here").is_ok());
        assert!(resolve(here, "# One\n", "#two").is_err());
        assert!(resolve(here, "", "nowhere.md").is_err());
    }
}
