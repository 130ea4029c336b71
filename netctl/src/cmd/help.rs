//! `netctl help`.

use crate::Terminal;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::output::say;

/// The topic that is no command.
pub const EXIT_CODES: &str = "exit-codes";

/// Options.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netctl help policy rule-add
  netctl help exit-codes")]
pub struct Args {
    /// A command, or exit-codes.
    #[arg(value_name = "COMMAND")]
    words: Vec<String>,
}

/// Shows the help of a command, or the table of exit statuses.
pub fn run(args: &Args, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    if args.words == [EXIT_CODES] {
        return say(terminal, &Exit::table());
    }
    let root = crate::command();
    let mut command = &root;
    for word in &args.words {
        command = command.find_subcommand(word).ok_or_else(|| {
            let what = format!("there is no command {:?}", args.words.join(" "));
            Fault::usage(what).next("netctl --help lists the commands")
        })?;
    }
    say(terminal, &command.clone().render_help().to_string())
}
