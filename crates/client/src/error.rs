//! What can go wrong with a call.

use api::Problem;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of the client is wrong.
    #[error("{what} {value:?}: {reason}")]
    Setting {
        /// Which.
        what: &'static str,
        /// As given.
        value: String,
        /// Why.
        reason: String,
    },
    /// No server could be connected to; nothing was sent.
    #[error("cannot connect to {server}: {reason}")]
    Unreachable {
        /// The server that was tried last.
        server: String,
        /// Why.
        reason: String,
    },
    /// The connection broke, or no answer came in time: the request may have been carried out.
    #[error("{server} gave no answer: {reason}")]
    NoAnswer {
        /// The server.
        server: String,
        /// Why.
        reason: String,
    },
    /// The server refused or failed, and said why.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// The answer is none of netmaster's.
    #[error("{server} answered {status}, which is no answer of netmaster's: {reason}")]
    Strange {
        /// The server.
        server: String,
        /// The HTTP status.
        status: u16,
        /// Why it is none.
        reason: String,
    },
}

impl Error {
    /// Whether the same request may do later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Setting { .. } => false,
            Self::Unreachable { .. } | Self::NoAnswer { .. } => true,
            Self::Refused(problem) => {
                use api::Code;
                let passing = [
                    Code::AllocationBusy,
                    Code::StoreUnavailable,
                    Code::StoreIndeterminate,
                    Code::TooManyWatches,
                ];
                passing.contains(&problem.code)
            }
            // What stands between us and netmaster while netmaster is away.
            Self::Strange { status, .. } => matches!(status, 502..=504),
        }
    }

    /// The problem, when the server gave one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}
