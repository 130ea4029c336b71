//! The feed over real TLS on loopback, with a fake of the use cases.

mod fixture;
mod identity;
mod sync;
