//! The text form against the real `ovs-ofctl`: it understands what we print, and prints the same.

mod common;

use openflow::Flow;

#[test]
fn ovs_ofctl_understands_our_text_as_the_original() {
    let original = common::corpus();
    let ours: Vec<String> = original.iter().map(|line| parse(line).to_string()).collect();
    let (expected, got) = (common::parse_flows(&original), common::parse_flows(&ours));
    assert_eq!(expected.len(), original.len());
    for (i, (expected, got)) in expected.iter().zip(&got).enumerate() {
        assert_eq!(without_xid(got), without_xid(expected), "{}\n{}", original[i], ours[i]);
    }
}

#[test]
fn our_text_is_ovs_ofctls_text() {
    let original = common::corpus();
    for (line, printed) in original.iter().zip(common::parse_flows(&original)) {
        let flow = parse(line);
        let (head, actions) = printed.split_once(" actions=").expect("actions");
        let text = flow.to_string();
        let our_actions = text.split_once(" actions=").expect("actions").1;
        assert_eq!(our_actions, actions, "{line}");
        let matches = flow.matches.to_string();
        assert!(head.contains(&matches), "{line}\n  ours   {matches}\n  theirs {head}");
    }
}

#[test]
fn text_parses_back_to_the_same_flow() {
    for line in common::corpus() {
        let flow = parse(&line);
        assert_eq!(parse(&flow.to_string()), flow, "{line}");
    }
}

fn parse(line: &str) -> Flow {
    let parsed: Result<Flow, _> = line.parse();
    assert!(parsed.is_ok(), "{line}: {parsed:?}");
    parsed.expect("asserted")
}

fn without_xid(line: &str) -> &str {
    line.split_once("(xid=").and_then(|(_, rest)| rest.split_once(')')).map_or(line, |(_, rest)| rest)
}
