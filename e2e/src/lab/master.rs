//! netmaster and its store, in the management namespace.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::{Daemon, wait_for_blocking};

use super::fabric::{MANAGEMENT, Management};
use super::mark::{ENV, Mark};
use super::run::{in_netns, output, write};
use super::{Binaries, Failpoints, StoreKind, https, stored};

// Fixed ports are safe: the namespace is the lab's own.
const API_PORT: u16 = 9999;
const NODE_PORT: u16 = 9998;
const ETCD: &str = "http://127.0.0.1:2379";
/// Where netmaster's keys are in etcd, by default.
const ETCD_PREFIX: &str = "/selvage/";

/// A store that does not answer, until this is dropped.
#[derive(Debug)]
pub enum Freeze {
    /// etcd, stopped.
    Stopped(Pid),
    /// A database that somebody else writes to.
    Locked(stored::Locked),
}

impl Drop for Freeze {
    fn drop(&mut self) {
        if let Self::Stopped(etcd) = self {
            // It may have been killed meanwhile.
            let _ = kill(*etcd, Signal::SIGCONT);
        }
    }
}

/// netmaster, and etcd when that is its store.
#[derive(Debug)]
pub struct Master {
    mark: Mark,
    dir: PathBuf,
    address: Ipv4Addr,
    store: StoreKind,
    binaries: Binaries,
    /// How long freed addresses stay unused; netmaster's default without it.
    cooling: Option<Duration>,
    etcd: Option<Daemon>,
    netmaster: Option<Daemon>,
}

impl Master {
    /// Starts the store, if it is a process, and netmaster. Does not wait for netmaster.
    ///
    /// # Errors
    /// When either cannot be started.
    pub fn start(
        mark: &Mark,
        run: &Path,
        binaries: &Binaries,
        mgmt: Management,
        store: StoreKind,
        failpoints: &Failpoints,
    ) -> Result<Self> {
        let mut master = Self {
            mark: mark.clone(),
            dir: run.join("netmaster"),
            address: mgmt.master(),
            store,
            binaries: binaries.clone(),
            cooling: None,
            etcd: None,
            netmaster: None,
        };
        std::fs::create_dir_all(&master.dir)?;
        if store == StoreKind::Etcd {
            master.start_etcd()?;
        }
        master.start_netmaster(failpoints)?;
        Ok(master)
    }

    fn start_etcd(&mut self) -> Result<()> {
        let (client, peer) = (ETCD, "http://127.0.0.1:2380");
        let mut command = in_netns(&self.mark.netns(MANAGEMENT), "etcd");
        command.arg("--name=m1").arg("--data-dir").arg(self.dir.join("etcd"));
        command.args(["--max-txn-ops=8192", "--max-request-bytes=8388608", "--log-level=warn"]);
        command
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"));
        command
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"));
        command.arg(format!("--initial-cluster=m1={peer}")).env(ENV, self.mark.as_str());
        self.etcd = Some(Daemon::start("etcd", &command, &self.dir.join("etcd.log"))?);
        let mut get = in_netns(&self.mark.netns(MANAGEMENT), "etcdctl");
        get.env("ETCDCTL_API", "3").args(["--endpoints", ETCD, "--command-timeout=1s", "get", "x"]);
        wait_for_blocking("etcd to answer", Duration::from_secs(20), || output(&mut get)).map(drop)?;
        Ok(())
    }

    /// Starts netmaster (again).
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_netmaster(&mut self, failpoints: &Failpoints) -> Result<()> {
        let mut command = in_netns(&self.mark.netns(MANAGEMENT), self.binaries.path("netmaster"));
        command.arg("--data-dir").arg(self.dir.join("data"));
        command.args(["--listen", &format!("{}:{API_PORT}", self.address)]);
        command.args(["--node-listen", &format!("{}:{NODE_PORT}", self.address)]);
        command.args(["--name", &self.address.to_string()]);
        if self.store == StoreKind::Etcd {
            command.args(["--store", "etcd", "--etcd-endpoints", ETCD]);
        }
        if let Some(cooling) = self.cooling {
            command.args(["--cooling", &cooling.as_secs().to_string()]);
        }
        command.env(ENV, self.mark.as_str());
        failpoints.set(&mut command);
        let netmaster = Daemon::start("netmaster", &command, &self.log())?;
        write(&self.pid_file(), netmaster.pid().to_string())?;
        self.netmaster = Some(netmaster);
        Ok(())
    }

    /// From its next start on, netmaster lets freed addresses cool for so many seconds.
    pub fn cool_for(&mut self, cooling: Duration) {
        self.cooling = Some(cooling);
    }

    /// Has netmaster's process id.
    pub fn pid_file(&self) -> PathBuf {
        self.dir.join("netmaster.pid")
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("netmaster.log")
    }

    /// Whether netmaster is alive.
    ///
    /// # Errors
    /// When it is not; the text has the end of its log.
    pub fn netmaster_runs(&mut self) -> Result<()> {
        Ok(self.netmaster.as_mut().context("netmaster was not started")?.running()?)
    }

    /// `kill -9` of netmaster.
    pub fn kill_netmaster(&mut self) {
        drop(self.netmaster.take());
    }

    /// Makes the store unable to answer until the guard is dropped: etcd is stopped, a SQLite file is locked by another
    /// process for writing.
    ///
    /// # Errors
    /// When it cannot be done.
    pub fn freeze_store(&self) -> Result<Freeze> {
        match &self.etcd {
            Some(etcd) => {
                etcd.signal(Signal::SIGSTOP);
                Ok(Freeze::Stopped(Pid::from_raw(etcd.pid().cast_signed())))
            }
            None => Ok(Freeze::Locked(stored::lock_sqlite(&self.database())?)),
        }
    }

    /// `kill -9` of the process that has the store, and another in its place: etcd, or netmaster itself.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn crash_store(&mut self, failpoints: &Failpoints) -> Result<()> {
        if self.store == StoreKind::Etcd {
            drop(self.etcd.take());
            return self.start_etcd();
        }
        self.kill_netmaster();
        self.start_netmaster(failpoints)?;
        self.wait_until_serving()
    }

    fn database(&self) -> PathBuf {
        self.dir.join("data/netmaster.db")
    }

    /// Waits until `netctl version` gets an answer.
    ///
    /// # Errors
    /// When netmaster ends or does not serve within 30 s; the text has the end of its log.
    pub fn wait_until_serving(&mut self) -> Result<()> {
        let mut command = self.netctl(&["version"]);
        let netmaster = self.netmaster.as_mut().context("netmaster was not started")?;
        wait_for_blocking("netmaster to serve", Duration::from_secs(30), || match netmaster.running() {
            Ok(()) => output(&mut command).map(|_| Ok(())),
            // It will not come back: no need to wait.
            Err(ended) => Ok(Err(ended)),
        })??;
        Ok(())
    }

    /// What its store holds, without asking netmaster.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn stored(&self) -> Result<BTreeMap<String, String>> {
        match self.store {
            StoreKind::Sqlite => stored::of_sqlite(&self.database()),
            StoreKind::Etcd => {
                let mut get = in_netns(&self.mark.netns(MANAGEMENT), "etcdctl");
                get.env("ETCDCTL_API", "3").args(["--endpoints", ETCD, "get", "--prefix", ETCD_PREFIX]);
                stored::of_etcd(&output(get.args(["-w", "json"]))?, ETCD_PREFIX)
            }
        }
    }

    /// What it answers to somebody who is not `netctl`; with the administrator's token, or with none.
    ///
    /// # Errors
    /// As [`https::get`].
    pub fn get(&self, path: &str, as_administrator: bool) -> Result<https::Answer> {
        let read = |name: &str| {
            let file = self.dir.join("data").join(name);
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
        };
        let token = if as_administrator { Some(read("admin.token")?) } else { None };
        let server = (self.address, API_PORT).into();
        https::get(server, read("ca.crt")?.as_bytes(), path, token.as_deref().map(str::trim))
    }

    /// Address of the REST API.
    pub fn api(&self) -> String {
        format!("https://{}:{API_PORT}", self.address)
    }

    /// Options that make `netctl` talk to this netmaster.
    pub fn netctl_options(&self) -> Vec<String> {
        let data = self.dir.join("data");
        let file = |name: &str| data.join(name).display().to_string();
        let words =
            ["--server", &self.api(), "--ca-file", &file("ca.crt"), "--token-file", &file("admin.token")];
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    /// A `netctl` command against this netmaster.
    pub fn netctl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.binaries.path("netctl"));
        command.args(self.netctl_options()).args(args);
        command
    }

    /// Leaves its processes running for good.
    pub fn leave_running(&mut self) {
        for daemon in self.etcd.take().into_iter().chain(self.netmaster.take()) {
            daemon.leave_running();
        }
    }
}
