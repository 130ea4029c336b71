//! `selvage-supervise PROGRAM ARGS`: starts the program again whenever it ends, as the service manager of a real
//! machine does (systemd `Restart=always`). `ovs-vswitchd --monitor` alone does not: it restarts after a crash, but
//! ends after a `kill -9` (ovs-vswitchd(8)).

use std::process::Command;
use std::time::Duration;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let program = args.next().ok_or_else(|| anyhow::anyhow!("usage: selvage-supervise PROGRAM [ARG]..."))?;
    let args: Vec<_> = args.collect();
    loop {
        let status = Command::new(&program).args(&args).status()?;
        eprintln!("{} ended with {status}; starting it again", program.to_string_lossy());
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "back-off: a program that cannot start must not spin")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
