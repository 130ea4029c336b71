//! The normaliser: what it changes, and the laws of what it must not.

use std::os::unix::ffi::OsStringExt;

use clap::CommandFactory;
use proptest::prelude::*;

use super::*;

fn root() -> Command {
    let mut root = crate::cli::Cli::command();
    root.build();
    root
}

fn normal(line: &str) -> String {
    let words = line.split(' ').map(OsString::from).collect();
    let words = normalise(&root(), words).into_iter().map(|w| w.into_string().unwrap());
    words.collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn stays(line: &str) {
    assert_eq!(normal(line), line);
}

#[test]
fn long_options_of_the_command_get_their_second_hyphen() {
    for (go, ours) in [
        (
            "netctl policy rule-add p 1 -direction=in -port=80",
            "netctl policy rule-add p 1 --direction=in --port=80",
        ),
        ("netctl net create n -subnet 10.1.1.0/24", "netctl net create n --subnet 10.1.1.0/24"),
        (
            "netctl net create n -s6 2001::/100 -g6=2001::1",
            "netctl net create n --s6 2001::/100 --g6=2001::1",
        ),
        ("netctl network create n -tag web", "netctl network create n --tag web"),
        ("netctl group create n g -policy=a -policy b", "netctl group create n g --policy=a --policy b"),
        (
            "netctl -netmaster https://m:1 tenant ls -quiet",
            "netctl --netmaster https://m:1 tenant ls --quiet",
        ),
        ("netctl tenant ls -help", "netctl tenant ls --help"),
        ("netctl policy rule-add p 1 -from-group= -l tcp", "netctl policy rule-add p 1 --from-group= -l tcp"),
    ] {
        assert_eq!(normal(go), ours);
    }
}

#[test]
fn options_of_another_command_stay() {
    stays("netctl tenant ls -direction=in");
    stays("netctl -subnet x network ls");
    stays("netctl network ls -subnet");
}

#[test]
fn bundles_numbers_and_attached_values_stay() {
    stays("netctl network ls -aq");
    stays("netctl policy rule-add p 1 -p10 -ltcp -P8000-8080 -jdeny");
    stays("netctl policy rule-add p 1 -p=10 -t=blue");
    stays("netctl policy rule-add p 1 -p -10");
    stays("netctl network create -5 -10.1");
    stays("netctl apply -f -");
}

#[test]
fn values_that_begin_with_a_hyphen_stay() {
    stays("netctl policy rule-add p 1 --from-group -direction=in");
    stays("netctl policy rule-add p 1 -g -direction=in");
    stays("netctl network ls -at -quiet");
    assert_eq!(
        normal("netctl policy rule-add p 1 -protocol -port -port 1"),
        "netctl policy rule-add p 1 --protocol -port --port 1"
    );
}

#[test]
fn two_hyphens_end_it() {
    stays("netctl policy rule-add -- p -direction=in");
    assert_eq!(normal("netctl tenant ls -quiet -- -quiet"), "netctl tenant ls --quiet -- -quiet");
}

#[test]
fn values_need_not_be_text() {
    let mut word = b"-subnet=".to_vec();
    word.extend([0xff, 0xfe]);
    let words = ["netctl", "net", "create"].map(OsString::from).into_iter();
    let words: Vec<_> = words.chain([OsString::from_vec(word.clone())]).collect();
    word.insert(0, b'-');
    assert_eq!(normalise(&root(), words).pop().unwrap(), OsString::from_vec(word));
}

/// Every command of the tree.
fn every<'c>(command: &'c Command, all: &mut Vec<&'c Command>) {
    all.push(command);
    command.get_subcommands().for_each(|c| every(c, all));
}

#[test]
fn no_option_takes_more_than_one_value() {
    let root = root();
    let mut all = Vec::new();
    every(&root, &mut all);
    for arg in all.iter().flat_map(|c| c.get_opts()) {
        let range = arg.get_num_args().unwrap_or_default();
        assert_eq!(
            (range.min_values(), range.max_values()),
            (1, 1),
            "{}: the walk would miscount",
            arg.get_id()
        );
    }
}

/// Command lines made of what the tree has, and of noise.
fn line() -> impl Strategy<Value = Vec<OsString>> {
    let root = root();
    let mut all = Vec::new();
    every(&root, &mut all);
    let mut words: Vec<String> =
        vec!["--".into(), "-".into(), "-5".into(), "blue".into(), "--=".into(), "-=x".into()];
    for command in all {
        words.push(command.get_name().to_owned());
        for arg in command.get_arguments() {
            let longs = arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default());
            for long in longs {
                words.extend(["-", "--"].iter().flat_map(|h| [format!("{h}{long}"), format!("{h}{long}=v")]));
            }
            words.extend(arg.get_short().into_iter().flat_map(|s| [format!("-{s}"), format!("-{s}v")]));
        }
    }
    words.sort();
    words.dedup();
    let word = prop_oneof![
        4 => prop::sample::select(words).prop_map(OsString::from),
        1 => "\\PC{0,8}".prop_map(OsString::from),
        1 => prop::collection::vec(any::<u8>(), 0..6).prop_map(OsString::from_vec),
    ];
    let nouns = prop::sample::select(vec![
        "tenant", "network", "net", "group", "policy", "ep", "node", "get", "apply",
    ]);
    let verbs = prop::sample::select(vec!["ls", "create", "rm", "inspect", "rule-add", "rule-ls", "-a"]);
    (nouns, verbs, prop::collection::vec(word, 0..10)).prop_map(|(noun, verb, rest)| {
        ["netctl", noun, verb].into_iter().map(OsString::from).chain(rest).collect()
    })
}

proptest! {
    #[test]
    fn normalising_twice_is_normalising_once(words in line()) {
        let root = root();
        let once = normalise(&root, words);
        prop_assert_eq!(normalise(&root, once.clone()), once);
    }

    #[test]
    fn only_a_hyphen_is_ever_added_and_never_to_a_value(words in line()) {
        let root = root();
        let new = normalise(&root, words.clone());
        prop_assert_eq!(new.len(), words.len());
        let mut walk = Walk::new(&root);
        for (at, (old, new)) in words.iter().zip(&new).enumerate() {
            let word = if at == 0 { Word::Command } else { walk.read(old) };
            let mut longer = OsString::from("-");
            longer.push(old);
            prop_assert_eq!(new, if word == Word::GoOption { &longer } else { old });
        }
    }

    /// What clap takes as it is, in its own spelling, must not become something else.
    #[test]
    fn lines_in_claps_own_spelling_stay(words in line()) {
        let single = |w: &OsString| {
            let w = w.to_string_lossy();
            w.starts_with('-') && !w.starts_with("--") && w.chars().count() > 2
        };
        prop_assume!(!words.iter().any(single));
        prop_assert_eq!(normalise(&root(), words.clone()), words);
    }
}
