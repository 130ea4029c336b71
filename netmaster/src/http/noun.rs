//! The handlers all nouns share.

use api::v1::List;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use http::header::{ETAG, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use model::{Object, ObjectRef, Outcome};
use store::intent::Snapshot;

use super::Api;
use super::error::Refused;
use super::request::{At, Raw, if_match};
use crate::app::{Actor, AppError, Mode, Noun};

/// LIST, CREATE, READ, REPLACE, DELETE.
pub(super) fn routes<N: Noun>(collection: &str, item: &str) -> Router<Api> {
    let one: MethodRouter<Api> = get(read::<N>).put(replace::<N>).delete(delete::<N>);
    Router::new().route(collection, get(list::<N>).post(create::<N>)).route(item, one)
}

/// LIST, READ, DELETE: for what people do not write.
pub(super) fn read_only<N: Noun>(collection: &str, item: &str) -> Router<Api> {
    Router::new().route(collection, get(list::<N>)).route(item, get(read::<N>).delete(delete::<N>))
}

async fn list<N: Noun>(State(api): State<Api>, at: At) -> Result<Response, Refused> {
    let snapshot = api.app.snapshot();
    if let Some(name) = &at.tenant {
        let tenant = ObjectRef { kind: model::Kind::Tenant, tenant: None, name: name.to_string() };
        found(&snapshot, &tenant)?;
    }
    let items = N::list(snapshot.view(), at.tenant.as_ref());
    let items = api.reports.scene(&snapshot, |scene| {
        items.into_iter().filter_map(|o| N::describe(o, scene)).collect::<Vec<_>>()
    });
    Ok(Json(List { items, resource_version: snapshot.revision().to_string() }).into_response())
}

async fn read<N: Noun>(State(api): State<Api>, at: At) -> Result<Response, Refused> {
    describe::<N>(&api, &api.app.snapshot(), &at.object::<N>())
}

async fn create<N: Noun>(
    State(api): State<Api>,
    actor: Actor,
    at: At,
    raw: Raw,
) -> Result<Response, Refused> {
    let (spec, expected) = raw.spec::<N>(&at.context())?;
    let object = spec.object_ref();
    let written = api.app.put(&actor, spec, Mode::Create, expected).await?;
    created::<N>(&api, &written.snapshot, &object)
}

async fn replace<N: Noun>(
    State(api): State<Api>,
    actor: Actor,
    at: At,
    headers: HeaderMap,
    raw: Raw,
) -> Result<Response, Refused> {
    let (spec, stated) = raw.spec::<N>(&at.context())?;
    let object = spec.object_ref();
    let expected = if_match(&headers)?.or(stated);
    let written = api.app.put(&actor, spec, Mode::Replace, expected).await?;
    match written.outcomes.first() {
        Some((_, Outcome::Created)) => created::<N>(&api, &written.snapshot, &object),
        _ => describe::<N>(&api, &written.snapshot, &object),
    }
}

async fn delete<N: Noun>(
    State(api): State<Api>,
    actor: Actor,
    at: At,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    api.app.delete(&actor, &at.object::<N>(), if_match(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn found(snapshot: &Snapshot, object: &ObjectRef) -> Result<Object, AppError> {
    snapshot.view().get(object).ok_or_else(|| AppError::NotFound(object.clone()))
}

/// An object with its version as entity tag.
fn describe<N: Noun>(api: &Api, snapshot: &Snapshot, object: &ObjectRef) -> Result<Response, Refused> {
    let stored = found(snapshot, object)?;
    let described = api.reports.scene(snapshot, |scene| N::describe(stored, scene));
    let mut response = Json(described).into_response();
    let version = snapshot.version(object).unwrap_or_default();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

fn created<N: Noun>(api: &Api, snapshot: &Snapshot, object: &ObjectRef) -> Result<Response, Refused> {
    let mut response = describe::<N>(api, snapshot, object)?;
    *response.status_mut() = StatusCode::CREATED;
    let path = N::path(object);
    if let Ok(location) = HeaderValue::from_str(&path) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}
