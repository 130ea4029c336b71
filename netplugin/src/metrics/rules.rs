//! What each rule did, for metrics: the counters of the switch at the moment they are read. Off unless asked for: these
//! series name tenants.
//!
//! # Failure
//! Without a switch there are no such series, and the log says why.

use types::RuleCount;

use crate::agent::{AgentHandle, RuleName};

/// What one rule did here.
pub type RuleSeries = (RuleName, RuleCount);

/// What every rule did that is enforced here.
pub async fn read(agent: &AgentHandle) -> Vec<RuleSeries> {
    let (Ok(Some(switch)), Ok(names)) = (agent.switch().await, agent.rule_names().await) else {
        return Vec::new();
    };
    match switch.counts(pipeline::all_counting_flows()).await {
        Ok(mut counts) => {
            names.into_iter().map(|(id, name)| (name, counts.remove(&id).unwrap_or_default())).collect()
        }
        Err(error) => {
            tracing::warn!(%error, "metrics without what rules did");
            Vec::new()
        }
    }
}
