//! What went wrong, said so that a person knows what to do next.

use api::{Code, Problem};
use client::Error;

/// Exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The server refused.
    Refused = 1,
    /// Wrong use, or a file that cannot be read.
    Usage = 2,
    /// The server cannot be reached, or its answer is unusable.
    Unreachable = 3,
}

/// A failure: what, details, what next.
#[derive(Debug)]
pub struct Fault {
    /// The exit status.
    pub exit: Exit,
    what: String,
    details: Vec<String>,
    next: Option<String>,
}

impl Fault {
    /// Wrong use.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, what: what.into(), details: Vec::new(), next: None }
    }

    /// Something that cannot be done to what there is.
    pub fn conflict(what: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, ..Self::usage(what) }
    }

    /// With what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// With a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// A refusal, with its details replaced by better ones.
    pub fn refused(problem: &Problem, details: Vec<String>) -> Self {
        // With a list below it, the text need not be the list again.
        let what = match details.len() {
            0 => problem.detail.clone(),
            1 => "the server refuses".to_owned(),
            n => format!("the server refuses, for {n} reasons"),
        };
        Self {
            exit: Exit::Refused,
            what: format!("{what} ({})", code_text(problem.code)),
            details,
            next: next_after(problem).map(str::to_owned),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        if let Some(problem) = error.problem() {
            return Self::refused(problem, details(problem));
        }
        let what = error.to_string();
        let (exit, next) = match error {
            Error::Setting { .. } => (Exit::Usage, None),
            Error::Unreachable { .. } => (
                Exit::Unreachable,
                Some("is netmaster running there? --server (or NETCTL_SERVER) says where to look"),
            ),
            Error::NoAnswer { .. } => {
                (Exit::Unreachable, Some("the change may have happened: look before trying again"))
            }
            _ => (Exit::Unreachable, Some("is there something else than netmaster at this address?")),
        };
        Self { exit, what, details: Vec::new(), next: next.map(str::to_owned) }
    }
}

/// The wrong fields a problem lists, unless its own text says it all.
fn details(problem: &Problem) -> Vec<String> {
    let fields = problem.errors.iter().map(|e| format!("{}: {}", e.object, field_text(e)));
    fields.filter(|field| *field != problem.detail).collect()
}

/// `ipv4.gateway "10.1.2.1": lies outside 10.1.1.0/24`.
pub fn field_text(error: &api::FieldProblem) -> String {
    format!("{} {:?}: {}", error.field, error.value, error.reason)
}

/// The code as on the wire.
fn code_text(code: Code) -> String {
    serde_json::to_value(code).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn next_after(problem: &Problem) -> Option<&'static str> {
    Some(match problem.code {
        Code::NotFound => "ls shows what there is; -t chooses the tenant",
        Code::AlreadyExists => "inspect shows it; apply changes it",
        Code::ResourceVersionMismatch => "somebody else changed it meanwhile: read it again, then repeat",
        Code::InUse => "remove or change what uses it first",
        Code::Unauthorized => "--token-file (or NETCTL_TOKEN_FILE) must name a file with a valid token",
        Code::ApplyTooLarge => "apply fewer documents at once",
        Code::AllocationBusy | Code::StoreUnavailable => "nothing was changed: try again in a moment",
        Code::StoreIndeterminate => "the change may have happened: look before trying again",
        Code::Internal => "this is a defect of netmaster: its log has more under the request id",
        _ => return None,
    })
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "error: {}", self.what)?;
        for detail in &self.details {
            writeln!(f, "  {detail}")?;
        }
        if let Some(next) = &self.next {
            writeln!(f, "next: {next}")?;
        }
        Ok(())
    }
}
