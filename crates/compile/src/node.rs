//! Nodes: name and tunnel endpoint.

use model::Kind;
use node_state::Fragment;

use crate::compiled::Compiled;
use crate::names::{Names, global};

pub(crate) fn compile(names: &Names<'_>, out: &mut Compiled) {
    for name in names.view.nodes.keys() {
        // Unusable ones are refused by `Names` already.
        if let Ok(node) = names.node(name) {
            let fragment = node_state::Node { name: name.clone(), vtep: node.spec.vtep };
            out.put_node(global(Kind::Node, name), Fragment::Node(fragment));
        }
    }
}
