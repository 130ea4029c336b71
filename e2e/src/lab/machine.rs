//! A machine that really starts: systemd is its first process, in namespaces of its own, on a disk that is a layer over
//! this machine's root. What is done to it, and whether that outlives a restart, is then systemd's to say and the disk's.
//!
//! # Invariants
//! * Its disk is in memory, in the mount namespace of a process that carries the lab's mark: it goes with that.
//! * A restart cuts the power. Network namespace and processes are new ones; the disk, the name and the hardware address
//!   of `eth0` stay.
//! * Its control group is named after the mark, so that [`remove_cgroup`] finds it.
//!
//! # Failure
//! It needs cgroup2 to be mounted somewhere and systemd to be installed; errors name what is missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use test_support::{Daemon, wait_for_blocking};

use super::fabric::{self, FABRIC};
use super::mark::{ENV, Mark};
use super::run::{ip_batch, output, words};

/// To start, or to have a disk, takes at most this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Holds the disk: `$1` is where. Removing a directory and making it again hides what lies below it.
const DISK: &str = r#"
mount --make-rprivate /
mount -t tmpfs disk "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay disk -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
rm -r "$1/root/etc/systemd/system"
mkdir "$1/root/etc/systemd/system"
umount "$1/root"
touch "$1/made"
exec sleep infinity
"#;
/// Puts itself into the control group `$1` and goes on as `$3` in namespaces of its own, on the disk `$2`.
const POWER_ON: &str = "echo $$ >\"$1/cgroup.procs\" && exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child \
    sh -ec \"$3\" start \"$2\"";
/// As a container's root is made; `/tmp` and `/run` of this machine are not shown to it, nor its devices.
const START: &str = r#"
disk=$1; root=$1/root
mount -t overlay disk -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for at in run tmp var/tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$at"; done
for device in null zero full random urandom tty net/tun; do
  mkdir -p "$(dirname "$root/dev/$device")"; touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mkdir -p "$root/mnt/before"; cd "$root"; pivot_root . mnt/before; umount -l /mnt/before
container=lxc exec /lib/systemd/systemd --system --unit=multi-user.target
"#;

/// One machine.
#[derive(Debug)]
pub struct Machine {
    mark: Mark,
    name: String,
    mac: String,
    dir: PathBuf,
    cgroup: PathBuf,
    disk: Daemon,
    running: Option<Daemon>,
}

impl Machine {
    /// A machine of that name that has a disk and has not been started. None of this machine's own services is enabled.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(mark: &Mark, lab_dir: &Path, name: &str, mac: &str) -> Result<Self> {
        let dir = lab_dir.join(name);
        fs::create_dir_all(&dir)?;
        let cgroup = cgroup_root()?.join(mark.as_str());
        fs::create_dir_all(&cgroup).with_context(|| format!("cannot make {}", cgroup.display()))?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", DISK, "disk"]).arg(&dir).env(ENV, mark.as_str());
        let disk = Daemon::start("disk", &command, &lab_dir.join(format!("{name}.disk.log")))?;
        let (mark, name, mac) = (mark.clone(), name.to_owned(), mac.to_owned());
        let mut machine = Self { mark, name, mac, dir, cgroup, disk, running: None };
        wait_for_blocking("the machine's disk", PATIENCE, || {
            machine.disk.running().map_err(|e| e.to_string())?;
            if machine.inside("made").exists() { Ok(()) } else { Err("it is not made".to_owned()) }
        })?;
        machine.write("etc/machine-id", b"")?;
        Ok(machine)
    }

    /// A path below the disk's own directory, seen from here.
    fn inside(&self, path: &str) -> PathBuf {
        let holder = PathBuf::from(format!("/proc/{}/root", self.disk.pid()));
        holder.join(self.dir.strip_prefix("/").unwrap_or(&self.dir)).join(path)
    }

    /// Its network namespace.
    pub fn netns(&self) -> String {
        self.mark.netns(&self.name)
    }

    /// Writes a file to its disk while it is off.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, content: &[u8]) -> Result<()> {
        let path = self.inside("upper").join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Copies a program to its disk, as `/usr/local/bin/NAME`.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn install(&self, program: &Path) -> Result<()> {
        let name = program.file_name().context("a program has a name")?;
        let place = self.inside("upper/usr/local/bin");
        fs::create_dir_all(&place)?;
        fs::copy(program, place.join(name)).with_context(|| format!("cannot copy {}", program.display()))?;
        Ok(())
    }

    /// Has a unit started at every start, as `systemctl enable` does.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn enable(&self, unit: &str) -> Result<()> {
        let wants = self.inside("upper/etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wants)?;
        Ok(std::os::unix::fs::symlink(format!("../{unit}"), wants.join(unit))?)
    }

    /// Starts it, after a power cut if it runs, and waits until systemd has started everything or given up.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&mut self) -> Result<()> {
        let netns = self.netns();
        if self.running.take().is_some() {
            // Not left to the kernel, which takes its time after a namespace: the name is needed again.
            ip_batch(Some(&self.mark.netns(FABRIC)), &[format!("link del dev {}", self.name)])?;
            output(&mut words(&format!("ip netns del {netns}")))?;
        }
        output(&mut words(&format!("ip netns add {netns}")))?;
        fabric::plug(&self.mark, FABRIC, &netns, "eth0", &self.name, Some(&self.mac))?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.disk.pid()));
        command.arg(format!("--net=/run/netns/{netns}")).args(["sh", "-ec", POWER_ON, "power-on"]);
        command.arg(&self.cgroup).arg(&self.dir).arg(START).env(ENV, self.mark.as_str());
        let log = self.dir.with_extension("start.log");
        self.running = Some(Daemon::start("machine", &command, &log)?);
        wait_for_blocking("systemd to have started everything", PATIENCE, || {
            if let Some(running) = &mut self.running {
                running.running().map_err(|e| e.to_string())?;
            }
            // It exits with an error in every state but `running`, and writes the state all the same.
            match self.run("systemctl is-system-running || true").map_err(|e| format!("{e:#}"))?.trim() {
                "running" | "degraded" => Ok(()),
                state => Err(state.to_owned()),
            }
        })?;
        Ok(())
    }

    /// What a shell in it writes.
    ///
    /// # Errors
    /// When it is off, or the shell fails.
    pub fn run(&self, line: &str) -> Result<String> {
        output(&mut self.command(line)?)
    }

    /// A shell in it that has not begun.
    ///
    /// # Errors
    /// When it is off.
    pub fn command(&self, line: &str) -> Result<Command> {
        let running = self.running.as_ref().context("the machine is off")?.pid();
        let children = fs::read_to_string(format!("/proc/{running}/task/{running}/children"))?;
        let first = children.split_whitespace().next().context("systemd has not begun")?;
        let mut command = Command::new("nsenter");
        command.args(["--target", first, "--all", "sh", "-ec", line]);
        Ok(command)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The first process of a namespace takes all others with it; then the group is empty.
        drop(self.running.take());
        // Nobody is here to be told; `sweep` tries again.
        let _ = remove_cgroup(&self.mark);
    }
}

/// Where cgroup2 is mounted (proc_pid_mountinfo(5)).
fn cgroup_root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let of = |line: &str| {
        let (mount, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| mount.split(' ').nth(4).map(PathBuf::from)).flatten()
    };
    mounts.lines().find_map(of).context("no cgroup2 is mounted on this machine: systemd needs one")
}

/// Removes the control group of the mark, and what systemd made in it; waits for its processes' end.
///
/// # Errors
/// When somebody is still in it.
pub(super) fn remove_cgroup(mark: &Mark) -> Result<()> {
    let Ok(root) = cgroup_root() else { return Ok(()) };
    let group = root.join(mark.as_str());
    wait_for_blocking("the machine's control group to be empty", Duration::from_secs(10), || {
        if group.exists() { remove_groups(&group).map_err(|e| e.to_string()) } else { Ok(()) }
    })?;
    Ok(())
}

/// From the leaves up; the files in them are the kernel's and go by themselves.
fn remove_groups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
