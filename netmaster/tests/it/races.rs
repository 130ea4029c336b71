//! Writers at the same time: in one replica, and in two over one store.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use http::Request;
use serde_json::json;

use crate::bench::{Answer, Bench, STORES, send};

async fn post(router: &axum::Router, token: &str, path: &str, body: serde_json::Value) -> Answer {
    let request = Request::post(path).header("authorization", format!("Bearer {token}"));
    send(router, request.body(body.to_string().into()).expect("request")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_overlapping_networks_exactly_one_is_made() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let other = bench.another().await;
        for round in 0..10 {
            let body = |name: &str, last: u8| json!({"name": format!("{name}{round}"), "ipv4": {"subnet": format!("10.{}.{last}.0/{}", 20 + round, if last == 0 { 16 } else { 24 })}});
            let path = "/api/v1/tenants/blue/networks";
            let (a, b, c) = tokio::join!(
                post(&bench.replica.router, &bench.token, path, body("a", 0)),
                post(&other.router, &bench.token, path, body("b", 1)),
                post(&bench.replica.router, &bench.token, path, body("c", 0)),
            );
            let mut statuses = [a.status, b.status, c.status];
            statuses.sort_unstable();
            assert_eq!(statuses, [201, 422, 422], "{kind:?} {a:?} {b:?} {c:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_endpoints_on_two_replicas_get_different_addresses() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let other = Arc::new(bench.another().await);
        let calls = (0..24).map(|i| {
            let router = if i % 2 == 0 { &bench.replica.router } else { &other.router };
            let body = json!({"name": format!("e{i}"), "network": "web", "node": "n1"});
            post(router, &bench.token, "/api/v1/tenants/green/endpoints", body)
        });
        let answers = join_all(calls).await;
        let made: BTreeSet<String> =
            answers.iter().map(|a| a.body["status"]["addresses"][0].to_string()).collect();
        assert!(answers.iter().all(|a| a.status == 201), "{answers:?}");
        assert_eq!(made.len(), 24, "{made:?}");
        assert!(made.contains("\"10.1.1.1\"") && made.contains("\"10.1.1.24\""), "dense: {made:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_one_replica_wrote_the_other_builds_on() {
    for kind in STORES {
        let bench = Bench::new(kind).await;
        let other = bench.another().await;
        for i in 0..10 {
            let tenant = format!("t{i}");
            let made =
                post(&bench.replica.router, &bench.token, "/api/v1/tenants", json!({"name": tenant})).await;
            assert_eq!(made.status, 201);
            let path = format!("/api/v1/tenants/{tenant}/networks");
            let built = post(
                &other.router,
                &bench.token,
                &path,
                json!({"name": "n", "ipv4": {"subnet": "10.0.0.0/24"}}),
            )
            .await;
            assert_eq!(built.status, 201, "{built:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_network_is_either_deleted_or_used() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let other = bench.another().await;
        for i in 0..8 {
            let network =
                json!({"name": format!("n{i}"), "ipv4": {"subnet": format!("10.{}.0.0/24", 30 + i)}});
            assert_eq!(bench.post("/api/v1/tenants/blue/networks", network).await.status, 201);
            let item = format!("/api/v1/tenants/blue/networks/n{i}");
            let group = json!({"name": format!("g{i}"), "network": format!("n{i}")});
            let (deleted, used) = tokio::join!(
                bench.delete(&item),
                post(&other.router, &bench.token, "/api/v1/tenants/blue/groups", group)
            );
            let exclusive = matches!((deleted.status, used.status), (204, 422) | (409, 201));
            assert!(exclusive, "{kind:?} {deleted:?} {used:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ninety_six_clients_of_three_replicas_get_unique_and_dense_addresses_and_none_starves() {
    const EACH: usize = 32;
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let (second, third) = (bench.another().await, bench.another().await);
        let routers = [&bench.replica.router, &second.router, &third.router];
        let calls = (0..3 * EACH).map(|i| {
            let body = json!({"name": format!("e{i}"), "network": "web", "node": "n1"});
            post(routers[i % 3], &bench.token, "/api/v1/tenants/green/endpoints", body)
        });
        let answers = join_all(calls).await;
        // "Busy" would be a client that lost every one of its bounded attempts.
        let refused: Vec<_> = answers.iter().filter(|a| a.status != 201).collect();
        assert!(refused.is_empty(), "{kind:?}: {refused:?}");
        let mut last: Vec<u8> = answers
            .iter()
            .filter_map(|a| a.body["status"]["addresses"][0].as_str()?.strip_prefix("10.1.1.")?.parse().ok())
            .collect();
        last.sort_unstable();
        assert_eq!(last, (1..=96).collect::<Vec<u8>>(), "{kind:?}");
    }
}

/// All are there before the first is written: each waits for its turn once, and those that wait share a transaction.
#[tokio::test]
async fn requests_that_come_together_share_transactions_and_are_decided_one_after_the_other() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let before = bench.store.health().await.expect("store").revision.get();
        let calls = (0..32).map(|i| {
            let body = json!({"name": format!("e{i}"), "network": "web", "node": "n1"});
            post(&bench.replica.router, &bench.token, "/api/v1/tenants/green/endpoints", body)
        });
        let answers = join_all(calls).await;
        assert!(answers.iter().all(|a| a.status == 201), "{kind:?}: {answers:?}");
        let made: BTreeSet<String> =
            answers.iter().map(|a| a.body["status"]["addresses"][0].to_string()).collect();
        assert_eq!(made.len(), 32, "{kind:?}: {made:?}");
        let revisions: BTreeSet<&str> =
            answers.iter().filter_map(|a| a.body["resourceVersion"].as_str()).collect();
        let moved = bench.store.health().await.expect("store").revision.get() - before;
        assert!(revisions.len() <= 4, "{kind:?}: {revisions:?}");
        assert_eq!(u64::try_from(revisions.len()), Ok(moved), "{kind:?}");
    }
}

#[tokio::test]
async fn of_requests_that_exclude_each_other_in_one_transaction_each_is_answered_as_if_alone() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let create =
            |name: &str| post(&bench.replica.router, &bench.token, "/api/v1/tenants", json!({"name": name}));
        let network = |name: &str, subnet: &str| {
            let body = json!({"name": name, "ipv4": {"subnet": subnet}});
            post(&bench.replica.router, &bench.token, "/api/v1/tenants/blue/networks", body)
        };
        let version = bench.get("/api/v1/tenants/green").await.body["resourceVersion"].to_string();
        let replace = |action: &str| {
            let body = json!({"name": "green", "defaultAction": action}).to_string();
            let headers = [("if-match", version.clone())];
            let router = bench.replica.router.clone();
            let request = Request::put("/api/v1/tenants/green").header(headers[0].0, headers[0].1.clone());
            let request = request.header("authorization", format!("Bearer {}", bench.token));
            async move { send(&router, request.body(body.into()).expect("request")).await }
        };
        let answers = tokio::join!(
            create("twin"),
            create("twin"),
            network("wide", "10.77.0.0/16"),
            network("narrow", "10.77.1.0/24"),
            replace("allow"),
            replace("allow"),
            bench.delete("/api/v1/tenants/blue/endpoints/a"),
            bench.delete("/api/v1/tenants/blue/endpoints/a"),
        );
        let (a, b, c, d, e, f, g, h) = &answers;
        assert_eq!(
            [a, b, c, d, e, f, g, h].map(|answer| answer.status),
            [201, 409, 201, 422, 200, 412, 204, 404],
            "{kind:?} {answers:?}"
        );
        assert!(d.body["detail"].to_string().contains("overlaps 10.77.0.0/16 of network wide"), "{d:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_waits_takes_nobody_with_it() {
    let bench = Bench::furnished(crate::bench::Kind::Memory).await;
    let tenant = |n: usize| {
        post(&bench.replica.router, &bench.token, "/api/v1/tenants", json!({"name": format!("t{n}")}))
    };
    {
        let gone = std::pin::pin!(tenant(0));
        let mut gone = gone;
        assert!(futures_util::poll!(gone.as_mut()).is_pending());
    }
    let answers = join_all((1..8).map(tenant)).await;
    assert!(answers.iter().all(|a| a.status == 201), "{answers:?}");
    bench.replica.app.settled().await;
    assert_eq!(bench.get("/api/v1/tenants/t0").await.status, 404, "nobody waits for it");
}
