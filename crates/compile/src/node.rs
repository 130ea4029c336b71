//! Nodes: name and tunnel endpoint.

use model::Node;
use node_state::Fragment;

pub(crate) fn fragment(node: &Node) -> Fragment {
    Fragment::Node(node_state::Node { name: node.spec.name.clone(), vtep: node.spec.vtep })
}
