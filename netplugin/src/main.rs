//! The agent's program.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use netplugin::config::Config;
use netplugin::run::STATUS_SOCKET;
use netplugin::{cleanup, prepare_host, run};
use telemetry::{LogFormat, LogOptions};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "netplugin", version, about = "The agent of a Selvage node", after_help = EXAMPLES)]
struct Cli {
    /// How log records are written: `text` or `json`, to standard error; RUST_LOG chooses levels.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  netplugin run --node node-1 --vtep 192.0.2.1 --join /root/node-1.join     first start
  netplugin run --node node-1 --vtep 192.0.2.1                              every other start
  netplugin prepare-host --uplink eth0 --dry-run     what it would do, on the userspace datapath
  netplugin status
  netplugin cleanup --dry-run     what of the agent is on this host
  netplugin cleanup --all         take it off, key and certificate too";

#[derive(Subcommand)]
enum Command {
    /// Run the agent.
    Run(Config),
    /// Move the addresses of an uplink to a bridge that holds it, as the userspace datapath needs.
    #[command(after_help = prepare_host::HELP)]
    PrepareHost(prepare_host::Args),
    /// Show what the agent on this node knows and enforces.
    Status {
        /// The agent's state directory.
        #[arg(long, value_name = "DIR", default_value = "/var/lib/selvage")]
        state_dir: PathBuf,
    },
    /// Take everything of the agent off this host. The agent must not be running.
    Cleanup(cleanup::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    LogOptions::of(cli.log_format).install();
    // Sockets and files are private from the moment they exist, whatever the shell that started us had.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    match execute(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!(error = format!("{e:#}"), "netplugin failed");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<()> {
    if let Command::Status { state_dir } = &command {
        return status(&state_dir.join(STATUS_SOCKET));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Run(config) => run::run(config, terminated()).await,
            Command::Cleanup(args) => cleanup::cleanup(&args, &mut std::io::stdout()).await,
            Command::PrepareHost(args) => prepare_host::prepare(&args, &mut std::io::stdout()).await,
            Command::Status { .. } => Ok(()),
        }
    })
}

fn status(socket: &std::path::Path) -> anyhow::Result<()> {
    let mut text = String::new();
    let mut stream = UnixStream::connect(socket)
        .map_err(|e| anyhow::anyhow!("the agent does not answer at {}: {e}", socket.display()))?;
    stream.read_to_string(&mut text)?;
    println!("{text}");
    Ok(())
}

/// SIGTERM or SIGINT. A signal that cannot be listened to never comes: the agent then ends by SIGKILL, which it bears.
async fn terminated() {
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}
