//! Errors of calls: a gRPC status whose message is `code: text`.
//!
//! The codes are stable: the agent decides by them whether to try again, and CNI and `netctl` show them.

use tonic::{Code, Status};

/// Declares the codes once: variant, text, gRPC status.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal => $status:ident,)*) => {
        /// Why a call failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The gRPC status it travels with.
            pub const fn status(self) -> Code {
                match self { $(Self::$variant => Code::$status),* }
            }
        }
    };
}

codes! {
    /// The call needs a client certificate of our CA.
    CertificateRequired = "certificate_required" => Unauthenticated,
    /// The join token is unknown, used, expired or for another node. One code for all: it must not tell which.
    TokenInvalid = "token_invalid" => PermissionDenied,
    /// The certificate names another node than the call.
    NotYourNode = "not_your_node" => PermissionDenied,
    /// The certificate's node was removed, or joined again with another key.
    NodeUnknown = "node_unknown" => PermissionDenied,
    /// The message cannot be read.
    Malformed = "malformed" => InvalidArgument,
    /// The two sides share no protocol version.
    ProtocolUnsupported = "protocol_unsupported" => FailedPrecondition,
    /// This replica has not seen everything the agent has; another, or later, will do.
    Behind = "behind" => Unavailable,
    /// The node opened a newer session.
    Superseded = "superseded" => Aborted,
    /// netmaster is shutting down.
    ShuttingDown = "shutting_down" => Unavailable,
    /// A named object does not exist.
    NotFound = "not_found" => NotFound,
    /// What was asked for breaks a rule of the model.
    Invalid = "invalid" => InvalidArgument,
    /// Something else exists under that name or with that address.
    Conflict = "conflict" => AlreadyExists,
    /// No address is left.
    Exhausted = "exhausted" => ResourceExhausted,
    /// Too many allocations at once.
    AllocationBusy = "allocation_busy" => Unavailable,
    /// The store does not answer.
    StoreUnavailable = "store_unavailable" => Unavailable,
    /// A defect or a failure nobody foresaw; netmaster's log says more.
    Internal = "internal" => Internal,
}

impl ErrorCode {
    /// The status to answer with. Long texts are cut: a status travels in HTTP/2 header fields.
    pub fn with(self, text: impl std::fmt::Display) -> Status {
        const MAX: usize = 2048;
        let mut message = format!("{}: {text}", self.as_str());
        if message.len() > MAX {
            message.truncate(message.floor_char_boundary(MAX));
            message.push('…');
        }
        Status::new(self.status(), message)
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed call, as the agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {text}", .code.map_or("transport", ErrorCode::as_str))]
pub struct CallError {
    /// netmaster's code; `None` when the failure is the connection's, or netmaster is newer and has a new code.
    pub code: Option<ErrorCode>,
    /// The gRPC status.
    pub status: Code,
    /// The words.
    pub text: String,
}

impl CallError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.status,
            Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled | Code::Unknown
        )
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let message = status.message();
        let named = message.split_once(": ").and_then(|(code, text)| {
            ErrorCode::ALL.iter().find(|c| c.as_str() == code).map(|c| (*c, text.to_owned()))
        });
        match named {
            Some((code, text)) => Self { code: Some(code), status: status.code(), text },
            None => Self { code: None, status: status.code(), text: message.to_owned() },
        }
    }
}
