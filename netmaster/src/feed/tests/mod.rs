//! The feed over real TLS on loopback, with a fake of the use cases.

mod certificate;
pub(crate) mod fixture;
mod identity;
mod question;
mod replicas;
mod skew;
mod sync;
