//! The REST API: a file per noun, no decisions.
//!
//! A handler reads path and body, calls the use case, describes the result. Everything else is shared: [`request`]
//! reads, `noun` has the handlers all nouns share, [`error`] is the only place that knows HTTP statuses.
//!
//! # Invariants
//! * Every route of [`api::v1::routes`] is served, and nothing else.
//! * Everything but the public routes needs a credential, checked before the path is looked at.
//! * Every error answer is a problem body (RFC 9457) with the request's id.

mod apply;
mod endpoint;
pub mod error;
mod group;
mod network;
mod node;
mod noun;
mod policy;
mod query;
mod request;
pub mod serve;
mod status;
mod tenant;
pub mod tls;
mod watch;

pub use watch::{WatchBounds, Watches};

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::{App, Reports};
use crate::auth::Auth;
use crate::metrics::Metrics;
use crate::pki::Ca;

/// Longest request body, above what one transaction can be.
pub const MAX_BODY: usize = 16 * 1024 * 1024;

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// Use cases.
    pub app: App,
    /// What the feed knows.
    pub reports: Reports,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// Credentials.
    pub auth: Auth,
    /// Watches.
    pub watches: Watches,
    /// For join files.
    pub ca: Arc<Ca>,
    /// Address of the node API, as nodes reach it.
    pub node_server: Arc<str>,
}

/// The whole API.
pub fn router(api: Api) -> Router {
    let private = Router::new()
        .merge(tenant::routes())
        .merge(network::routes())
        .merge(policy::routes())
        .merge(group::routes())
        .merge(endpoint::routes())
        .merge(node::routes())
        .merge(apply::routes())
        .merge(status::private())
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(middleware::from_fn_with_state(api.clone(), request::authenticate));
    private
        .merge(status::public().method_not_allowed_fallback(error::no_such_method))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(api.clone(), request::identify))
        .with_state(api)
}
