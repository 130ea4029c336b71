//! Everything that is wrong with a body, not just the first thing.
//!
//! serde stops at the first error, and rightly: after it, nothing is known about the value. To find the next one, the
//! wrong value is replaced by one that its type does accept, found by trying a few, and the body is read again. Nothing
//! that was repaired is ever used: a body with one finding is refused.
//!
//! # Invariants
//! * A finding is never about a repaired value, nor about anything inside it.
//! * The work is bounded ([`MOST`], [`WORK`]); what lies beyond is found when the body is sent again.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_path_to_error::{Path, Segment};

/// Most findings of one body.
pub(crate) const MOST: usize = 100;
/// Bytes read again in search of more.
const WORK: usize = 64 << 20;
/// Longest value a finding repeats.
const SHOWN: usize = 200;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where, as a JSON pointer (RFC 6901); empty for the whole.
    pub pointer: String,
    /// The value that is there, as JSON; empty where there is none.
    pub value: String,
    /// Why it is refused.
    pub reason: String,
}

/// What reading a value failed at.
pub(crate) struct Failure {
    /// Where.
    pub place: Vec<Step>,
    /// Why.
    pub reason: String,
}

/// A step of a pointer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// Steps as a JSON pointer.
pub(crate) fn pointer(steps: &[Step]) -> String {
    let token = |step: &Step| match step {
        Step::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Step::Index(index) => format!("/{index}"),
    };
    steps.iter().map(token).collect()
}

/// Where serde was.
pub(crate) fn steps(path: &Path) -> Vec<Step> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { variant } => Some(Step::Key(variant.clone())),
        Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// Values of which every type of ours accepts one.
fn candidates() -> Vec<Value> {
    let texts = ["a", "10.0.0.0/24", "10.0.0.1", "ingress", "allow", "tcp", "any"].map(Value::from);
    let others =
        [Value::from(1), Value::from(true), Value::Array(Vec::new()), Value::Object(Default::default())];
    texts.into_iter().chain(others).collect()
}

/// Reads `value` again and again, repairing it, until it is whole.
pub(crate) fn findings(
    mut value: Value,
    size: usize,
    read: impl Fn(&Value) -> Result<(), Failure>,
) -> Vec<Finding> {
    let candidates = candidates();
    let mut found: Vec<Finding> = Vec::new();
    let mut repaired: BTreeMap<Vec<Step>, usize> = BTreeMap::new();
    for _ in 0..=(WORK / size.max(1)).min(MOST * candidates.len()) {
        let Err(Failure { place, reason }) = read(&value) else { break };
        let unknown = reason.starts_with("unknown field ");
        let place = match missing(&reason) {
            Some(field) => [place, vec![Step::Key(field.to_owned())]].concat(),
            None => place,
        };
        if !is_inside(&place, &repaired) {
            if found.len() == MOST {
                break;
            }
            let value = at(&mut value, &place).map(|v| shown(v)).unwrap_or_default();
            found.push(Finding { pointer: pointer(&place), value, reason });
        }
        let tried = repaired.entry(place.clone()).or_default();
        let candidate = candidates.get(*tried).filter(|_| !unknown).cloned();
        *tried += 1;
        if !put(&mut value, &place, candidate) {
            break;
        }
    }
    found
}

/// The field of serde's words for one that is missing.
fn missing(reason: &str) -> Option<&str> {
    reason.strip_prefix("missing field `")?.split_once('`').map(|(field, _)| field)
}

fn is_inside(place: &[Step], repaired: &BTreeMap<Vec<Step>, usize>) -> bool {
    (0..=place.len()).any(|n| repaired.contains_key(&place[..n]))
}

fn at<'a>(value: &'a mut Value, place: &[Step]) -> Option<&'a mut Value> {
    place.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.as_object_mut()?.get_mut(key),
        Step::Index(index) => value.as_array_mut()?.get_mut(*index),
    })
}

/// Puts a value in place, or takes away what is there. Whether that was possible.
fn put(value: &mut Value, place: &[Step], new: Option<Value>) -> bool {
    let Some((last, parent)) = place.split_last() else {
        return new.map(|new| *value = new).is_some();
    };
    match (at(value, parent), last, new) {
        (Some(Value::Object(map)), Step::Key(key), Some(new)) => {
            map.insert(key.clone(), new);
            true
        }
        (Some(Value::Object(map)), Step::Key(key), None) => map.remove(key).is_some(),
        (Some(Value::Array(items)), Step::Index(index), Some(new)) => {
            items.get_mut(*index).map(|item| *item = new).is_some()
        }
        _ => false,
    }
}

/// A value, short enough to be shown.
pub(crate) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
