//! Every noun: create, list, read, replace, delete; versions; apply.

use serde_json::{Value, json};

use crate::bench::{Bench, KINDS, Kind};

/// Collection, body, a changed body, and the status without what others decide.
fn nouns() -> Vec<(&'static str, Value, Value)> {
    vec![
        ("/api/v1/tenants", json!({"name": "red"}), json!({"defaultAction": "deny"})),
        (
            "/api/v1/tenants/blue/networks",
            json!({"name": "db", "ipv4": {"subnet": "10.7.0.0/24"}}),
            json!({"ipv4": {"subnet": "10.7.0.0/24"}, "vni": 2}),
        ),
        (
            "/api/v1/tenants/blue/policies",
            json!({"name": "p", "rules": []}),
            json!({"rules": [{"name": "x", "direction": "egress", "peer": {"cidr": "10.0.0.0/8"}, "action": "allow"}]}),
        ),
        (
            "/api/v1/tenants/blue/groups",
            json!({"name": "g", "network": "web"}),
            json!({"network": "web", "policies": ["guard"]}),
        ),
        (
            "/api/v1/tenants/blue/endpoints",
            json!({"name": "c0ffee.eth0", "network": "web", "node": "n1"}),
            json!({"network": "web", "node": "n1", "group": "app"}),
        ),
    ]
}

#[tokio::test]
async fn every_noun_is_created_listed_read_replaced_and_deleted() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        for (collection, body, changed) in nouns() {
            let name = body["name"].as_str().unwrap();
            let item = format!("{collection}/{name}");
            let created = bench.post(collection, body.clone()).await;
            assert_eq!(
                (created.status, &created.headers["location"]),
                (201, &item.parse().unwrap()),
                "{created:?}"
            );
            let version = created.body["resourceVersion"].as_str().unwrap().to_owned();
            let tag = created.headers["etag"].to_str().unwrap();
            assert!(tag.starts_with(&format!("\"{version}-")), "{tag}");

            let read = bench.get(&item).await;
            assert_eq!((read.status, &read.body), (200, &created.body));
            let list = bench.get(collection).await;
            assert!(list.body["items"].as_array().unwrap().contains(&created.body), "{list:?}");

            // Repeating changes nothing, replacing moves the version.
            let mut same = read.body.clone();
            same["status"]["vni"] = json!("ignored");
            let repeated = bench.put(&item, same).await;
            assert_eq!(
                (repeated.status, repeated.body["resourceVersion"].as_str()),
                (200, Some(version.as_str())),
                "{item}"
            );
            let replaced = bench.put(&item, changed).await;
            assert_eq!(replaced.status, 200, "{replaced:?}");
            assert_ne!(replaced.body["resourceVersion"], version.as_str(), "{item}");
            assert_eq!(bench.get(&item).await.body, replaced.body);

            let deleted = bench.delete(&item).await;
            assert_eq!((deleted.status, &deleted.body), (204, &Value::Null), "{deleted:?}");
            assert_eq!(bench.get(&item).await.status, 404);
        }
    }
}

#[tokio::test]
async fn put_creates_what_is_not_there() {
    let bench = Bench::new(KINDS[0]).await;
    let answer = bench.put("/api/v1/tenants/red", json!({})).await;
    assert_eq!((answer.status, answer.body["name"].as_str()), (201, Some("red")), "{answer:?}");
}

#[tokio::test]
async fn the_first_start_makes_the_default_tenant_once() {
    let bench = Bench::new(KINDS[1]).await;
    assert_eq!(bench.get("/api/v1/tenants/default").await.body["defaultAction"], "allow");
    assert_eq!(bench.delete("/api/v1/tenants/default").await.status, 204);
    let (file, clock) = (bench.dir.path().join("x"), crate::bench::clock());
    let again = netmaster::auth::first_start(bench.store.as_ref(), &file, &clock);
    assert!(!again.await.unwrap());
    assert!(!bench.dir.path().join("x").exists());
    assert_eq!(bench.get("/api/v1/tenants/default").await.status, 404);
}

#[tokio::test]
async fn nodes_are_read_and_removed_but_not_written() {
    let bench = Bench::furnished(KINDS[0]).await;
    bench.join("n2", "198.18.0.2").await;
    let list = bench.get("/api/v1/nodes").await;
    let names: Vec<_> = list.body["items"].as_array().unwrap().iter().map(|n| n["name"].clone()).collect();
    assert_eq!(names, ["n1", "n2"]);
    assert_eq!(bench.get("/api/v1/nodes/n1").await.body["status"]["endpoints"], 1);
    assert_eq!(bench.put("/api/v1/nodes/n3", json!({"vtep": "198.18.0.3"})).await.status, 405);
    assert_eq!(bench.delete("/api/v1/nodes/n2").await.status, 204);
    let used = bench.delete("/api/v1/nodes/n1").await;
    assert_eq!((used.status, &used.body["users"]), (409, &json!(["endpoint blue/a"])));
}

#[tokio::test]
async fn if_match_protects_what_another_wrote() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        let path = "/api/v1/tenants/blue";
        let version = bench.get(path).await.body["resourceVersion"].as_str().unwrap().to_owned();
        let put = async |tag: &str, action: &str| {
            let body = json!({"defaultAction": action}).to_string();
            bench.call("PUT", path, &[("if-match", tag)], Some(body)).await
        };
        let tag = format!("\"{version}\"");
        assert_eq!(put(&tag, "deny").await.status, 200);
        let stale = put(&tag, "allow").await;
        assert_eq!(
            (stale.status, stale.body["code"].as_str()),
            (412, Some("resource_version_mismatch")),
            "{stale:?}"
        );
        assert_eq!(put("*", "allow").await.status, 200);
        assert_eq!(put("\"new\"", "allow").await.status, 400);
        // The version in the body does the same, and so does it in a document and on deletion.
        let in_body = bench.put(path, json!({"resourceVersion": version})).await;
        assert_eq!(in_body.status, 412);
        let document = json!({"documents": [{"kind": "tenant", "name": "blue", "resourceVersion": version}]});
        assert_eq!(bench.post("/api/v1/apply", document).await.status, 412);
        let delete = bench.call("DELETE", "/api/v1/tenants/default", &[("if-match", "\"1\"")], None).await;
        assert_eq!(delete.status, 412);
        let absent =
            bench.call("PUT", "/api/v1/tenants/none", &[("if-match", "\"1\"")], Some("{}".into())).await;
        assert_eq!(absent.status, 412);
    }
}

#[tokio::test]
async fn apply_of_more_new_objects_than_a_transaction_holds_is_refused_before_they_are_looked_at() {
    let bench = Bench::new(Kind::Memory).await;
    let most = bench.store.limits().max_ops;
    let tenants = |from: usize, to: usize| {
        let one = |n| json!({"kind": "tenant", "name": format!("t{n}")});
        json!({"documents": (from..to).map(one).collect::<Vec<_>>()})
    };
    // Looked at, they would be refused for what they say.
    let network = |n| json!({"kind": "network", "tenant": "nobody", "name": format!("n{n}")});
    let networks = json!({"documents": (0..=most).map(network).collect::<Vec<_>>()});
    let refused = bench.post("/api/v1/apply", networks).await;
    assert_eq!(
        (refused.status, refused.body["code"].as_str()),
        (413, Some("apply_too_large")),
        "{refused:?}"
    );
    // Those that are there do not count.
    let step = most / 4;
    for from in (0..2 * most).step_by(step) {
        assert_eq!(bench.post("/api/v1/apply", tenants(from, from + step)).await.status, 200);
    }
    assert_eq!(bench.post("/api/v1/apply", tenants(0, 2 * most + 1)).await.status, 200);
}

#[tokio::test]
async fn apply_is_all_or_nothing_in_one_revision() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        let before = bench.get("/api/v1/tenants").await.body;
        let half_wrong = json!({"documents": [
            {"kind": "tenant", "name": "red"},
            {"kind": "network", "tenant": "red", "name": "n", "ipv4": {"subnet": "10.0.0.0/24"}},
            {"kind": "group", "tenant": "red", "name": "g", "network": "nope"},
        ]});
        let refused = bench.post("/api/v1/apply", half_wrong).await;
        assert_eq!(
            (refused.status, refused.body["errors"][0]["object"].as_str()),
            (422, Some("group red/g"))
        );
        assert_eq!(bench.get("/api/v1/tenants").await.body, before, "nothing was written");

        let right = json!({"documents": [
            {"kind": "group", "tenant": "red", "name": "g", "network": "n"},
            {"kind": "network", "tenant": "red", "name": "n", "ipv4": {"subnet": "10.0.0.0/24"}},
            {"kind": "tenant", "name": "red"},
            {"kind": "tenant", "name": "blue"},
            {"kind": "tenant", "name": "green"},
        ]});
        let applied = bench.post("/api/v1/apply", right.clone()).await;
        let changes: Vec<_> = applied.body["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["change"].as_str().unwrap())
            .collect();
        assert_eq!(changes, ["created", "created", "created", "unchanged", "updated"], "{applied:?}");
        let revision = &applied.body["revision"];
        for path in ["/api/v1/tenants/red", "/api/v1/tenants/red/groups/g", "/api/v1/tenants/green"] {
            assert_eq!(&bench.get(path).await.body["resourceVersion"], revision, "{path}");
        }
        let again = bench.post("/api/v1/apply", right).await;
        assert_eq!(&again.body["revision"], revision, "nothing changed, so no revision passed");
    }
}

#[tokio::test]
async fn freed_addresses_cool_down_visibly() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        assert_eq!(bench.delete("/api/v1/tenants/blue/endpoints/a").await.status, 204);
        let network = bench.get("/api/v1/tenants/blue/networks/web").await.body;
        assert_eq!(network["status"]["addresses"][0]["cooling"], json!(["10.1.1.10"]), "{network}");
        let next = bench
            .post("/api/v1/tenants/blue/endpoints", json!({"name": "b", "network": "web", "node": "n1"}))
            .await;
        assert_eq!(next.body["status"]["addresses"][0], "10.1.1.11", "{next:?}");
    }
}

#[tokio::test]
async fn status_tells_nodes_and_store() {
    let bench = Bench::furnished(KINDS[1]).await;
    let status = bench.get("/api/v1/status").await.body;
    assert_eq!(
        (&status["store"]["ok"], &status["nodes"][0]["node"]),
        (&json!(true), &json!("n1")),
        "{status}"
    );
    assert_eq!(status["nodes"][0]["connected"], false);
    let policy = bench.get("/api/v1/tenants/blue/policies/guard").await.body;
    assert_eq!(
        (&policy["status"]["realization"], &policy["status"]["waitingFor"][0]["node"]),
        (&json!("pending"), &json!("n1"))
    );
    let endpoint = bench.get("/api/v1/tenants/blue/endpoints/a").await.body;
    assert_eq!(
        (&endpoint["status"]["realization"], &endpoint["status"]["mac"]),
        (&json!("pending"), &json!("0a:58:0a:01:01:0a"))
    );
}

/// A body for every route that takes one; a route nobody accounts for fails.
#[tokio::test]
async fn every_declared_route_is_served() {
    let bench = Bench::furnished(KINDS[0]).await;
    for route in api::v1::routes() {
        let path = route.path_with(&[
            ("tenant", "blue"),
            ("network", "web"),
            ("group", "app"),
            ("policy", "guard"),
            ("netprofile", "gold"),
            ("endpoint", "a"),
            ("node", "n1"),
        ]);
        let answer = bench.call(route.method.as_str(), &path, &[("authorization", "Bearer x.y")], None).await;
        let expected = if route.public { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{} {path}", route.method.as_str());
        let answer = bench.call(route.method.as_str(), &path, &[], Some("{".into())).await;
        let unserved = answer.status == 405
            || answer.body["detail"].as_str().is_some_and(|d| d.starts_with("no such path"));
        assert!(!unserved, "{} {path}: {answer:?}", route.method.as_str());
    }
}

#[tokio::test]
async fn a_policy_of_two_thousand_rules_is_written_and_changed() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        let rules = |action: &str| -> Vec<Value> {
            let rule = |i| json!({"name": format!("rule-{i}"), "direction": "ingress", "priority": i % 100 + 1, "peer": {"cidr": "10.20.0.0/16"}, "protocol": "tcp", "port": format!("{}", i + 1), "action": action});
            (0..2000).map(rule).collect()
        };
        for action in ["allow", "deny"] {
            let answer =
                bench.put("/api/v1/tenants/blue/policies/big", json!({"rules": rules(action)})).await;
            assert!([200, 201].contains(&answer.status), "{}", answer.body["detail"]);
        }
    }
}

#[tokio::test]
async fn percent_encoded_name_is_the_same_name() {
    let bench = Bench::furnished(KINDS[0]).await;
    for (encoded, plain) in [
        ("/api/v1/tenants/%62lue", "/api/v1/tenants/blue"),
        ("/api/v1/tenants/b%6Cue/networks/w%65b", "/api/v1/tenants/blue/networks/web"),
    ] {
        let (encoded, plain) = (bench.get(encoded).await, bench.get(plain).await);
        assert_eq!((encoded.status, encoded.body), (200, plain.body));
    }
    // What is no name is refused as what it is, not as the place of something.
    assert_eq!(bench.put("/api/v1/tenants/%C2%84", json!({})).await.status, 422);
}
