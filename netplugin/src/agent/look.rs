//! What the agent knows of its switch, for who looks at the switch himself.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{EndpointUid, OfPort, Revision, RuleId};

use super::{Agent, RuleName};
use crate::switch::Switch;

/// One moment at which the switch was as it should be, as far as the agent knows.
#[derive(Clone)]
pub struct Look {
    /// The connection to it.
    pub switch: Arc<dyn Switch>,
    /// The intent it enforces.
    pub revision: Revision,
    /// The tunnel's port, by the database.
    pub tunnel: Option<OfPort>,
    /// The endpoints' ports, by the database.
    pub ports: BTreeMap<EndpointUid, OfPort>,
    /// How many flows the agent has changed so far.
    pub flow_mods: u64,
}

impl Look {
    /// Whether the agent did nothing between two looks, over one connection.
    pub fn is_still(&self, before: &Self) -> bool {
        let facts = |look: &Self| (look.revision, look.tunnel, look.flow_mods);
        Arc::ptr_eq(&self.switch, &before.switch)
            && facts(self) == facts(before)
            && self.ports == before.ports
    }
}

impl Agent {
    /// The switch, unless something is under way that changes what it enforces; then what.
    pub(super) fn look(&self) -> Result<Look, &'static str> {
        let switch = self.switch.clone().ok_or("the agent has no connection to the switch")?;
        if self.holding.state().is_none() {
            return Err("the agent has no intent yet");
        }
        if !self.view.synced || self.view.taken {
            return Err("the switch's database is not there, or the bridge is somebody else's");
        }
        let news = self.dirty || !self.changed.is_empty() || !self.newcomers.is_empty();
        if !self.installed || self.flight.is_some() || news || !self.moved.is_empty() {
            return Err("flows are being changed");
        }
        if !self.leaving.is_empty() || !self.reclaiming.is_empty() {
            return Err("an endpoint is being taken out");
        }
        let numbered = |(uid, port): (&EndpointUid, &crate::ports::EndpointPort)| {
            port.ofport.as_ref().ok().map(|number| (*uid, *number))
        };
        Ok(Look {
            switch,
            revision: self.enforcement.revision,
            tunnel: self.view.tunnel,
            ports: self.view.endpoints.iter().filter_map(numbered).collect(),
            flow_mods: self.flow_mods,
        })
    }

    /// What people call the rules that are enforced here.
    pub(super) fn rule_names(&self) -> BTreeMap<RuleId, RuleName> {
        let Some(state) = self.holding.state() else { return BTreeMap::new() };
        let tenants: BTreeMap<_, _> = state.vrfs().map(|vrf| (vrf.id, &vrf.tenant)).collect();
        let mut names = BTreeMap::new();
        for policy in state.policies() {
            let Some(tenant) = tenants.get(&policy.vrf).copied() else { continue };
            for rule in &policy.rules {
                let (tenant, name) = (tenant.clone(), policy.name.clone());
                let name = RuleName { tenant, policy: name, rule: rule.name.clone() };
                names.insert(RuleId::new(policy.id, rule.slot), name);
            }
        }
        names
    }
}
