//! The text of `ovs-ofctl dump-flows`: a headline, and a flow a line with its counters.

use openflow::Flow;

use super::NotUnderstood;

/// A dump that is none, or holds flows the oracle cannot give a meaning to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DumpError {
    /// A line that is no flow.
    #[error("line {number} of the dump is no flow ({reason}): {line}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Flows of which a field or an action is not understood.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    NotUnderstood(Vec<NotUnderstood>),
}

impl From<Vec<NotUnderstood>> for DumpError {
    fn from(flows: Vec<NotUnderstood>) -> Self {
        Self::NotUnderstood(flows)
    }
}

/// What `ovs-ofctl` says about a flow beside the flow.
const COUNTERS: [&str; 5] = ["duration=", "n_packets=", "n_bytes=", "idle_age=", "hard_age="];

pub(super) fn flows(dump: &str) -> Result<Vec<Flow>, DumpError> {
    let lines = dump.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    // `OFPST_FLOW reply (OF1.5) (xid=0x2):`, for each part of a long one, `flags=[more]` behind all but the last; a comment
    // of a golden file.
    let headline =
        |line: &str| line.is_empty() || line.starts_with('#') || line.starts_with("OFPST_FLOW reply (");
    lines.filter(|(_, line)| !headline(line)).map(|(number, line)| flow(number, line)).collect()
}

fn flow(number: usize, line: &str) -> Result<Flow, DumpError> {
    let wrong = |reason: &str| DumpError::Line { number, line: line.to_owned(), reason: reason.to_owned() };
    let (head, actions) = line.split_once("actions=").ok_or_else(|| wrong("no actions="))?;
    let counter = |item: &&str| !COUNTERS.iter().any(|name| item.trim().starts_with(name));
    let head: Vec<&str> = head.split(',').filter(counter).collect();
    format!("{} actions={actions}", head.join(","))
        .parse()
        .map_err(|e: openflow::ParseError| wrong(&e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_left_out_and_nothing_else_is() {
        let dump = "OFPST_FLOW reply (OF1.5) (xid=0x2):\n cookie=0x5e, duration=3.2s, table=7, n_packets=1, \
                    n_bytes=98, idle_age=3, priority=100,ip,reg3=0x1/0xffff,nw_src=10.1.1.2 actions=resubmit(,8)\n";
        let flows = flows(dump).unwrap();
        assert_eq!(flows.len(), 1);
        let text = "table=7,priority=100,cookie=0x5e,ip,reg3=0x1/0xffff,nw_src=10.1.1.2 actions=resubmit(,8)";
        assert_eq!(flows[0], text.parse().unwrap());
    }

    #[test]
    fn a_long_dump_comes_in_parts() {
        let dump = "OFPST_FLOW reply (OF1.5) (xid=0x2): flags=[more]\n table=0,priority=1 actions=drop\n\
                    OFPST_FLOW reply (OF1.5) (xid=0x2):\n table=0,priority=2 actions=drop\n";
        assert_eq!(flows(dump).unwrap().len(), 2);
    }

    #[test]
    fn a_line_that_is_no_flow_is_an_error() {
        for line in ["ovs-ofctl: br0 is not a bridge", "table=0,no_such_field=1 actions=drop"] {
            assert!(matches!(flows(line), Err(DumpError::Line { number: 1, .. })), "{line}");
        }
    }
}
