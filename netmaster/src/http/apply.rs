//! `apply`: several documents at once.

use api::v1::apply::APPLY;
use api::v1::{Apply, ApplyBody};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};

use super::Api;
use super::error::Refused;
use super::request::Raw;
use crate::app::{Actor, apply};

pub(super) fn routes() -> Router<Api> {
    Router::new().route(APPLY.path, post(handle))
}

async fn handle(State(api): State<Api>, actor: Actor, raw: Raw) -> Result<Json<Apply>, Refused> {
    let documents = apply::specs(ApplyBody::from_slice(&raw.0)?).map_err(Refused::invalid)?;
    let objects: Vec<_> = documents.iter().map(|(spec, _)| spec.object_ref()).collect();
    let written = api.app.apply(&actor, documents).await;
    let written = written.map_err(|e| Refused::from(e).in_documents(&objects))?;
    Ok(Json(apply::answer(written)))
}
