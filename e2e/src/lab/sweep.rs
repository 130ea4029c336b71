//! Removing a lab by its mark alone: after a crash, a Ctrl-C, a lost directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::wait_for_blocking;

use super::mark::{ENV, Mark};
use super::run::{output, words};

/// What was found and removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Processes killed.
    pub processes: usize,
    /// Network namespaces deleted.
    pub namespaces: usize,
}

/// Kills every process and deletes every namespace and link that carries the mark; its directory becomes `….last`.
///
/// # Errors
/// When something that carries the mark cannot be removed.
pub fn sweep(mark: &Mark, lab_dir: &Path) -> Result<Swept> {
    let processes = kill_all(mark)?;
    super::machine::remove_cgroup(mark)?;
    let namespaces = namespaces(mark)?;
    for name in &namespaces {
        output(&mut words(&format!("ip netns del {name}")))?;
    }
    // Its other end went with its namespace, and so did it; unless the lab ended before the end was moved there.
    if Path::new("/sys/class/net").join(mark.as_str()).exists() {
        // Gone meanwhile is as good.
        let _ = output(&mut words(&format!("ip link del dev {mark}")));
    }
    let run = run_dir(mark);
    if run.is_symlink() {
        fs::remove_file(&run)?;
    }
    if lab_dir.exists() {
        keep_as_last(lab_dir)?;
    }
    Ok(Swept { processes, namespaces: namespaces.len() })
}

/// The logs of the lab that was removed last stay readable beside it.
fn keep_as_last(lab_dir: &Path) -> Result<()> {
    let last = lab_dir.with_extension("last");
    if last.exists() {
        fs::remove_dir_all(&last)?;
    }
    Ok(fs::rename(lab_dir, &last)?)
}

/// A short path to the lab's directory: socket paths are limited to 107 bytes (unix(7)), checkouts lie anywhere.
pub fn run_dir(mark: &Mark) -> PathBuf {
    Path::new("/run").join(mark.as_str())
}

/// The namespaces of the lab.
///
/// # Errors
/// When `ip` fails.
pub fn namespaces(mark: &Mark) -> Result<Vec<String>> {
    let prefix = mark.netns("");
    let list = output(&mut words("ip netns list"))?;
    let names = list.lines().filter_map(|l| l.split_whitespace().next());
    Ok(names.filter(|n| n.starts_with(&prefix)).map(str::to_owned).collect())
}

/// Repeats until none is left: a supervisor may start another while we look.
fn kill_all(mark: &Mark) -> Result<usize> {
    let mut killed = std::collections::BTreeSet::new();
    wait_for_blocking("the lab's processes to be gone", Duration::from_secs(10), || {
        let left = processes(mark);
        for pid in &left {
            killed.insert(*pid);
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })?;
    Ok(killed.len())
}

/// Living processes whose environment carries the mark.
fn processes(mark: &Mark) -> Vec<i32> {
    let wanted = format!("{ENV}={mark}");
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id().cast_signed();
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own)
        .filter(|pid| {
            // A zombie's environment is empty: it is gone already.
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|b| *b == 0).any(|v| v == wanted.as_bytes())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::mark::Purpose;
    use super::*;
    use std::process::Command;

    #[test]
    fn finds_processes_and_namespaces_by_mark_and_leaves_others_alone() {
        let dir = test_support::TempDir::new().unwrap();
        let mine = Mark::new(dir.path(), Purpose::Suite).unwrap();
        let other = Mark::new(Path::new("/"), Purpose::Test).unwrap();
        let sleeper = |mark: &Mark| Command::new("sleep").arg("100").env(ENV, mark.as_str()).spawn().unwrap();
        let (mut child, mut bystander) = (sleeper(&mine), sleeper(&other));
        output(&mut words(&format!("ip netns add {}", mine.netns("x")))).unwrap();
        // The kernel shows the new environment once exec is done.
        wait_for_blocking("exec", Duration::from_secs(5), || {
            if processes(&mine).len() == 1 { Ok(()) } else { Err("no") }
        })
        .unwrap();
        let lab_dir = dir.path().join("lab");
        fs::create_dir(&lab_dir).unwrap();
        assert_eq!(sweep(&mine, &lab_dir).unwrap(), Swept { processes: 1, namespaces: 1 });
        child.wait().unwrap();
        assert!(bystander.try_wait().unwrap().is_none());
        assert!(!lab_dir.exists());
        assert_eq!(sweep(&mine, &lab_dir).unwrap(), Swept::default());
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }
}
