//! The command line of Selvage: nouns and verbs over netmaster's REST API.
//!
//! # Invariants
//! * Nothing is decided here that the server decides: netctl reads arguments and files, calls, and shows.
//! * Standard output is what was asked for, and nothing else; what went wrong goes to standard error.
//!
//! # Failure
//! The text says what failed, where, and what to do next; `exit.rs` has the exit statuses.

mod absent;
mod argv;
mod cli;
mod cmd;
mod complete;
mod diag;
mod exit;
mod fault;
mod output;
mod setting;
mod trouble;
mod watching;

use std::ffi::OsString;
use std::io::{Read, Write};

use clap::{CommandFactory, FromArgMatches};

use exit::Exit;
use fault::Fault;

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
    let mut command = command();
    let words = argv::normalise(&command, args.into_iter().collect());
    let parsed = command.try_get_matches_from_mut(&words).and_then(|m| cli::Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(e) => return not_run(&e, &command, &words, terminal),
    };
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::usage(format!("cannot start: {e}")))
        .and_then(|runtime| {
            let done = runtime.block_on(cmd::run(cli, terminal));
            // A name that is still being looked up must not hold us back.
            runtime.shutdown_background();
            done
        });
    match done {
        Ok(()) => Exit::Done as u8,
        Err(fault) => failed(&fault, terminal),
    }
}

/// Help, a version, or a complaint about the words.
fn not_run(e: &clap::Error, command: &clap::Command, words: &[OsString], terminal: &mut Terminal<'_>) -> u8 {
    if e.kind() == clap::error::ErrorKind::InvalidSubcommand {
        let mut walk = argv::Walk::new(command);
        for word in words.iter().skip(1) {
            walk.read(word);
        }
        let stray = walk.stray().filter(|_| walk.path().is_empty()).and_then(|word| word.to_str());
        if let Some(fault) = stray.and_then(absent::noun) {
            return failed(&fault, terminal);
        }
    }
    // Help and version are no failures, and belong to standard output.
    let out: &mut dyn Write = if e.use_stderr() { terminal.stderr } else { terminal.stdout };
    // Nobody is left to tell when the terminal is gone.
    let _ = write!(out, "{}", e.render());
    if e.use_stderr() { Exit::Usage as u8 } else { Exit::Done as u8 }
}

fn failed(fault: &Fault, terminal: &mut Terminal<'_>) -> u8 {
    let _ = write!(terminal.stderr, "{fault}");
    fault.exit as u8
}

/// Exit statuses and what they mean, for the generated reference page.
pub fn exit_statuses() -> impl Iterator<Item = (u8, &'static str)> {
    Exit::ALL.iter().map(|exit| (*exit as u8, exit.meaning()))
}

/// The whole command line, built: every command knows the options of those above it.
pub fn command() -> clap::Command {
    let mut command = cli::Cli::command();
    command.build();
    command
}
