//! etcd's errors, sorted: passing, lasting, or unknown whether it happened.
//!
//! etcd tells by gRPC status codes and, where one code serves two meanings, by fixed texts
//! (`etcdserver/api/v3rpc/rpctypes/error.go` of etcd 3.4).

use etcd_client::Error;
use types::Revision;

use super::BACKEND;
use crate::error::StoreError;

/// gRPC status codes by number (<https://grpc.io/docs/guides/status-codes/>), so that tonic need not be a dependency.
const CANCELLED: i32 = 1;
const UNKNOWN: i32 = 2;
const DEADLINE_EXCEEDED: i32 = 4;
const RESOURCE_EXHAUSTED: i32 = 8;
const ABORTED: i32 = 10;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;

/// How far a failed request can have come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Refused; asking again will not help.
    Lasting,
    /// Did not reach a server that would act on it.
    NotBegun,
    /// No answer.
    NoAnswer,
}

fn kind(error: &Error) -> Kind {
    match error {
        Error::GRpcStatus(status) => {
            let text = describe(error);
            match i32::from(status.code()) {
                _ if text.contains("no leader") || text.contains("too many requests") => Kind::NotBegun,
                _ if text.contains("connect error") || text.contains("dns error") => Kind::NotBegun,
                CANCELLED | UNKNOWN | DEADLINE_EXCEEDED | ABORTED | INTERNAL | UNAVAILABLE => Kind::NoAnswer,
                // Also RESOURCE_EXHAUSTED: "database space exceeded" needs an operator, a large message a smaller one.
                RESOURCE_EXHAUSTED => Kind::Lasting,
                _ => Kind::Lasting,
            }
        }
        Error::TransportError(_) | Error::IoError(_) => Kind::NoAnswer,
        Error::WatchError(_) | Error::LeaseKeepAliveError(_) => Kind::NoAnswer,
        _ => Kind::Lasting,
    }
}

/// The error with its causes: tonic hides "connection refused" two levels down.
fn describe(error: &Error) -> String {
    let Error::GRpcStatus(status) = error else { return error.to_string() };
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Sorts an error of a request that writes nothing.
pub(super) fn read_failed(operation: &'static str) -> impl Fn(Error) -> StoreError {
    move |error| {
        let reason = describe(&error);
        match kind(&error) {
            Kind::Lasting => StoreError::Permanent { backend: BACKEND, operation, reason },
            Kind::NotBegun | Kind::NoAnswer => StoreError::Transient { backend: BACKEND, operation, reason },
        }
    }
}

/// Sorts an error of a request that may have written.
pub(super) fn write_failed(operation: &'static str) -> impl Fn(Error) -> StoreError {
    move |error| {
        let reason = describe(&error);
        match kind(&error) {
            Kind::Lasting => StoreError::Permanent { backend: BACKEND, operation, reason },
            Kind::NotBegun => StoreError::Transient { backend: BACKEND, operation, reason },
            Kind::NoAnswer => StoreError::Indeterminate { backend: BACKEND, operation, reason },
        }
    }
}

pub(super) fn list_failed(error: Error, at: Option<Revision>) -> StoreError {
    let requested = at.unwrap_or(Revision::ZERO);
    if is_compacted(&error) {
        return StoreError::Compacted { requested, oldest: Revision::ZERO };
    }
    if is_future(&error) {
        return StoreError::FutureRevision { requested };
    }
    read_failed("list")(error)
}

pub(super) fn is_compacted(error: &Error) -> bool {
    says(error, "required revision has been compacted")
}

pub(super) fn is_future(error: &Error) -> bool {
    says(error, "required revision is a future revision")
}

pub(super) fn is_lease_gone(error: &Error) -> bool {
    says(error, "requested lease not found")
        || matches!(error, Error::LeaseKeepAliveError(text) if text == "lease not found")
}

fn says(error: &Error, text: &str) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.message().contains(text))
}
