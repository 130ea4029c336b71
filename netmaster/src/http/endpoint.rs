//! `endpoints`: the handlers are those of every noun.

use api::v1::endpoint::{COLLECTION, ITEM};
use axum::Router;

use super::{Api, noun};
use crate::app::endpoint::Endpoints;

pub(super) fn routes() -> Router<Api> {
    noun::routes::<Endpoints>(COLLECTION, ITEM)
}
