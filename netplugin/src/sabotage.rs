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

/// Ends the process here as `kill -9` would (`FAILPOINTS=name=return`), or another process, whose process id is in a file
/// (`name=1*return(FILE)`), or waits here (`name=pause`).
macro_rules! kill_point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        (|| fail::fail_point!($name, |pid_file| crate::sabotage::kill(pid_file)))();
    };
}
pub(crate) use kill_point;

#[cfg(feature = "failpoints")]
pub(crate) fn kill(pid_file: Option<String>) {
    use nix::sys::signal::{Signal, kill};
    let Some(file) = pid_file else { std::process::abort() };
    let pid = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
    let killed = pid.map(|pid| kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL));
    tracing::warn!(path = file, details = ?killed, "kill point");
}
