//! What netmaster does without being asked: a file per task.

pub mod reclaim;
