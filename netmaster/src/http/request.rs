//! What every request goes through: its id, its credential, its path and body.

use std::time::Instant;

use api::v1::{Body as _, Context};
use api::{Code, Malformed, Problem};
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use model::{Kind, ObjectRef, Spec};
use types::{Name, Revision};

use super::Api;
use super::error::{self, Refused};
use super::serve::Peer;
use crate::app::{Actor, Noun, Subject};

const REQUEST_ID: &str = "x-request-id";

#[derive(Clone)]
struct RequestId(String);

/// Gives the request an id, logs it, and writes the body of errors.
pub(super) async fn identify(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let id = uuid::Uuid::new_v4().to_string();
    request.extensions_mut().insert(RequestId(id.clone()));
    let (method, begun) = (request.method().clone(), Instant::now());
    let route = request.extensions().get::<MatchedPath>().map(|m| m.as_str().to_owned());
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Box<Problem>>() {
        response = error::write(response, *problem, &id);
    } else if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        response = Refused::new(Code::Internal, "see netmaster's log").into_response();
        if let Some(problem) = response.extensions_mut().remove::<Box<Problem>>() {
            response = error::write(response, *problem, &id);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status().as_u16();
    let elapsed = begun.elapsed();
    api.metrics.http.count(&method, route.as_deref(), status, elapsed);
    let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(%method, path, route, status, elapsed_us, request_id = id, "request");
    response
}

/// Lets bearers of a credential in.
pub(super) async fn authenticate(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let header = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    let subject = match api.auth.admin(header).await {
        Ok(id) => Subject::Admin(id.to_string()),
        Err(e) => return Refused::from(e).into_response(),
    };
    let source = request.extensions().get::<ConnectInfo<Peer>>();
    let source = source.map_or_else(|| "local".to_owned(), |c| c.0.0.to_string());
    let request_id = request.extensions().get::<RequestId>().map(|r| r.0.clone()).unwrap_or_default();
    request.extensions_mut().insert(Actor { subject, source, request_id });
    next.run(request).await
}

impl<S: Sync> FromRequestParts<S> for Actor {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let actor = parts.extensions.get::<Self>().cloned();
        actor.ok_or_else(|| error::internal(&"a private route without authentication"))
    }
}

/// What the path says: the tenant, and the object's name where there is one.
pub(super) struct At {
    pub tenant: Option<Name>,
    pub name: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for At {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|e| Refused::new(Code::NotFound, e.to_string()))?;
        let params: Vec<(String, String)> =
            params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let template =
            parts.extensions.get::<MatchedPath>().map(|m| m.as_str().to_owned()).unwrap_or_default();
        let mut at = Self { tenant: None, name: None };
        for (parameter, value) in params {
            // `/tenants/{tenant}` names a tenant as an object, longer paths as the place of one. The template says which:
            // the path may have the name percent-encoded.
            if parameter == "tenant" && !template.ends_with("/{tenant}") {
                let missing = || ObjectRef { kind: Kind::Tenant, tenant: None, name: value.clone() };
                let name = Name::new(value.as_str());
                at.tenant = Some(name.map_err(|_| crate::app::AppError::NotFound(missing()))?);
            } else {
                at.name = Some(value);
            }
        }
        Ok(at)
    }
}

impl At {
    /// The object the path names.
    pub fn object<N: Noun>(&self) -> ObjectRef {
        N::reference(self.tenant.clone(), self.name.clone().unwrap_or_default())
    }

    /// What a body must agree with.
    pub fn context(self) -> Context {
        Context { tenant: self.tenant, name: self.name }
    }
}

/// A body within the limit that does not claim to be anything but JSON.
pub(super) struct Raw(pub Bytes);

/// Whether a body is JSON, by its `Content-Type` (RFC 9110 section 8.3.1); one that says nothing is taken for it.
fn is_json(content_type: Option<&HeaderValue>) -> bool {
    let Some(value) = content_type else { return true };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Refused;
    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Refused> {
        let is_json = is_json(request.headers().get(CONTENT_TYPE));
        // Read in any case: a connection with an unread body on it would have to be closed.
        let body = Bytes::from_request(request, state).await;
        if !is_json {
            return Err(Refused::new(Code::UnsupportedMediaType, "the body must be application/json"));
        }
        body.map(Self).map_err(|e: BytesRejection| {
            let too_large = e.status() == error::status(Code::BodyTooLarge);
            Refused::new(if too_large { Code::BodyTooLarge } else { Code::Malformed }, e.body_text())
        })
    }
}

impl Raw {
    /// Reads the body of a noun, as the model checks it.
    pub fn spec<N: Noun>(&self, context: &Context) -> Result<(Spec, Option<Revision>), Refused> {
        let body: N::Body = api::from_slice(&self.0).map_err(|e: Malformed| Refused::from(e))?;
        body.into_spec(context).map_err(Refused::invalid)
    }
}
