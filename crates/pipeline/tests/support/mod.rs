//! What the integration tests share.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "test code")]

pub mod case;
pub mod lab;
pub mod packets;
