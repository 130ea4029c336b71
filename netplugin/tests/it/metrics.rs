//! The agent's metrics: documented, and what `netplugin status` says.

use std::path::Path;
use std::time::Duration;

use cni::{CniError, Code, Reply, Verb};
use netplugin::metrics::{Metrics, Step, rules};
use netplugin::report::{IntentStatus, Status};
use types::Revision;

use crate::fakes::World;
use crate::netmaster::{deny_tcp, group};

#[test]
fn every_metric_is_in_the_reference() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/metrics.md");
    test_support::generated_block(&page, "netplugin", &Metrics::default().reference());
}

fn status() -> Status {
    Status {
        node: "node-1".parse().unwrap(),
        vtep: "192.0.2.1".parse().unwrap(),
        intent: IntentStatus::Current,
        session_error: None,
        held_revision: Some(Revision::new(9)),
        realized_revision: Revision::new(8),
        switch_connected: true,
        flows: 120,
        meters: 4,
        rates: netplugin::report::Mechanism::Meters,
        flow_mods: 130,
        foreign_edits: 2,
        drift: Default::default(),
        endpoints: std::collections::BTreeMap::new(),
        warnings: vec!["tunnel_neighbor_cold: a".into(), "tunnel_neighbor_cold: b".into()],
    }
}

#[test]
fn metrics_say_what_the_status_says() {
    let metrics = Metrics::default();
    let text = metrics.text(&status(), &[]);
    for line in [
        "selvage_netplugin_flows 120",
        "selvage_netplugin_meters 4",
        "selvage_netplugin_rates_enforced 1",
        "selvage_netplugin_flow_mods_total 130",
        "selvage_netplugin_foreign_edits_total 2",
        "selvage_netplugin_held_revision 9",
        "selvage_netplugin_realized_revision 8",
        "selvage_netplugin_switch_connected 1",
        "selvage_netplugin_session_current 1",
        "selvage_netplugin_warnings{code=\"tunnel_neighbor_cold\"} 2",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
    }
    // What is over is gone; what was counted stays counted once.
    let text = metrics.text(&Status { warnings: Vec::new(), intent: IntentStatus::Saved, ..status() }, &[]);
    assert!(!text.contains("tunnel_neighbor_cold"), "{text}");
    assert!(text.contains("selvage_netplugin_flow_mods_total 130\n"), "{text}");
    assert!(text.contains("selvage_netplugin_session_current 0\n"), "{text}");
}

#[test]
fn requests_are_counted_by_verb_and_outcome() {
    let metrics = Metrics::default();
    let failed = Reply::Failed(CniError::new(Code::TryAgainLater, "later", "why"));
    metrics.answered(Verb::Add, &failed, Duration::from_millis(3));
    metrics.answered(Verb::Del, &Reply::Done, Duration::from_millis(30));
    metrics.stepped(Step::PortGone, Duration::from_millis(3));
    let text = metrics.text(&status(), &[]);
    for line in [
        "selvage_netplugin_cni_requests_total{verb=\"ADD\",outcome=\"error\"} 1",
        "selvage_netplugin_cni_requests_total{verb=\"DEL\",outcome=\"ok\"} 1",
        "selvage_netplugin_cni_step_duration_seconds_bucket{le=\"0.005\",step=\"port_gone\"} 1",
        "selvage_netplugin_cni_request_duration_seconds_bucket{le=\"0.0025\",verb=\"ADD\"} 0",
        "selvage_netplugin_cni_request_duration_seconds_bucket{le=\"0.005\",verb=\"ADD\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
    }
}

/// What the switch counted for a rule is told by the names of the rule, and once however often it is asked.
#[tokio::test]
async fn rules_are_counted_by_name_where_that_is_asked() {
    let world = World::new();
    let agent = world.start().await;
    agent.netmaster.sync().await;
    agent.netmaster.put(deny_tcp()).await;
    agent.netmaster.put(group()).await;
    agent.add("web-1").await;
    agent.netmaster.join_group().await;
    let metrics = Metrics::default();
    let series = "selvage_netplugin_rule_packets_total{tenant=\"blue\",policy=\"no-tcp\",rule=\"deny\"} 1";
    let told = async || {
        let text = metrics.text(&agent.status().await, &rules::read(&agent.handle).await);
        if text.lines().any(|line| line == series) { Ok(()) } else { Err(text) }
    };
    test_support::wait_for("the rule's counters", Duration::from_secs(10), told).await.unwrap();
    told().await.unwrap();
    let unasked = metrics.text(&agent.status().await, &[]);
    assert!(!unasked.contains("blue"), "{unasked}");
}
