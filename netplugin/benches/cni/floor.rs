//! The flows of endpoints, by themselves: no agent that thinks about them, one bundle for all.

use std::collections::BTreeSet;

use anyhow::Result;
use netplugin::ports::allocate::TUNNEL;
use node_state::{Fragment, FragmentKey, NodeState};
use openflow::driver::{Config, Connection};
use pipeline::{FlowPlan, Ports, Renderer};
use test_support::Ovs;
use types::OfPort;

use crate::node::{endpoint, fixed, local};

/// Where the ports of its endpoints begin.
const FIRST_PORT: u64 = 2000;

/// Flows that come and go on a bridge.
pub struct Flows {
    connection: Connection,
    add: FlowPlan,
    del: FlowPlan,
}

impl Flows {
    /// The flows of so many endpoints, for a bridge that holds those of their network from here on.
    pub async fn of(count: usize, ovs: &Ovs, bridge: &str) -> Result<Self> {
        let (mut state, mut renderer) = (NodeState::default(), Renderer::new(local()?));
        let mut ports = Ports { tunnel: Some(TUNNEL), ..Ports::default() };
        fixed()?.into_iter().for_each(|fragment| state.insert(fragment));
        let keys = state.fragments().map(|(key, _)| key.clone()).collect();
        let around = renderer.update(&state, &keys, &ports);
        let mut changed = BTreeSet::<FragmentKey>::new();
        for n in 1..=u64::try_from(count)? {
            let (_, endpoint) = endpoint(n, format!("floor{n}").parse()?)?;
            ports.endpoints.insert(endpoint.uid, OfPort::new(FIRST_PORT + n)?);
            let fragment = Fragment::Endpoint(endpoint);
            changed.insert(fragment.key());
            state.insert(fragment);
        }
        let add = renderer.update(&state, &changed, &ports);
        for key in &changed {
            state.remove(key);
        }
        ports.endpoints.clear();
        let del = renderer.update(&state, &changed, &ports);
        let socket = ovs.run_dir().join(format!("{bridge}.mgmt"));
        let (connection, _events) = Connection::open(&socket, Config::default()).await?;
        let flows = Self { connection, add, del };
        flows.send(&around).await?;
        Ok(flows)
    }

    /// How many an addition writes.
    pub fn len(&self) -> usize {
        self.add.len()
    }

    pub async fn add(&self) -> Result<()> {
        self.send(&self.add).await
    }

    pub async fn del(&self) -> Result<()> {
        self.send(&self.del).await
    }

    async fn send(&self, plan: &FlowPlan) -> Result<()> {
        Ok(self.connection.bundle_each(plan.len(), || plan.flow_mods(), || {}).await?)
    }
}
