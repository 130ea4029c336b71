//! What went wrong, said so that a person knows what to do next.

use api::{Code, Problem};
use client::Error;

use crate::exit::Exit;

/// A failure: what, details, what next.
#[derive(Debug)]
pub struct Fault {
    /// The exit status.
    pub exit: Exit,
    what: String,
    details: Vec<String>,
    next: Option<String>,
    silent: bool,
}

impl Fault {
    /// Wrong use.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, what: what.into(), details: Vec::new(), next: None, silent: false }
    }

    /// With another exit status.
    pub fn ending(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, ..Self::usage(what) }
    }

    /// Nobody reads what is written any more, `netctl ... | head`: no failure of ours, and nobody to tell.
    pub fn unread() -> Self {
        Self { silent: true, ..Self::ending(Exit::Failed, "nobody reads standard output any more") }
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

    /// What failed, on one line.
    pub fn line(&self) -> String {
        std::iter::once(&self.what).chain(&self.details).cloned().collect::<Vec<_>>().join("; ")
    }

    /// A refusal. Its reasons are those of the wrong fields, placed by the caller, and of who uses the object; the
    /// problem's own text repeats them, and is said only when there are none.
    pub fn refused(problem: &Problem, reasons: Vec<String>) -> Self {
        let what = match reasons.as_slice() {
            [] => problem.detail.clone(),
            [only] => only.clone(),
            many => format!("the server refuses, for {} reasons", many.len()),
        };
        Self {
            exit: Exit::of(problem.code),
            what: format!("{what} ({})", problem.code.as_str()),
            details: if reasons.len() > 1 { reasons } else { Vec::new() },
            next: next_after(problem).map(str::to_owned),
            silent: false,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        if let Some(problem) = error.problem() {
            let reasons = problem.errors.iter().map(|e| format!("{}: {}", e.object, field_text(e)));
            return Self::refused(problem, reasons.collect());
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
        Self { exit, what, details: Vec::new(), next: next.map(str::to_owned), silent: false }
    }
}

/// `ipv4.gateway "10.1.2.1": lies outside 10.1.1.0/24`.
pub fn field_text(error: &api::FieldProblem) -> String {
    format!("{} {:?}: {}", error.path(), error.value, error.reason)
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
        if self.silent {
            return Ok(());
        }
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
