//! netmaster and its store, in the management namespace.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use test_support::{Daemon, wait_for_blocking};

use super::fabric::{MANAGEMENT, Management};
use super::mark::{ENV, Mark};
use super::run::{in_netns, output};
use super::{Binaries, Failpoints, StoreKind};

// Fixed ports are safe: the namespace is the lab's own.
const API_PORT: u16 = 9999;
const NODE_PORT: u16 = 9998;
const ETCD: &str = "http://127.0.0.1:2379";

/// netmaster, and etcd when that is its store.
#[derive(Debug)]
pub struct Master {
    mark: Mark,
    dir: PathBuf,
    address: Ipv4Addr,
    store: StoreKind,
    binaries: Binaries,
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
        command.env(ENV, self.mark.as_str());
        failpoints.set(&mut command);
        self.netmaster = Some(Daemon::start("netmaster", &command, &self.dir.join("netmaster.log"))?);
        Ok(())
    }

    /// `kill -9` of netmaster.
    pub fn kill_netmaster(&mut self) {
        drop(self.netmaster.take());
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
