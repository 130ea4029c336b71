//! Blocks of documents that are made of code: `<!-- generated: NAME -->` to `<!-- end -->`.

use std::path::Path;

/// Demands that a document's block has this content; with `BLESS` in the environment, writes it there instead.
///
/// # Panics
/// When the document or the block is missing, or the block is stale.
#[expect(clippy::panic, reason = "a failure of the test that asks")]
pub fn generated_block(path: &Path, name: &str, content: &str) {
    let shown = path.display();
    let Ok(text) = std::fs::read_to_string(path) else { panic!("{shown} cannot be read") };
    let begin = format!("<!-- generated: {name} -->\n");
    let parts = text.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once("<!-- end -->")?;
        Some((before, after))
    });
    let Some((before, after)) = parts else { panic!("{shown} has no block `{name}`") };
    let fresh = format!("{before}{begin}{content}<!-- end -->{after}");
    if std::env::var_os("BLESS").is_some() {
        assert!(std::fs::write(path, fresh).is_ok(), "{shown} cannot be written");
    } else {
        assert!(fresh == text, "{shown}: block `{name}` is stale; ./dev bless rewrites it");
    }
}
