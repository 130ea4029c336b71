//! The command line of Selvage: nouns and verbs over netmaster's REST API.
//!
//! # Invariants
//! * Nothing is decided here that the server decides: netctl reads arguments and files, calls, and shows.
//! * Standard output is what was asked for, and nothing else; what went wrong goes to standard error.
//!
//! # Failure
//! Exit status: 0 done; 1 the server refused; 2 wrong use, or a file that cannot be read; 3 the server cannot be
//! reached or gave no usable answer. The text says what failed, where, and what to do next.

mod cli;
mod cmd;
mod fault;
mod output;
mod setting;

use std::ffi::OsString;
use std::io::{Read, Write};

use clap::{CommandFactory, FromArgMatches};

use fault::{Exit, Fault};

/// Where netctl reads and writes.
#[expect(missing_debug_implementations, reason = "streams have none")]
pub struct Terminal<'a> {
    /// Standard input: `apply -f -`.
    pub stdin: &'a mut dyn Read,
    /// What was asked for.
    pub stdout: &'a mut dyn Write,
    /// What went wrong.
    pub stderr: &'a mut dyn Write,
}

/// Runs one command line; gives the exit status.
pub fn run(args: impl IntoIterator<Item = OsString>, terminal: &mut Terminal<'_>) -> u8 {
    let parsed = cli::Cli::command().try_get_matches_from(args).and_then(|m| cli::Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no failures, and belong to standard output.
            let text = e.render();
            let out: &mut dyn Write = if e.use_stderr() { terminal.stderr } else { terminal.stdout };
            // Nobody is left to tell when the terminal is gone.
            let _ = write!(out, "{text}");
            return if e.use_stderr() { Exit::Usage as u8 } else { 0 };
        }
    };
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::usage(format!("cannot start: {e}")))
        .and_then(|runtime| runtime.block_on(cmd::run(cli, terminal)));
    match done {
        Ok(()) => 0,
        Err(fault) => {
            let _ = write!(terminal.stderr, "{fault}");
            fault.exit as u8
        }
    }
}

/// The whole command line, for generated reference pages and completions.
pub fn command() -> clap::Command {
    cli::Cli::command()
}
