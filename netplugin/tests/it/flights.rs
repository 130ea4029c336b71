//! What the agent does while a bundle is with the switch, told with fakes.

use std::time::Duration;

use netplugin::agent::Event;
use netplugin::switch::SwitchEvent;

use crate::fakes::{World, synced, synced_with};

/// Waits until so many bundles came to the switch.
async fn bundles(world: &World, count: usize) {
    let mut came = world.switch.bundles.subscribe();
    let wait = came.wait_for(|bundles| *bundles >= count);
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("a bundle").unwrap();
}

#[tokio::test]
async fn while_a_bundle_is_with_the_switch_others_are_answered_and_go_together_into_the_next() {
    let (world, agent) = synced_with("web-0").await;
    agent.status().await;
    world.log.take();
    let before = *world.switch.bundles.borrow();
    world.switch.busy.send_replace(true);
    let first = agent.add("web-1");
    let rest = async {
        bundles(&world, before + 1).await;
        let wait = tokio::time::timeout(Duration::from_secs(20), agent.status());
        wait.await.expect("the agent answers while the switch does not");
        let let_go = async {
            let mut view = agent.reports.clone();
            let both = view.wait_for(|r| r.as_ref().is_some_and(|r| r.endpoints.len() == 4));
            tokio::time::timeout(Duration::from_secs(20), both)
                .await
                .expect("intent reached the node")
                .unwrap();
            // Their numbers are given out by now, and of several no interface is made before the flows are accepted.
            agent.status().await;
            let made = world.log.take().iter().filter(|line| line.contains("interface")).count();
            assert!(made <= 1, "{made}: the first had no company");
            assert_eq!(*world.switch.bundles.borrow(), before + 1, "one at a time");
            world.switch.busy.send_replace(false);
        };
        tokio::join!(agent.add("web-2"), agent.add("web-3"), let_go);
    };
    tokio::join!(first, rest);
    assert_eq!(*world.switch.bundles.borrow(), before + 2, "{:?}", world.log.take());
}

#[tokio::test]
async fn an_interface_is_made_when_its_flows_are_accepted_and_comes_up_when_they_are_in_force() {
    let (world, agent) = synced().await;
    agent.status().await;
    world.log.take();
    world.switch.slow.send_replace(true);
    let watches = async {
        let mut view = world.ports.view.subscribe();
        let plugged = view.wait_for(|view| !view.endpoints.is_empty());
        tokio::time::timeout(Duration::from_secs(20), plugged).await.expect("a port").unwrap();
        agent.status().await;
        let so_far = world.log.take().join("\n");
        assert!(so_far.contains("interface") && !so_far.contains("bundle"), "{so_far}");
        let links = world.interfaces.up.lock().unwrap().clone();
        assert!(!links.values().any(|up| *up), "its flows are not in force: {links:?}");
        world.switch.slow.send_replace(false);
    };
    tokio::join!(agent.add("web-1"), watches);
    assert!(world.interfaces.up.lock().unwrap().values().all(|up| *up));
}

#[tokio::test]
async fn a_bundle_that_lands_after_its_connection_broke_proves_nothing() {
    let (world, agent) = synced().await;
    agent.status().await;
    let (came, dumps) = (*world.switch.bundles.borrow(), *world.switch.dumps.lock().unwrap());
    world.switch.busy.send_replace(true);
    let breaks = async {
        bundles(&world, came + 1).await;
        agent.handle.tell(Event::Switch(SwitchEvent::Down("gone".into()))).await.unwrap();
        agent.status().await;
        world.switch.busy.send_replace(false);
        agent.status().await;
        let links = world.interfaces.up.lock().unwrap().clone();
        assert!(!links.values().any(|up| *up), "nothing is known of the switch: {links:?}");
        agent.connect(&world.switch).await;
    };
    tokio::join!(agent.add("web-1"), breaks);
    assert!(*world.switch.dumps.lock().unwrap() > dumps, "all flows were read back");
}

#[tokio::test]
async fn who_looks_at_the_switch_is_told_when_flows_are_on_their_way_or_about_to_leave() {
    let (world, agent) = synced_with("web-0").await;
    agent.status().await;
    let before = agent.handle.look().await.unwrap().expect("nothing is under way");
    let (uid, port) = before.ports.first_key_value().expect("the endpoint's port");
    let database = world.ports.view.borrow().clone();
    assert_eq!(database.endpoints.get(uid).unwrap().ofport.as_ref(), Ok(port));
    assert_eq!(before.tunnel, database.tunnel);

    let bundle = *world.switch.bundles.borrow() + 1;
    world.switch.slow.send_replace(true);
    let look = async {
        bundles(&world, bundle).await;
        let busy = agent.handle.look().await.unwrap().err();
        assert_eq!(busy, Some("flows are being changed"));
        world.switch.slow.send_replace(false);
    };
    tokio::join!(agent.add("web-1"), look);
    agent.status().await;
    let after = agent.handle.look().await.unwrap().expect("nothing is under way any more");
    assert_eq!(after.ports.len(), 2);
    assert!(!after.is_still(&before) && after.is_still(&after));
}
