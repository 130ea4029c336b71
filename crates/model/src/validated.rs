//! Proof that something passed the checks of this crate.

/// A value that was checked against an [`crate::IntentView`]. Only this crate can make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated<T>(T);

impl<T> Validated<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The value, given away.
    pub fn into_inner(self) -> T {
        self.0
    }
}
