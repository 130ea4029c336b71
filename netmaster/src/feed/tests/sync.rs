use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt as _;
use node_api::{
    EndpointState, EndpointStatus, ErrorCode, Known, MasterMessage, Nack, Realized, Warning, WarningCode,
};
use node_state::{FragmentHash, FragmentKey};
use types::*;

use super::fixture::*;

#[tokio::test]
async fn new_agent_gets_exactly_its_span() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let _b = world.join("node-b", 2).await;
    world.plug("blue", 2, "node-a");
    world.plug("red", 2, "node-b");
    let (_to, _from) = a.synced(&world).await;
    let kinds: Vec<String> = a.held.keys().map(ToString::to_string).collect();
    assert_eq!(kinds, ["node/node-a", "vrf/1", "network/101", "endpoint/000000000002"]);
}

#[tokio::test]
async fn one_more_endpoint_is_one_fragment_in_span_and_nothing_elsewhere() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let mut b = world.join("node-b", 2).await;
    world.plug("blue", 2, "node-a");
    world.plug("red", 2, "node-b");
    let (to, mut from) = a.synced(&world).await;
    let (_to_b, mut from_b) = b.synced(&world).await;

    let revision = world.plug("blue", 3, "node-a");
    let update = next_update(&mut from).await;
    assert_eq!(update.revision, revision);
    assert!(update.removes.is_empty());
    assert_eq!(update.upserts.keys().map(ToString::to_string).collect::<Vec<_>>(), ["endpoint/000000000003"]);
    assert!(update.upserts.values().all(|f| f.len() <= 2048));
    to.ack(update.revision).await.unwrap();
    world.wait_status("node-a", "the new revision held", |s| s.held == Some(revision)).await;

    // node-b's session has seen the change, has nothing to say about it, and counts as up to date.
    world.wait_status("node-b", "the new revision held", |s| s.held == Some(revision)).await;
    assert!(from_b.next().now_or_never().is_none());
}

#[tokio::test]
async fn removed_objects_are_removed() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    world.plug("blue", 2, "node-a");
    let (to, mut from) = a.synced(&world).await;
    world.intent.change(|v| v.endpoints = Default::default());
    a.sync(&world, &to, &mut from).await;
    assert_eq!(a.held.keys().map(ToString::to_string).collect::<Vec<_>>(), ["node/node-a"]);
}

#[tokio::test]
async fn agent_that_comes_back_with_its_hashes_is_sent_nothing() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    world.plug("blue", 2, "node-a");
    let session = a.synced(&world).await;
    drop(session);
    let (_to, mut from) = a.session().await;
    assert_eq!(next_message(&mut from).await, Ok(Some(MasterMessage::Ping)));
    let revision = world.intent.view().revision;
    world.wait_status("node-a", "everything held", |s| s.session.is_some() && s.held == Some(revision)).await;
    assert!(from.next().now_or_never().is_none());
}

#[tokio::test]
async fn slow_agent_gets_the_latest_state_and_no_queue() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let plugged = world.plug("blue", 2, "node-a");
    world.feed.snapshots().wait_for(|s| s.revision() == plugged).await.unwrap();
    let (to, mut from) = a.session().await;
    let first = next_update(&mut from).await;
    for n in 3..40 {
        world.plug("blue", n, "node-a");
    }
    let last = world.intent.view().revision;
    let mut snapshots = world.feed.snapshots();
    snapshots.wait_for(|s| s.revision() == last).await.unwrap();
    assert!(from.next().now_or_never().is_none());
    a.apply(&first);
    to.ack(first.revision).await.unwrap();
    let second = next_update(&mut from).await;
    assert_eq!((second.revision, second.upserts.len()), (last, 37));
    a.apply(&second);
    assert_eq!(a.held, world.span(&a.node));
}

#[tokio::test]
async fn slow_agent_holds_up_nobody_and_gets_what_changed_often_once() {
    let world = World::start().await;
    let mut slow = world.join("node-a", 1).await;
    let mut quick = world.join("node-b", 2).await;
    world.plug("blue", 2, "node-a");
    world.plug("blue", 3, "node-b");
    let (to, mut from) = slow.synced(&world).await;
    let (to_quick, mut from_quick) = quick.synced(&world).await;
    for n in 0..40 {
        world.intent.change(|v| {
            let mut tenant = v.tenants.values().next().unwrap().clone();
            let (deny, allow) = (DefaultAction::Deny, DefaultAction::Allow);
            tenant.spec.default_action = if n % 2 == 0 { deny } else { allow };
            v.tenants.insert(tenant.spec.name.clone(), tenant);
        });
        world.plug("blue", 10 + n, "node-b");
        quick.sync(&world, &to_quick, &mut from_quick).await;
    }
    // One update was on its way; all the rest comes at once.
    let first = next_update(&mut from).await;
    slow.apply(&first);
    to.ack(first.revision).await.unwrap();
    let rest = next_update(&mut from).await;
    slow.apply(&rest);
    to.ack(rest.revision).await.unwrap();
    assert_eq!(slow.held, world.span(&slow.node));
    assert!(slow.received.updates <= 4, "{:?}", slow.received);
}

#[tokio::test]
async fn nack_is_shown_and_the_fragment_not_repeated_until_it_changes() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    world.plug("blue", 2, "node-a");
    let (to, mut from) = a.synced(&world).await;
    world.plug("blue", 3, "node-a");
    let update = next_update(&mut from).await;
    let key = update.upserts.keys().next().unwrap().clone();
    let refusals = BTreeMap::from([(key.to_string(), "unknown field `mtu`".to_owned())]);
    to.nack(Nack { revision: update.revision, refusals }).await.unwrap();
    let status = world.wait_status("node-a", "the nack", |s| !s.refused.is_empty()).await;
    assert_eq!(status.refused, BTreeMap::from([(key.clone(), "unknown field `mtu`".to_owned())]));

    // Another change brings only itself.
    world.plug("blue", 4, "node-a");
    let update = next_update(&mut from).await;
    assert_eq!(update.upserts.keys().map(ToString::to_string).collect::<Vec<_>>(), ["endpoint/000000000004"]);
    to.ack(update.revision).await.unwrap();

    // New content of the refused one is tried again, and the status clears.
    world.intent.change(|v| {
        let e = v.endpoints.values().find(|e| FragmentKey::Endpoint(e.uid) == key).unwrap();
        let addresses = vec!["10.1.1.77".parse().unwrap()];
        let e = model::Endpoint { addresses, ..e.clone() };
        v.apply(model::ViewEvent::Put(Box::new(model::Object::Endpoint(e))));
    });
    let update = next_update(&mut from).await;
    assert_eq!(update.upserts.keys().collect::<Vec<_>>(), [&key]);
    to.ack(update.revision).await.unwrap();
    world
        .wait_status("node-a", "no refusal", |s| s.refused.is_empty() && s.held == Some(update.revision))
        .await;
}

#[tokio::test]
async fn another_history_is_compared_in_full_and_told() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    world.plug("blue", 2, "node-a");
    let session = a.synced(&world).await;
    drop(session);
    let store_id = world.store.store_id().clone();
    let elsewhere = StoreId::new("f".repeat(32)).unwrap();
    // Far ahead, but in a history that is over; and holding something of it.
    a.known = Some(Known { store_id: elsewhere, revision: Revision::new(1_000_000) });
    a.held.insert(FragmentKey::Vrf(VrfId::new(9).unwrap()), FragmentHash::of(b"old"));
    let (to, mut from) = a.session().await;
    let update = next_update(&mut from).await;
    assert_eq!(update.store_id, store_id);
    assert!(update.upserts.is_empty());
    assert_eq!(update.removes, BTreeSet::from([FragmentKey::Vrf(VrfId::new(9).unwrap())]));
    a.apply(&update);
    to.ack(update.revision).await.unwrap();
    drop((to, from));

    // Equal in everything but the history: told all the same.
    a.known = Some(Known { store_id: StoreId::new("f".repeat(32)).unwrap(), revision: Revision::new(1) });
    let (_to, mut from) = a.session().await;
    let update = next_update(&mut from).await;
    assert_eq!((update.store_id, update.upserts.len(), update.removes.len()), (store_id, 0, 0));
}

#[tokio::test]
async fn replica_that_is_behind_serves_once_it_has_caught_up_and_not_before() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let session = a.synced(&world).await;
    drop(session);
    let now = world.intent.view().revision.get();
    let known = |r| Some(Known { store_id: world.store.store_id().clone(), revision: Revision::new(r) });

    a.known = known(now + 1);
    let waiting = a.client.session(a.subscribe());
    let (opened, _) = tokio::join!(waiting, async { world.plug("blue", 2, "node-a") });
    assert!(opened.is_ok());

    a.known = known(now + 1000);
    let refused = a.client.session(a.subscribe()).await.unwrap_err();
    assert_eq!(refused.code, Some(ErrorCode::Behind));
    assert!(refused.is_transient());
}

#[tokio::test]
async fn newest_session_of_a_node_wins() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let (_to, mut old) = a.synced(&world).await;
    let (_to_new, mut new) = a.session().await;
    assert_eq!(last_word(&mut old).await.code, Some(ErrorCode::Superseded));
    world.plug("blue", 2, "node-a");
    next_update(&mut new).await;
    world.wait_status("node-a", "still connected", |s| s.session.is_some() && s.disconnected.is_none()).await;
    drop((_to_new, new));
    world.wait_status("node-a", "disconnected", |s| s.session.is_none() && s.disconnected.is_some()).await;
}

#[tokio::test]
async fn removal_of_a_node_ends_its_session_and_its_status() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let (_to, mut from) = a.synced(&world).await;
    world.intent.change(|v| v.nodes = Default::default());
    assert_eq!(last_word(&mut from).await.code, Some(ErrorCode::NodeUnknown));
    let mut status = world.feed.status();
    status.wait_for(|s| s.nodes().next().is_none()).await.unwrap();
}

#[tokio::test]
async fn removal_is_noticed_though_the_agent_does_not_read() {
    let world = World::start().await;
    let a = world.join("node-a", 1).await;
    // Some 15 MiB, far more than the transport takes unread.
    for n in 0..60_000_u64 {
        world.intent.change_quietly(|v| {
            let at = EndpointName::new(format!("e{n}")).unwrap();
            let spec = model::EndpointSpec {
                tenant: name("blue"),
                name: at.clone(),
                network: name("big"),
                group: None,
                node: node_name("node-a"),
                ipv4: None,
                ipv6: None,
            };
            let [.., x, y] = (n as u32).to_be_bytes();
            let address = std::net::IpAddr::from([10, 64, x, y]);
            v.endpoints.insert((name("blue"), at), endpoint_at(spec, n + 5000, address));
        });
    }
    let big = model::SubnetSpec { subnet: "10.64.0.0/12".parse().unwrap(), gateway: None };
    let spec = model::NetworkSpec {
        tenant: name("blue"),
        name: name("big"),
        ipv4: Some(big),
        ipv6: None,
        vni: None,
    };
    let revision =
        world.intent.put(model::Object::Network(model::Network { spec, vni: Vni::new(900).unwrap() }));
    world.feed.snapshots().wait_for(|s| s.revision() == revision).await.unwrap();

    let (_to, mut from) = a.session().await;
    world
        .wait_status("node-a", "an update on its way", |s| {
            s.session.as_ref().is_some_and(|s| s.sending == Some(revision))
        })
        .await;
    world.intent.change(|v| v.nodes = Default::default());
    world.feed.status().wait_for(|s| s.nodes().next().is_none()).await.unwrap();
    assert_eq!(last_word(&mut from).await.code, Some(ErrorCode::NodeUnknown));
}

#[tokio::test]
async fn shutdown_ends_sessions_and_the_server() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let (_to, mut from) = a.synced(&world).await;
    world.stop.send_replace(true);
    let word = last_word(&mut from).await;
    assert_eq!((word.code, word.is_transient()), (Some(ErrorCode::ShuttingDown), true));
    drop((_to, from, a));
    tokio::time::timeout(PATIENCE, world.server).await.expect("server did not end").unwrap().unwrap();
}

fn realized(revision: Revision) -> Realized {
    let up = EndpointStatus { state: EndpointState::Ready, reason: String::new() };
    Realized {
        revision,
        flows: 321,
        endpoints: BTreeMap::from([(EndpointUid::new(2).unwrap(), up)]),
        warnings: vec![Warning {
            code: WarningCode::new("tunnel_neighbor_cold").unwrap(),
            text: "192.0.2.2 does not answer".to_owned(),
        }],
        refused: BTreeMap::new(),
    }
}

#[tokio::test]
async fn reports_are_shown_and_count_for_later_revisions_that_change_nothing_here() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let _b = world.join("node-b", 2).await;
    world.plug("blue", 2, "node-a");
    let (to, _from) = a.synced(&world).await;
    let revision = a.known.as_ref().unwrap().revision;
    to.realized(realized(revision)).await.unwrap();
    let status = world.wait_status("node-a", "the report", |s| s.realized_through == Some(revision)).await;
    assert_eq!(status.realized.as_deref(), Some(&realized(revision)));

    let later = world.plug("red", 2, "node-b");
    world.wait_status("node-a", "the later revision", |s| s.realized_through == Some(later)).await;

    // A change for this node is not realized before the agent says so.
    let mine = world.plug("blue", 3, "node-a");
    let status = world
        .wait_status("node-a", "the update on its way", |s| {
            s.session.as_ref().is_some_and(|s| s.sending == Some(mine))
        })
        .await;
    assert_eq!(status.realized_through, Some(later));
}
