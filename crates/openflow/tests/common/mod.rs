//! What several integration tests need: the corpus and the real tools.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::process::Command;

pub mod generate;
pub mod oracle;
#[cfg(feature = "driver")]
pub mod switch;

/// The lines of a corpus file, without comments.
pub fn lines(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// The flows a switch is given in tests.
pub fn corpus() -> Vec<String> {
    lines(concat!(include_str!("../corpus/pipeline.flows"), include_str!("../corpus/features.flows")))
}

/// Every flow of the corpus.
pub fn whole_corpus() -> Vec<String> {
    let more = lines(concat!(
        include_str!("../corpus/fields.flows"),
        include_str!("../corpus/set_fields.flows"),
        include_str!("../corpus/actions.flows"),
    ));
    corpus().into_iter().chain(more).collect()
}

/// Runs `ovs-ofctl` and returns its output. A missing tool is a failure.
pub fn ofctl(args: &[&str]) -> String {
    let output = Command::new("ovs-ofctl").args(args).output().expect("ovs-ofctl must be installed");
    assert!(output.status.success(), "ovs-ofctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("utf-8")
}

/// What ovs-ofctl understands of these flows, a line each.
pub fn parse_flows(flows: &[String]) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().expect("temp file");
    std::fs::write(file.path(), flows.join("\n")).expect("write");
    let path = file.path().to_str().expect("utf-8 path");
    let output = ofctl(&["-O", "OpenFlow15", "parse-flows", path]);
    output.lines().filter(|line| line.starts_with("OFPT_FLOW_MOD")).map(str::to_owned).collect()
}
