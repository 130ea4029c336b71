//! The REST API: no decisions.
//!
//! A handler reads path and body, calls the use case, describes the result. `noun` has the handlers all nouns share,
//! generic in what `app` says of the noun; `node`, `apply` and `status` have those of one path. [`request`] reads,
//! [`error`] writes what went wrong.
//!
//! # Invariants
//! * Every route of [`api::v1::routes`] is served, and nothing else.
//! * Everything but the public routes needs a credential, checked before the path is looked at.
//! * Every error answer is a problem body (RFC 9457) with the request's id.

mod apply;
mod audit;
mod condition;
mod counters;
pub mod error;
mod explain;
mod node;
mod noun;
mod query;
mod request;
pub mod serve;
mod status;
mod statuses;
mod unread;
mod watch;

pub use watch::{WatchBounds, Watches};

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::endpoint::Endpoints;
use crate::app::group::Groups;
use crate::app::netprofile::NetProfiles;
use crate::app::network::Networks;
use crate::app::policy::Policies;
use crate::app::tenant::Tenants;
use crate::app::{App, Reports};
use crate::audit::Auditor;
use crate::auth::Auth;
use crate::feed::Questions;
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
    /// What agents are asked.
    pub questions: Questions,
    /// Audits.
    pub auditor: Auditor,
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
        .merge(noun::routes::<Tenants>())
        .merge(noun::routes::<Networks>())
        .merge(noun::routes::<Policies>())
        .merge(noun::routes::<NetProfiles>())
        .merge(noun::routes::<Groups>())
        .merge(noun::routes::<Endpoints>())
        .merge(node::routes())
        .merge(apply::routes())
        .merge(counters::routes())
        .merge(explain::routes())
        .merge(status::private())
        .merge(audit::routes())
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(middleware::from_fn_with_state(api.clone(), request::authenticate));
    private
        .merge(status::public().method_not_allowed_fallback(error::no_such_method))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(api.clone(), request::identify))
        .layer(middleware::from_fn(unread::announce))
        .with_state(api)
}
