//! `status`, `version`, the OpenAPI document and health.

use std::sync::Arc;
use std::time::Duration;

use api::v1::status::{HEALTH, OPENAPI, STATUS, VERSION};
use api::v1::{Health, Status, Version};
use api::{Code, document};
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::header::CONTENT_TYPE;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Api;
use super::error::Refused;

pub(super) fn private() -> Router<Api> {
    Router::new().route(STATUS.path, get(status))
}

/// How long an answer about the store's health is good: everybody may ask, and asking costs the store.
const HEALTH_AGE: Duration = Duration::from_secs(1);

/// The last answer; who asks meanwhile waits for it.
type Probe = Arc<Mutex<Option<(Instant, Health)>>>;

pub(super) fn public() -> Router<Api> {
    let probe = Probe::default();
    // Made once: whoever reaches the port may ask for it.
    let openapi = Bytes::from(document().to_json().unwrap_or_default());
    let openapi = move || std::future::ready(([(CONTENT_TYPE, "application/json")], openapi.clone()));
    Router::new()
        .route(VERSION.path, get(version))
        .route(OPENAPI.path, get(openapi))
        .route(HEALTH.path, get(move |state| health(state, probe.clone())))
}

async fn status(State(api): State<Api>) -> Json<Status> {
    Json(api.app.status(&api.reports).await)
}

async fn version() -> Json<Version> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Json(Version { name: "netmaster".to_owned(), version })
}

async fn health(State(api): State<Api>, probe: Probe) -> Result<Json<Health>, Refused> {
    let mut last = probe.lock().await;
    let health = match &*last {
        Some((asked, health)) if asked.elapsed() < HEALTH_AGE => health.clone(),
        _ => last.insert((Instant::now(), api.app.health().await)).1.clone(),
    };
    drop(last);
    match health {
        health @ Health { ok: true, .. } => Ok(Json(health)),
        // Unauthenticated: says that, not why.
        Health { .. } => Err(Refused::new(Code::StoreUnavailable, "the store does not answer")),
    }
}
