//! Building the programs under test. They are copied out of `target/`, so that a later build does not change a lab
//! that is running.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use e2e::lab::Binaries;

use crate::step::{cargo, run, step};

/// The programs of a lab.
const PROGRAMS: [&str; 6] =
    ["netmaster", "netplugin", "selvage-cni", "netctl", "selvage-probe", "selvage-supervise"];
/// Their packages.
const PACKAGES: [&str; 4] = ["netmaster", "netplugin", "netctl", "selvage-e2e"];
/// Packages with named defects and kill points, off unless this feature is on.
const WITH_FAILPOINTS: &str = "netmaster/failpoints,netplugin/failpoints";

/// Which build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// What is shipped, unoptimized.
    Plain,
    /// With named defects that can be switched on.
    Failpoints,
}

impl Build {
    fn dir(self) -> &'static str {
        match self {
            Self::Plain => "bin",
            Self::Failpoints => "bin-failpoints",
        }
    }
}

/// Builds the programs and puts them where later builds leave them alone.
pub fn build(root: &Path, kind: Build) -> Result<Binaries> {
    step(&format!("building the programs ({})", kind.dir()), || {
        let mut command = cargo(&["build", "-q", "--bins"]);
        command.args(PACKAGES.iter().flat_map(|p| ["-p", p]));
        if kind == Build::Failpoints {
            command.args(["--features", WITH_FAILPOINTS]);
        }
        run(&mut command)?;
        let built = target_dir(root).join("debug");
        let dir = root.join(".lab").join(kind.dir());
        std::fs::create_dir_all(&dir)?;
        for program in PROGRAMS {
            place(&built.join(program), &dir.join(program))?;
        }
        Ok(Binaries::new(dir))
    })
}

/// Cargo's target directory.
fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// A program that runs cannot be written to (ETXTBSY), but it can be replaced.
fn place(from: &Path, to: &Path) -> Result<()> {
    let fresh = to.with_extension("new");
    std::fs::copy(from, &fresh).with_context(|| format!("cannot copy {}", from.display()))?;
    std::fs::rename(&fresh, to).with_context(|| format!("cannot replace {}", to.display()))
}
