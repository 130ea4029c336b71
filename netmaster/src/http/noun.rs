//! The handlers all nouns share.

use api::v1::List;
use api::{FieldProblem, Parameter};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use http::header::{CONTENT_TYPE, ETAG, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use model::{Object, ObjectRef, Outcome};
use store::intent::Snapshot;
use types::Name;

use super::Api;
use super::condition;
use super::error::{self, Refused};
use super::query::Wanted;
use super::request::{At, Raw};
use super::serve::Closing;
use super::watch;
use crate::app::{Actor, AppError, Mode, Noun, PageEnd, Scene};

/// LIST, CREATE, READ, REPLACE, DELETE.
pub(super) fn routes<N: Noun>() -> Router<Api> {
    let one: MethodRouter<Api> = get(read::<N>).put(replace::<N>).delete(delete::<N>);
    Router::new().route(N::COLLECTION, get(list::<N>).post(create::<N>)).route(N::ITEM, one)
}

/// LIST alone, for a noun that has handlers of its own.
pub(super) fn listed<N: Noun>() -> Router<Api> {
    Router::new().route(N::COLLECTION, get(list::<N>))
}

async fn list<N: Noun>(
    State(api): State<Api>,
    at: At,
    wanted: Wanted,
    headers: HeaderMap,
    closing: Closing,
) -> Result<Response, Refused> {
    if let Some(name) = &at.tenant {
        let tenant = ObjectRef { kind: model::Kind::Tenant, tenant: None, name: name.to_string() };
        found(&api.app.snapshot(), &tenant)?;
    }
    let page = match wanted {
        Wanted::Watch { from } => return watch::watch::<N>(api, at.tenant, from, &headers, closing).await,
        Wanted::List { limit: None, place: None } => api.app.first_page::<N>(at.tenant.as_ref(), None),
        Wanted::List { limit, place } => {
            let place = place.map(|text| page_end::<N>(&text, at.tenant.as_ref())).transpose()?;
            api.app.page::<N>(at.tenant.as_ref(), limit, place).await?
        }
    };
    let items = api.reports.scene(&api.app.snapshot(), |scene| {
        let described = page.items.into_iter();
        let described = described.filter_map(|(o, version)| N::describe(o, &Scene { version, ..*scene }));
        described.collect::<Vec<_>>()
    });
    let next = page.next.map(|next| next.to_string());
    Ok(Json(List { items, resource_version: page.revision.to_string(), next }).into_response())
}

fn page_end<N: Noun>(text: &str, tenant: Option<&Name>) -> Result<PageEnd, Refused> {
    PageEnd::parse(text, N::KIND, tenant).ok_or_else(|| {
        let reason = "is no `continue` of this collection".to_owned();
        let value = text.chars().take(200).collect();
        let field = format!("?{}", Parameter::Continue.name());
        Refused::malformed(vec![FieldProblem { object: String::new(), field, value, reason }])
    })
}

pub(super) async fn read<N: Noun>(
    State(api): State<Api>,
    at: At,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let answer = describe::<N>(&api, &api.app.snapshot(), &at.object::<N>())?;
    let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
    if !condition::has(&headers, tag)? {
        return Ok(answer);
    }
    // RFC 9110 section 15.4.5: the tag it would have had, and no content.
    let mut unchanged = StatusCode::NOT_MODIFIED.into_response();
    unchanged.headers_mut().extend(answer.headers().get(ETAG).map(|tag| (ETAG, tag.clone())));
    Ok(unchanged)
}

async fn create<N: Noun>(
    State(api): State<Api>,
    actor: Actor,
    at: At,
    raw: Raw,
) -> Result<Response, Refused> {
    defects(&api, &actor).await?;
    let (spec, expected) = raw.spec::<N>(&at.context())?;
    let object = spec.object_ref();
    let written = api.app.put(&actor, spec, Mode::Create, expected).await?;
    created::<N>(&api, &written.snapshot, &object)
}

/// Named defects for sabotage runs: a failure nobody foresaw, and a write before anything was checked.
async fn defects(api: &Api, actor: &Actor) -> Result<(), Refused> {
    fail::fail_point!("answer-500", |_| Err(error::internal(&"sabotage")));
    if stores_before_checks() {
        let node = types::NodeName::new("sabotage").map_err(|e| error::internal(&e))?;
        api.app.join_token(actor, &node).await?;
    }
    Ok(())
}

fn status_of_created() -> StatusCode {
    // Defect: a status the document does not list.
    fail::fail_point!("answer-202", |_| StatusCode::ACCEPTED);
    StatusCode::CREATED
}

fn stores_before_checks() -> bool {
    fail::fail_point!("store-before-checks", |_| true);
    false
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
    let expected = condition::expected(&headers, stated)?;
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
    api.app.delete(&actor, &at.object::<N>(), condition::expected(&headers, None)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn found(snapshot: &Snapshot, object: &ObjectRef) -> Result<Object, AppError> {
    snapshot.view().get(object).ok_or_else(|| AppError::NotFound(object.clone()))
}

/// An object with its version as entity tag.
pub(super) fn describe<N: Noun>(
    api: &Api,
    snapshot: &Snapshot,
    object: &ObjectRef,
) -> Result<Response, Refused> {
    let stored = found(snapshot, object)?;
    let described = api.reports.scene(snapshot, |scene| N::describe(stored, scene));
    let body = serde_json::to_vec(&described).map_err(|e| error::internal(&e))?;
    let tag = condition::tag(snapshot.version(object).unwrap_or_default(), &body);
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ETAG, HeaderValue::from_str(&tag).map_err(|e| error::internal(&e))?);
    Ok(response)
}

fn created<N: Noun>(api: &Api, snapshot: &Snapshot, object: &ObjectRef) -> Result<Response, Refused> {
    let mut response = describe::<N>(api, snapshot, object)?;
    *response.status_mut() = status_of_created();
    let path = N::path(object);
    if let Ok(location) = HeaderValue::from_str(&path) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}
