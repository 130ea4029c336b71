//! One release apart, in both directions, over the session.

use node_api::{ErrorCode, PROTOCOL};
use node_state::{Dialect, SCHEMA};

use super::fixture::*;

#[tokio::test]
async fn agents_of_the_release_before_and_after_are_served() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    world.plug("blue", 2, "node-a");
    for (protocol, schema) in [(PROTOCOL + 1, SCHEMA + 1), (PROTOCOL - 1, SCHEMA), (PROTOCOL, SCHEMA)] {
        a.protocol = protocol;
        a.dialect = Some(Dialect::new(schema, ["of-another-release".to_owned()]));
        a.held.clear();
        a.known = None;
        let (_to, from) = a.synced(&world).await;
        assert_eq!(from.protocol(), PROTOCOL, "the agent can tell what it must not say");
    }
}

#[tokio::test]
async fn agent_two_protocols_apart_is_refused_with_both_numbers() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    a.protocol = PROTOCOL + 2;
    let refused = a.open().await.unwrap_err();
    assert_eq!(refused.code, Some(ErrorCode::ProtocolUnsupported));
    assert!(refused.text.contains(&(PROTOCOL + 2).to_string()), "{refused}");
}

#[tokio::test]
async fn agent_that_is_too_old_says_so_keeps_its_session_and_is_mended_by_its_upgrade() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let mut b = world.join("node-b", 2).await;
    world.plug("blue", 2, "node-a");
    let plugged = world.plug("blue", 3, "node-b");
    // So that the first update has all of it.
    world.feed.snapshots().wait_for(|s| s.revision() >= plugged).await.unwrap();
    // One that understands nothing of it.
    a.dialect = Some(Dialect::new(SCHEMA - 1, []));
    let (to, mut from) = a.session().await;
    let update = next_update(&mut from).await;
    a.answer(&update, &to).await.unwrap();
    let status = world.wait_status("node-a", "refusals", |s| !s.refused.is_empty()).await;
    assert!(status.refused.keys().eq(update.upserts.keys()), "{status:?}");
    assert!(status.refused.values().all(|why| why.contains("schema")), "{status:?}");
    assert!(a.held.is_empty());

    // Only what changes is tried again; nobody else notices.
    world.plug("blue", 4, "node-b");
    let update = next_update(&mut from).await;
    assert_eq!(update.upserts.keys().map(ToString::to_string).collect::<Vec<_>>(), ["endpoint/000000000004"]);
    a.answer(&update, &to).await.unwrap();
    b.synced(&world).await;

    drop((to, from));
    a.dialect = Some(Dialect::default());
    let _session = a.synced(&world).await;
    world.wait_status("node-a", "no refusals", |s| s.refused.is_empty() && s.held.is_some()).await;
}
