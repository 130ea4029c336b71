//! `status`, `version`, the OpenAPI document and health.

use api::v1::status::{HEALTH, OPENAPI, STATUS, VERSION};
use api::v1::{Health, Status, Version};
use api::{Code, document};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use super::Api;
use super::error::Refused;

pub(super) fn private() -> Router<Api> {
    Router::new().route(STATUS.path, get(status))
}

pub(super) fn public() -> Router<Api> {
    Router::new()
        .route(VERSION.path, get(version))
        .route(OPENAPI.path, get(|| async { Json(document()) }))
        .route(HEALTH.path, get(health))
}

async fn status(State(api): State<Api>) -> Json<Status> {
    Json(api.app.status(&api.reports).await)
}

async fn version() -> Json<Version> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Json(Version { name: "netmaster".to_owned(), version })
}

async fn health(State(api): State<Api>) -> Result<Json<Health>, Refused> {
    match api.app.health().await {
        health @ Health { ok: true, .. } => Ok(Json(health)),
        // Unauthenticated: says that, not why.
        Health { .. } => Err(Refused::new(Code::StoreUnavailable, "the store does not answer")),
    }
}
