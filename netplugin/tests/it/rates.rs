//! Rates: meters come before the flows that name them and go after, are kept, put back and told of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netplugin::agent::Event;
use netplugin::report::Mechanism;
use netplugin::switch::{SwitchEvent, metering};
use openflow::{Meter, MeterFlags};
use pipeline::MeterId;

use crate::endpoints::Node;
use crate::fakes::{FakeAgent, World};
use crate::namespace::Namespace;
use crate::netmaster::limited_group;
use crate::node::{BRIDGE, start};

/// An agent with two endpoints that have rates. The switch refuses flows whose meter is not there, and to lose one that
/// flows name.
async fn limited(world: &World) -> FakeAgent {
    let agent = world.start().await;
    agent.netmaster.sync().await;
    agent.netmaster.put(limited_group("10Mbps", "20Mbps")).await;
    agent.add("web-1").await;
    agent.add("web-2").await;
    agent.netmaster.join_group().await;
    meters_are(world, "two for each endpoint", |meters| meters.len() == 4).await;
    agent
}

async fn meters_are(world: &World, what: &str, are: impl Fn(&BTreeMap<u32, Meter>) -> bool) {
    let look = || async {
        let meters = world.switch.meters.lock().unwrap();
        if are(&meters) { Ok(()) } else { Err(format!("{meters:?}")) }
    };
    test_support::wait_for(what, Duration::from_secs(10), look).await.unwrap();
}

fn rate(meter: &Meter) -> String {
    meter.to_string().split_once(',').map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn another_rate_changes_meters_in_place_and_no_flow() {
    let world = World::new();
    let agent = limited(&world).await;
    let flows = world.switch.flows.lock().unwrap().clone();
    let before = agent.status().await;
    assert_eq!((before.meters, before.rates), (4, Mechanism::Meters));
    agent.netmaster.put(limited_group("30Mbps", "20Mbps")).await;
    let faster = |meters: &BTreeMap<u32, Meter>| {
        meters.values().filter(|m| rate(m).contains("rate=30000,burst_size=30000")).count() == 2
    };
    meters_are(&world, "the other rate", faster).await;
    assert_eq!(agent.status().await.flow_mods - before.flow_mods, 2, "two meters and nothing else");
    assert_eq!(*world.switch.flows.lock().unwrap(), flows);
}

#[tokio::test]
async fn a_restart_changes_no_meter_and_those_that_nobody_needs_go() {
    let world = World::new();
    drop(limited(&world).await);
    let foreign = Meter { id: 7, flags: MeterFlags::KBPS, bands: Vec::new() };
    world.switch.meters.lock().unwrap().insert(7, foreign);
    let agent = world.start().await;
    agent.netmaster.sync().await;
    assert_eq!(agent.status().await.flow_mods, 0);
    agent.del("web-2").await;
    meters_are(&world, "those of the other endpoint", |meters| meters.len() == 3).await;
    agent.del("web-1").await;
    let only_foreign = |meters: &BTreeMap<u32, Meter>| meters.keys().eq([&7]);
    meters_are(&world, "somebody else's alone", only_foreign).await;
}

#[tokio::test]
async fn a_meter_that_somebody_changes_is_put_back_and_told() {
    let world = World::new();
    let agent = limited(&world).await;
    let before = world.switch.meters.lock().unwrap().clone();
    let id = *before.keys().next().unwrap();
    world.switch.meters.lock().unwrap().insert(id, Meter::kbps(id, 1, 1));
    meters_are(&world, "as before", |meters| *meters == before).await;
    let status = agent.status().await;
    assert_eq!(status.drift.get("meters"), Some(&1), "{status:?}");
}

#[tokio::test]
async fn where_the_switch_keeps_no_rate_groups_that_have_one_are_refused() {
    let world = World::new();
    let agent = limited(&world).await;
    let missing = metering::Verdict::Missing("saw 8 and dropped 0".to_owned());
    agent.handle.tell(Event::Switch(SwitchEvent::Metering(missing))).await.unwrap();
    let told = |r: &node_api::Realized| {
        let warned = r.warnings.iter().any(|w| w.code.as_str() == "rates_not_enforced");
        warned && r.refused.iter().any(|(key, why)| key.to_string() == "group/5" && why.contains("meters"))
    };
    agent.reported("the refusal", told).await;
    assert_eq!(agent.status().await.rates, Mechanism::None);
    meters_are(&world, "none", BTreeMap::is_empty).await;
    agent.handle.tell(Event::Switch(SwitchEvent::Metering(metering::Verdict::default()))).await.unwrap();
    meters_are(&world, "all of them again", |meters| meters.len() == 4).await;
    agent.reported("no refusal", |r| r.refused.is_empty() && r.warnings.is_empty()).await;
}

/// The group is refused, for want of meters.
fn no_room(report: &node_api::Realized) -> bool {
    let is_it = |why: &str| why.contains("room for 3 meters");
    report.refused.iter().any(|(key, why)| key.to_string() == "group/5" && is_it(why))
}

#[tokio::test]
async fn where_the_switch_has_no_room_for_a_groups_meters_the_group_alone_is_refused() {
    let world = World::new();
    let agent = limited(&world).await;
    let room = metering::Verdict::Enforced { limit: 3 };
    agent.handle.tell(Event::Switch(SwitchEvent::Metering(room))).await.unwrap();
    agent.reported("the refusal", no_room).await;
    meters_are(&world, "none", BTreeMap::is_empty).await;
    // Whoever comes next is not held up by it.
    agent.add("web-3").await;
    agent.del("web-2").await;
    agent.del("web-3").await;
    meters_are(&world, "those of who is left", |meters| meters.len() == 2).await;
    agent.reported("no refusal", |r| r.refused.is_empty()).await;
}

/// What others have in the datapath is not to be seen: the limit shows when a meter is refused.
#[tokio::test]
async fn a_meter_refused_holds_up_its_group_alone() {
    let world = World::new();
    *world.switch.room.lock().unwrap() = Some(3);
    let agent = world.start().await;
    agent.netmaster.sync().await;
    agent.netmaster.put(limited_group("10Mbps", "20Mbps")).await;
    agent.add("web-1").await;
    agent.add("web-2").await;
    agent.netmaster.join_group().await;
    agent.reported("the refusal", no_room).await;
    // One that has no rate gets its flows.
    agent.add("web-3").await;
    agent.del("web-3").await;
    agent.del("web-2").await;
    meters_are(&world, "those of who is left", |meters| meters.len() == 2).await;
    agent.reported("no refusal", |r| r.refused.is_empty() && r.warnings.is_empty()).await;
}

#[tokio::test]
async fn meters_that_nobody_needs_any_more_make_room() {
    let world = World::new();
    let agent = limited(&world).await;
    *world.switch.room.lock().unwrap() = Some(4);
    let node_state::Fragment::Group(mut group) = limited_group("10Mbps", "20Mbps") else { unreachable!() };
    group.qos = group.qos.map(|qos| node_state::Qos { share: types::RateShare::Group, ..qos });
    agent.netmaster.put(node_state::Fragment::Group(group)).await;
    let shared = |meters: &BTreeMap<u32, Meter>| {
        let group = types::GroupId::new(5).unwrap();
        let ids = [types::Direction::Egress, types::Direction::Ingress];
        meters.len() == 2 && ids.iter().all(|d| meters.contains_key(&MeterId::group(*d, group).get()))
    };
    meters_are(&world, "two of the group", shared).await;
    agent.reported("no refusal", |r| r.refused.is_empty() && r.warnings.is_empty()).await;
}

/// The real switch keeps our meters as they are, is seen to keep rates, and what is done by hand is put back.
#[test]
fn a_real_switch_has_the_meters_whatever_is_done_to_them() {
    let node = Arc::new(Node::new());
    let (place, n) = (node.place(), node.clone());
    node.namespace.block_on(async move || {
        let endpoint = Namespace::new();
        let ofctl = |args: &[&str]| n.ovs.ofctl(&[&["-O", "OpenFlow15"], args].concat()).unwrap();
        let meters = || {
            let text = ofctl(&["dump-meters", BRIDGE]);
            // The first line is the reply's head, with a number of its own.
            text.lines().skip(1).map(str::trim).collect::<Vec<_>>().join(" ")
        };
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        agent.netmaster.put(limited_group("10Mbps", "20Mbps")).await;
        agent.add("blue", "web", &endpoint).await;
        agent.netmaster.join_group().await;
        let two = || match meters().matches("type=drop rate=").count() {
            2 => Ok(()),
            _ => Err(meters()),
        };
        test_support::wait_for("two meters", Duration::from_secs(10), async || two()).await.unwrap();
        let status = agent.handle.status().await.unwrap();
        assert_eq!((status.rates, &*status.warnings), (Mechanism::Meters, &[] as &[String]));
        ofctl(&["add-meter", BRIDGE, "meter=7,kbps,bands=type=drop,rate=5"]);
        let (before, flows) = (meters(), n.flows().lines().count());
        let id =
            MeterId::endpoint(types::Direction::Egress, *status.endpoints.values().next().unwrap()).get();
        let own = format!("meter={id}");
        assert!(before.contains(&format!("{own} kbps burst bands= type=drop rate=10000 burst_size=10000")));
        let altered = format!("{own},kbps,burst,bands=type=drop,rate=1,burst_size=1");
        for hand in [["mod-meter", BRIDGE, altered.as_str()], ["del-meter", BRIDGE, own.as_str()]] {
            let seen = agent.handle.status().await.unwrap().foreign_edits;
            ofctl(&hand);
            let since = Instant::now();
            let look = async || {
                let (now, there) = (meters(), n.flows().lines().count());
                if now == before && there == flows {
                    Ok(())
                } else {
                    Err(format!("{hand:?}: {now}, {there} flows"))
                }
            };
            test_support::wait_for("the meter", Duration::from_secs(20), look).await.unwrap();
            println!("{}: back after {:?}", hand[0], since.elapsed());
            let told = async || match agent.handle.status().await.unwrap().foreign_edits {
                edits if edits > seen => Ok(()),
                _ => Err("no drift told"),
            };
            test_support::wait_for("being told", Duration::from_secs(20), told).await.unwrap();
        }
        let status = agent.handle.status().await.unwrap();
        assert!(status.drift.contains_key("meters"), "{status:?}");
    });
}
