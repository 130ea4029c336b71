//! netctl as a program of its own, while it runs.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use test_support::wait_for;

use crate::master::Master;

const PATIENCE: Duration = Duration::from_secs(20);

/// A running netctl and what it has said so far.
pub struct Running {
    child: Child,
    out: Arc<Mutex<Vec<String>>>,
    err: Arc<Mutex<Vec<String>>>,
}

impl Running {
    /// Starts it against a server.
    pub fn start(master: &Master, server: &str, line: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_netctl"))
            .args(line.split(' '))
            .env_clear()
            .envs([("NETCTL_SERVER", server)])
            .env("NETCTL_CA_FILE", master.data("ca.crt"))
            .env("NETCTL_TOKEN_FILE", master.data("admin.token"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = gather(child.stdout.take().unwrap());
        let err = gather(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    /// Waits for a line of standard output, behind what was said before; gives it.
    pub async fn says(&self, text: &str) -> String {
        line(&self.out, text, &self.err).await
    }

    /// All it has said.
    pub fn said(&self) -> Vec<String> {
        self.out.lock().unwrap().clone()
    }

    /// All it has complained about.
    pub fn complaints(&self) -> Vec<String> {
        self.err.lock().unwrap().clone()
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    /// Waits for its end; gives the exit status.
    pub async fn end(&mut self) -> Option<i32> {
        let child = &mut self.child;
        let status =
            wait_for("the end of netctl", PATIENCE, async || child.try_wait().unwrap().ok_or("it runs"));
        status.await.unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gather(stream: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            into.lock().unwrap().push(line);
        }
    });
    lines
}

async fn line(of: &Mutex<Vec<String>>, text: &str, other: &Mutex<Vec<String>>) -> String {
    let found = wait_for(text, PATIENCE, async || {
        let lines = of.lock().unwrap();
        let found = lines.iter().find(|l| l.contains(text)).cloned();
        found.ok_or_else(|| format!("{lines:?} and {:?}", other.lock().unwrap()))
    });
    found.await.unwrap()
}
