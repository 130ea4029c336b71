//! The unit of systemd that runs `netplugin prepare-host` at every start of the host. systemd.service(5), systemd.unit(5).
//!
//! It is written where the administrator's units lie and enabled as `systemctl enable` does, by a link in
//! `multi-user.target.wants`; systemd reads both when the host starts.
//!
//! # Failure
//! Errors name the file. A value that cannot stand in a unit is refused before anything is done.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;

use super::Args;

/// What has to be up is wanted by this.
const WANTS: &str = "multi-user.target.wants";

/// The unit for one uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    path: PathBuf,
    link: PathBuf,
    content: String,
}

impl Unit {
    /// The unit that runs this program with these options.
    ///
    /// # Errors
    /// A path that cannot be written in a unit.
    pub fn new(args: &Args, program: &Path) -> anyhow::Result<Self> {
        let name = format!("selvage-uplink-{}.service", args.uplink);
        Ok(Self {
            path: args.unit_dir.join(&name),
            link: args.unit_dir.join(WANTS).join(name),
            content: content(args, program)?,
        })
    }

    /// Whether it is written as it should be, and enabled.
    ///
    /// # Errors
    /// What the file system returned.
    pub fn is_enabled(&self) -> anyhow::Result<bool> {
        let written = match fs::read_to_string(&self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            other => other.with_context(|| self.to_string())?,
        };
        Ok(written == self.content && fs::read_link(&self.link).is_ok_and(|to| to == self.path))
    }

    /// Whether any of it is there.
    pub fn is_there(&self) -> bool {
        [&self.path, &self.link].iter().any(|path| fs::symlink_metadata(path).is_ok())
    }

    /// Writes and enables it.
    ///
    /// # Errors
    /// What the file system returned.
    pub fn enable(&self) -> anyhow::Result<()> {
        let write = || {
            self.remove_files()?;
            if let Some(wants) = self.link.parent() {
                fs::create_dir_all(wants)?;
            }
            fs::write(&self.path, &self.content)?;
            // Ours are private by default; a unit is for everybody to read.
            fs::set_permissions(&self.path, fs::Permissions::from_mode(0o644))?;
            if crate::sabotaged!("leave-unit-disabled") {
                return Ok(());
            }
            std::os::unix::fs::symlink(&self.path, &self.link)
        };
        write().with_context(|| format!("{self}: not written"))
    }

    /// Removes what of it is there.
    ///
    /// # Errors
    /// What the file system returned.
    pub fn remove(&self) -> anyhow::Result<()> {
        self.remove_files().with_context(|| format!("{self}: not removed"))
    }

    fn remove_files(&self) -> std::io::Result<()> {
        for path in [&self.link, &self.path] {
            match fs::remove_file(path) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unit {}", self.path.display())
    }
}

fn content(args: &Args, program: &Path) -> anyhow::Result<String> {
    let datapath = args.datapath.to_possible_value().context("a datapath without a name")?;
    let command = [
        quoted(program)?,
        "prepare-host".into(),
        "--uplink".into(),
        quoted(Path::new(&args.uplink))?,
        "--bridge".into(),
        quoted(Path::new(&args.bridge))?,
        "--ovs-run-dir".into(),
        quoted(&args.ovs_run_dir)?,
        "--datapath".into(),
        datapath.get_name().into(),
    ];
    let (uplink, bridge, command) = (&args.uplink, &args.bridge, command.join(" "));
    // Open vSwitch is openvswitch-switch on Debian and openvswitch on Fedora; what does not exist is not waited for.
    Ok(format!(
        "# Written by netplugin prepare-host --persist; prepare-host --undo removes it.
[Unit]
Description=Selvage: addresses of {uplink} on {bridge}
After=network-online.target openvswitch-switch.service openvswitch.service
Wants=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={command}
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"
    ))
}

/// A word of a command line (systemd.service(5), \"Command lines\"): specifiers and variables are not expanded.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control));
    let text = text.with_context(|| format!("{}: cannot be written in a unit", path.display()))?;
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    Ok(format!("\"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Datapath;

    fn args(dir: &Path) -> Args {
        Args {
            uplink: "eth0".into(),
            bridge: "br-phy".into(),
            ovs_run_dir: "/run/open vswitch/50%".into(),
            datapath: Datapath::Netdev,
            dry_run: false,
            persist: true,
            undo: false,
            unit_dir: dir.to_owned(),
        }
    }

    #[test]
    fn the_unit_runs_the_same_command_again() {
        let unit =
            Unit::new(&args(Path::new("/etc/systemd/system")), Path::new("/usr/bin/netplugin")).unwrap();
        assert_eq!(unit.path, Path::new("/etc/systemd/system/selvage-uplink-eth0.service"));
        let start = unit.content.lines().find_map(|l| l.strip_prefix("ExecStart=")).unwrap();
        assert_eq!(
            start,
            "\"/usr/bin/netplugin\" prepare-host --uplink \"eth0\" --bridge \"br-phy\" \
             --ovs-run-dir \"/run/open vswitch/50%%\" --datapath netdev"
        );
        assert!(Unit::new(&args(Path::new("/")), Path::new("/usr/bin/net\nplugin")).is_err());
    }

    #[test]
    fn it_is_enabled_once_and_removed_whole() {
        let dir = tempfile::tempdir().unwrap();
        let unit = Unit::new(&args(dir.path()), Path::new("/usr/bin/netplugin")).unwrap();
        assert!(!unit.is_enabled().unwrap() && !unit.is_there());
        unit.enable().unwrap();
        unit.enable().unwrap();
        assert!(unit.is_enabled().unwrap());
        assert_eq!(fs::metadata(&unit.path).unwrap().permissions().mode() & 0o777, 0o644);
        // A release later it is elsewhere.
        let moved = Unit::new(&args(dir.path()), Path::new("/opt/netplugin")).unwrap();
        assert!(!moved.is_enabled().unwrap() && moved.is_there());
        moved.enable().unwrap();
        assert!(moved.is_enabled().unwrap() && !unit.is_enabled().unwrap());
        moved.remove().unwrap();
        moved.remove().unwrap();
        assert!(!moved.is_there());
    }
}
