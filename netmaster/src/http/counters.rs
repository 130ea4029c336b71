//! What a policy's rules did.

use api::v1::PolicyCounters;
use api::v1::counters::READ;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use super::Api;
use super::error::Refused;
use super::request::At;
use types::Name;

use crate::app::policy::Policies;
use crate::app::{AppError, counters};

pub(super) fn routes() -> Router<Api> {
    Router::new().route(READ.path, get(read))
}

/// Tenant and name; what is no name is nobody's.
fn policy(at: &At) -> Result<(Name, Name), Refused> {
    let reference = at.object::<Policies>();
    let name = Name::new(reference.name.as_str()).ok();
    let of_tenant = at.tenant.clone().zip(name);
    of_tenant.ok_or_else(|| AppError::NotFound(reference).into())
}

async fn read(State(api): State<Api>, at: At) -> Result<Json<PolicyCounters>, Refused> {
    let snapshot = api.app.snapshot();
    let policy = policy(&at)?;
    Ok(Json(counters::counters(snapshot.view(), &api.questions, policy).await?))
}
