//! netmaster in process: REST requests against the router, over memory and SQLite.

mod bench;
mod conditions;
mod declared;
mod doomed;
mod explain;
mod fences;
mod health;
mod leader;
mod life;
mod metrics;
mod nodes;
mod nouns;
mod pages;
mod problems;
mod process;
mod quota;
mod races;
mod reference;
mod removal;
mod stale;
mod status;
mod statuses;
mod watch;
