//! Conditional requests (RFC 9110 section 13): what another wrote, made or deleted is not overwritten unseen.

use serde_json::json;

use crate::bench::{Answer, Bench, KINDS};

const BLUE: &str = "/api/v1/tenants/blue";

async fn put(bench: &Bench, path: &str, headers: &[(&str, &str)], action: &str) -> Answer {
    bench.call("PUT", path, headers, Some(json!({"defaultAction": action}).to_string())).await
}

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().expect("text").to_owned()
}

#[tokio::test]
async fn any_means_that_there_is_one() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        let before = bench.store.health().await.unwrap().revision;
        let none = put(&bench, "/api/v1/tenants/none", &[("if-match", "*")], "deny").await;
        assert_eq!((none.status, none.body["code"].as_str()), (412, Some("resource_version_mismatch")));
        assert_eq!(bench.store.health().await.unwrap().revision, before, "nothing was made");
        assert_eq!(put(&bench, BLUE, &[("if-match", "*")], "deny").await.status, 200);
        // Without the condition there would be nothing to delete either (section 13.2.1).
        let gone = bench.call("DELETE", "/api/v1/tenants/none", &[("if-match", "*")], None).await;
        assert_eq!(gone.status, 404);
        let deleted = bench.call("DELETE", "/api/v1/tenants/default", &[("if-match", "*")], None).await;
        assert_eq!(deleted.status, 204);
    }
}

#[tokio::test]
async fn none_means_that_there_is_none() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        let there = put(&bench, BLUE, &[("if-none-match", "*")], "deny").await;
        assert_eq!((there.status, there.body["code"].as_str()), (412, Some("resource_version_mismatch")));
        assert_eq!(bench.get(BLUE).await.body["defaultAction"], "allow");
        assert_eq!(put(&bench, "/api/v1/tenants/new", &[("if-none-match", "*")], "deny").await.status, 201);
    }
}

#[tokio::test]
async fn tag_of_an_answer_protects_a_write_and_any_of_a_list_does() {
    let bench = Bench::furnished(KINDS[0]).await;
    let first = tag(&bench.get(BLUE).await);
    let changed = put(&bench, BLUE, &[("if-match", &first)], "deny").await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let second = tag(&changed);
    assert_eq!(put(&bench, BLUE, &[("if-match", &first)], "allow").await.status, 412);
    let either = format!("{first}, {second}");
    assert_eq!(put(&bench, BLUE, &[("if-match", &either)], "allow").await.status, 200);
}

#[tokio::test]
async fn weak_and_foreign_tags_are_refused_and_change_nothing() {
    let bench = Bench::furnished(KINDS[0]).await;
    let now = tag(&bench.get(BLUE).await);
    for bad in [format!("W/{now}"), now.trim_matches('"').to_owned(), "\"mine\"".to_owned(), String::new()] {
        let answer = put(&bench, BLUE, &[("if-match", &bad)], "deny").await;
        assert_eq!(
            (answer.status, answer.body["errors"][0]["field"].as_str()),
            (400, Some("If-Match")),
            "{bad}"
        );
        let answer = bench.call("DELETE", "/api/v1/tenants/default", &[("if-match", &bad)], None).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    assert_eq!(tag(&bench.get(BLUE).await), now);
}

#[tokio::test]
async fn reader_who_has_the_answer_is_not_sent_it_again_until_its_status_is_another() {
    let bench = Bench::furnished(KINDS[0]).await;
    let read = async |tag: &str| bench.call("GET", BLUE, &[("if-none-match", tag)], None).await;
    let first = bench.get(BLUE).await;
    let same = read(&tag(&first)).await;
    assert_eq!((same.status, tag(&same), same.body.is_null()), (304, tag(&first), true));
    assert_eq!(read(&format!("\"1\", W/{}", tag(&first))).await.status, 304);
    // One more endpoint: the tenant is at the same version, and what is said of it is not the same.
    let endpoint = json!({"name": "b", "network": "web", "node": "n1"});
    assert_eq!(bench.post("/api/v1/tenants/blue/endpoints", endpoint).await.status, 201);
    let now = read(&tag(&first)).await;
    assert_eq!((now.status, &now.body["resourceVersion"]), (200, &first.body["resourceVersion"]));
    assert_ne!(tag(&now), tag(&first));
    // Who writes is not in the way of what nodes do meanwhile.
    assert_eq!(put(&bench, BLUE, &[("if-match", &tag(&first))], "deny").await.status, 200);
}
