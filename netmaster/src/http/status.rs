//! `status`, `version`, the OpenAPI document, liveness and readiness.

use std::sync::Arc;
use std::time::Duration;

use api::v1::status::{LIVEZ, OPENAPI, READYZ, STATUS, VERSION};
use api::v1::{Check, Probe, Status, Version};
use api::{Code, document};
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Api;
use super::error::Refused;
use super::query::Verbose;

pub(super) fn private() -> Router<Api> {
    Router::new().route(STATUS.path, get(status))
}

/// How long an answer about readiness is good: everybody may ask, and asking costs the store.
const CHECKS_AGE: Duration = Duration::from_secs(1);

/// The last answer; who asks meanwhile waits for it.
type Last = Arc<Mutex<Option<(Instant, Vec<Check>)>>>;

pub(super) fn public() -> Router<Api> {
    let last = Last::default();
    // Made once: whoever reaches the port may ask for it.
    let openapi = Bytes::from(document().to_json().unwrap_or_default());
    let openapi = move || std::future::ready(([(CONTENT_TYPE, "application/json")], openapi.clone()));
    Router::new()
        .route(VERSION.path, get(version))
        .route(OPENAPI.path, get(openapi))
        .route(LIVEZ.path, get(alive))
        .route(READYZ.path, get(move |state, verbose, headers| ready(state, verbose, headers, last.clone())))
}

async fn status(State(api): State<Api>) -> Json<Status> {
    Json(api.app.status(&api.reports).await)
}

async fn version() -> Json<Version> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Json(Version { name: "netmaster".to_owned(), version })
}

async fn alive() -> Json<Probe> {
    Json(Probe { ok: true, checks: Vec::new() })
}

/// Everybody learns whether; why, only who may.
async fn ready(
    State(api): State<Api>,
    Verbose(verbose): Verbose,
    headers: HeaderMap,
    last: Last,
) -> Result<Json<Probe>, Refused> {
    if verbose {
        let credential = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
        api.auth.admin(credential).await?;
    }
    let mut last = last.lock().await;
    let checks = match &*last {
        Some((asked, checks)) if asked.elapsed() < CHECKS_AGE => checks.clone(),
        _ => {
            let checks = api.app.checks().await;
            // From now on, not from when it was asked: who waited for a store that is away must not ask it again in turn.
            last.insert((Instant::now(), checks)).1.clone()
        }
    };
    drop(last);
    match (checks.iter().all(|c| c.ok), verbose) {
        (true, true) => Ok(Json(Probe { ok: true, checks })),
        (true, false) => Ok(alive().await),
        (false, true) => {
            let wrong = checks.into_iter().filter_map(|c| Some(format!("{}: {}", c.name, c.reason?)));
            Err(Refused::new(Code::StoreUnavailable, wrong.collect::<Vec<_>>().join("; ")))
        }
        (false, false) => Err(Refused::new(Code::StoreUnavailable, "not ready")),
    }
}
