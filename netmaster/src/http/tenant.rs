//! `tenants`: the handlers are those of every noun.

use api::v1::tenant::{COLLECTION, ITEM};
use axum::Router;

use super::{Api, noun};
use crate::app::tenant::Tenants;

pub(super) fn routes() -> Router<Api> {
    noun::routes::<Tenants>(COLLECTION, ITEM)
}
