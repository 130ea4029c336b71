//! `networks`: the handlers are those of every noun.

use api::v1::network::{COLLECTION, ITEM};
use axum::Router;

use super::{Api, noun};
use crate::app::network::Networks;

pub(super) fn routes() -> Router<Api> {
    noun::routes::<Networks>(COLLECTION, ITEM)
}
