//! Named defects and kill points: with feature `failpoints` a test can break one property, or end the process between
//! two steps, and demand that the suite notices. docs/testing.md lists them.
//!
//! Without the feature both macros expand to nothing, names included.

/// Whether a named defect is switched on (`FAILPOINTS=name=return`).
macro_rules! sabotaged {
    ($name:literal) => {{
        #[cfg(feature = "failpoints")]
        let on = (|| {
            fail::fail_point!($name, |_| true);
            false
        })();
        #[cfg(not(feature = "failpoints"))]
        let on = false;
        on
    }};
}
pub(crate) use sabotaged;

/// Ends the process here as `kill -9` would (`FAILPOINTS=name=return`), or waits here (`name=pause`).
macro_rules! kill_point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        (|| fail::fail_point!($name, |_| std::process::abort()))();
    };
}
pub(crate) use kill_point;
