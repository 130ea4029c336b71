//! A golden case: a node's state, its ports, and the packets it lets through, as files.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use node_state::{Endpoint, Fragment, Network, NodeState};
use pipeline::{Local, Ports, Rendered, render};
use types::{EndpointUid, NodeName, OfPort};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PortsFile {
    node: NodeName,
    vtep: IpAddr,
    tunnel: Option<OfPort>,
    endpoints: BTreeMap<String, OfPort>,
}

pub struct Case {
    pub name: String,
    pub dir: PathBuf,
    pub state: NodeState,
    pub local: Local,
    pub ports: Ports,
}

impl Case {
    /// All cases, by name.
    pub fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let mut dirs: Vec<_> = std::fs::read_dir(root).unwrap().map(|d| d.unwrap().path()).collect();
        dirs.sort();
        dirs.into_iter().filter(|d| d.is_dir()).map(Self::read).collect()
    }

    fn read(dir: PathBuf) -> Self {
        let text = |file: &str| {
            std::fs::read_to_string(dir.join(file))
                .unwrap_or_else(|e| panic!("{}/{file}: {e}", dir.display()))
        };
        let fragments: Vec<Fragment> = serde_json::from_str(&text("node-state.json"))
            .unwrap_or_else(|e| panic!("{}/node-state.json: {e}", dir.display()));
        let file: PortsFile = serde_json::from_str(&text("ports.json")).unwrap();
        let endpoints = file
            .endpoints
            .into_iter()
            .map(|(uid, port)| (uid.parse::<EndpointUid>().unwrap(), port))
            .collect();
        Self {
            name: dir.file_name().unwrap().to_string_lossy().into_owned(),
            state: fragments.into_iter().collect(),
            local: Local { node: file.node, vtep: file.vtep },
            ports: Ports { tunnel: file.tunnel, endpoints },
            dir,
        }
    }

    pub fn render(&self) -> Rendered {
        render(&self.state, &self.local, &self.ports)
    }

    /// The endpoint called `name`, or `tenant/name`.
    pub fn endpoint(&self, name: &str) -> &Endpoint {
        let (tenant, name) = name.split_once('/').map_or((None, name), |(t, n)| (Some(t), n));
        let vrf = |id| self.state.vrfs().find(|v| v.id == id).unwrap();
        let mut found = self.state.endpoints().filter(|e| {
            e.name.to_string() == name && tenant.is_none_or(|t| vrf(e.vrf).tenant.to_string() == t)
        });
        let endpoint = found.next().unwrap_or_else(|| panic!("{}: no endpoint {name}", self.name));
        assert!(found.next().is_none(), "{}: {name} needs a tenant", self.name);
        endpoint
    }

    pub fn network(&self, endpoint: &Endpoint) -> &Network {
        self.state.networks().find(|n| n.vni == endpoint.vni).unwrap()
    }

    pub fn vtep(&self, node: &NodeName) -> IpAddr {
        self.state.nodes().find(|n| n.name == *node).unwrap().vtep
    }
}
