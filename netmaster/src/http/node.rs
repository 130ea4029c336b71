//! `nodes`: read and removed like every noun; made by joining, for which join files are made here.

use api::v1::JoinFile;
use api::v1::node::{COLLECTION, ITEM, JOIN_TOKEN};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use types::NodeName;

use super::error::Refused;
use super::request::At;
use super::{Api, noun};
use crate::app::Actor;
use crate::app::node::Nodes;

pub(super) fn routes() -> Router<Api> {
    noun::read_only::<Nodes>(COLLECTION, ITEM).route(JOIN_TOKEN.path, post(join_token))
}

async fn join_token(State(api): State<Api>, actor: Actor, at: At) -> Result<Json<JoinFile>, Refused> {
    let name = at.name.unwrap_or_default();
    let node = NodeName::new(name).map_err(|e| {
        let object = format!("node {}", e.value);
        let (value, reason) = (e.value, e.reason);
        Refused::invalid(vec![api::FieldProblem { object, field: "/name".to_owned(), value, reason }])
    })?;
    let token = api.app.join_token(&actor, &node).await?;
    let (server, ca) = (api.node_server.to_string(), api.ca.certificate_pem().to_owned());
    Ok(Json(JoinFile { server, ca, node, token: token.expose().to_owned() }))
}
