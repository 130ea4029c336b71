//! What is wanted where, without a server.

use super::*;

/// Words to offer at the end of a line, as zsh would get them.
fn offers(line: &str) -> Vec<String> {
    let root = crate::command();
    let words: Vec<_> = line.split(' ').map(OsString::from).collect();
    let question = question(&root, Shell::Zsh, &words);
    match &question.wanted {
        Wanted::Words(all) => {
            let text = question.answer(Shell::Zsh, all);
            text.lines().map(|l| l.split('\t').next().unwrap_or_default().to_owned()).collect()
        }
        Wanted::Objects(objects) => vec![format!("<{objects:?}>")],
        Wanted::File => vec!["<file>".to_owned()],
    }
}

#[test]
fn commands_and_their_aliases() {
    assert_eq!(offers("netctl te"), ["tenant"]);
    assert_eq!(offers("netctl policy rule-"), ["rule-add", "rule-rm", "rule-ls"]);
    assert_eq!(offers("netctl ep"), ["ep"]);
    assert_eq!(offers("netctl ep li"), ["list"]);
    assert!(!offers("netctl ").iter().any(|o| o.starts_with('_')));
    assert_eq!(offers("netctl nonsense "), offers("netctl "));
}

#[test]
fn options_with_one_hyphen_or_two() {
    assert_eq!(offers("netctl policy rule-add --dir"), ["--direction"]);
    assert_eq!(offers("netctl policy rule-add -dir"), ["-direction"]);
    assert!(offers("netctl tenant ls -").contains(&"--quiet".to_owned()));
    assert!(offers("netctl net create --nw").is_empty(), "hidden");
    assert!(offers("netctl tenant ls -- --qu").is_empty());
}

#[test]
fn values_that_netctl_knows() {
    assert_eq!(offers("netctl policy rule-add -d "), ["in", "out"]);
    assert_eq!(offers("netctl policy rule-add -direction=o"), ["-direction=out"]);
    assert_eq!(offers("netctl policy rule-add --action=d"), ["--action=deny"]);
    assert_eq!(offers("netctl tenant ls -o w"), ["wide"]);
    assert_eq!(offers("netctl get po"), ["policy"]);
    assert_eq!(offers("netctl policy rule-add -l s"), ["sctp"]);
    assert_eq!(offers("netctl help exi"), ["exit-codes"]);
    assert_eq!(offers("netctl help policy rule-a"), ["rule-add"]);
}

#[test]
fn values_that_only_the_server_knows() {
    for (line, wanted) in [
        ("netctl tenant rm ", "<Tenant>"),
        ("netctl explain -t blue ", "<Endpoint>"),
        ("netctl explain -t blue web-1 ", "<Endpoint>"),
        ("netctl net ls -t ", "<Tenant>"),
        ("netctl net ls -tenant=b", "<Tenant>"),
        ("netctl network inspect -t blue f", "<Network>"),
        ("netctl net rm ", "<Network>"),
        ("netctl group create ", "<Network>"),
        ("netctl group create front ", "<Group>"),
        ("netctl group create front web -policy=", "<Policy>"),
        ("netctl group rm -t blue ", "<Group>"),
        ("netctl policy rule-rm guard ", "<Rule>"),
        ("netctl policy rule-add guard web --from-group ", "<Group>"),
        ("netctl policy rule-add guard web -n ", "<Network>"),
        ("netctl ep inspect ", "<Endpoint>"),
        ("netctl endpoint create --node ", "<Node>"),
        ("netctl node join-token ", "<Node>"),
        ("netctl get ep ", "<Endpoint>"),
        ("netctl get nodes ", "<Node>"),
        ("netctl apply -f ", "<file>"),
        ("netctl --ca-file=", "<file>"),
        ("netctl node join-token n -o ", "<file>"),
    ] {
        assert_eq!(offers(line), [wanted], "{line}");
    }
    assert!(offers("netctl network create ").is_empty(), "a new name is nobody's to know");
}

#[test]
fn bash_gets_what_stands_behind_its_own_word_break() {
    let root = crate::command();
    let words = ["netctl", "net", "ls", "--tenant", "=", "bl"].map(OsString::from);
    let asked = question(&root, Shell::Bash, &words);
    assert_eq!(asked.wanted, Wanted::Objects(Objects::Tenant));
    let blue = [Offer { word: "blue".to_owned(), what: String::new() }];
    assert_eq!(asked.answer(Shell::Bash, &blue), "blue\t\n");
    assert_eq!(question(&root, Shell::Bash, &words[..5]).answer(Shell::Bash, &blue), "blue\t\n");
    let words = ["netctl", "net", "ls", "--tenant=bl"].map(OsString::from);
    assert_eq!(question(&root, Shell::Zsh, &words).answer(Shell::Zsh, &blue), "--tenant=blue\t\n");
}
