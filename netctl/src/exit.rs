//! Exit statuses: decided here and nowhere else.

use api::Code;

/// How a command ended, for scripts. A status never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done; a watch that was ended by Ctrl-C or `--timeout` too.
    Done = 0,
    /// The server refused or failed.
    Failed = 1,
    /// Wrong use.
    Usage = 2,
    /// No such object.
    NotFound = 3,
    /// The object is otherwise than it must be for this.
    Conflict = 4,
    /// Nobody who could do it can be reached.
    Unreachable = 5,
    /// Not with these credentials.
    Denied = 6,
    /// `status --check`, `audit`: something is wrong.
    Unhealthy = 7,
}

impl Exit {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::Conflict,
        Self::Unreachable,
        Self::Denied,
        Self::Unhealthy,
    ];

    /// What it means, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done; a watch ended by Ctrl-C or --timeout is done too",
            Self::Failed => "the server refused the request as wrong, or failed",
            Self::Usage => "wrong use, or a file that cannot be read or written; nothing was sent",
            Self::NotFound => "no such object",
            Self::Conflict => {
                "the object exists already, is in use, or was changed by somebody else meanwhile"
            }
            Self::Unreachable => "netmaster or its store cannot be reached, or gives no usable answer",
            Self::Denied => "the token is missing, wrong or not allowed to do this",
            Self::Unhealthy => {
                "status --check: something is wrong; audit: a switch disagrees, or was not looked at"
            }
        }
    }

    /// The status of a refusal.
    pub const fn of(code: Code) -> Self {
        match code {
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists | Code::ResourceVersionMismatch | Code::InUse => Self::Conflict,
            Code::StoreUnavailable | Code::StoreIndeterminate | Code::AllocationBusy => Self::Unreachable,
            Code::Unauthorized | Code::Forbidden => Self::Denied,
            _ => Self::Failed,
        }
    }

    /// The table of all of them.
    pub fn table() -> String {
        let lines = Self::ALL.iter().map(|e| format!("{:<8}  {}\n", *e as u8, e.meaning()));
        format!("STATUS    MEANING\n{}", lines.collect::<String>())
    }
}
