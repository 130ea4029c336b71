//! The agent of a node.

fn main() {}
