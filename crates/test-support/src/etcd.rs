//! A private etcd.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Daemon, DaemonError, free_port, wait_for_blocking};

/// How often it is tried with other ports.
const ATTEMPTS: usize = 5;

/// One etcd member on loopback, without fsync: fast, and gone with the guard.
#[derive(Debug)]
pub struct Etcd {
    url: String,
    /// Held for its `Drop`.
    _daemon: Daemon,
    _dir: TempDir,
}

impl Etcd {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// When etcd is not installed or does not come up; the text holds the end of its log.
    pub fn start() -> Result<Self, DaemonError> {
        Self::start_with(&["--unsafe-no-fsync"])
    }

    /// As [`Self::start`], but writes through to the disk: for benchmarks.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_durable() -> Result<Self, DaemonError> {
        Self::start_with(&[])
    }

    fn start_with(arguments: &[&str]) -> Result<Self, DaemonError> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match Self::attempt(arguments)? {
                Ok(etcd) => return Ok(etcd),
                Err(ended) => last = Some(ended),
            }
        }
        Err(last.unwrap_or_else(|| DaemonError("etcd was never started".into())))
    }

    /// The inner error: it ended by itself. Somebody may have taken one of its ports before it did.
    fn attempt(arguments: &[&str]) -> Result<Result<Self, DaemonError>, DaemonError> {
        let io = |e: std::io::Error| DaemonError(format!("etcd: {e}"));
        let dir = tempfile::tempdir().map_err(io)?;
        let (client, peer) = (free_port().map_err(io)?, free_port().map_err(io)?);
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let command = command(dir.path(), &client, &peer, arguments);
        let mut daemon = Daemon::start("etcd", &command, &dir.path().join("etcd.log"))?;
        let up = wait_for_blocking("etcd to answer", Duration::from_secs(20), || match daemon.running() {
            // Asked first: whoever took the port might answer, too.
            Err(ended) => Ok(Err(ended)),
            Ok(()) => answers(&client).map(Ok),
        });
        let up = up.map_err(|e| DaemonError(e.to_string()))?;
        Ok(up.map(|()| Self { url: client, _daemon: daemon, _dir: dir }))
    }

    /// Its client URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}

fn command(dir: &Path, client: &str, peer: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("etcd");
    command.arg("--name=m1").arg("--data-dir").arg(dir.join("data"));
    command.args(arguments).args(["--initial-cluster-state=new", "--max-txn-ops=8192"]);
    command.args(["--max-request-bytes=8388608", "--log-level=warn"]);
    command.arg(format!("--listen-client-urls={client}")).arg(format!("--advertise-client-urls={client}"));
    command.arg(format!("--listen-peer-urls={peer}")).arg(format!("--initial-advertise-peer-urls={peer}"));
    command.arg(format!("--initial-cluster=m1={peer}"));
    command
}

/// etcd counts as up when a linearizable read works: only then does it have a leader.
fn answers(url: &str) -> Result<(), String> {
    let out = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", url, "--command-timeout=1s", "get", "x"])
        .output()
        .map_err(|e| format!("etcdctl: {e}"))?;
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).trim().to_owned()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn etcd_comes_up_and_goes_away() {
        let etcd = super::Etcd::start().unwrap();
        let url = etcd.url().to_owned();
        super::answers(&url).unwrap();
        drop(etcd);
        assert!(super::answers(&url).is_err());
    }
}
