//! `policies`: the handlers are those of every noun.

use api::v1::policy::{COLLECTION, ITEM};
use axum::Router;

use super::{Api, noun};
use crate::app::policy::Policies;

pub(super) fn routes() -> Router<Api> {
    noun::routes::<Policies>(COLLECTION, ITEM)
}
