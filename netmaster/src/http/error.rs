//! Errors as HTTP: which problem an error is. The status of each [`Code`] is declared beside it.

use std::any::Any;

use api::{Code, FieldProblem, Finding, Malformed, Problem, pointer};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, StatusCode, Uri};
use model::ObjectRef;
use store::StoreError;
use store::intent::Gone;

use crate::app::{AppError, WatchError};
use crate::auth::AuthError;

/// An answer that is an error. The request's id is added on the way out.
#[derive(Debug)]
pub struct Refused(pub Box<Problem>);

/// The status of a code.
pub fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Refused {
    /// A problem of this code.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let status = status(code);
        Self(Box::new(Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            errors: Vec::new(),
            users: Vec::new(),
            request_id: String::new(),
        }))
    }

    /// The same, for one of many documents: says which.
    pub fn in_documents(mut self, objects: &[ObjectRef]) -> Self {
        for error in &mut self.0.errors {
            let index = objects.iter().position(|o| o.to_string() == error.object);
            if let Some(index) = index {
                error.field = format!("/documents/{index}{}", error.field);
            }
        }
        self
    }

    fn errors(mut self, errors: Vec<FieldProblem>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Fields or parameters that cannot be read.
    pub fn malformed(errors: Vec<FieldProblem>) -> Self {
        let lines = errors.iter().map(ToString::to_string);
        Self::new(Code::Malformed, lines.collect::<Vec<_>>().join("; ")).errors(errors)
    }

    /// Wrong fields.
    pub fn invalid(errors: Vec<FieldProblem>) -> Self {
        let lines = errors.iter().map(ToString::to_string);
        Self::new(Code::Invalid, lines.collect::<Vec<_>>().join("; ")).errors(errors)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The body is written by `request::identify`, which knows the request's id.
        response.extensions_mut().insert(self.0);
        response
    }
}

/// A problem as the answer's body.
pub fn write(mut response: Response, mut problem: Problem, request_id: &str) -> Response {
    request_id.clone_into(&mut problem.request_id);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    *response.body_mut() = Body::from(body);
    response
}

impl From<Malformed> for Refused {
    fn from(e: Malformed) -> Self {
        let detail = e.to_string();
        let field = |f: Finding| FieldProblem {
            object: String::new(),
            field: f.pointer,
            value: f.value,
            reason: f.reason,
        };
        Self::new(Code::Malformed, detail).errors(e.findings.into_iter().map(field).collect())
    }
}

impl From<AuthError> for Refused {
    fn from(e: AuthError) -> Self {
        match e {
            AuthError::Refused => Self::new(Code::Unauthorized, e.to_string()),
            AuthError::Store(e) => e.into(),
            AuthError::Stored(e) => internal(&e),
        }
    }
}

impl From<AppError> for Refused {
    fn from(e: AppError) -> Self {
        let detail = e.to_string();
        match e {
            AppError::Rejected(rejection) => {
                let errors = rejection.errors.into_iter().map(|e| FieldProblem {
                    object: e.object.to_string(),
                    field: pointer(&e.field),
                    value: e.value,
                    reason: e.reason,
                });
                Self::new(Code::Invalid, detail).errors(errors.collect())
            }
            AppError::NotFound(_) => Self::new(Code::NotFound, detail),
            AppError::Exists(_) => Self::new(Code::AlreadyExists, detail),
            AppError::VersionMismatch { .. } => Self::new(Code::ResourceVersionMismatch, detail),
            AppError::InUse(in_use) => {
                let mut refused = Self::new(Code::InUse, detail);
                refused.0.users = in_use.users.iter().map(ToString::to_string).collect();
                refused
            }
            AppError::TooMany { .. } => Self::new(Code::ApplyTooLarge, detail),
            AppError::NotYours(_)
            | AppError::Fenced(_)
            | AppError::NodeFull { .. }
            | AppError::TokenUsed
            | AppError::KeyRevoked(_) => Self::new(Code::Forbidden, detail),
            AppError::Busy { .. } => Self::new(Code::AllocationBusy, detail),
            AppError::Behind { .. } => Self::new(Code::StoreIndeterminate, detail),
            AppError::Stopped(_) => Self::new(Code::StoreUnavailable, detail),
            AppError::Store(e) => e.into(),
        }
    }
}

impl From<Gone> for Refused {
    fn from(e: Gone) -> Self {
        Self::new(Code::Gone, e.to_string())
    }
}

impl From<WatchError> for Refused {
    fn from(e: WatchError) -> Self {
        match e {
            WatchError::Gone(e) => e.into(),
            WatchError::App(e) => e.into(),
        }
    }
}

impl From<StoreError> for Refused {
    fn from(e: StoreError) -> Self {
        match e {
            // A revision from the future is one of a history that was replaced.
            StoreError::Compacted { .. } | StoreError::FutureRevision { .. } => {
                Self::new(Code::Gone, e.to_string())
            }
            StoreError::TooLarge { .. } => Self::new(Code::ApplyTooLarge, e.to_string()),
            StoreError::Indeterminate { .. } => Self::new(Code::StoreIndeterminate, e.to_string()),
            e if e.is_transient() => Self::new(Code::StoreUnavailable, e.to_string()),
            e => internal(&e),
        }
    }
}

/// Something nobody foresaw: the log says more than the answer.
pub fn internal(error: &dyn std::fmt::Display) -> Refused {
    tracing::error!(%error, "request failed");
    Refused::new(Code::Internal, "see netmaster's log")
}

pub(super) async fn no_such_path(uri: Uri) -> Refused {
    Refused::new(Code::NotFound, format!("no such path: {}", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Refused {
    Refused::new(Code::MethodNotAllowed, format!("{method} is not possible on {}", uri.path()))
}

pub(super) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    internal(&"a handler panicked").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_failures_tell_what_is_certain() {
        let transient = StoreError::Transient { backend: "etcd", operation: "txn", reason: "x".into() };
        let lost = StoreError::Indeterminate { backend: "etcd", operation: "txn", reason: "x".into() };
        let large = StoreError::TooLarge { ops: 200, max_ops: 128, bytes: 1, max_bytes: 2 };
        let secret = StoreError::Corrupt("secret".into());
        let code = |e: StoreError| Refused::from(e).0.code;
        assert_eq!(code(transient), Code::StoreUnavailable);
        assert_eq!(code(lost), Code::StoreIndeterminate);
        assert_eq!(code(large), Code::ApplyTooLarge);
        assert!(!Refused::from(secret).0.detail.contains("secret"));
    }
}
