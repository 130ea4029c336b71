//! Network namespaces that die with the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace.
pub struct Namespace(String);

impl Namespace {
    pub fn new() -> Self {
        let name = format!("svt-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(Command::new("ip").args(["netns", "add", &name]));
        Self(name)
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.0)
    }

    /// What a program prints in here.
    pub fn run(&self, command: &str) -> String {
        String::from_utf8(run(&mut self.command(command)).stdout).unwrap()
    }

    /// Whether a program succeeds in here.
    pub fn try_run(&self, command: &str) -> bool {
        self.command(command).output().unwrap().status.success()
    }

    fn command(&self, command: &str) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--net={}", self.path().display())).args(command.split_whitespace());
        nsenter
    }

    /// Runs a future on a thread, and on a runtime, that live in this namespace, as a process started there would.
    pub fn block_on<T: Send + 'static>(&self, work: impl AsyncFnOnce() -> T + Send + 'static) -> T {
        Self::block_on_path(&self.path(), work)
    }

    /// The same, for a namespace owned by another thread.
    pub fn block_on_path<T: Send + 'static>(
        path: &Path,
        work: impl AsyncFnOnce() -> T + Send + 'static,
    ) -> T {
        let namespace = std::fs::File::open(path).unwrap();
        let run = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work())
        };
        std::thread::spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
