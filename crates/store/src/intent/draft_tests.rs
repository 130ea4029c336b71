//! Several requests in one transaction are those requests one after the other.

use std::sync::Arc;

use model::{Spec, Supply, plan_apply, plan_delete};
use serde_json::{Value, json};
use types::EndpointUid;

use super::super::tests::{bench, object};
use super::*;
use crate::list_all;

fn author(who: &str) -> Author {
    let at = Timestamp::new("2026-05-04T03:02:01.123Z").unwrap();
    Author { who: who.into(), from: "test".into(), request_id: "r".into(), at }
}

fn endpoint(name: &str) -> Value {
    json!([{"kind": "endpoint", "tenant": "blue", "name": name, "network": "web", "node": "n1"}])
}

fn room() -> Value {
    json!([{"kind": "tenant", "name": "blue"},
        {"kind": "network", "tenant": "blue", "name": "web", "ipv4": {"subnet": "10.1.1.0/24"}, "ipv6": {"subnet": "fd01::/64"}}])
}

fn wish(draft: &mut Draft, who: &str, documents: Value) -> Result<Admission, String> {
    let snapshot = draft.snapshot();
    let specs: Vec<Spec> = serde_json::from_value(documents).unwrap();
    let mut uid = || EndpointUid::new(rand::random_range(1..0xffff_ffff_ffff)).unwrap();
    let supply = Supply { taken: snapshot.taken(), uid: &mut uid };
    let plan = plan_apply(snapshot.view(), supply, specs).map_err(|e| e.to_string())?;
    Ok(draft.add(Intention::Plan(&plan), author(who), Extra::default()).unwrap())
}

#[tokio::test]
async fn each_request_is_decided_on_what_those_before_it_leave() {
    let bench = bench().await;
    bench.join("n1").await;
    let mut draft = Draft::new(&bench.informer.snapshot(), bench.store.limits());
    // In one transaction: a tenant, a network in it, endpoints there, each by somebody else.
    assert_eq!(wish(&mut draft, "a", json!([{"kind": "tenant", "name": "blue"}])), Ok(Admission::In));
    let network =
        json!([{"kind": "network", "tenant": "blue", "name": "web", "ipv4": {"subnet": "10.1.1.0/24"}}]);
    assert_eq!(wish(&mut draft, "b", network), Ok(Admission::In));
    for name in ["x", "y", "z"] {
        assert_eq!(wish(&mut draft, name, endpoint(name)), Ok(Admission::In));
    }
    let overlap =
        json!([{"kind": "network", "tenant": "blue", "name": "n", "ipv4": {"subnet": "10.1.0.0/16"}}]);
    assert!(wish(&mut draft, "c", overlap).unwrap_err().contains("overlaps 10.1.1.0/24 of network web"));
    assert_eq!(draft.len(), 5);
    let done = draft.commit(bench.store.as_ref()).await.unwrap();

    let snapshot = bench.informer.reach(done.revision).await.unwrap();
    let addresses: Vec<_> = snapshot.view().endpoints.values().map(|e| e.addresses[0].to_string()).collect();
    assert_eq!(addresses, ["10.1.1.1", "10.1.1.2", "10.1.1.3"]);
    let (fresh, _follow) = super::super::start(bench.store.clone()).await.unwrap();
    assert_eq!(fresh.snapshot().view(), snapshot.view());
    // One revision, and who did what in it.
    let (records, _) = list_all(bench.store.as_ref(), &Prefix::changes()).await.unwrap();
    let records = records.iter().filter(|kv| kv.modified == done.revision);
    let records = records.map(|kv| ChangeRecord::decode(&kv.value).unwrap());
    let mut who: Vec<_> = records.map(|r| (r.who, r.objects.into_keys().collect::<Vec<_>>())).collect();
    who.sort();
    let by = |who: &str, object: &str| (who.to_owned(), vec![object.to_owned()]);
    assert_eq!(
        who,
        [
            by("a", "tenant/blue"),
            by("b", "network/blue/web"),
            by("x", "endpoint/blue/x"),
            by("y", "endpoint/blue/y"),
            by("z", "endpoint/blue/z")
        ]
    );
}

#[tokio::test]
async fn what_writes_the_same_key_twice_waits() {
    let bench = bench().await;
    bench.join("n1").await;
    bench.apply(room()).await;
    bench.apply(endpoint("old")).await;
    let mut draft = Draft::new(&bench.informer.snapshot(), bench.store.limits());
    let old = object("endpoint", "blue/old");
    let removal = plan_delete(draft.snapshot().view(), &old).unwrap();
    let added = draft.add(Intention::Removal(&removal), author("a"), Extra::default()).unwrap();
    assert_eq!(added, Admission::In);
    // The freed address cools; the freed name is written by the deletion.
    assert_eq!(wish(&mut draft, "b", endpoint("new")), Ok(Admission::In));
    assert_eq!(wish(&mut draft, "c", endpoint("old")), Ok(Admission::Later));
    let twice = json!([{"kind": "tenant", "name": "blue", "defaultAction": "deny"}]);
    assert_eq!(wish(&mut draft, "d", twice), Ok(Admission::In));
    let back = json!([{"kind": "tenant", "name": "blue"}]);
    assert_eq!(wish(&mut draft, "e", back), Ok(Admission::Later));
    // What the draft writes has no version to expect.
    assert_eq!(draft.snapshot().version(&object("tenant", "blue")), None);
    let done = draft.commit(bench.store.as_ref()).await.unwrap();
    let snapshot = bench.informer.reach(done.revision).await.unwrap();
    let left: Vec<_> = snapshot
        .view()
        .endpoints
        .values()
        .map(|e| (e.spec.name.as_str(), e.addresses[0].to_string()))
        .collect();
    assert_eq!(left, [("new", "10.1.1.2".to_owned())]);
}

#[tokio::test]
async fn a_draft_is_within_the_limits_of_a_transaction_and_something_extra_stands_alone() {
    let bench = bench().await;
    bench.join("n1").await;
    bench.apply(room()).await;
    let mut draft = Draft::new(&bench.informer.snapshot(), bench.store.limits());
    let many =
        (0..100).take_while(|n| wish(&mut draft, "a", endpoint(&format!("e{n}"))) == Ok(Admission::In));
    let many = many.count();
    assert!((10..40).contains(&many), "{many} endpoints of 128 operations");
    let done = draft.commit(bench.store.as_ref()).await.unwrap();
    let snapshot = bench.informer.reach(done.revision).await.unwrap();
    assert_eq!(snapshot.view().endpoints.len(), many);

    let mut draft = Draft::new(&snapshot, bench.store.limits());
    let absent = object("tenant", "red");
    let extra = Extra { compares: vec![Compare::Absent(Entry::StoreId.key())], ops: Vec::new() };
    let mut add = |extra: &Extra| draft.add(Intention::AsSeen(&absent), author("a"), extra.clone()).unwrap();
    assert_eq!(add(&extra), Admission::In);
    assert_eq!(add(&Extra::default()), Admission::Later);
    let mut draft = Draft::new(&snapshot, bench.store.limits());
    let mut add = |extra: &Extra| draft.add(Intention::AsSeen(&absent), author("a"), extra.clone()).unwrap();
    assert_eq!([add(&Extra::default()), add(&extra)], [Admission::In, Admission::Later]);
}

#[tokio::test]
async fn a_draft_on_an_old_snapshot_conflicts_whoever_in_it_is_concerned() {
    let bench = bench().await;
    bench.join("n1").await;
    bench.apply(room()).await;
    let old: Arc<Snapshot> = bench.informer.snapshot();
    bench.apply(endpoint("faster")).await;
    let mut draft = Draft::new(&old, bench.store.limits());
    assert_eq!(wish(&mut draft, "a", json!([{"kind": "tenant", "name": "red"}])), Ok(Admission::In));
    assert_eq!(wish(&mut draft, "b", endpoint("slower")), Ok(Admission::In));
    let lost = draft.commit(bench.store.as_ref()).await;
    assert!(matches!(lost, Err(CommitError::Conflict { extra_only: false, .. })), "{lost:?}");
    assert!(bench.store.get(&object_key(&object("tenant", "red")).unwrap().key()).await.unwrap().is_none());
}
