//! `nodes`: read and removed like every noun; made by joining, for which join files are made here.

use api::v1::JoinFile;
use api::v1::node::{CORDON, DRAIN, ITEM, JOIN_TOKEN, UNCORDON};
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use types::NodeName;

use super::error::Refused;
use super::request::At;
use super::{Api, condition, noun};
use crate::app::Actor;
use crate::app::node::Nodes;

pub(super) fn routes() -> Router<Api> {
    noun::listed::<Nodes>()
        .route(ITEM, get(noun::read::<Nodes>).delete(delete))
        .route(JOIN_TOKEN.path, post(join_token))
        .route(CORDON.path, post(cordon))
        .route(UNCORDON.path, post(uncordon))
        .route(DRAIN.path, post(drain))
}

async fn join_token(
    State(api): State<Api>,
    actor: Actor,
    At { name, .. }: At,
) -> Result<Json<JoinFile>, Refused> {
    let node = node(name)?;
    let token = api.app.join_token(&actor, &node).await?;
    let (server, ca) = (api.node_server.to_string(), api.ca.certificate_pem().to_owned());
    Ok(Json(JoinFile { server, ca, node, token: token.expose().to_owned() }))
}

async fn delete(
    State(api): State<Api>,
    actor: Actor,
    At { name, .. }: At,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    api.app.remove_node(&actor, &node(name)?, condition::expected(&headers, None)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn cordon(State(api): State<Api>, actor: Actor, at: At) -> Result<Response, Refused> {
    set_cordon(&api, &actor, at, true).await
}

async fn uncordon(State(api): State<Api>, actor: Actor, at: At) -> Result<Response, Refused> {
    set_cordon(&api, &actor, at, false).await
}

async fn set_cordon(api: &Api, actor: &Actor, at: At, cordoned: bool) -> Result<Response, Refused> {
    let object = at.object::<Nodes>();
    let written = api.app.cordon(actor, &node(at.name)?, cordoned).await?;
    noun::describe::<Nodes>(api, &written.snapshot, &object)
}

async fn drain(State(api): State<Api>, actor: Actor, at: At) -> Result<Response, Refused> {
    let object = at.object::<Nodes>();
    api.app.drain(&actor, &node(at.name)?).await?;
    noun::describe::<Nodes>(&api, &api.app.snapshot(), &object)
}

fn node(name: Option<String>) -> Result<NodeName, Refused> {
    NodeName::new(name.unwrap_or_default()).map_err(|e| {
        let object = format!("node {}", e.value);
        let (value, reason) = (e.value, e.reason);
        Refused::invalid(vec![api::FieldProblem { object, field: "/name".to_owned(), value, reason }])
    })
}
