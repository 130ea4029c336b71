//! `netctl apply`: documents of files, all or nothing.
//!
//! Files are YAML (JSON is YAML), several documents each. Whatever is wrong is said with file, document and line: by
//! netctl when a document cannot be read, by the server otherwise, whose complaints name objects that are looked up here.

use std::path::{Path, PathBuf};

use api::v1::{ApplyBody, Change};
use api::{Code, Problem};
use serde_json::Value;

use crate::Terminal;
use crate::fault::{Fault, field_text};
use crate::output::{Format, Table, show, word};
use crate::setting::{Connection, read};

/// Options.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netctl apply -f deploy/examples/two-tenants.yaml
  netctl apply -f intent/ -f extra.yaml
  netctl policy ls -t blue -o yaml | netctl apply -f -")]
pub struct Args {
    /// A file, a directory (its .yaml, .yml and .json files), or - for standard input; may be given several times.
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    filename: Vec<PathBuf>,
    /// How to show what happened.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

/// One document and where it is from.
#[derive(Debug)]
struct Document {
    value: Value,
    place: Place,
}

/// `front.yaml: document 3 (line 17)`.
#[derive(Clone, Debug)]
struct Place {
    file: String,
    number: usize,
    line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: document {} (line {})", self.file, self.number, self.line)
    }
}

/// Runs it.
pub async fn run(args: Args, connection: &Connection, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let mut documents = Vec::new();
    for path in &args.filename {
        for (file, text) in sources(path, terminal)? {
            documents.extend(split(&file, &text)?);
        }
    }
    if documents.is_empty() {
        return Err(Fault::usage("nothing to apply: no documents in these files"));
    }
    let body = typed(&documents)?;
    let done = connection.client()?.apply(&body).await.map_err(|e| match e.problem() {
        Some(problem) => located(problem, &documents),
        None => e.into(),
    })?;
    show(terminal, args.output, &done, |done| {
        if args.output == Format::Name {
            return done.results.iter().map(|r| r.object.clone() + "\n").collect();
        }
        let mut table = Table::new(&["Object", "Change"]);
        done.results.iter().for_each(|r| table.row(vec![r.object.clone(), word(&r.change)]));
        let changed = done.results.iter().filter(|r| r.change != Change::Unchanged).count();
        format!("{table}\n{changed} of {} changed, revision {}\n", done.results.len(), done.revision)
    })
}

/// The texts a path stands for, with the names to call them.
fn sources(path: &Path, terminal: &mut Terminal<'_>) -> Result<Vec<(String, String)>, Fault> {
    let utf8 = |name: &str, bytes: Vec<u8>| {
        String::from_utf8(bytes).map_err(|_| Fault::usage(format!("{name} is no UTF-8 text")))
    };
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        let done = terminal.stdin.read_to_end(&mut bytes);
        done.map_err(|e| Fault::usage(format!("cannot read standard input: {e}")))?;
        return Ok(vec![("standard input".to_owned(), utf8("standard input", bytes)?)]);
    }
    let files = if path.is_dir() { files_of(path)? } else { vec![path.to_owned()] };
    let text = |file: &PathBuf| {
        let name = file.display().to_string();
        let text = utf8(&name, read(file)?)?;
        Ok((name, text))
    };
    files.iter().map(text).collect()
}

/// The documents of a directory, by name.
fn files_of(dir: &Path) -> Result<Vec<PathBuf>, Fault> {
    let fail = |e: std::io::Error| Fault::usage(format!("cannot read {}: {e}", dir.display()));
    let entries = std::fs::read_dir(dir).map_err(fail)?.collect::<Result<Vec<_>, _>>().map_err(fail)?;
    let ours = |p: &PathBuf| p.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
    let mut files: Vec<_> = entries.iter().map(std::fs::DirEntry::path).filter(ours).collect();
    files.sort();
    if files.is_empty() {
        return Err(Fault::usage(format!("{} has no .yaml, .yml or .json file", dir.display())));
    }
    Ok(files)
}

/// Splits a stream at its document markers (YAML 1.2 section 9.1.2: three hyphens at the start of a line), so that
/// each document's lines are known.
fn split(file: &str, text: &str) -> Result<Vec<Document>, Fault> {
    let is_marker =
        |l: &str| l.strip_prefix("---").is_some_and(|r| r.is_empty() || r.starts_with([' ', '\t', '\r']));
    let mut parts: Vec<(usize, String)> = vec![(1, String::new())];
    for (number, line) in (1..).zip(text.lines()) {
        if is_marker(line) {
            // What follows the hyphens belongs to the document.
            parts.push((number, format!("   {}\n", &line[3..])));
        } else if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    let empty = |part: &str| {
        part.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#') || l == "...")
    };
    let filled = parts.into_iter().filter(|(_, part)| !empty(part));
    let mut documents = Vec::new();
    for (number, (start, part)) in (1..).zip(filled) {
        documents.extend(parse(file, number, start, &part)?);
    }
    Ok(documents)
}

/// Parses one document; a list, as `ls -o yaml` gives it, is many.
fn parse(file: &str, number: usize, start: usize, part: &str) -> Result<Vec<Document>, Fault> {
    let blank = part.lines().take_while(|l| l.trim().is_empty() || l.trim_start().starts_with('#')).count();
    let place = Place { file: file.to_owned(), number, line: start + blank };
    // By way of YAML's own value, which refuses keys that stand twice.
    let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(part).map_err(|e| {
        let line = e.location().map_or(place.line, |l| start + l.line() - 1);
        let text = e.to_string();
        let reason = text.split(" at line ").next().unwrap_or_default();
        Fault::usage(format!("{file}: document {number}: line {line}: {reason}"))
            .next("mend the file; nothing was sent")
    })?;
    let value = serde_json::to_value(&value).map_err(|e| Fault::usage(format!("{place}: {e}")))?;
    match value {
        Value::Object(mut map)
            if map.get("kind").is_none() && map.get("items").is_some_and(Value::is_array) =>
        {
            let items = map.remove("items").unwrap_or_default();
            let Value::Array(items) = items else { return Ok(Vec::new()) };
            Ok(items.into_iter().map(|value| Document { value, place: place.clone() }).collect())
        }
        value => Ok(vec![Document { value, place }]),
    }
}

/// Reads every document as what its kind says it is, before anything is sent.
fn typed(documents: &[Document]) -> Result<ApplyBody, Fault> {
    let mut body = ApplyBody::default();
    let mut wrong = Vec::new();
    for Document { value, place } in documents {
        let one = serde_json::json!({ "documents": [value] }).to_string();
        match ApplyBody::from_slice(one.as_bytes()) {
            Ok(read) => body.documents.extend(read.documents),
            Err(e) => {
                let path = e.path.trim_start_matches("documents[0]").trim_start_matches('.').to_owned();
                let path = if path.is_empty() { path } else { format!("{path}: ") };
                wrong.push(format!("{place}: {path}{}", e.reason));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(body);
    }
    let fault = Fault::usage(format!("{} of {} documents cannot be read", wrong.len(), documents.len()));
    Err(wrong.into_iter().fold(fault, Fault::detail).next("mend the files; nothing was sent"))
}

/// The server's refusal, with the places of the objects it names.
fn located(problem: &Problem, documents: &[Document]) -> Fault {
    let place = |object: &str| documents.iter().find(|d| named(&d.value) == object).map(|d| &d.place);
    let detail = |e: &api::FieldProblem| match place(&e.object) {
        Some(place) => format!("{place}: {}: {}", e.object, field_text(e)),
        None => format!("{}: {}", e.object, field_text(e)),
    };
    let fault = Fault::refused(problem, problem.errors.iter().map(detail).collect());
    if problem.code == Code::Invalid { fault.next("mend the files; nothing was changed") } else { fault }
}

/// An object as the server names it: `network blue/web`.
fn named(value: &Value) -> String {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    match text("tenant") {
        "" => format!("{} {}", text("kind"), text("name")),
        tenant => format!("{} {tenant}/{}", text("kind"), text("name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        match split("a.yaml", text).and_then(|d| typed(&d)) {
            Ok(body) => format!("{body:?}"),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn documents_know_their_number_and_line() {
        let text =
            "# head\n---\nkind: tenant\nname: a\n--- # comment\n\n# more\nkind: tenant\nname: b\n---\n";
        let documents = split("a.yaml", text).unwrap();
        let places: Vec<_> = documents.iter().map(|d| d.place.to_string()).collect();
        assert_eq!(places, ["a.yaml: document 1 (line 3)", "a.yaml: document 2 (line 8)"]);
    }

    #[test]
    fn syntax_error_names_the_line_of_the_file() {
        let text = fault("kind: tenant\nname: a\n---\nkind: tenant\nname: [b\n");
        assert!(text.contains("a.yaml: document 2: line") && text.contains("nothing was sent"), "{text}");
    }

    #[test]
    fn key_that_stands_twice_is_refused() {
        let text = fault("kind: tenant\nname: a\nname: b\n");
        assert!(text.contains("duplicate"), "{text}");
    }

    #[test]
    fn wrong_field_names_document_line_and_path() {
        let text = fault(
            "kind: tenant\nname: a\n---\nkind: policy\ntenant: a\nname: p\nrules: [{name: r, diretion: in}]\n",
        );
        assert!(
            text.contains("a.yaml: document 2 (line 4): rules[0]") && text.contains("diretion"),
            "{text}"
        );
    }

    #[test]
    fn list_of_objects_is_many_documents() {
        let documents =
            split("a.yaml", "items:\n- {kind: tenant, name: a}\n- {kind: tenant, name: b}\n").unwrap();
        assert_eq!(documents.iter().map(|d| named(&d.value)).collect::<Vec<_>>(), ["tenant a", "tenant b"]);
    }
}
