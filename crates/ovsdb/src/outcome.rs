//! What a `transact` request came to (RFC 7047 section 4.1.3).
//!
//! The reply is an array with one element per operation: its result, its error, or null when an earlier
//! operation failed. A *longer* array means every operation went well and the commit itself failed (a
//! dangling reference, a broken constraint): the trailing element says why. Any error means nothing was done.

use std::fmt;

use serde_json::Value;
use uuid::Uuid;

use crate::operation::{OpIndex, Operation, Row, Transaction};
use crate::value::{Datum, UuidName, ValueError, parse_uuid};

/// The `error` member of a failed operation (RFC 7047 section 3.1 and the operations' own).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorTag {
    /// A `wait` was not satisfied in time.
    TimedOut,
    /// The lock of an `assert` is not held.
    NotOwner,
    /// An `abort`.
    Aborted,
    /// The server cannot do this.
    NotSupported,
    /// A reference to a row that does not exist.
    ReferentialIntegrityViolation,
    /// An index, range or count was violated.
    ConstraintViolation,
    /// Out of memory or disk.
    ResourcesExhausted,
    /// Writing the database failed.
    IoError,
    /// Two rows of the transaction share a name.
    DuplicateUuidName,
    /// A row of the UUID to insert is there, or was deleted by the same transaction.
    DuplicateUuid,
    /// An arithmetic result outside of the real or integer domain.
    DomainError,
    /// An arithmetic result outside the allowed range.
    RangeError,
    /// Role-based access control forbids it.
    PermissionError,
    /// A clustered database asks to send the transaction again.
    TryAgain,
    /// Anything else, as the server spelled it.
    Other(String),
}

impl ErrorTag {
    fn parse(text: &str) -> Self {
        match text {
            "timed out" => Self::TimedOut,
            "not owner" => Self::NotOwner,
            "aborted" => Self::Aborted,
            "not supported" => Self::NotSupported,
            "referential integrity violation" => Self::ReferentialIntegrityViolation,
            "constraint violation" => Self::ConstraintViolation,
            "resources exhausted" => Self::ResourcesExhausted,
            "I/O error" => Self::IoError,
            "duplicate uuid-name" => Self::DuplicateUuidName,
            "duplicate uuid" => Self::DuplicateUuid,
            "domain error" => Self::DomainError,
            "range error" => Self::RangeError,
            "permission error" => Self::PermissionError,
            "try again" => Self::TryAgain,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The spelling on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::TimedOut => "timed out",
            Self::NotOwner => "not owner",
            Self::Aborted => "aborted",
            Self::NotSupported => "not supported",
            Self::ReferentialIntegrityViolation => "referential integrity violation",
            Self::ConstraintViolation => "constraint violation",
            Self::ResourcesExhausted => "resources exhausted",
            Self::IoError => "I/O error",
            Self::DuplicateUuidName => "duplicate uuid-name",
            Self::DuplicateUuid => "duplicate uuid",
            Self::DomainError => "domain error",
            Self::RangeError => "range error",
            Self::PermissionError => "permission error",
            Self::TryAgain => "try again",
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for ErrorTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a transaction failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailedAt {
    /// At this operation.
    Operation(OpIndex, &'static str),
    /// All operations went well, the commit did not.
    Commit,
}

impl fmt::Display for FailedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(index, name) => write!(f, "operation {} ({name})", index.get()),
            Self::Commit => f.write_str("commit"),
        }
    }
}

/// Why a transaction had no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactError {
    /// The server refused it.
    #[error("transaction failed at {at}: {error}{}", details.as_deref().map(|d| format!(": {d}")).unwrap_or_default())]
    Refused {
        /// Where.
        at: FailedAt,
        /// Why.
        error: ErrorTag,
        /// The server's explanation.
        details: Option<String>,
    },
    /// Not sent: the server would drop the connection.
    #[error("operation {} holds a NUL byte", .0.get())]
    NulByte(OpIndex),
    /// The request as a whole was refused, for instance because the database does not exist.
    #[error("transact request refused: {0}")]
    Request(String),
    /// The reply does not have the shape RFC 7047 gives it.
    #[error("malformed transact reply: {0}")]
    Malformed(&'static str),
    /// A value in the reply cannot be decoded.
    #[error("malformed value in transact reply")]
    Value(#[from] ValueError),
}

impl TransactError {
    /// Whether the same intent, recomputed from a fresh snapshot, may well succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Refused { error: ErrorTag::TimedOut | ErrorTag::TryAgain, .. })
    }

    /// The server's error tag.
    pub fn tag(&self) -> Option<&ErrorTag> {
        match self {
            Self::Refused { error, .. } => Some(error),
            Self::NulByte(_) | Self::Request(_) | Self::Malformed(_) | Self::Value(_) => None,
        }
    }
}

/// The result of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// `insert`: the new row.
    Inserted(Uuid),
    /// `update`, `mutate`, `delete`: rows touched.
    Count(u64),
    /// `select`: the rows; without schema, so integral reals appear as integers.
    Rows(Vec<Row>),
    /// Everything else.
    Done,
}

/// The results of a transaction that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome(Vec<OpResult>);

impl Outcome {
    /// Matches the `result` array of the reply with the operations of the transaction.
    pub fn from_json(transaction: &Transaction, reply: &Value) -> Result<Self, TransactError> {
        let elements = reply.as_array().ok_or(TransactError::Malformed("result is not an array"))?;
        let operations = transaction.operations();
        let at = |index: usize| match operations.get(index) {
            Some(operation) => FailedAt::Operation(OpIndex(index), operation.name()),
            None => FailedAt::Commit,
        };
        for (index, element) in elements.iter().enumerate() {
            if let Some(error) = element.get("error").filter(|e| !e.is_null()) {
                let error = error.as_str().ok_or(TransactError::Malformed("error is not a string"))?;
                let details = element.get("details").and_then(Value::as_str).map(str::to_owned);
                return Err(TransactError::Refused { at: at(index), error: ErrorTag::parse(error), details });
            }
        }
        if elements.len() != operations.len() {
            return Err(TransactError::Malformed("results and operations differ in number"));
        }
        operations.iter().zip(elements).map(|(op, el)| op_result(op, el)).collect::<Result<_, _>>().map(Self)
    }

    /// The results in order of the operations.
    pub fn results(&self) -> &[OpResult] {
        &self.0
    }

    /// The rows a `select` read.
    pub fn rows(&self, index: OpIndex) -> &[Row] {
        match self.0.get(index.get()) {
            Some(OpResult::Rows(rows)) => rows,
            _ => &[],
        }
    }

    /// How many rows an `update`, `mutate` or `delete` touched.
    pub fn count(&self, index: OpIndex) -> Option<u64> {
        match self.0.get(index.get()) {
            Some(OpResult::Count(count)) => Some(*count),
            _ => None,
        }
    }

    /// The row inserted under this name by the transaction this is the outcome of.
    pub fn row_named(&self, transaction: &Transaction, name: &UuidName) -> Option<Uuid> {
        match self.0.get(transaction.position_of(name)?.get()) {
            Some(OpResult::Inserted(uuid)) => Some(*uuid),
            _ => None,
        }
    }

    /// UUIDs of inserted rows, in order of the `insert` operations.
    pub fn inserted(&self) -> impl Iterator<Item = Uuid> {
        self.0.iter().filter_map(|r| if let OpResult::Inserted(uuid) = r { Some(*uuid) } else { None })
    }
}

fn op_result(operation: &Operation, element: &Value) -> Result<OpResult, TransactError> {
    if element.is_null() {
        return Err(TransactError::Malformed("operation was not executed"));
    }
    match operation {
        Operation::Insert { .. } => match element.get("uuid").and_then(Value::as_array).map(Vec::as_slice) {
            Some([Value::String(tag), Value::String(id)]) if tag == "uuid" => {
                Ok(OpResult::Inserted(parse_uuid(id)?))
            }
            _ => Err(TransactError::Malformed("insert result has no uuid")),
        },
        Operation::Update { .. } | Operation::Mutate { .. } | Operation::Delete { .. } => element
            .get("count")
            .and_then(Value::as_u64)
            .map(OpResult::Count)
            .ok_or(TransactError::Malformed("result has no count")),
        Operation::Select { .. } => {
            let rows = element.get("rows").and_then(Value::as_array);
            let rows = rows.ok_or(TransactError::Malformed("select result has no rows"))?;
            rows.iter().map(select_row).collect::<Result<_, _>>().map(OpResult::Rows)
        }
        // An `abort` that went well is none.
        Operation::Abort => Err(TransactError::Malformed("abort had no effect")),
        Operation::Wait(_) | Operation::Commit { .. } | Operation::Comment(_) | Operation::Assert { .. } => {
            match element.as_object() {
                Some(members) if members.is_empty() => Ok(OpResult::Done),
                _ => Err(TransactError::Malformed("result is not an empty object")),
            }
        }
    }
}

fn select_row(value: &Value) -> Result<Row, TransactError> {
    let object = value.as_object().ok_or(TransactError::Malformed("row is not an object"))?;
    object.iter().map(|(column, datum)| Ok((column.clone(), Datum::from_json(datum)?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operation::row;

    fn transaction() -> Transaction {
        let mut tx = Transaction::new();
        tx.insert("T", row([]));
        tx.select("T", vec![], &["n"]);
        tx
    }

    #[test]
    fn reads_results_by_operation() {
        let id = "11111111-2222-3333-4444-555555555555";
        let reply = json!([{"uuid": ["uuid", id]}, {"rows": [{"n": 4}]}]);
        let outcome = Outcome::from_json(&transaction(), &reply).unwrap();
        assert_eq!(outcome.inserted().next().unwrap().to_string(), id);
        assert_eq!(outcome.rows(OpIndex(1)), [row([("n", 4.into())])]);
    }

    #[test]
    fn names_the_operation_that_failed() {
        let reply = json!([{"error": "constraint violation", "details": "dup"}, null]);
        let error = Outcome::from_json(&transaction(), &reply).unwrap_err();
        assert_eq!(
            error.to_string(),
            "transaction failed at operation 0 (insert): constraint violation: dup"
        );
    }

    #[test]
    fn reads_the_trailing_extra_error_as_a_failed_commit() {
        let id = ["uuid", "11111111-2222-3333-4444-555555555555"];
        let reply = json!([{"uuid": id}, {"rows": []}, {"error": "referential integrity violation"}]);
        let error = Outcome::from_json(&transaction(), &reply).unwrap_err();
        assert!(matches!(
            error,
            TransactError::Refused {
                at: FailedAt::Commit,
                error: ErrorTag::ReferentialIntegrityViolation,
                ..
            }
        ));
    }

    #[test]
    fn refuses_success_of_operations_that_cannot_succeed_so() {
        let (mut abort, mut assert) = (Transaction::new(), Transaction::new());
        abort.push(Operation::Abort);
        assert.assert_lock(&crate::session::LockName::new("l").unwrap());
        assert!(Outcome::from_json(&abort, &json!([{}])).is_err());
        assert!(Outcome::from_json(&assert, &json!([{"count": 1}])).is_err());
        assert_eq!(Outcome::from_json(&assert, &json!([{}])).unwrap().results(), [OpResult::Done]);
    }

    #[test]
    fn refuses_replies_of_the_wrong_shape() {
        for reply in
            [json!({}), json!([]), json!([null, null]), json!([{"uuid": "x"}, {"rows": []}]), json!([{}, {}])]
        {
            assert!(Outcome::from_json(&transaction(), &reply).is_err(), "{reply}");
        }
    }
}
