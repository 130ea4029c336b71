//! Reading JSON so that a refusal says where: the field's path, line and column.

use serde::de::{DeserializeOwned, DeserializeSeed};

/// Why text is not the JSON it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason} (line {line}, column {column})", if .path == "." { String::new() } else { format!("{path}: ") })]
pub struct Malformed {
    /// Where in the document: `documents[3].rules[0].port`; `.` is the whole.
    pub path: String,
    /// What is wrong.
    pub reason: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// Reads one value, and nothing after it.
///
/// # Errors
/// [`Malformed`].
pub fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, Malformed> {
    from_slice_seed(json, std::marker::PhantomData::<T>)
}

/// As [`from_slice`], for values whose type depends on what was read before.
pub(crate) fn from_slice_seed<'de, S: DeserializeSeed<'de>>(
    json: &'de [u8],
    seed: S,
) -> Result<S::Value, Malformed> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let mut track = serde_path_to_error::Track::new();
    let value = seed.deserialize(serde_path_to_error::Deserializer::new(&mut reader, &mut track));
    let value = value.map_err(|e| malformed(track.path().to_string(), &e))?;
    reader.end().map_err(|e| malformed(".".to_owned(), &e))?;
    Ok(value)
}

fn malformed(path: String, error: &serde_json::Error) -> Malformed {
    // A key that could not be read is a '?' at the end.
    let path = path.trim_end_matches('?').trim_end_matches('.');
    let path = if path.is_empty() { ".".to_owned() } else { path.to_owned() };
    let text = error.to_string();
    // serde_json ends its messages with the position, which we give apart.
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned();
    Malformed { path, reason, line: error.line(), column: error.column() }
}
