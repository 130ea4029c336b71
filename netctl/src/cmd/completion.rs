//! `netctl completion`, and what its scripts call.

use std::ffi::OsString;

use crate::Terminal;
use crate::complete::{self, Shell, Wanted};
use crate::fault::Fault;
use crate::output::say;

/// Options.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netctl completion bash > /etc/bash_completion.d/netctl
  netctl completion zsh > /usr/local/share/zsh/site-functions/_netctl
  netctl completion fish > ~/.config/fish/completions/netctl.fish")]
pub struct Args {
    /// The shell.
    shell: Shell,
}

/// What a script asks.
#[derive(Debug, clap::Args)]
pub struct Question {
    /// The shell that asks.
    shell: Shell,
    /// The words up to the cursor; the last is being typed.
    #[arg(last = true)]
    words: Vec<OsString>,
}

/// Prints the script.
pub fn run(args: &Args, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    say(terminal, args.shell.script())
}

/// Answers a script.
pub async fn answer(asked: &Question, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let root = crate::command();
    let question = complete::question(&root, asked.shell, &asked.words);
    let text = match &question.wanted {
        Wanted::Words(offers) => question.answer(asked.shell, offers),
        Wanted::Objects(objects) => {
            question.answer(asked.shell, &complete::fetch(*objects, &question.walk).await)
        }
        Wanted::File => ":files\n".to_owned(),
    };
    say(terminal, &text)
}
