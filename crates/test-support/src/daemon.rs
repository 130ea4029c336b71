//! A child process in a session of its own that dies with its guard.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// A daemon could not be started or did not come up.
#[derive(Debug)]
pub struct DaemonError(pub String);

impl std::fmt::Display for DaemonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DaemonError {}

/// A running child, leader of its own session and process group. Dropping it kills the group: its own children
/// (monitors, forks) go with it.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Daemon {
    /// Starts `command`, its output going to `log`. The command is run through `setsid`, which execs: the process
    /// id is the daemon's own.
    ///
    /// # Errors
    /// When the log cannot be written or the program does not exist.
    pub fn start(name: &str, command: &Command, log: &Path) -> Result<Self, DaemonError> {
        let fail = |e: std::io::Error| DaemonError(format!("cannot start {name}: {e}"));
        let out = File::options().create(true).append(true).open(log).map_err(fail)?;
        let mut session = Command::new("setsid");
        session.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => session.env(key, value),
                None => session.env_remove(key),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            session.current_dir(dir);
        }
        let child = session
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(fail)?)
            .stderr(out)
            .spawn()
            .map_err(fail)?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child })
    }

    /// Its process id, the id of its process group too.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ok while it runs; else how it ended, with the end of its log.
    ///
    /// # Errors
    /// When it has ended.
    pub fn running(&mut self) -> Result<(), DaemonError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(status)),
            Err(e) => Err(DaemonError(format!("cannot wait for {}: {e}", self.name))),
        }
    }

    fn ended(&self, status: ExitStatus) -> DaemonError {
        DaemonError(format!(
            "{} ended with {status}; end of {}:\n{}",
            self.name,
            self.log.display(),
            tail(&self.log)
        ))
    }

    /// Sends a signal to the process alone (not to its children).
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = pid_of(&self.child) {
            // It may have ended by itself: nothing left to do then.
            let _ = nix::sys::signal::kill(pid, signal);
        }
    }

    /// Kills the process group at once (SIGKILL) and waits until the process is gone.
    pub fn kill(&mut self) {
        if let Some(pid) = pid_of(&self.child) {
            // ESRCH: it is gone already.
            let _ = killpg(pid, Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }

    /// Leaves it running for good: the guard is gone, the daemon is not.
    pub fn leave_running(self) -> u32 {
        let pid = self.child.id();
        std::mem::forget(self);
        pid
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().map(Pid::from_raw)
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn alive(pid: &str) -> bool {
        // Nobody may have reaped it yet: a zombie is dead.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
    }

    #[test]
    fn drop_kills_grandchildren_too() {
        let dir = tempfile::tempdir().unwrap();
        let pidfile = dir.path().join("pid");
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("sleep 100 & echo $! > {}; wait", pidfile.display()));
        let daemon = Daemon::start("sh", &command, &dir.path().join("log")).unwrap();
        let pid = crate::wait_for_blocking("the pid file", Duration::from_secs(5), || {
            let text = std::fs::read_to_string(&pidfile).map_err(|e| e.to_string())?;
            if text.ends_with('\n') { Ok(text.trim().to_owned()) } else { Err("half a line".to_owned()) }
        })
        .unwrap();
        assert!(alive(&pid));
        drop(daemon);
        crate::wait_for_blocking("its end", Duration::from_secs(5), || {
            if alive(&pid) { Err("alive") } else { Ok(()) }
        })
        .unwrap();
    }

    #[test]
    fn early_end_is_reported_with_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such bridge >&2; exit 3"]);
        let mut daemon = Daemon::start("sh", &command, &dir.path().join("log")).unwrap();
        let text = crate::wait_for_blocking("its end", Duration::from_secs(5), || match daemon.running() {
            Ok(()) => Err("running"),
            Err(e) => Ok(e.to_string()),
        })
        .unwrap();
        assert!(text.contains("exit status: 3") && text.ends_with("no such bridge"), "{text}");
    }
}
