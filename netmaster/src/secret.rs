//! Secrets we make: 256 random bits in hexadecimal, of which only the SHA-256 is stored. Being random and long they need
//! no slow hash.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A new secret.
pub(crate) fn fresh() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// What is stored of a secret.
pub(crate) fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

/// Whether a secret is the one whose hash is stored, in the same time wherever they differ.
pub(crate) fn is(secret: &str, stored: &str) -> bool {
    hash(secret).as_bytes().ct_eq(stored.as_bytes()).into()
}
