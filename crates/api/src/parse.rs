//! Reading JSON so that a refusal says where: the first wrong field's path, line and column, and every other one.

use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::Value;

use crate::diagnose::{self, Failure, Finding};
use crate::strict::Strict;

/// Why text is not the JSON it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}{}", if .path == "." { String::new() } else { format!("{path}: ") }, shown(.position.as_ref()))]
pub struct Malformed {
    /// Where in the document: `documents[3].rules[0].port`; `.` is the whole.
    pub path: String,
    /// What is wrong.
    pub reason: String,
    /// Where in the text, if it is known.
    pub position: Option<Position>,
    /// All that is wrong, in the order it is read; never empty.
    pub findings: Vec<Finding>,
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

fn shown(position: Option<&Position>) -> String {
    position.map(|p| format!(" (line {}, column {})", p.line, p.column)).unwrap_or_default()
}

/// Reads one value, and nothing after it.
///
/// # Errors
/// [`Malformed`].
pub fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, Malformed> {
    let read = from_slice_seed(json, std::marker::PhantomData::<T>);
    let read = read.map_err(|first| first.with(json, |value| findings::<T>(value, json.len())))?;
    strictly(json, |value| findings::<T>(value, json.len()))?;
    Ok(read)
}

/// Reads again what could be read, so that no array passes for an object (the module `strict`).
pub(crate) fn strictly(json: &[u8], find: impl FnOnce(Value) -> Vec<Finding>) -> Result<(), Malformed> {
    let reader = |e| malformed(&serde_path_to_error::Track::new().path(), &e);
    let findings = find(serde_json::from_slice(json).map_err(reader)?);
    let Some(first) = findings.first() else { return Ok(()) };
    let path = if first.pointer.is_empty() { ".".to_owned() } else { first.pointer.clone() };
    Err(Malformed { path, reason: first.reason.clone(), position: None, findings })
}

/// As [`from_slice`], for values whose type depends on what was read before; finds the first error only.
pub(crate) fn from_slice_seed<'de, S: DeserializeSeed<'de>>(
    json: &'de [u8],
    seed: S,
) -> Result<S::Value, Malformed> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let mut track = serde_path_to_error::Track::new();
    let value = seed.deserialize(serde_path_to_error::Deserializer::new(&mut reader, &mut track));
    let value = value.map_err(|e| malformed(&track.path(), &e))?;
    reader.end().map_err(|e| malformed(&serde_path_to_error::Track::new().path(), &e))?;
    Ok(value)
}

/// Everything that is wrong with a value that is to be a `T`.
pub(crate) fn findings<T: DeserializeOwned>(value: Value, size: usize) -> Vec<Finding> {
    diagnose::findings(value, size, |value| {
        let mut track = serde_path_to_error::Track::new();
        let read = T::deserialize(serde_path_to_error::Deserializer::new(Strict(value.clone()), &mut track));
        read.map(drop).map_err(|e| Failure { place: diagnose::steps(&track.path()), reason: e.to_string() })
    })
}

impl Malformed {
    /// With everything that is wrong, if that can be told: text that is no JSON at all has one error only.
    pub(crate) fn with(mut self, json: &[u8], find: impl FnOnce(Value) -> Vec<Finding>) -> Self {
        let findings = serde_json::from_slice(json).map(find).unwrap_or_default();
        // What only text can have wrong, like a field that is there twice, is not among them.
        if findings.iter().any(|f| f.reason == self.reason) {
            self.findings = findings;
        } else {
            self.findings.extend(findings);
        }
        self
    }
}

fn malformed(path: &serde_path_to_error::Path, error: &serde_json::Error) -> Malformed {
    let text = error.to_string();
    // serde_json ends its messages with the position, which we give apart.
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned();
    let finding = Finding {
        pointer: diagnose::pointer(&diagnose::steps(path)),
        value: String::new(),
        reason: reason.clone(),
    };
    // A key that could not be read is a '?' at the end.
    let path = path.to_string();
    let path = path.trim_end_matches('?').trim_end_matches('.');
    let path = if path.is_empty() { ".".to_owned() } else { path.to_owned() };
    let position = Some(Position { line: error.line(), column: error.column() });
    Malformed { path, reason, position, findings: vec![finding] }
}
