//! Developer commands behind `./dev`.

mod api;
mod bless;
mod check;
mod deps;
mod labs;
mod licences;
mod links;
mod logs;
mod programs;
mod step;
mod tiers;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use e2e::lab::StoreKind;

#[derive(Parser)]
#[command(name = "./dev", disable_help_subcommand = true)]
enum Command {
    /// Start the demonstration.
    Up {
        /// netmaster's store.
        #[arg(long, value_enum, default_value = "sqlite")]
        store: StoreKind,
        /// Compare, remove everything, and say by the exit status whether all was as intended.
        #[arg(long)]
        check: bool,
    },
    /// Remove every lab of this checkout.
    Down,
    /// A shell in a namespace of the running lab.
    Shell {
        /// `node-1`, `blue-web-1`, `mgmt`, `fabric`.
        node: String,
    },
    /// Format, lints, layers, licences, links.
    Check,
    /// The dependency edges alone.
    Layers,
    /// Log records: constant messages, listed fields.
    Logs,
    /// Licences and bans alone.
    Licences,
    /// Everything CI runs.
    Test,
    /// End-to-end suites.
    E2e(labs::SuiteArgs),
    /// schemathesis over the REST API.
    Api(api::ApiArgs),
    /// Benchmarks.
    Bench {
        /// Which; all without it.
        name: Option<String>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Rewrite golden files.
    Bless,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // The chain of causes, without a backtrace: it is people who read this.
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let root = root()?;
    match Command::parse() {
        Command::Up { store, check } => labs::up(&root, store, check),
        Command::Down => labs::down(&root),
        Command::Shell { node } => labs::shell(&root, &node),
        Command::Check => check::run_all(&root),
        Command::Layers => deps::layers(&root),
        Command::Logs => logs::check(&root),
        Command::Licences => licences::check(&root),
        Command::Test => tiers::run_all(&root),
        Command::E2e(args) => labs::suite(&root, &args).map(drop),
        Command::Api(args) => api::suite(&root, &args).map(drop),
        Command::Bench { name, json } => labs::bench(&root, name.as_deref(), json),
        Command::Bless => bless::run_all(&root),
    }
}

/// The checkout: `./dev` runs us in it.
fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("the current directory")?;
    anyhow::ensure!(here.join("xtask").is_dir(), "run me through ./dev: {} is no checkout", here.display());
    Ok(here)
}
