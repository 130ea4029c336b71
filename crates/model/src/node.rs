//! Nodes: machines that run netplugin.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use types::{FencingToken, NodeName};

use crate::context::Context;
use crate::{Kind, ObjectRef};

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
    /// Takes no new endpoints; those it has stay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cordoned: bool,
    /// What its requests to attach must carry; `None` until it takes the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing_token: Option<FencingToken>,
}

fn node_ref(spec: &NodeSpec) -> ObjectRef {
    ObjectRef { kind: Kind::Node, tenant: None, name: spec.name.to_string() }
}

/// Checks what a joining node says. A node that joins again (new disk, new key) replaces itself.
pub(crate) fn plan(cx: &mut Context<'_>, spec: NodeSpec, key_sha256: String) -> Node {
    let object = node_ref(&spec);
    cx.guard_unchanged(Kind::Node, None);
    if let Some(twin) = cx.vtep_owner(spec.vtep).filter(|name| **name != spec.name).cloned() {
        cx.refuse(&object, "vtep", spec.vtep, format!("is the tunnel endpoint of node {twin}"));
    }
    if let Some(reason) = refuse_vtep(spec.vtep) {
        cx.refuse(&object, "vtep", spec.vtep, reason);
    }
    let stored = cx.node(&spec.name);
    // Who cordoned a machine did not mean the disk it had then.
    let cordoned = stored.is_some_and(|n| n.cordoned);
    let fencing_token = stored.and_then(|n| n.fencing_token);
    Node { spec, key_sha256, cordoned, fencing_token }
}

/// RFC 7348 section 4.1: tunnels run between unicast addresses; these never are another node's.
fn refuse_vtep(vtep: IpAddr) -> Option<&'static str> {
    if vtep.is_unspecified() || vtep.is_loopback() || vtep.is_multicast() {
        return Some("must be a unicast address other nodes can reach");
    }
    match vtep {
        IpAddr::V4(v4) if v4.is_broadcast() || v4.is_link_local() => {
            Some("must be a unicast address other nodes can reach")
        }
        // OVS keeps IPv4 tunnels in this form: it would be another node's address in other words.
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Some("is an IPv4 address and must be written as one")
        }
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            Some("must not be link-local: it has no scope on other nodes")
        }
        _ => None,
    }
}

/// Nodes come to be by joining: a document may only repeat what is stored.
pub(crate) fn plan_document(cx: &mut Context<'_>, spec: NodeSpec) -> Option<Node> {
    let object = node_ref(&spec);
    let stored = cx.node(&spec.name).cloned();
    let Some(stored) = stored else {
        cx.refuse(
            &object,
            "name",
            &spec.name,
            "no such node; a node comes to be by joining (netctl node join-token)",
        );
        return None;
    };
    if spec != stored.spec {
        let reason =
            format!("is {} and cannot be declared; the node says it when it joins", stored.spec.vtep);
        cx.refuse(&object, "vtep", spec.vtep, reason);
    }
    Some(stored)
}
