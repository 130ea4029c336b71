//! A network namespace that dies with the test.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::DaemonError;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A named network namespace (`ip netns`), its loopback up; removed when dropped.
#[derive(Debug)]
pub struct Netns(String);

impl Netns {
    /// Makes one whose name begins with `prefix` and is unique on this machine.
    ///
    /// # Errors
    /// When it cannot be made; that needs root.
    pub fn new(prefix: &str) -> Result<Self, DaemonError> {
        let netns = Self(format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        ip(&["netns", "add", &netns.0])?;
        ip(&["-n", &netns.0, "link", "set", "lo", "up"])?;
        Ok(netns)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = ip(&["netns", "del", &self.0]);
    }
}

fn ip(args: &[&str]) -> Result<(), DaemonError> {
    let fail = |why: String| DaemonError(format!("ip {}: {why}", args.join(" ")));
    let out = Command::new("ip").args(args).output().map_err(|e| fail(e.to_string()))?;
    if out.status.success() {
        Ok(())
    } else {
        Err(fail(String::from_utf8_lossy(&out.stderr).trim().to_owned()))
    }
}
