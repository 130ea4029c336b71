//! Watches: what happens to a collection, as server-sent events (WHATWG HTML, section 9.2).
//!
//! `GET <collection>?watch=true&resourceVersion=N` answers with `text/event-stream`. The field `event` is an
//! [`EventType`], `data` is JSON: the whole object, a [`Bookmark`] or a [`crate::Problem`]. The field `id` is the place in
//! history: the revision, or `REVISION/COUNT` inside a revision that changed several objects, and after a `~` what the
//! client knows of statuses. Opaque to clients, who give the last one back as `Last-Event-ID` and get what came after it:
//! no change twice, none left out, and every status that is not as the client knows it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// The media type of a watch.
pub const MEDIA_TYPE: &str = "text/event-stream";
/// The request header that takes a broken watch up again.
pub const LAST_EVENT_ID: &str = "Last-Event-ID";

/// The place of who has listed a collection at this revision: changes after it, and each status once, as a status may have
/// changed since it was listed without a revision to tell.
pub fn after_list(revision: &str) -> String {
    format!("{revision}~")
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventType {
    /// An object that did not exist; or one that did, before the first bookmark of a watch without `resourceVersion`.
    Added,
    /// An object is this now.
    Modified,
    /// An object is gone; this is what it was.
    Deleted,
    /// Nobody changed the object, and its status is another one: realized now, or refused; a node that came or went.
    Status,
    /// Nothing happened up to this revision. Comes first, and then now and again.
    Bookmark,
    /// The watch is at an end, and cannot be taken up where it ended: list again.
    Gone,
    /// The watch is at an end, because of this problem.
    Error,
}

impl EventType {
    /// Every type.
    pub const ALL: &[Self] =
        &[Self::Added, Self::Modified, Self::Deleted, Self::Status, Self::Bookmark, Self::Gone, Self::Error];

    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
            Self::Status => "status",
            Self::Bookmark => "bookmark",
            Self::Gone => "gone",
            Self::Error => "error",
        }
    }

    /// From the wire; `None` for what this release does not know.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|t| t.as_str() == text)
    }
}

/// A place in history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bookmark {
    /// The revision.
    #[schema(value_type = schema::Revision)]
    pub resource_version: String,
}
