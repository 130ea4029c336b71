//! What the agent promises, told with fakes.

use std::time::Duration;

use cni::{Code, Reply, Verb};
use netplugin::agent::{Event, SessionEvent};
use netplugin::report::{IntentStatus, Status};
use netplugin::switch::{FlowEdit, SwitchEvent};
use node_api::{AgentMessage, EndpointState};
use openflow::{FlowKey, PackedKey};
use pipeline::FlowPlan;
use types::EndpointUid;

use crate::fakes::{FakeAgent, World, request, synced, synced_with};
use crate::netmaster::{deny_tcp, group};

fn uid(n: u64) -> EndpointUid {
    EndpointUid::new(n).unwrap()
}

#[tokio::test]
async fn add_brings_the_link_up_when_flows_and_port_are_there_and_del_goes_back() {
    let (world, agent) = synced().await;
    agent.status().await;
    world.log.take();
    let Reply::Added(result) = agent.ask(Verb::Add, "web-1").await else { panic!("failed") };
    assert_eq!(result.interfaces[0].mtu, Some(1450), "the uplink's minus the encapsulation");
    let log = world.log.take();
    let at = |what: &str| {
        let found: Vec<usize> = (0..log.len()).filter(|n| log[*n] == what).collect();
        assert_eq!(found.len(), 1, "{what}: {log:?}");
        found[0]
    };
    // One bundle, with the flows of endpoint and port, and nothing tracked about its addresses outlives it.
    let (flows, port) = (["bundle adds", "connections forgotten"], ["interface created", "port plugged"]);
    for steps in [flows, port] {
        assert!([steps[0], steps[1], "link up"].map(at).is_sorted() && log.len() == 5, "{log:?}");
    }
    agent.del("web-1").await;
    agent.status().await;
    assert_eq!(
        world.log.take(),
        ["bundle deletes", "port unplugged", "interface deleted", "bundle deletes", "connections forgotten"],
        "no flow of the port, then no port, then no interface, then no endpoint, and nothing tracked of it"
    );
    assert_eq!(agent.netmaster.detached(), ["web-1"]);
}

#[tokio::test]
async fn a_restart_sends_no_flow_with_or_without_netmaster() {
    let (world, agent) = synced_with("web-1").await;
    agent.add("web-2").await;
    let flows = world.switch.flows.lock().unwrap().clone();
    drop(agent);
    let restarted = world.start().await;
    let status = restarted.status().await;
    assert_eq!((status.flow_mods, status.intent), (0, IntentStatus::Saved));
    assert_eq!(status.endpoints.len(), 2);
    restarted.handle.tell(Event::Session(SessionEvent::InSync)).await.unwrap();
    let status = restarted.status().await;
    assert_eq!((status.flow_mods, status.intent), (0, IntentStatus::Current));
    assert_eq!(*world.switch.flows.lock().unwrap(), flows);
}

#[tokio::test]
async fn a_switch_that_lost_its_flows_gets_them_back_when_it_connects() {
    let (world, agent) = synced_with("web-1").await;
    let before = std::mem::take(&mut *world.switch.flows.lock().unwrap());
    agent.handle.tell(Event::Switch(SwitchEvent::Down("gone".into()))).await.unwrap();
    let status = agent.status().await;
    assert!(!status.switch_connected && status.warnings == ["switch_disconnected: gone"], "{status:?}");
    agent.connect(&world.switch).await;
    agent.status().await;
    assert_eq!(*world.switch.flows.lock().unwrap(), before);
}

#[tokio::test]
async fn a_new_connection_does_not_wait_for_what_failed_on_the_last() {
    let world = World::new();
    *world.switch.refuse.lock().unwrap() = true;
    let agent = world.start().await;
    agent.netmaster.sync().await;
    agent.status().await;
    assert!(world.switch.flows.lock().unwrap().is_empty(), "the control");
    *world.switch.refuse.lock().unwrap() = false;
    agent.connect(&world.switch).await;
    agent.status().await;
    assert!(!world.switch.flows.lock().unwrap().is_empty());
}

/// Tells the agent that these flows were changed by somebody else.
async fn edited(agent: &FakeAgent, edits: Vec<FlowEdit>) {
    agent.handle.tell(Event::Switch(SwitchEvent::Edited(edits))).await.unwrap();
}

async fn repaired(agent: &FakeAgent, count: u64) -> Status {
    let wait = || async {
        let status = agent.status().await;
        if status.foreign_edits >= count { Ok(status) } else { Err(format!("{status:?}")) }
    };
    test_support::wait_for("the repair", Duration::from_secs(20), wait).await.unwrap()
}

#[tokio::test]
async fn a_foreign_edit_is_put_back_from_its_report_without_reading_the_switch() {
    let (world, agent) = synced().await;
    agent.status().await;
    let before = world.switch.flows.lock().unwrap().clone();
    let keys: Vec<PackedKey> = before.packed().map(|(key, _)| key.clone()).take(3).collect();
    let stray = PackedKey::new(&FlowKey { table: 3, priority: 7, ..FlowKey::default() }).unwrap();
    let foreign = PackedKey::new(&FlowKey { table: 3, priority: 8, ..FlowKey::default() }).unwrap();
    {
        let mut flows = world.switch.flows.lock().unwrap();
        let gone = FlowPlan { delete: keys[..2].to_vec(), ..FlowPlan::default() };
        gone.apply(&mut flows);
        let entry = before.get_packed(&keys[2]).unwrap().clone();
        let added = FlowPlan { add: vec![(stray.clone(), entry)], ..FlowPlan::default() };
        added.apply(&mut flows);
    }
    let dumps = *world.switch.dumps.lock().unwrap();
    let edit = |key: &PackedKey, ours, removed| FlowEdit { key: key.clone(), ours, removed };
    edited(&agent, vec![edit(&keys[0], true, true), edit(&keys[1], true, true)]).await;
    edited(&agent, vec![edit(&stray, true, false), edit(&foreign, false, false)]).await;
    let status = repaired(&agent, 3).await;
    assert_eq!(*world.switch.flows.lock().unwrap(), before);
    assert_eq!(status.foreign_edits, 3, "somebody's own flow is not counted: {:?}", status.drift);
    assert_eq!(*world.switch.dumps.lock().unwrap(), dumps, "nothing was read back");
    assert!(status.warnings.iter().any(|w| w.starts_with("drift: ")), "{:?}", status.warnings);
    agent.reported("drift", |r| r.warnings.iter().any(|w| w.code.as_str() == "drift")).await;
}

#[tokio::test]
async fn when_reports_may_be_missing_all_flows_are_compared() {
    let (world, agent) = synced().await;
    agent.status().await;
    let before = std::mem::take(&mut *world.switch.flows.lock().unwrap());
    agent.handle.tell(Event::Switch(SwitchEvent::Unseen("reports were paused"))).await.unwrap();
    let status = repaired(&agent, 1).await;
    assert_eq!(status.foreign_edits, before.len() as u64);
    assert_eq!(*world.switch.flows.lock().unwrap(), before);
}

#[tokio::test]
async fn one_change_is_one_small_bundle_and_reads_nothing_back() {
    let (world, agent) = synced_with("web-1").await;
    let (before, dumps) = (agent.status().await, *world.switch.dumps.lock().unwrap());
    agent.add("web-2").await;
    let after = agent.status().await;
    assert_eq!(*world.switch.dumps.lock().unwrap(), dumps);
    let (mods, flows) = (after.flow_mods - before.flow_mods, (after.flows - before.flows) as u64);
    assert!(mods >= flows && mods <= flows + 10, "{mods} changes for {flows} more flows");
}

#[tokio::test]
async fn knowing_nothing_it_touches_no_flow() {
    let (world, agent) = synced_with("web-1").await;
    drop(agent);
    let before = world.switch.flows.lock().unwrap().clone();
    let amnesiac = World { dir: World::new().dir, ..world.clone() };
    let agent = amnesiac.start().await;
    let status = agent.status().await;
    assert_eq!((status.intent, status.flow_mods), (IntentStatus::Nothing, 0));
    assert_eq!(*world.switch.flows.lock().unwrap(), before);
    assert!(world.ports.view.borrow().endpoints.len() == 1, "and reclaims no port");
}

#[tokio::test]
async fn a_damaged_state_file_counts_as_knowing_nothing() {
    let (world, agent) = synced().await;
    agent.status().await;
    drop(agent);
    let file = world.file("node-state");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let agent = world.start().await;
    assert_eq!(agent.status().await.intent, IntentStatus::Nothing);
}

#[tokio::test]
async fn not_knowing_the_ports_it_touches_no_flow() {
    let (world, agent) = synced_with("web-1").await;
    drop(agent);
    let before = world.switch.flows.lock().unwrap().clone();
    let view = world.ports.view.borrow().clone();
    world.ports.view.send_replace(Default::default());
    let agent = world.start().await;
    assert_eq!(agent.status().await.flow_mods, 0);
    assert_eq!(*world.switch.flows.lock().unwrap(), before);
    world.ports.view.send_replace(view);
    agent.reported("ready", |r| r.endpoints.values().any(|e| e.state == EndpointState::Ready)).await;
    let status = agent.status().await;
    assert!(status.flow_mods == 0 && status.warnings.is_empty(), "{status:?}");
    // The database goes away: what is known stays in force, and a person is told.
    world.ports.view.send_modify(|v| v.synced = false);
    agent.reported("away", |r| r.warnings.iter().any(|w| w.code.as_str() == "ports_unknown")).await;
    assert_eq!(agent.status().await.flow_mods, 0);
}

#[tokio::test]
async fn a_fragment_that_is_not_understood_is_nacked_and_the_last_good_one_enforced() {
    let (world, mut agent) = synced().await;
    agent.netmaster.put(deny_tcp()).await;
    agent.netmaster.put(group()).await;
    agent.status().await;
    let before = world.switch.flows.lock().unwrap().clone();
    while agent.answers.try_recv().is_ok() {}
    let newer =
        String::from_utf8(deny_tcp().encode()).unwrap().replace("\"verdict\"", "\"log\":true,\"verdict\"");
    let update = agent.netmaster.raw_update(&deny_tcp().key(), newer.into_bytes());
    agent.netmaster.send(update).await;
    let Some(AgentMessage::Nack(nack)) = agent.answers.recv().await else { panic!("no nack") };
    assert!(nack.refusals["policy/7"].contains("log"), "{nack:?}");
    agent.status().await;
    assert_eq!(*world.switch.flows.lock().unwrap(), before);
}

/// Another container under the same endpoint name; the first is as before, whenever the second fails.
#[tokio::test]
async fn an_add_that_fails_leaves_the_first_of_its_name_alone() {
    let (world, agent) = synced_with("web-1").await;
    let (ports, flows) = (world.ports.view.borrow().clone(), world.switch.flows.lock().unwrap().clone());
    let second = |verb| {
        let attachment = Some(cni::Attachment { container_id: "other".into(), ifname: "eth0".into() });
        cni::Request { attachment, ..request(verb, "web-1") }
    };

    // Before it takes anything.
    world.log.take();
    let early = cni::Request { netns: None, ..second(Verb::Add) };
    assert!(matches!(agent.server.answer(early).await, Reply::Failed(_)));
    assert_eq!((agent.netmaster.detached(), world.log.take()), (vec![], vec![]));

    // After it has taken the port: the second container's interface cannot be made.
    *world.interfaces.broken.lock().unwrap() = Some("/run/netns/second".into());
    let late = cni::Request { netns: Some("/run/netns/second".into()), ..second(Verb::Add) };
    assert!(matches!(agent.server.answer(late).await, Reply::Failed(_)));
    agent.status().await;
    assert_eq!((agent.netmaster.detached().len(), agent.netmaster.endpoints()), (0, 1));
    let labels = |view: &netplugin::ports::PortsView| -> Vec<_> {
        view.endpoints.iter().map(|(uid, port)| (*uid, port.labels.clone())).collect()
    };
    assert_eq!(labels(&world.ports.view.borrow()), labels(&ports));
    assert_eq!(world.switch.flows.lock().unwrap().len(), flows.len());
    assert_eq!(world.interfaces.up.lock().unwrap().values().collect::<Vec<_>>(), [&true]);

    // The runtime's DEL after a failed ADD is not about the first, either.
    assert_eq!(agent.server.answer(second(Verb::Del)).await, Reply::Done);
    assert_eq!((agent.netmaster.detached().len(), world.ports.view.borrow().endpoints.len()), (0, 1));
    agent.del("web-1").await;
    assert_eq!((agent.netmaster.detached().len(), world.ports.view.borrow().endpoints.len()), (1, 0));
}

#[tokio::test]
async fn an_add_that_fails_takes_back_what_it_did() {
    let (world, agent) = synced().await;
    *world.interfaces.broken.lock().unwrap() = Some("/run/netns/x".into());
    let Reply::Failed(error) = agent.ask(Verb::Add, "web-1").await else { panic!("succeeded") };
    assert_eq!(error.code, Code::NodeFailed);
    assert_eq!((agent.netmaster.endpoints(), world.ports.view.borrow().endpoints.len()), (0, 0));
    agent.status().await;
    assert!(!world.switch.flows.lock().unwrap().to_string().contains("in_port=32768"), "flows of no port");
    *world.interfaces.broken.lock().unwrap() = None;
    agent.add("web-1").await;
}

#[tokio::test]
async fn an_add_without_netmaster_asks_to_try_again() {
    let world = World::new();
    let agent = world.start().await;
    agent.netmaster.go_away(true);
    let Reply::Failed(error) = agent.ask(Verb::Add, "web-1").await else { panic!("succeeded") };
    assert_eq!(error.code, Code::TryAgainLater);
    let Reply::Failed(error) = agent.ask(Verb::Status, "web-1").await else { panic!("succeeded") };
    assert_eq!(error.code, Code::NotAvailable);
}

#[tokio::test]
async fn a_repeated_add_changes_nothing() {
    let (world, agent) = synced_with("web-1").await;
    world.log.take();
    agent.add("web-1").await;
    assert!(world.log.take().is_empty());
    // Half-done: the interface is gone, the port is not.
    world.interfaces.up.lock().unwrap().clear();
    agent.add("web-1").await;
    assert!(world.interfaces.up.lock().unwrap().values().all(|up| *up));
    assert_eq!(agent.ask(Verb::Check, "web-1").await, Reply::Done);
}

#[tokio::test]
async fn a_plugged_endpoint_that_intent_does_not_have_is_reclaimed_once_intent_is_known_good() {
    let (world, agent) = synced_with("web-1").await;
    let plugged = *world.ports.view.borrow().endpoints.keys().next().unwrap();
    agent.netmaster.remove(plugged).await;
    let mut view = world.ports.view.subscribe();
    view.wait_for(|v| v.endpoints.is_empty()).await.unwrap();
}

#[tokio::test]
async fn a_number_is_not_given_again_before_the_flows_that_name_it_are_gone() {
    let (world, agent) = synced_with("web-1").await;
    // Somebody takes the port out behind our back, and the switch refuses to drop its flows.
    *world.switch.refuse.lock().unwrap() = true;
    world.ports.view.send_modify(|v| v.endpoints.clear());
    agent.reported("refusal", |r| r.warnings.iter().any(|w| w.code.as_str() == "switch_refused")).await;
    std::fs::write(world.file("next-ofport"), "1").unwrap();
    drop(agent);
    // A new process that would begin at the very same number: FakePorts::plug asserts that no flow names it.
    let agent = world.start().await;
    let (add, ()) = tokio::join!(agent.ask(Verb::Add, "web-2"), async {
        agent.reported("refusal", |r| r.warnings.iter().any(|w| w.code.as_str() == "switch_refused")).await;
        *world.switch.refuse.lock().unwrap() = false;
    });
    assert!(matches!(add, Reply::Added(_)), "{add:?}");
    agent.reported("recovery", |r| r.warnings.is_empty()).await;
}

#[tokio::test]
async fn a_number_that_a_foreign_port_has_is_not_given_out() {
    let world = World::new();
    world.ports.view.send_modify(|v| v.others.extend(types::OfPort::new(32768)));
    let agent = world.start().await;
    agent.netmaster.sync().await;
    agent.add("web-1").await;
    let plugged = world.ports.view.borrow().endpoints.values().next().unwrap().requested;
    assert_eq!(plugged, types::OfPort::new(32769).ok());
}

#[tokio::test]
async fn numbers_go_on_where_the_last_process_stopped_and_are_written_down_in_blocks() {
    let (world, agent) = synced_with("web-1").await;
    assert_eq!(std::fs::read_to_string(world.file("next-ofport")).unwrap(), "32832");
    std::fs::remove_file(world.file("next-ofport")).unwrap();
    agent.add("web-2").await;
    assert!(!world.file("next-ofport").exists(), "not once per endpoint");
    std::fs::write(world.file("next-ofport"), "32832").unwrap();
    drop(agent);
    let agent = world.start().await;
    agent.netmaster.sync().await;
    agent.add("web-3").await;
    let numbers = world.ports.view.borrow().endpoints.values().filter_map(|p| p.requested).max();
    assert_eq!(numbers, types::OfPort::new(32832).ok());
}

#[tokio::test]
async fn garbage_collection_takes_out_what_the_runtime_no_longer_has() {
    let (world, agent) = synced_with("web-1").await;
    agent.add("web-2").await;
    let mut gc = request(Verb::Gc, "x");
    gc.valid = vec![request(Verb::Add, "web-2").attachment.unwrap()];
    gc.attachment = None;
    assert_eq!(agent.server.answer(gc.clone()).await, Reply::Done);
    assert_eq!(world.ports.view.borrow().endpoints.len(), 1);
    gc.config_name = "another".into();
    gc.valid.clear();
    assert_eq!(agent.server.answer(gc).await, Reply::Done);
    assert_eq!(
        world.ports.view.borrow().endpoints.len(),
        1,
        "another configuration's endpoints are not ours to judge"
    );
}

#[tokio::test]
async fn an_endpoint_whose_port_does_not_work_is_dark_and_says_why() {
    let (world, agent) = synced_with("web-1").await;
    let ofport = world.ports.view.borrow().endpoints.values().next().unwrap().requested.unwrap();
    world.ports.view.send_modify(|v| {
        let (uid, port) = v.endpoints.iter().next().map(|(uid, port)| (*uid, port.clone())).unwrap();
        let ofport = Err("could not open network device".into());
        v.endpoints.insert(uid, netplugin::ports::EndpointPort { ofport, ..port });
    });
    agent.reported("failed", |r| r.endpoints.values().any(|e| e.state == EndpointState::Failed)).await;
    assert!(!world.switch.names(ofport));
}

#[tokio::test]
async fn an_endpoint_intent_places_on_another_node_gets_no_flows_here() {
    let (world, agent) = synced().await;
    let stray = netplugin::ports::EndpointPort {
        ofport: Ok(types::OfPort::new(77).unwrap()),
        requested: None,
        labels: Err("none".into()),
    };
    world.ports.view.send_modify(|v| v.endpoints.insert(uid(0xdead), stray));
    agent.status().await;
    assert!(!world.switch.names(types::OfPort::new(77).unwrap()));
}

#[tokio::test]
async fn connections_of_an_address_end_with_its_owner_even_if_the_agent_dies_in_between() {
    let world = World::new();
    let forgotten = || -> Vec<String> {
        let taken = std::mem::take(&mut *world.switch.forgotten.lock().unwrap());
        taken.iter().map(|s| s.address.map_or("all".into(), |a| a.to_string())).collect()
    };
    let agent = world.start().await;
    agent.netmaster.sync().await;
    agent.add("web-1").await;
    assert_eq!(forgotten(), ["all"], "blue had nobody here");
    agent.add("web-2").await;
    assert_eq!(forgotten(), ["10.1.1.11", "fd00:1::b"]);
    agent.add("web-2").await;
    assert!(forgotten().is_empty(), "the same owner keeps its connections");
    agent.del("web-2").await;
    agent.status().await;
    assert_eq!(forgotten(), ["10.1.1.11", "fd00:1::b"], "nothing of it stays when it leaves");
    *world.switch.remember.lock().unwrap() = true;
    let add = agent.server.answer(request(Verb::Add, "web-3"));
    let bundle = || async {
        let there = world.switch.flows.lock().unwrap().to_string().contains("arp_tpa=10.1.1.11");
        if there { Ok(()) } else { Err("not there yet") }
    };
    tokio::select! {
        reply = add => panic!("attached although an old connection may reach it: {reply:?}"),
        there = test_support::wait_for("the bundle", std::time::Duration::from_secs(20), bundle) => there.unwrap(),
    }
    drop(agent);
    *world.switch.remember.lock().unwrap() = false;
    let agent = world.start().await;
    agent.status().await;
    assert_eq!(forgotten(), ["10.1.1.11", "fd00:1::b"]);
    assert!(!world.file("stale-connections").exists());
    drop(agent);
    std::fs::write(world.file("stale-connections"), "[[1,").unwrap();
    let agent = world.start().await;
    agent.status().await;
    assert_eq!(forgotten(), ["all"], "a list that cannot be read may have named anything");
    assert_eq!(agent.status().await.flow_mods, 0);
}
