//! Lists page by page: one revision, whatever is written meanwhile and whichever replica answers.

use http::Request;
use serde_json::{Value, json};
use types::Revision;

use crate::bench::{Answer, Bench, KINDS, STORES, send};

async fn networks(bench: &Bench, count: usize) {
    let documents: Vec<Value> = (0..count)
        .map(|n| {
            json!({"kind": "network", "tenant": "blue", "name": format!("n{n:02}"),
                   "ipv4": {"subnet": format!("10.2.{n}.0/24")}})
        })
        .collect();
    let answer = bench.post("/api/v1/apply", json!({"documents": documents})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn ask(bench: &Bench, replica: &axum::Router, query: &str) -> Answer {
    let request = Request::get(format!("/api/v1/tenants/blue/networks?{query}"))
        .header("authorization", format!("Bearer {}", bench.token));
    send(replica, request.body(axum::body::Body::empty()).expect("request")).await
}

/// Name and version of every item, and the page's revision.
fn shown(page: &Answer) -> (Vec<(String, String)>, String) {
    assert_eq!(page.status, 200, "{page:?}");
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    let items = page.body["items"].as_array().expect("items").iter();
    let items = items.map(|i| (text(&i["name"]), text(&i["resourceVersion"]))).collect();
    (items, text(&page.body["resourceVersion"]))
}

#[tokio::test]
async fn pages_of_a_list_show_one_revision_on_every_replica() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        networks(&bench, 12).await;
        let other = bench.another().await;
        let whole = shown(&bench.get("/api/v1/tenants/blue/networks").await);
        let mut page = ask(&bench, &bench.replica.router, "limit=5").await;
        let mut items = shown(&page).0;
        assert_eq!((items.len(), shown(&page).1), (5, whole.1.clone()), "{kind:?}");
        let mut replicas = [&other.router, &bench.replica.router].into_iter().cycle();
        let mut round = 0;
        while let Some(next) = page.body["continue"].as_str() {
            // What happens between two pages is on none of them.
            round += 1;
            assert_eq!(
                bench.delete(&format!("/api/v1/tenants/blue/networks/n{:02}", 12 - round)).await.status,
                204
            );
            let late = json!({"name": format!("z{round}"), "ipv4": {"subnet": format!("10.3.{round}.0/24")}});
            assert_eq!(bench.post("/api/v1/tenants/blue/networks", late).await.status, 201);
            page = ask(&bench, replicas.next().expect("endless"), &format!("limit=5&continue={next}")).await;
            let (more, revision) = shown(&page);
            assert_eq!(revision, whole.1, "{kind:?}");
            items.extend(more);
        }
        assert_eq!((items, round), (whole.0, 2), "{kind:?}");
    }
}

#[tokio::test]
async fn page_of_a_forgotten_revision_is_gone() {
    for kind in KINDS {
        let bench = Bench::furnished(kind).await;
        networks(&bench, 6).await;
        let page = ask(&bench, &bench.replica.router, "limit=2").await;
        let next = page.body["continue"].as_str().expect("more").to_owned();
        assert_eq!(bench.delete("/api/v1/tenants/blue/networks/n05").await.status, 204);
        let now = bench.store.health().await.unwrap().revision;
        bench.store.compact(now).await.unwrap();
        let late = ask(&bench, &bench.replica.router, &format!("limit=2&continue={next}")).await;
        assert_eq!((late.status, &late.body["code"]), (410, &json!("gone")), "{late:?}");
    }
}

#[tokio::test]
async fn limit_bounds_a_page_and_the_last_one_says_so() {
    let bench = Bench::furnished(KINDS[0]).await;
    networks(&bench, 4).await;
    for (limit, pages) in [("1", 5), ("5", 1), ("2", 3), ("2147483647", 1)] {
        let mut page = ask(&bench, &bench.replica.router, &format!("limit={limit}")).await;
        let mut count = 1;
        while let Some(next) = page.body["continue"].as_str() {
            page = ask(&bench, &bench.replica.router, &format!("limit={limit}&continue={next}")).await;
            assert!(!shown(&page).0.is_empty());
            count += 1;
        }
        assert_eq!(count, pages, "{limit}");
    }
}

#[tokio::test]
async fn continue_of_another_collection_or_made_up_is_refused() {
    use base64::Engine;
    let bench = Bench::furnished(KINDS[0]).await;
    networks(&bench, 3).await;
    let page = ask(&bench, &bench.replica.router, "limit=1").await;
    let next = page.body["continue"].as_str().expect("more");
    let made = |json: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string());
    let bad_name = made(json!({"kind": "network", "tenant": "blue", "revision": 1, "last": "../x"}));
    let future = made(json!({"kind": "network", "tenant": "blue", "revision": 1_u64 << 40, "last": "x"}));
    for (path, token, status, code) in [
        ("/api/v1/tenants/green/networks", next, 400, "malformed"),
        ("/api/v1/tenants/blue/groups", next, 400, "malformed"),
        ("/api/v1/tenants", next, 400, "malformed"),
        ("/api/v1/tenants/blue/networks", "x", 400, "malformed"),
        ("/api/v1/tenants/blue/networks", &bad_name, 400, "malformed"),
        ("/api/v1/tenants/blue/networks", &future, 410, "gone"),
    ] {
        let answer = bench.get(&format!("{path}?continue={token}")).await;
        assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{path} {answer:?}");
    }
    assert!(bench.store.health().await.unwrap().revision < Revision::new(1_u64 << 40));
}

#[tokio::test]
async fn misspelled_parameter_is_no_list() {
    let bench = Bench::furnished(KINDS[0]).await;
    let answer = bench.get("/api/v1/tenants?watc=true&limit=0").await;
    assert_eq!(answer.status, 400);
    let fields: Vec<_> =
        answer.body["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["?watc", "?limit"]);
}
