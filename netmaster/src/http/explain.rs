//! `explain`: what intent says to one connection, and what the switches of its ends do with it.

use api::v1::explain::EXPLAIN;
use api::v1::{ExplainBody, Explanation};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};

use super::Api;
use super::error::Refused;
use super::request::{At, Raw};
use crate::app::explain::{self, Explained};

pub(super) fn routes() -> Router<Api> {
    Router::new().route(EXPLAIN.path, post(handle))
}

async fn handle(
    State(api): State<Api>,
    At { tenant, .. }: At,
    raw: Raw,
) -> Result<Json<Explanation>, Refused> {
    let body: ExplainBody = api::from_slice(&raw.0)?;
    let Some(tenant) = tenant else { return Err(super::error::internal(&"a path without its tenant")) };
    let snapshot = api.app.snapshot();
    let Explained { mut explanation, nodes, opening } =
        api.reports.scene(&snapshot, |scene| explain::explain(scene, &tenant, &body))?;
    if body.switches {
        let switches = api.auditor.open(nodes, opening).await;
        explanation.switches = Some(switches.map_err(|error| super::error::internal(&error))?);
    }
    Ok(Json(explanation))
}
