//! What each word of a command line is, before clap reads it: for Go-style options, and for completion.
//!
//! Contiv's netctl read its words with Go's `flag` package, where `-direction=in` is `--direction=in`. clap reads it as
//! the bundle `-d -i ...` (POSIX.1-2017 section 12.2, guideline 5). Scripts written for Contiv go on working: a word
//! `-NAME` or `-NAME=VALUE` whose NAME is a long option of the command it stands in is given its second hyphen.
//!
//! # Invariants
//! * [`normalise`] only ever puts a hyphen before a word; count and order of words, and every value, stay.
//! * A word that is the value of the option before it, a positional, or anything after `--`, is never touched.
//! * What is no long option of that command stays as it is: bundles of short options, `-p10`, negative numbers. Where a
//!   bundle spells a long option, the long option wins, as it does in Go: `-tag x` is `--tag x`, never `-t ag x`.
//!
//! # Failure
//! None: what is not understood here is left for clap to complain about.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The name of a command.
    Command,
    /// An option, with or without its value.
    Option,
    /// A long option with one hyphen.
    GoOption,
    /// The value of the option before it.
    Value,
    /// Anything else.
    Positional,
}

/// A reading of words, one after the other.
#[derive(Clone, Debug)]
pub struct Walk<'c> {
    root: &'c Command,
    command: &'c Command,
    /// Names of commands below the root.
    path: Vec<&'c str>,
    /// The option whose value comes next.
    awaited: Option<&'c Arg>,
    positionals: usize,
    /// `--` has been read.
    ended: bool,
    /// Values and whose they are.
    values: Vec<(&'c Arg, OsString)>,
    /// The first word where a command was due that is none.
    stray: Option<OsString>,
}

impl<'c> Walk<'c> {
    /// At the start. The command must be built, so that it knows the options of those above it.
    pub fn new(root: &'c Command) -> Self {
        Self {
            root,
            command: root,
            path: Vec::new(),
            awaited: None,
            positionals: 0,
            ended: false,
            values: Vec::new(),
            stray: None,
        }
    }

    /// Where it began.
    pub fn root(&self) -> &'c Command {
        self.root
    }

    /// The command that has been reached.
    pub fn command(&self) -> &'c Command {
        self.command
    }

    /// Names of the commands on the way to it.
    pub fn path(&self) -> &[&'c str] {
        &self.path
    }

    /// The option whose value comes next.
    pub fn awaited(&self) -> Option<&'c Arg> {
        self.awaited
    }

    /// The positional that comes next.
    pub fn positional(&self) -> Option<&'c Arg> {
        let last = self.command.get_positionals().last().filter(|a| takes_many(a));
        self.command.get_positionals().nth(self.positionals).or(last)
    }

    /// Whether only positionals can follow.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The first word where a command was due that is none.
    pub fn stray(&self) -> Option<&OsStr> {
        self.stray.as_deref()
    }

    /// The last value of an argument.
    pub fn value(&self, id: &str) -> Option<&OsStr> {
        self.values(id).last()
    }

    /// Every value of an argument.
    pub fn values(&self, id: &str) -> impl Iterator<Item = &OsStr> {
        self.values.iter().filter(move |(arg, _)| arg.get_id() == id).map(|(_, value)| value.as_os_str())
    }

    /// An option by its long name, without hyphens.
    pub fn long(&self, name: &str) -> Option<&'c Arg> {
        self.command.get_arguments().find(|a| {
            a.get_long() == Some(name) || a.get_all_aliases().is_some_and(|all| all.contains(&name))
        })
    }

    fn short(&self, name: char) -> Option<&'c Arg> {
        self.command.get_arguments().find(|a| {
            a.get_short() == Some(name) || a.get_all_short_aliases().is_some_and(|all| all.contains(&name))
        })
    }

    /// Reads one word.
    pub fn read(&mut self, word: &OsStr) -> Word {
        if let Some(arg) = self.awaited.take() {
            self.values.push((arg, word.to_owned()));
            return Word::Value;
        }
        // A name that is no UTF-8 is nobody's; the rest of a word may be anything.
        let text = word.to_string_lossy();
        match text.strip_prefix('-') {
            Some(rest) if !self.ended && !rest.is_empty() => self.option(word, rest),
            _ => self.plain(word, &text),
        }
    }

    fn option(&mut self, word: &OsStr, rest: &str) -> Word {
        let name = |of: &str| of.split('=').next().unwrap_or_default().to_owned();
        if rest == "-" {
            self.ended = true;
            return Word::Option;
        }
        if let Some(long) = rest.strip_prefix('-') {
            if let Some(arg) = self.long(&name(long)) {
                self.take(arg, word);
            }
            return Word::Option;
        }
        // One character is a short option, as it is in Go.
        if let Some(arg) = self.long(&name(rest)).filter(|_| name(rest).chars().count() > 1) {
            self.take(arg, word);
            return Word::GoOption;
        }
        self.bundle(rest);
        Word::Option
    }

    /// Takes the value behind the equals sign, or waits for it.
    fn take(&mut self, arg: &'c Arg, word: &OsStr) {
        if !arg.get_action().takes_values() {
            return;
        }
        let bytes = word.as_encoded_bytes();
        match bytes.iter().position(|b| *b == b'=') {
            // Values that netctl itself looks at are names and paths; what is no UTF-8 is none it could find.
            Some(at) => {
                let value = String::from_utf8_lossy(bytes.get(at + 1..).unwrap_or_default()).into_owned();
                self.values.push((arg, value.into()));
            }
            None => self.awaited = Some(arg),
        }
    }

    /// `-aq`, `-p10`, `-t blue`: up to the first that takes a value, which is the rest or the next word.
    fn bundle(&mut self, letters: &str) {
        for (at, letter) in letters.char_indices() {
            let Some(arg) = self.short(letter) else { return };
            if arg.get_action().takes_values() {
                let value = letters.get(at + letter.len_utf8()..).unwrap_or_default();
                match value {
                    "" => self.awaited = Some(arg),
                    value => {
                        let value = value.strip_prefix('=').unwrap_or(value);
                        self.values.push((arg, value.into()));
                    }
                }
                return;
            }
        }
    }

    fn plain(&mut self, word: &OsStr, text: &str) -> Word {
        if self.positionals == 0
            && !self.ended
            && let Some(next) = self.command.find_subcommand(text)
        {
            self.command = next;
            self.path.push(next.get_name());
            return Word::Command;
        }
        if self.command.has_subcommands() {
            self.stray.get_or_insert_with(|| word.to_owned());
        }
        if let Some(arg) = self.positional() {
            self.values.push((arg, word.to_owned()));
        }
        self.positionals += 1;
        Word::Positional
    }
}

fn takes_many(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|n| n.max_values() > 1)
}

/// Gives Go-style options their second hyphen. The first word is the program's name.
pub fn normalise(root: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let mut walk = Walk::new(root);
    let mut words = words.into_iter();
    let program = words.next();
    let rest = words.map(|word| match walk.read(&word) {
        Word::GoOption => {
            let mut long = OsString::from("-");
            long.push(word);
            long
        }
        _ => word,
    });
    program.into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests;
