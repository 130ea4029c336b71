//! `audit`: whether the switches do what intent says.

use api::Code;
use api::v1::Audit;
use api::v1::audit::AUDIT;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use super::Api;
use super::error::Refused;

pub(super) fn routes() -> Router<Api> {
    Router::new().route(AUDIT.path, get(audit))
}

async fn audit(State(api): State<Api>) -> Result<Json<Audit>, Refused> {
    match api.auditor.audit().await {
        Ok(audit) => Ok(Json(audit)),
        Err(error) => {
            tracing::error!(%error, "audit failed");
            Err(Refused::new(Code::Internal, "the audit died: see netmaster's log"))
        }
    }
}
