//! Fragments as the release before wrote them (schema 1): VRFs and networks listed the nodes that host them.
//!
//! The lists are read and left: who hosts what follows from the endpoints, which the same netmaster tells as well.

use std::collections::BTreeSet;

use serde::Deserialize;
use types::{DefaultAction, Name, NodeName, Vni, VrfId};

use crate::span::{self, Endpoint, Group, NetworkSubnet, Node, Policy};

/// A piece of a node's state in schema 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(crate) enum Fragment {
    Node(Node),
    Vrf(Vrf),
    Network(Network),
    Group(Group),
    Policy(Policy),
    Endpoint(Endpoint),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vrf {
    id: VrfId,
    tenant: Name,
    default_action: DefaultAction,
    #[serde(rename = "nodes")]
    _nodes: BTreeSet<NodeName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    vni: Vni,
    vrf: VrfId,
    name: Name,
    subnets: Vec<NetworkSubnet>,
    #[serde(rename = "nodes")]
    _nodes: BTreeSet<NodeName>,
}

impl From<Fragment> for crate::Fragment {
    fn from(fragment: Fragment) -> Self {
        match fragment {
            Fragment::Node(f) => Self::Node(f),
            Fragment::Vrf(Vrf { id, tenant, default_action, _nodes }) => {
                Self::Vrf(span::Vrf { id, tenant, default_action })
            }
            Fragment::Network(Network { vni, vrf, name, subnets, _nodes }) => {
                Self::Network(span::Network { vni, vrf, name, subnets })
            }
            Fragment::Group(f) => Self::Group(f),
            Fragment::Policy(f) => Self::Policy(f),
            Fragment::Endpoint(f) => Self::Endpoint(f),
        }
    }
}
