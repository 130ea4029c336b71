//! Named defects: with the feature `failpoints`, a test can break one property and demand that the suite notices.
//!
//! Without the feature [`sabotaged!`] is the constant `false` and its name is not in the binary.

/// Whether the named defect is switched on (`fail::cfg(name, "return")` or the variable `FAILPOINTS`).
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
