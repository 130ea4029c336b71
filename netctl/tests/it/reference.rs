//! `docs/reference/netctl.md` is what clap and the code say.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, Command};

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/netctl.md")
}

fn text(styled: Option<&clap::builder::StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default().replace('|', "\\|").replace('\n', " ")
}

/// `-t`, `--tenant TENANT`.
fn form(arg: &Arg) -> String {
    let value =
        arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default();
    if arg.is_positional() {
        return format!("`{value}`");
    }
    let short = arg.get_short().map(|s| format!("`-{s}`, ")).unwrap_or_default();
    let value = if arg.get_action().takes_values() { format!(" {value}") } else { String::new() };
    let long = format!("`--{}{value}`", arg.get_long().unwrap_or_default());
    let aliases = arg.get_visible_aliases().unwrap_or_default();
    short + &long + &aliases.iter().map(|a| format!(", `--{a}`")).collect::<String>()
}

fn meaning(arg: &Arg) -> String {
    // clap takes the last full stop away.
    let mut said = text(arg.get_help()) + ".";
    let values: Vec<_> = arg
        .get_possible_values()
        .iter()
        .filter(|v| !v.is_hide_set())
        .map(|v| format!("`{}`", v.get_name()))
        .collect();
    if !values.is_empty() && arg.get_action().takes_values() {
        write!(said, " One of {}.", values.join(", ")).unwrap();
    }
    let default: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    if !default.is_empty() && arg.get_action().takes_values() {
        write!(said, " Default: `{}`.", default.join(" ")).unwrap();
    }
    if let Some(variable) = arg.get_env() {
        write!(said, " Environment: `{}`.", variable.to_string_lossy()).unwrap();
    }
    said
}

fn arguments(out: &mut String, args: &[&Arg]) {
    if args.is_empty() {
        return;
    }
    out.push_str("| | |\n|---|---|\n");
    for arg in args {
        writeln!(out, "| {} | {} |", form(arg), meaning(arg)).unwrap();
    }
    out.push('\n');
}

fn section(out: &mut String, command: &Command, path: &str) {
    let aliases: Vec<_> = command.get_visible_aliases().map(|a| format!("`{a}`")).collect();
    let aliases = if aliases.is_empty() { String::new() } else { format!(" Also {}.", aliases.join(", ")) };
    if command.has_subcommands() {
        writeln!(out, "## {path}\n\n{}.{aliases}\n", text(command.get_about())).unwrap();
        for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
            section(out, sub, &format!("{path} {}", sub.get_name()));
        }
        return;
    }
    let level = if path.split(' ').count() == 2 { "##" } else { "###" };
    writeln!(out, "{level} {path}\n\n{}.{aliases}\n", text(command.get_about())).unwrap();
    let own = |a: &&Arg| !a.is_hide_set() && !a.is_global_set() && a.get_id() != "help";
    arguments(out, &command.get_arguments().filter(own).collect::<Vec<_>>());
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let examples = examples.trim_start_matches("Examples:\n");
    writeln!(out, "```sh\n{}\n```\n", examples.lines().map(str::trim).collect::<Vec<_>>().join("\n"))
        .unwrap();
}

fn generated() -> String {
    let root = netctl::command();
    let mut out = "# netctl\n\nGenerated from `netctl/src`; `BLESS=1 cargo test -p netctl --test it reference` rewrites it.\n\
        [docs/netctl.md](../netctl.md) says what the commands share.\n\n\
        ## Exit statuses\n\n| status | means |\n|---|---|\n"
        .to_owned();
    for (status, meaning) in netctl::exit_statuses() {
        writeln!(out, "| {status} | {meaning} |").unwrap();
    }
    out.push_str("\n## Options of every command\n\n");
    let global: Vec<_> = root.get_arguments().filter(|a| a.is_global_set() && !a.is_hide_set()).collect();
    arguments(&mut out, &global);
    for command in root.get_subcommands().filter(|c| !c.is_hide_set()) {
        section(&mut out, command, &format!("netctl {}", command.get_name()));
    }
    out.trim_end().to_owned() + "\n"
}

#[test]
fn reference_is_fresh() {
    let text = generated();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file(), &text).unwrap();
    }
    let stored = std::fs::read_to_string(file()).unwrap_or_default();
    assert!(stored == text, "docs/reference/netctl.md is stale: run ./dev bless");
}

/// Command lines in the shell blocks of a page: those that begin with `netctl`, comments and what comes after left out.
fn lines_of(page: &str) -> Vec<String> {
    let shell = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = shell.flat_map(str::lines).filter(|line| line.starts_with("netctl "));
    let plain =
        lines.map(|line| line.split(['#', '|', '>', ';']).next().unwrap_or_default().trim_end().to_owned());
    plain.collect()
}

#[test]
fn every_netctl_line_of_the_guides_is_understood() {
    let guides = file().parent().unwrap().join("../howto");
    let mut seen = 0;
    for page in std::fs::read_dir(guides).unwrap() {
        let page = page.unwrap().path();
        for line in lines_of(&std::fs::read_to_string(&page).unwrap()) {
            let understood = netctl::command().try_get_matches_from(line.split_whitespace());
            assert!(understood.is_ok(), "{}: {line}: {}", page.display(), understood.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen} lines");
}
