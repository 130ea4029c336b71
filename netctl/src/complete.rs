//! Completion: what may stand where the cursor is. Shells ask by the hidden command `netctl __complete SHELL -- WORDS`,
//! whose last word is the one being typed; the scripts in `completion/` do so.
//!
//! The words of the command line come from clap, so that completion cannot be older than the program; names of objects
//! come from the server.
//!
//! # Invariants
//! * What is wanted is decided without I/O ([`wanted`]); only names of objects are fetched.
//! * An answer takes a second at most, and is silent: whoever presses TAB asked for no error message. Where it cannot
//!   ask (no server, no token, no such tenant) there is nothing to offer.
//!
//! # Failure
//! None: nothing is offered.

use std::ffi::OsString;

use clap::{Arg, Command};

use crate::argv::Walk;

mod objects;

pub use objects::fetch;

/// Shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
}

impl Shell {
    /// The script that makes the shell ask.
    pub const fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("../completion/netctl.bash"),
            Self::Zsh => include_str!("../completion/netctl.zsh"),
            Self::Fish => include_str!("../completion/netctl.fish"),
        }
    }
}

/// A kind of name that only the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objects {
    /// Tenants.
    Tenant,
    /// Networks of a tenant.
    Network,
    /// Groups of a tenant.
    Group,
    /// Policies of a tenant.
    Policy,
    /// Network profiles of a tenant.
    NetProfile,
    /// Rules of a policy.
    Rule,
    /// Endpoints of a tenant.
    Endpoint,
    /// Nodes.
    Node,
}

impl Objects {
    /// By the name that help shows for a value.
    fn of(value_name: &str) -> Option<Self> {
        Some(match value_name {
            "TENANT" => Self::Tenant,
            "NETWORK" => Self::Network,
            "GROUP" => Self::Group,
            "POLICY" => Self::Policy,
            "NETPROFILE" => Self::NetProfile,
            "RULE" => Self::Rule,
            "ENDPOINT" | "SOURCE" | "DESTINATION" => Self::Endpoint,
            "NODE" => Self::Node,
            _ => return None,
        })
    }
}

/// A word to offer, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The word.
    pub word: String,
    /// In a few words; may be empty.
    pub what: String,
}

/// What may stand where the cursor is.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One of these.
    Words(Vec<Offer>),
    /// The name of an object.
    Objects(Objects),
    /// A file.
    File,
}

/// What was typed, and what may stand there.
#[derive(Debug)]
pub struct Question<'c> {
    /// What was read before the cursor.
    pub walk: Walk<'c>,
    /// What stands in the same word before what is wanted: `--tenant=`.
    prefix: String,
    /// What is typed of it.
    typed: String,
    /// What is wanted.
    pub wanted: Wanted,
}

/// Reads the words up to the cursor. The first is the program's name.
pub fn question<'c>(root: &'c Command, shell: Shell, words: &[OsString]) -> Question<'c> {
    let mut words = if shell == Shell::Bash { unsplit(words) } else { words.to_vec() };
    let current = words.pop().unwrap_or_default().to_string_lossy().into_owned();
    let mut walk = Walk::new(root);
    for word in words.iter().skip(1) {
        walk.read(word);
    }
    let (prefix, typed, wanted) = wanted(&walk, &current);
    Question { walk, prefix, typed, wanted }
}

impl Question<'_> {
    /// The lines of the answer: those that begin as typed, in the shell's form.
    pub fn answer(&self, shell: Shell, offers: &[Offer]) -> String {
        // Bash replaces what stands behind the equals sign, the others the whole word.
        let prefix = if shell == Shell::Bash { "" } else { &self.prefix };
        let fitting = offers.iter().filter(|o| o.word.starts_with(&self.typed));
        fitting.map(|o| format!("{prefix}{}\t{}\n", o.word, o.what)).collect()
    }
}

/// Bash takes `--tenant=blue` for three words (`COMP_WORDBREAKS` in bash(1)).
fn unsplit(words: &[OsString]) -> Vec<OsString> {
    let mut whole: Vec<OsString> = Vec::new();
    let mut glue = false;
    for word in words {
        let equals = word == "=";
        match whole.last_mut() {
            Some(last) if (equals || glue) && last.as_encoded_bytes().starts_with(b"-") => last.push(word),
            _ => whole.push(word.clone()),
        }
        glue = equals;
    }
    whole
}

fn wanted(walk: &Walk<'_>, current: &str) -> (String, String, Wanted) {
    let whole = |wanted| (String::new(), current.to_owned(), wanted);
    if let Some(arg) = walk.awaited() {
        return whole(value(walk, arg));
    }
    if current.starts_with('-') && !walk.ended() {
        return match current.split_once('=') {
            Some((option, typed)) => {
                let arg = walk.long(option.trim_start_matches('-'));
                let wanted = arg.map_or(Wanted::Words(Vec::new()), |arg| value(walk, arg));
                (format!("{option}="), typed.to_owned(), wanted)
            }
            None => whole(Wanted::Words(options(walk.command(), current))),
        };
    }
    if walk.command().has_subcommands() {
        return whole(Wanted::Words(commands(walk.command(), current)));
    }
    whole(walk.positional().map_or(Wanted::Words(Vec::new()), |arg| value(walk, arg)))
}

/// The first sentence of a help text.
fn first(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Commands; an alias only when nothing else begins so.
fn commands(command: &Command, typed: &str) -> Vec<Offer> {
    let shown = || command.get_subcommands().filter(|c| !c.is_hide_set());
    let offer = |c: &Command, word: &str| Offer { word: word.to_owned(), what: first(c.get_about()) };
    let named: Vec<_> = shown().map(|c| offer(c, c.get_name())).collect();
    if named.iter().any(|o| o.word.starts_with(typed)) {
        return named;
    }
    shown().flat_map(|c| c.get_visible_aliases().map(move |alias| offer(c, alias))).collect()
}

/// Options, with as many hyphens as were typed.
fn options(command: &Command, typed: &str) -> Vec<Offer> {
    let hyphens = if typed.starts_with("--") || typed == "-" { "--" } else { "-" };
    let shown = command.get_arguments().filter(|a| !a.is_hide_set());
    let long =
        |a: &Arg| Some(Offer { word: format!("{hyphens}{}", a.get_long()?), what: first(a.get_help()) });
    let mut offers: Vec<_> = shown.filter_map(long).collect();
    offers.sort_by(|a, b| a.word.cmp(&b.word));
    offers
}

/// Values of an option or a positional.
fn value(walk: &Walk<'_>, arg: &Arg) -> Wanted {
    let listed: Vec<_> = arg
        .get_possible_values()
        .iter()
        .filter(|v| !v.is_hide_set())
        .map(|v| Offer { word: v.get_name().to_owned(), what: first(v.get_help()) })
        .collect();
    if !listed.is_empty() {
        return Wanted::Words(listed);
    }
    let plain = |words: &[&str]| {
        Wanted::Words(words.iter().map(|w| Offer { word: (*w).to_owned(), what: String::new() }).collect())
    };
    match arg.get_value_names().and_then(<[_]>::first).map(|name| name.as_str()) {
        Some("FILE") => Wanted::File,
        Some("PROTOCOL") => plain(&["tcp", "udp", "sctp", "icmp"]),
        Some("COMMAND") => Wanted::Words(topics(walk)),
        Some("OBJECT") => {
            let noun = walk.value("noun").and_then(|n| n.to_str());
            let noun = noun.and_then(|n| <crate::cmd::get::Word as clap::ValueEnum>::from_str(n, false).ok());
            noun.map_or(plain(&[]), |noun| Wanted::Objects(noun.objects()))
        }
        Some(name) => Objects::of(name).map_or(plain(&[]), Wanted::Objects),
        None => plain(&[]),
    }
}

/// What `help` can be asked for after the words before.
fn topics(walk: &Walk<'_>) -> Vec<Offer> {
    let mut command = walk.root();
    for word in walk.values("words") {
        match word.to_str().and_then(|w| command.find_subcommand(w)) {
            Some(next) => command = next,
            None => return Vec::new(),
        }
    }
    let mut offers = commands(command, "");
    if command.get_name() == walk.root().get_name() {
        offers
            .push(Offer { word: crate::cmd::help::EXIT_CODES.to_owned(), what: "Exit statuses".to_owned() });
    }
    offers
}

#[cfg(test)]
mod tests;
