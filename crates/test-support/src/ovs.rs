//! A private Open vSwitch: ovsdb-server and ovs-vswitchd with the userspace datapath.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Daemon, DaemonError, Netns, wait_for_blocking};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// ovsdb-server and ovs-vswitchd in a run directory of their own: `db.sock`, `vswitchd.ctl`, `<bridge>.mgmt`.
#[derive(Debug)]
pub struct Ovs {
    // The order of the fields is the order they are dropped in: switch, database, directory, namespace.
    vswitchd: Daemon,
    ovsdb: Daemon,
    dir: TempDir,
    netns: String,
    /// Set when the namespace is ours to remove.
    own: Option<Netns>,
}

impl Ovs {
    /// Starts both in a network namespace of their own: the userspace datapath makes devices of fixed name
    /// (`ovs-netdev`), so that two switches in one namespace get into each other's way.
    ///
    /// # Errors
    /// When Open vSwitch is not installed or does not come up; the text holds the end of the log.
    pub fn start() -> Result<Self, DaemonError> {
        let own = Netns::new("svovs")?;
        let mut ovs = Self::start_in(own.name())?;
        ovs.own = Some(own);
        Ok(ovs)
    }

    /// Starts both in a named network namespace (`ip netns`).
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_in(netns: &str) -> Result<Self, DaemonError> {
        let io = |e: std::io::Error| DaemonError(format!("open vswitch: {e}"));
        let dir = tempfile::tempdir().map_err(io)?;
        let run = dir.path();
        let created = Command::new("ovsdb-tool")
            .arg("create")
            .arg(run.join("conf.db"))
            .arg(SCHEMA)
            .output()
            .map_err(io)?;
        if !created.status.success() {
            return Err(DaemonError(format!(
                "ovsdb-tool: {}",
                String::from_utf8_lossy(&created.stderr).trim()
            )));
        }
        let ovsdb = start_ovsdb(run, netns)?;
        let vswitchd = start_vswitchd(run, netns)?;
        Ok(Self { vswitchd, ovsdb, dir, netns: netns.to_owned(), own: None })
    }

    /// The run directory.
    pub fn run_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The network namespace both run in.
    pub fn netns(&self) -> &str {
        &self.netns
    }

    /// The database socket.
    pub fn db_sock(&self) -> PathBuf {
        self.run_dir().join("db.sock")
    }

    /// `kill -9` of ovs-vswitchd, and a new one.
    ///
    /// # Errors
    /// When the new one does not come up.
    pub fn restart_vswitchd(&mut self) -> Result<(), DaemonError> {
        self.vswitchd.kill();
        self.vswitchd = start_vswitchd(self.dir.path(), &self.netns)?;
        Ok(())
    }

    /// `kill -9` of ovsdb-server, and a new one.
    ///
    /// # Errors
    /// When the new one does not come up.
    pub fn restart_ovsdb(&mut self) -> Result<(), DaemonError> {
        self.ovsdb.kill();
        self.ovsdb = start_ovsdb(self.dir.path(), &self.netns)?;
        Ok(())
    }

    /// Runs `ovs-vsctl`, waiting for the switch to take the change in, and gives its output.
    ///
    /// # Errors
    /// What it wrote to standard error.
    pub fn vsctl(&self, args: &[&str]) -> Result<String, DaemonError> {
        let db = format!("--db=unix:{}", self.db_sock().display());
        self.run("ovs-vsctl", &[&["--timeout=20", &db], args].concat())
    }

    /// Runs `ovs-ofctl` and gives its output; bridges are found in the run directory.
    ///
    /// # Errors
    /// What it wrote to standard error.
    pub fn ofctl(&self, args: &[&str]) -> Result<String, DaemonError> {
        self.run("ovs-ofctl", args)
    }

    /// Runs `ovs-appctl` on ovs-vswitchd and gives its output.
    ///
    /// # Errors
    /// What it wrote to standard error.
    pub fn appctl(&self, args: &[&str]) -> Result<String, DaemonError> {
        let target = self.run_dir().join("vswitchd.ctl").display().to_string();
        self.run("ovs-appctl", &[&["-t", &target], args].concat())
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<String, DaemonError> {
        let fail = |why: String| DaemonError(format!("{program} {}: {why}", args.join(" ")));
        let out = Command::new(program)
            .env("OVS_RUNDIR", self.run_dir())
            .args(args)
            .output()
            .map_err(|e| fail(e.to_string()))?;
        if !out.status.success() {
            return Err(fail(String::from_utf8_lossy(&out.stderr).trim().to_owned()));
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }
}

fn in_netns(netns: &str, program: &str, run: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{netns}")).arg(program).env("OVS_RUNDIR", run);
    command
}

fn start_ovsdb(run: &Path, netns: &str) -> Result<Daemon, DaemonError> {
    let mut command = in_netns(netns, "ovsdb-server", run);
    command.arg(run.join("conf.db")).arg(format!("--remote=punix:{}", run.join("db.sock").display()));
    command
        .arg(format!("--unixctl={}", run.join("ovsdb.ctl").display()))
        .arg("-vconsole:warn")
        .arg("--no-chdir");
    let mut daemon = Daemon::start("ovsdb-server", &command, &run.join("ovsdb.log"))?;
    let db = format!("--db=unix:{}", run.join("db.sock").display());
    wait_up(&mut daemon, "ovsdb-server", "ovs-vsctl", &["--no-wait", "--timeout=1", &db, "init"])?;
    Ok(daemon)
}

fn start_vswitchd(run: &Path, netns: &str) -> Result<Daemon, DaemonError> {
    let mut command = in_netns(netns, "ovs-vswitchd", run);
    command.arg(format!("unix:{}", run.join("db.sock").display()));
    command.arg(format!("--unixctl={}", run.join("vswitchd.ctl").display()));
    command.args(["-vconsole:warn", "--disable-system", "--no-chdir"]);
    let mut daemon = Daemon::start("ovs-vswitchd", &command, &run.join("vswitchd.log"))?;
    let (db, ctl) = (format!("--db=unix:{}", run.join("db.sock").display()), run.join("vswitchd.ctl"));
    let bridges = output("ovs-vsctl", &["--no-wait", "--timeout=5", &db, "list-br"]).map_err(DaemonError)?;
    // It answers on its control socket before it has made its bridges.
    wait_for_blocking("ovs-vswitchd to have its bridges", Duration::from_secs(20), || {
        daemon.running().map_err(|e| e.to_string())?;
        let made = output("ovs-appctl", &["-T", "1", "-t", &ctl.display().to_string(), "ofproto/list"])?;
        let missing = bridges.lines().find(|b| !made.lines().any(|m| m == *b));
        missing.map_or(Ok(()), |b| Err(format!("no {b} yet")))
    })
    .map_err(|e| DaemonError(e.to_string()))?;
    Ok(daemon)
}

/// Standard output of a program that succeeds; otherwise what it wrote to standard error.
fn output(program: &str, args: &[&str]) -> Result<String, String> {
    let out = Command::new(program).args(args).output().map_err(|e| format!("{program}: {e}"))?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        Err(format!("{program}: {}", String::from_utf8_lossy(&out.stderr).trim()))
    }
}

/// Up = the probing command succeeds.
fn wait_up(daemon: &mut Daemon, what: &str, program: &str, args: &[&str]) -> Result<(), DaemonError> {
    wait_for_blocking(&format!("{what} to answer"), Duration::from_secs(20), || {
        daemon.running().map_err(|e| e.to_string())?;
        output(program, args).map(drop)
    })
    .map_err(|e| DaemonError(e.to_string()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn killed_switch_comes_back_with_its_bridges_and_without_flows() {
        let mut ovs = super::Ovs::start().unwrap();
        let bridge =
            ["add-br", "br1", "--", "set", "bridge", "br1", "datapath_type=netdev", "fail-mode=secure"];
        ovs.vsctl(&bridge).unwrap();
        ovs.ofctl(&["add-flow", "br1", "actions=drop"]).unwrap();
        ovs.restart_ovsdb().unwrap();
        assert_eq!(ovs.vsctl(&["list-br"]).unwrap().trim(), "br1");
        assert!(ovs.ofctl(&["dump-flows", "br1"]).unwrap().contains("actions=drop"));
        ovs.restart_vswitchd().unwrap();
        assert_eq!(ovs.vsctl(&["list-br"]).unwrap().trim(), "br1");
        assert!(!ovs.ofctl(&["dump-flows", "br1"]).unwrap().contains("actions=drop"));
    }
}
