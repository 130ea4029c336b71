//! Kill points: with feature `failpoints` a test can end the process between two steps.

/// Ends the process here as `kill -9` would (`FAILPOINTS=name=return`). Without the feature: nothing, name included.
macro_rules! kill_point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        (|| fail::fail_point!($name, |_| std::process::abort()))();
    };
}
pub(crate) use kill_point;
