//! Documents: from the wire to the use case and back.

use api::FieldProblem;
use api::v1::{Apply, ApplyBody, ApplyResult, Change};
use model::{Outcome, Spec};
use types::Revision;

use super::Written;

/// The specs of an apply request.
///
/// # Errors
/// What is missing in the documents, all of it.
pub fn specs(body: ApplyBody) -> Result<Vec<(Spec, Option<Revision>)>, Vec<FieldProblem>> {
    let mut specs = Vec::new();
    let mut problems = Vec::new();
    for (index, document) in body.documents.into_iter().enumerate() {
        match document.into_spec() {
            Ok(spec) => specs.push(spec),
            Err(wrong) => problems.extend(
                wrong
                    .into_iter()
                    .map(|p| FieldProblem { field: format!("/documents/{index}{}", p.field), ..p }),
            ),
        }
    }
    if problems.is_empty() { Ok(specs) } else { Err(problems) }
}

/// What became of them.
pub fn answer(written: Written) -> Apply {
    let results = written.outcomes.into_iter().map(|(object, outcome)| ApplyResult {
        object: object.to_string(),
        change: match outcome {
            Outcome::Created => Change::Created,
            Outcome::Updated => Change::Updated,
            Outcome::Unchanged => Change::Unchanged,
        },
    });
    Apply { revision: written.revision.to_string(), results: results.collect() }
}
