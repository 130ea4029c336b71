//! DEL, now or later: what is owed to netmaster is told, to whom it was meant for and once.

use cni::{Reply, Verb, journal};

use crate::fakes::{request, synced, synced_with};

#[tokio::test]
async fn del_works_while_netmaster_is_away_and_is_told_later() {
    let (world, agent) = synced_with("web-1").await;
    agent.netmaster.go_away(true);
    agent.del("web-1").await;
    assert!(world.ports.view.borrow().endpoints.is_empty());
    agent.housekeeping.once().await;
    assert!(agent.netmaster.detached().is_empty());
    drop(agent);
    // The debt outlives the process.
    let agent = world.start().await;
    agent.housekeeping.once().await;
    assert_eq!(agent.netmaster.detached(), ["web-1"]);
    agent.housekeeping.once().await;
    assert_eq!(agent.netmaster.detached().len(), 1, "told once");
}

#[tokio::test]
async fn del_does_not_wait_for_a_netmaster_that_does_not_answer() {
    let (_world, agent) = synced_with("web-1").await;
    agent.netmaster.be_silent(true);
    let answered = tokio::time::timeout(std::time::Duration::from_secs(20), agent.del("web-1")).await;
    assert!(answered.is_ok(), "DEL waits for netmaster");
    agent.netmaster.be_silent(false);
    agent.housekeeping.once().await;
    assert_eq!(agent.netmaster.detached(), ["web-1"], "told later");
}

#[tokio::test]
async fn an_add_first_carries_out_the_deletion_that_is_still_owed() {
    let (_world, agent) = synced_with("web-1").await;
    agent.netmaster.go_away(true);
    agent.del("web-1").await;
    agent.netmaster.go_away(false);
    agent.add("web-1").await;
    agent.housekeeping.once().await;
    assert_eq!((agent.netmaster.detached().len(), agent.netmaster.endpoints()), (1, 1));
}

#[tokio::test]
async fn a_deletion_that_arrives_late_leaves_the_next_endpoint_of_its_name_alone() {
    let (world, agent) = synced_with("web-1").await;
    agent.netmaster.be_silent(true);
    agent.del("web-1").await;
    agent.netmaster.be_silent(false);
    agent.add("web-1").await;
    assert_eq!((agent.netmaster.detached().len(), agent.netmaster.endpoints()), (1, 1));
    assert_eq!(agent.netmaster.deliver_late().await, 1);
    agent.status().await;
    assert_eq!((agent.netmaster.detached().len(), agent.netmaster.endpoints()), (1, 1));
    assert_eq!(world.ports.view.borrow().endpoints.len(), 1);
}

/// Nothing of it is known here: netmaster is asked what there is, and told to delete that.
#[tokio::test]
async fn an_endpoint_nobody_here_heard_of_is_deleted_by_the_number_netmaster_tells() {
    let (_world, agent) = synced().await;
    agent.netmaster.swallow_attach(true);
    assert!(matches!(agent.server.answer(request(Verb::Add, "web-1")).await, Reply::Failed(_)));
    agent.netmaster.swallow_attach(false);
    assert_eq!(agent.netmaster.endpoints(), 1);
    agent.netmaster.be_silent(true);
    agent.del("web-1").await;
    agent.netmaster.be_silent(false);
    // What was on its way asks, so that it does no harm whenever it arrives.
    assert_eq!((agent.netmaster.deliver_late().await, agent.netmaster.endpoints()), (1, 1));
    agent.housekeeping.once().await;
    assert_eq!((agent.netmaster.detached().len(), agent.netmaster.endpoints()), (1, 0));
}

#[tokio::test]
async fn what_the_plugin_journalled_is_carried_out() {
    let (world, agent) = synced_with("web-1").await;
    let entry = journal::record(&world.file("journal"), &request(Verb::Del, "web-1")).unwrap();
    std::fs::write(world.file("journal/broken.del"), "{").unwrap();
    agent.housekeeping.once().await;
    assert!(!entry.exists());
    assert!(world.file("journal/broken.bad").exists(), "set aside, not forgotten");
    assert!(world.ports.view.borrow().endpoints.is_empty());
}

#[tokio::test]
async fn a_late_del_of_another_container_leaves_the_endpoint_alone() {
    let (_world, agent) = synced_with("web-1").await;
    let mut late = request(Verb::Del, "web-1");
    late.attachment.as_mut().unwrap().container_id = "the-one-before".into();
    assert_eq!(agent.server.answer(late).await, Reply::Done);
    assert_eq!(agent.ask(Verb::Check, "web-1").await, Reply::Done);
}

#[tokio::test]
async fn a_journalled_deletion_is_overtaken_by_an_add_that_works_and_by_no_other() {
    let (world, agent) = synced_with("web-1").await;
    let entry = journal::record(&world.file("journal"), &request(Verb::Del, "web-1")).unwrap();
    agent.netmaster.go_away(true);
    assert!(matches!(agent.ask(Verb::Add, "web-1").await, Reply::Failed(_)));
    assert!(entry.exists(), "the deletion is still owed");
    agent.netmaster.go_away(false);
    agent.add("web-1").await;
    agent.housekeeping.once().await;
    assert_eq!(agent.ask(Verb::Check, "web-1").await, Reply::Done);
}
