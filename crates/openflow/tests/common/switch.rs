//! A real switch with one bridge, and connections to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use openflow::driver::{Backoff, BundleError, Config, Connection, Event, Events, reconnect};
use openflow::{Flow, FlowFilter, FlowKey, FlowMod, Version};
use test_support::Ovs;

pub const SOON: Duration = Duration::from_secs(10);

/// A switch with one bridge that speaks every version.
pub struct Switch {
    pub ovs: Ovs,
    pub bridge: String,
}

pub fn switch() -> Switch {
    let bridge = "br0".to_owned();
    let ovs = Ovs::start().expect("open vswitch");
    let set = ["--", "set", "bridge", &bridge, "datapath_type=netdev", "fail_mode=secure"];
    let protocols = "protocols=OpenFlow13,OpenFlow14,OpenFlow15";
    ovs.vsctl(&[&["add-br", &bridge], set.as_slice(), &[protocols]].concat()).expect("bridge");
    Switch { ovs, bridge }
}

impl Switch {
    pub fn socket(&self) -> PathBuf {
        self.ovs.run_dir().join(format!("{}.mgmt", self.bridge))
    }
}

pub async fn open(switch: &Switch, version: Version) -> (Connection, Events) {
    let config = Config { versions: vec![version], ..Config::default() };
    let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(50));
    let opening = reconnect(switch.socket(), &config, &mut backoff);
    tokio::time::timeout(SOON, opening).await.expect("opened")
}

pub async fn next(events: &mut Events) -> Event {
    tokio::time::timeout(SOON, events.next()).await.expect("an event").expect("not closed")
}

pub async fn install(
    connection: &Connection,
    flows: impl IntoIterator<Item = Flow>,
) -> Result<(), BundleError> {
    let mods: Vec<FlowMod> = flows.into_iter().map(FlowMod::add).collect();
    connection.bundle(&mods).await
}

pub async fn dump(connection: &Connection) -> BTreeMap<FlowKey, Flow> {
    let stats = connection.dump_flows(FlowFilter::all()).await.expect("dump");
    stats.into_iter().map(|s| (s.flow.key(), s.flow)).collect()
}

/// A datagram from 10.0.0.`from` to 10.0.0.`to`.
pub fn udp(from: u8, to: u8) -> Vec<u8> {
    let mut ip = [0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to];
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&folded.to_be_bytes());
    let ethernet = [2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0];
    [&ethernet[..], &ip, &[0, 1, 0, 2, 0, 8, 0, 0]].concat()
}
