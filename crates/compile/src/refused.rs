//! Why an object has no fragment.

use model::ObjectRef;

/// Why an object cannot be compiled. Shown as its status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its number means another object too, so nothing may match on it.
    #[error("{what} {value} is also that of {other}")]
    Ambiguous {
        /// The kind of number or address.
        what: &'static str,
        /// Its value.
        value: String,
        /// The other object (one of them).
        other: ObjectRef,
    },
    /// It names an object that does not exist.
    #[error("names {0}, which does not exist")]
    Dangling(ObjectRef),
    /// It names an object that cannot be used.
    #[error("names {0}, which cannot be compiled")]
    Unusable(ObjectRef),
    /// It contradicts itself.
    #[error("{0}")]
    Malformed(String),
    /// Its fragment does not fit into a message.
    #[error("its compiled form has {bytes} bytes, more than {max}")]
    TooLarge {
        /// Bytes it has.
        bytes: usize,
        /// Bytes it may have.
        max: usize,
    },
}
