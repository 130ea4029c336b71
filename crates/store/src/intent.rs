//! Intent in the store: objects under their keys, the view that follows them, and the transactions that change them.
//!
//! | module | what |
//! |---|---|
//! | `codec` | an object and its stored form |
//! | [`Snapshot`] | all intent at one revision, with versions and allocations |
//! | [`Informer`] | a snapshot that keeps itself up to date by watching; [`Deltas`] say what changed |
//! | [`History`] | what happened, by revision, for those who watch |
//! | [`page`] | a collection page by page, at one revision |
//! | [`Draft`] | checked plans and removals of one or several requests as one transaction |
//! | `write` | a [`model::Plan`] or [`model::Removal`] alone; reclaiming |
//!
//! # Invariants
//! * Only plans of `model` are written; nothing that was not checked gets here.
//! * A transaction compares every object it replaces and everything its decision rests on ([`model::Guard`]), so of two
//!   decisions that exclude each other one conflicts, whichever replica makes them.
//! * Numbers and addresses are claimed and released in the transaction of their object, and cool down after release.
//!
//! # Failure
//! [`CommitError::Conflict`] when the snapshot a decision was made on is not the newest: decide again on a newer one.

mod codec;
mod draft;
mod history;
mod informer;
mod page;
mod snapshot;
mod write;

#[cfg(test)]
mod tests;

pub use codec::object_key;
pub use draft::{Admission, Draft, Intention};
pub use history::{Batch, Change, Depth, Gone, History, Past, history};
pub use informer::{Delta, Deltas, Informer, InformerError, start};
pub use page::{ObjectPage, page};
pub use snapshot::{Cooled, Snapshot};
pub use write::{Author, CommitError, Committed, Extra, ReclaimError, commit, reclaim, remove};
