//! `groups`: the handlers are those of every noun.

use api::v1::group::{COLLECTION, ITEM};
use axum::Router;

use super::{Api, noun};
use crate::app::group::Groups;

pub(super) fn routes() -> Router<Api> {
    noun::routes::<Groups>(COLLECTION, ITEM)
}
