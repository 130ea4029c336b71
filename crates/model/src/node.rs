//! Nodes: machines that run netplugin.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use types::NodeName;

/// What a node says of itself when it joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSpec {
    /// Its name: the common name of its certificate.
    pub name: NodeName,
    /// Its tunnel endpoint address on the underlay; unique among nodes.
    pub vtep: IpAddr,
}

/// A stored node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// What it said.
    pub spec: NodeSpec,
    /// SHA-256 of its certificate's public key, in hexadecimal: only that key may act as this node.
    pub key_sha256: String,
}
