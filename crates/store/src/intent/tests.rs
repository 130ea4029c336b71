//! Intent over a real (memory, SQLite) store: versions, claims, cooling, write skew.

use std::sync::Arc;
use std::time::Duration;

use model::{Number, Object, ObjectRef, Spec, Supply, plan_apply, plan_delete};
use serde_json::{Value, json};
use types::{EndpointUid, Revision};

use super::*;
use crate::change::{ChangeRecord, Timestamp};
use crate::election::campaign;
use crate::keys::Slot;
use crate::{Prefix, Store, list_all};

pub(super) struct Bench {
    pub(super) store: Arc<dyn Store>,
    pub(super) informer: Informer,
}

pub(super) async fn bench() -> Bench {
    let store = crate::memory().unwrap();
    let (informer, follow) = start(store.clone()).await.unwrap();
    tokio::spawn(follow);
    Bench { store, informer }
}

fn author() -> Author {
    let at = Timestamp::new("2026-05-04T03:02:01.123Z").unwrap();
    Author { who: "admin".into(), from: "test".into(), request_id: "r".into(), at }
}

pub(super) fn object(kind: &str, name: &str) -> ObjectRef {
    let json = match name.split_once('/') {
        Some((tenant, name)) => json!({"kind": kind, "tenant": tenant, "name": name}),
        None => json!({"kind": kind, "name": name}),
    };
    serde_json::from_value(json).unwrap()
}

fn plan_on(snapshot: &Snapshot, documents: Value) -> model::Plan {
    let specs: Vec<Spec> = serde_json::from_value(documents).unwrap();
    let mut uid = || EndpointUid::new(rand::random_range(1..0xffff_ffff_ffff)).unwrap();
    let supply = Supply { taken: snapshot.taken(), uid: &mut uid };
    plan_apply(snapshot.view(), supply, specs).unwrap()
}

impl Bench {
    pub(super) async fn apply(&self, documents: Value) -> Revision {
        let snapshot = self.informer.snapshot();
        let plan = plan_on(&snapshot, documents);
        let done = commit(self.store.as_ref(), &snapshot, &plan, author(), Extra::default()).await.unwrap();
        self.informer.reach(done.revision).await.unwrap();
        done.revision
    }

    pub(super) async fn join(&self, name: &str) {
        let snapshot = self.informer.snapshot();
        let spec = serde_json::from_value(json!({"name": name, "vtep": "198.18.0.1"})).unwrap();
        let mut uid = || EndpointUid::MAX;
        let supply = Supply { taken: snapshot.taken(), uid: &mut uid };
        let plan = model::plan_node(snapshot.view(), supply, spec, "00".into()).unwrap();
        let done = commit(self.store.as_ref(), &snapshot, &plan, author(), Extra::default()).await.unwrap();
        self.informer.reach(done.revision).await.unwrap();
    }

    pub(super) async fn remove(&self, object: &ObjectRef) -> Result<Committed, CommitError> {
        let snapshot = self.informer.snapshot();
        let removal = plan_delete(snapshot.view(), object).unwrap();
        let done = remove(self.store.as_ref(), &snapshot, &removal, author(), Extra::default()).await?;
        self.informer.reach(done.revision).await.unwrap();
        Ok(done)
    }
}

pub(super) fn web() -> Value {
    json!([
        {"kind": "tenant", "name": "blue"},
        {"kind": "network", "tenant": "blue", "name": "web", "ipv4": {"subnet": "10.1.1.0/24"}, "ipv6": {"subnet": "fd00::/64"}},
        {"kind": "endpoint", "tenant": "blue", "name": "a", "network": "web", "node": "n1"},
    ])
}

#[tokio::test]
async fn what_is_written_is_what_the_informer_shows() {
    let bench = bench().await;
    bench.join("n1").await;
    let revision = bench.apply(web()).await;
    let snapshot = bench.informer.snapshot();
    assert_eq!(snapshot.revision(), revision);
    assert_eq!(snapshot.version(&object("endpoint", "blue/a")), Some(revision));
    // An informer that starts now reads the same from the store.
    let (fresh, _follow) = start(bench.store.clone()).await.unwrap();
    assert_eq!(fresh.snapshot().view(), snapshot.view());
    assert_eq!(fresh.snapshot().version(&object("node", "n1")), snapshot.version(&object("node", "n1")));
}

#[tokio::test]
async fn one_request_is_one_revision_with_one_change_record() {
    let bench = bench().await;
    bench.join("n1").await;
    let before = bench.store.health().await.unwrap().revision;
    let revision = bench.apply(web()).await;
    assert_eq!(revision.get(), before.get() + 1);
    let (records, _) = list_all(bench.store.as_ref(), &Prefix::changes()).await.unwrap();
    let record =
        ChangeRecord::decode(&records.iter().find(|r| r.modified == revision).unwrap().value).unwrap();
    let changed: Vec<_> = record.objects.keys().collect();
    assert_eq!(changed, ["endpoint/blue/a", "network/blue/web", "tenant/blue"]);
    assert_eq!((record.who.as_str(), record.request_id.as_str()), ("admin", "r"));
    // Saying it again changes nothing, and says so.
    assert_eq!(bench.apply(web()).await, revision);
    assert_eq!(bench.store.health().await.unwrap().revision, revision);
}

#[tokio::test]
async fn freed_numbers_cool_down_and_come_back() {
    let bench = bench().await;
    bench.join("n1").await;
    bench.apply(web()).await;
    let endpoint = object("endpoint", "blue/a");
    let Some(Object::Endpoint(stored)) = bench.informer.snapshot().view().get(&endpoint) else { panic!() };
    let vrf = bench.informer.snapshot().view().tenants.values().next().unwrap().vrf;
    let slot = Slot::Address(vrf, stored.addresses[0]);
    assert!(bench.informer.snapshot().claimed(slot).is_some());
    assert_eq!(bench.informer.snapshot().cooling_since(slot), None);

    bench.remove(&endpoint).await.unwrap();
    let snapshot = bench.informer.snapshot();
    assert!(snapshot.taken().contains(Number::Address(vrf, stored.addresses[0])));
    assert!(snapshot.cooling_since(slot).is_some());
    assert_eq!(snapshot.cooled().count(), 3, "uid and two addresses");
    let at = |second: u32| Timestamp::new(format!("2026-05-04T03:03:{second:02}.123Z")).unwrap();
    let early = Timestamp::new("2026-05-04T03:02:01.123Z").unwrap();
    let leadership = campaign(&bench.store, "r1", Duration::from_secs(60)).await.unwrap();
    let fence = leadership.fence();
    assert_eq!(reclaim(bench.store.as_ref(), &snapshot, &early, fence).await.unwrap(), None);
    let now = reclaim(bench.store.as_ref(), &snapshot, &at(1), fence).await.unwrap().unwrap();
    let snapshot = bench.informer.reach(now).await.unwrap();
    assert_eq!(snapshot.cooled().count(), 0);
    assert!(snapshot.claimed(slot).is_none() && snapshot.cooling_since(slot).is_none());
    assert!(!snapshot.taken().contains(Number::Address(vrf, stored.addresses[0])));
    assert_eq!(snapshot.leader().map(|l| (l.name.as_str(), l.since)), Some(("r1", fence.token())));
}

/// Two decisions made on one snapshot: both are sound alone, not together.
async fn skew(first: Value, second: Value) {
    let bench = bench().await;
    bench.join("n1").await;
    bench.apply(web()).await;
    let snapshot = bench.informer.snapshot();
    let (a, b) = (plan_on(&snapshot, first), plan_on(&snapshot, second));
    let _: Committed = commit(bench.store.as_ref(), &snapshot, &a, author(), Extra::default()).await.unwrap();
    let lost = commit(bench.store.as_ref(), &snapshot, &b, author(), Extra::default()).await;
    assert!(matches!(lost, Err(CommitError::Conflict { extra_only: false, .. })), "{lost:?}");
}

#[tokio::test]
async fn overlapping_networks_cannot_both_be_made() {
    let network = |name: &str, vni: u32, subnet: &str| json!([{"kind": "network", "tenant": "blue", "name": name, "vni": vni, "ipv4": {"subnet": subnet}}]);
    skew(network("x", 50, "10.9.0.0/16"), network("y", 60, "10.9.1.0/24")).await;
}

#[tokio::test]
async fn one_number_and_one_address_have_one_owner() {
    let tenant = |name: &str| json!([{"kind": "tenant", "name": name}]);
    skew(tenant("x"), tenant("y")).await;
    let endpoint = |name: &str| json!([{"kind": "endpoint", "tenant": "blue", "name": name, "network": "web", "node": "n1"}]);
    skew(endpoint("x"), endpoint("y")).await;
}

#[tokio::test]
async fn what_was_so_on_an_old_view_is_not_taken_for_so() {
    let blue = json!({"kind": "tenant", "name": "blue"});
    let denying = json!([{"kind": "tenant", "name": "blue", "defaultAction": "deny"}]);
    skew(denying.clone(), json!([blue])).await;
    skew(denying, json!([blue, {"kind": "tenant", "name": "x"}])).await;
}

#[tokio::test]
async fn what_a_view_shows_is_asked_of_the_store() {
    let bench = bench().await;
    let old = bench.informer.snapshot();
    bench.apply(json!([{"kind": "tenant", "name": "blue"}])).await;
    let confirm = async |snapshot: &Snapshot, name: &str| {
        let mut draft = Draft::new(snapshot, bench.store.limits());
        let tenant = object("tenant", name);
        let added = draft.add(Intention::AsSeen(&tenant), author(), Extra::default()).unwrap();
        assert_eq!(added, Admission::In);
        draft.commit(bench.store.as_ref()).await
    };
    let found = confirm(&old, "blue").await;
    assert!(matches!(found, Err(CommitError::Conflict { extra_only: false, .. })), "{found:?}");
    let none = confirm(&old, "red").await.unwrap();
    assert_eq!(none.revision, old.revision());
    let seen = bench.informer.snapshot();
    let same = confirm(&seen, "blue").await.unwrap();
    assert_eq!(same.revision, seen.revision());
    bench.apply(json!([{"kind": "tenant", "name": "blue", "defaultAction": "deny"}])).await;
    let changed = confirm(&seen, "blue").await;
    assert!(matches!(changed, Err(CommitError::Conflict { .. })), "{changed:?}");
}

#[tokio::test]
async fn what_came_into_use_meanwhile_is_not_deleted() {
    for (user, target) in [
        (json!([{"kind": "group", "tenant": "blue", "name": "g", "network": "six"}]), "network blue/six"),
        (
            json!([{"kind": "endpoint", "tenant": "blue", "name": "e", "network": "web", "node": "n2"}]),
            "node n2",
        ),
        (
            json!([{"kind": "network", "tenant": "red", "name": "n", "ipv4": {"subnet": "10.0.0.0/24"}}]),
            "tenant red",
        ),
    ] {
        let bench = bench().await;
        bench.join("n1").await;
        bench.apply(web()).await;
        bench.apply(json!([{"kind": "tenant", "name": "red"}, {"kind": "network", "tenant": "blue", "name": "six", "ipv6": {"subnet": "fd06::/64"}}])).await;
        let snapshot = bench.informer.snapshot();
        let spec = serde_json::from_value(json!({"name": "n2", "vtep": "198.18.0.2"})).unwrap();
        let mut uid = || EndpointUid::MAX;
        let supply = Supply { taken: snapshot.taken(), uid: &mut uid };
        let join = model::plan_node(snapshot.view(), supply, spec, "00".into()).unwrap();
        let done = commit(bench.store.as_ref(), &snapshot, &join, author(), Extra::default()).await.unwrap();
        let snapshot = bench.informer.reach(done.revision).await.unwrap();

        let (kind, name) = target.split_once(' ').unwrap();
        let removal = plan_delete(snapshot.view(), &object(kind, name)).unwrap();
        // Deleted first, the user must not appear; used first, it must not be deleted.
        let used = plan_on(&snapshot, user);
        let _: Committed =
            commit(bench.store.as_ref(), &snapshot, &used, author(), Extra::default()).await.unwrap();
        let lost = remove(bench.store.as_ref(), &snapshot, &removal, author(), Extra::default()).await;
        assert!(matches!(lost, Err(CommitError::Conflict { .. })), "{target}: {lost:?}");
    }
}

#[tokio::test]
async fn what_was_deleted_meanwhile_is_not_referred_to() {
    let bench = bench().await;
    bench.join("n1").await;
    bench.apply(web()).await;
    bench
        .apply(json!([{"kind": "network", "tenant": "blue", "name": "six", "ipv6": {"subnet": "fd06::/64"}}]))
        .await;
    let snapshot = bench.informer.snapshot();
    let group =
        plan_on(&snapshot, json!([{"kind": "group", "tenant": "blue", "name": "g", "network": "six"}]));
    bench.remove(&object("network", "blue/six")).await.unwrap();
    let lost = commit(bench.store.as_ref(), &snapshot, &group, author(), Extra::default()).await;
    assert!(matches!(lost, Err(CommitError::Conflict { .. })), "{lost:?}");
}

#[tokio::test]
async fn conflict_of_an_extra_condition_is_told_apart() {
    let bench = bench().await;
    let snapshot = bench.informer.snapshot();
    let plan = plan_on(&snapshot, json!([{"kind": "tenant", "name": "blue"}]));
    let absent = crate::keys::Entry::StoreId.key();
    let extra = Extra { compares: vec![crate::Compare::Absent(absent)], ops: Vec::new() };
    let lost = commit(bench.store.as_ref(), &snapshot, &plan, author(), extra).await;
    assert!(matches!(lost, Err(CommitError::Conflict { extra_only: true, .. })), "{lost:?}");
}

#[tokio::test]
async fn damaged_object_stops_the_informer_instead_of_hiding() {
    let bench = bench().await;
    let key = object_key(&object("tenant", "blue")).unwrap().key();
    let txn = crate::Txn::new().put(key, r#"{"schema":9,"kind":"Tenant","object":{}}"#);
    let revision = bench.store.txn(txn).await.unwrap().revision().unwrap();
    let reached = tokio::time::timeout(Duration::from_secs(5), bench.informer.reach(revision)).await.unwrap();
    assert!(reached.is_err());
    let refused = start(bench.store.clone()).await.err().unwrap().to_string();
    assert!(refused.contains("tenants/blue") && refused.contains("schema 9"), "{refused}");
}

#[tokio::test]
async fn a_full_policy_is_replaced_rule_by_rule_within_stock_etcds_limits() {
    let bench = bench().await;
    assert_eq!(bench.store.limits(), crate::Limits::default());
    bench.apply(json!([{"kind": "tenant", "name": "blue"}, {"kind": "group", "tenant": "blue", "name": "web-servers", "network": "n"},
        {"kind": "network", "tenant": "blue", "name": "n", "ipv4": {"subnet": "10.1.1.0/24"}}])).await;
    let policy = |generation: usize| {
        let rules = (0..4_096).map(|n| {
            json!({"name": format!("rule-{generation}-{n:04}"), "direction": "ingress", "priority": 10, "peer": {"group": "web-servers"},
                   "services": [format!("tcp/{}", n + generation)], "action": "allow"})
        });
        json!([{"kind": "policy", "tenant": "blue", "name": "guard", "rules": rules.collect::<Vec<_>>()}])
    };
    bench.apply(policy(1)).await;
    let replaced = bench.apply(policy(2)).await;
    let (items, _) = list_all(bench.store.as_ref(), &Prefix::everything()).await.unwrap();
    let record =
        items.iter().find(|kv| kv.modified == replaced && Prefix::changes().contains(&kv.key)).unwrap();
    let record = ChangeRecord::decode(&record.value).unwrap();
    let change = &record.objects["policy/blue/guard"];
    let rules = |v: &Option<Value>| v.as_ref().unwrap()["spec"]["rules"].as_array().unwrap().len();
    assert_eq!((rules(&change.before), rules(&change.after)), (4_096, 4_096));
}
