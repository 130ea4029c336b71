//! A node that misbehaves does not use up a network's addresses.

use netmaster::feed::NodeIntent;
use netmaster::metrics::Metrics;
use node_api::ErrorCode;
use serde_json::json;

use crate::bench::{Bench, KINDS, attach, caller};

fn endpoint(node: &str, name: &str) -> model::EndpointSpec {
    let spec = json!({"tenant": "blue", "name": name, "network": "wide", "node": node});
    serde_json::from_value(spec).expect("spec")
}

#[tokio::test]
async fn node_that_has_its_share_is_refused_more_and_others_are_not() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        bench.join("n2", "198.18.0.2").await;
        let network = json!({"name": "wide", "ipv4": {"subnet": "10.8.0.0/16"}});
        assert_eq!(bench.post("/api/v1/tenants/blue/networks", network).await.status, 201);
        let app = bench.replica.app.clone().with_quota("3".parse().unwrap());
        let n1 = caller("n1");
        let token = NodeIntent::fence(&app, &n1).await.unwrap();
        let attach_to_n1 =
            async |name| NodeIntent::create_endpoint(&app, &n1, endpoint("n1", name), token).await;
        // It has one already, in another network.
        for name in ["b", "c"] {
            attach_to_n1(name).await.unwrap();
        }
        let before = bench.store.health().await.unwrap().revision;
        let full = attach_to_n1("d").await.unwrap_err();
        assert_eq!(full.code, ErrorCode::NodeFull, "{full}");
        assert!(
            full.text.contains("node n1 has 3 endpoints") && full.text.contains("--endpoints-per-node"),
            "{full}"
        );
        assert_eq!(bench.store.health().await.unwrap().revision, before);

        // What it has it may ask for again, others have shares of their own, and administrators know what they do.
        attach_to_n1("c").await.unwrap();
        attach(&app, endpoint("n2", "d")).await.unwrap();
        let told = json!({"name": "e", "network": "wide", "node": "n1"});
        assert_eq!(bench.post("/api/v1/tenants/blue/endpoints", told).await.status, 201);

        // One that goes makes room for one, and not more: it has a share of three, not of three at a time.
        for name in ["c", "e"] {
            assert_eq!(bench.delete(&format!("/api/v1/tenants/blue/endpoints/{name}")).await.status, 204);
        }
        attach_to_n1("f").await.unwrap();
        let again = attach_to_n1("g").await.unwrap_err();
        assert_eq!(again.code, ErrorCode::NodeFull);

        let reports = netmaster::app::Reports {
            status: tokio::sync::watch::Sender::new(netmaster::feed::Status::default()).subscribe(),
            compiled: tokio::sync::watch::Sender::new(std::sync::Arc::new(netmaster::feed::Snapshot {
                store_id: bench.store.store_id().clone(),
                view: app.snapshot().view().clone(),
                refused: Default::default(),
            }))
            .subscribe(),
        };
        let text = Metrics::default().text(&app, &reports).await;
        for line in [
            "selvage_netmaster_node_endpoints_limit 3",
            "selvage_netmaster_node_endpoints{node=\"n1\"} 3",
            "selvage_netmaster_node_endpoints{node=\"n2\"} 1",
            "selvage_netmaster_node_full_refusals_total 2",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }
}

#[test]
fn no_quota_is_no_quota() {
    for bad in ["0", "", "-1", "many"] {
        assert!(bad.parse::<netmaster::app::Quota>().is_err(), "{bad}");
    }
}
