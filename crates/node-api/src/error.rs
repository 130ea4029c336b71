//! Errors of calls: a gRPC status whose message is `code: text`.
//!
//! The codes are stable: the agent decides by them whether to try again, and CNI and `netctl` show them.

use tonic::{Code, Status};

/// Declares the codes once: meaning (the doc comment), variant, text, gRPC status, what to do about it.
macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $text:literal => $status:ident, $remedy:literal;)*) => {
        /// Why a call failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $($(#[doc = $meaning])+ $variant,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_ascii()),* }
            }

            /// What to do about it.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy),* }
            }

            /// The gRPC status it travels with.
            pub const fn status(self) -> Code {
                match self { $(Self::$variant => Code::$status),* }
            }
        }
    };
}

codes! {
    /// The call needs a client certificate of our CA that has not ended.
    CertificateRequired = "certificate_required" => Unauthenticated, "Renew the certificate, or join again with a new token.";
    /// The join token is unknown, used, expired or for another node. One code for all: it must not tell which.
    TokenInvalid = "token_invalid" => PermissionDenied, "Make a new join token for this node.";
    /// The certificate names another node than the call.
    NotYourNode = "not_your_node" => PermissionDenied, "Start the agent under the name it joined with; an endpoint of another node is removed there, or by an administrator.";
    /// The certificate's node was removed, or joined again with another key.
    NodeUnknown = "node_unknown" => PermissionDenied, "Join again with a new token.";
    /// The message cannot be read.
    Malformed = "malformed" => InvalidArgument, "The two releases do not fit together; report the defect if they should.";
    /// The two sides share no protocol version.
    ProtocolUnsupported = "protocol_unsupported" => FailedPrecondition, "Upgrade the older side.";
    /// This replica has not seen everything the agent has; another, or later, will do.
    Behind = "behind" => Unavailable, "The agent tries again by itself.";
    /// The node opened a newer session.
    Superseded = "superseded" => Aborted, "Look for a second agent with the same certificate if it keeps happening.";
    /// netmaster is shutting down.
    ShuttingDown = "shutting_down" => Unavailable, "The agent tries again by itself.";
    /// A named object does not exist.
    NotFound = "not_found" => NotFound, "Check tenant, network and group in the CNI configuration.";
    /// What was asked for breaks a rule of the model.
    Invalid = "invalid" => InvalidArgument, "Correct the CNI configuration; the text names field, value and reason.";
    /// Something else exists under that name or with that address, or the endpoint exists otherwise than asked for.
    Conflict = "conflict" => AlreadyExists, "Remove the endpoint that is in the way, or ask for what it says.";
    /// No address is left.
    Exhausted = "exhausted" => ResourceExhausted, "Wait until freed addresses have cooled down, or add a network.";
    /// The node has as many endpoints as a node may make.
    NodeFull = "node_full" => ResourceExhausted, "Remove endpoints whose containers are gone, or raise netmaster's `--endpoints-per-node`.";
    /// The request carries another fencing token than the node's newest: it was given up, or a second agent runs under
    /// the node's name.
    Fenced = "fenced" => FailedPrecondition, "The agent takes a new token by itself; look for a second agent with the same certificate if it keeps happening.";
    /// Too many allocations at once.
    AllocationBusy = "allocation_busy" => Unavailable, "Try again.";
    /// The store does not answer.
    StoreUnavailable = "store_unavailable" => Unavailable, "The agent tries again by itself; look at the store when it lasts.";
    /// A defect or a failure nobody foresaw; netmaster's log says more.
    Internal = "internal" => Internal, "See netmaster's log, and report the defect.";
}

impl ErrorCode {
    /// Whether netmaster has decided, so that nothing can come of the call any more. Otherwise a transaction may be on
    /// its way to the store.
    pub const fn is_final(self) -> bool {
        match self {
            Self::CertificateRequired
            | Self::TokenInvalid
            | Self::NotYourNode
            | Self::NodeUnknown
            | Self::Malformed
            | Self::ProtocolUnsupported
            | Self::NotFound
            | Self::Invalid
            | Self::Conflict
            | Self::Exhausted
            | Self::NodeFull
            | Self::Fenced
            | Self::AllocationBusy => true,
            Self::Behind
            | Self::Superseded
            | Self::ShuttingDown
            | Self::StoreUnavailable
            | Self::Internal => false,
        }
    }

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

    /// Whether nothing can come of the call any more: see [`ErrorCode::is_final`].
    pub fn is_final(&self) -> bool {
        self.code.is_some_and(ErrorCode::is_final)
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
