//! `netplugin prepare-host` on a real kernel and a real switch.

use std::time::Duration;

use netplugin::config::Datapath;
use netplugin::prepare_host::{Args, prepare};
use test_support::Ovs;

use crate::namespace::Namespace;

/// A host whose uplink `up0` leads to a peer, its router.
struct Host {
    node: Namespace,
    peer: Namespace,
    ovs: Ovs,
    units: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let (node, peer) = (Namespace::new(), Namespace::new());
        let ovs = Ovs::start_in(node.name()).unwrap();
        node.run(&format!("ip link add up0 type veth peer name eth0 netns {}", peer.name()));
        peer.run("ip addr add 192.0.2.254/24 dev eth0");
        peer.run("ip -6 addr add fd00:2::fe/64 dev eth0 nodad");
        peer.run("ip link set eth0 up");
        peer.run("ip addr add 203.0.113.9/32 dev eth0");
        for address in ["192.0.2.1/24", "192.0.2.2/24"] {
            node.run(&format!("ip addr add {address} dev up0"));
        }
        node.run("ip -6 addr add fd00:2::1/64 dev up0 nodad");
        node.run("ip link set up0 up");
        node.run("ip route add 198.51.100.0/24 dev up0 proto static");
        node.run("ip route add default via 192.0.2.254 dev up0 metric 50");
        node.run("ip -6 route add default via fd00:2::fe dev up0");
        // The kernel finishes in its own time: what is compared later must not differ by that.
        let settled = || {
            let shown = node.run("ip addr show up0");
            let ready =
                shown.contains("state UP") && shown.contains("scope link") && !shown.contains("tentative");
            if ready { Ok(()) } else { Err(shown) }
        };
        test_support::wait_for_blocking("the uplink", Duration::from_secs(20), settled).unwrap();
        let units = tempfile::tempdir().unwrap();
        Self { node, peer, ovs, units }
    }

    fn args(&self, uplink: &str, datapath: Datapath) -> Args {
        Args {
            uplink: uplink.to_owned(),
            bridge: "br-phy".to_owned(),
            ovs_run_dir: self.ovs.run_dir().to_owned(),
            datapath,
            dry_run: false,
            persist: false,
            undo: false,
            unit_dir: self.units.path().to_owned(),
        }
    }

    fn prepare(&self, uplink: &str, dry_run: bool, datapath: Datapath) -> Result<String, String> {
        self.run(Args { dry_run, ..self.args(uplink, datapath) })
    }

    fn run(&self, args: Args) -> Result<String, String> {
        self.node.block_on(async move || {
            let mut out = Vec::new();
            let result = prepare(&args, &mut out).await;
            let text = String::from_utf8(out).unwrap();
            result.map(|()| text.clone()).map_err(|e| format!("{text}{e:#}"))
        })
    }

    /// Everything that may change, without what counts down.
    fn everything(&self) -> String {
        let shown = ["ip addr show up0", "ip route", "ip -6 route show default", "nft list ruleset"];
        let bridges = self.ovs.vsctl(&["list-br"]).unwrap();
        shown.iter().map(|c| self.node.run(c)).chain([bridges]).collect()
    }

    fn pinged(&self, address: &str) {
        let output = || self.peer.try_run(&format!("ping -c 1 -W 1 {address}"));
        let look = || if output() { Ok(()) } else { Err("no reply") };
        test_support::wait_for_blocking(address, Duration::from_secs(20), look).unwrap();
        let replies = self.peer.run(&format!("ping -c 3 -i 0.2 {address}"));
        assert!(replies.contains("3 received") && !replies.contains("DUP!"), "{replies}");
    }
}

#[test]
fn a_host_keeps_its_addresses_and_routes_when_the_bridge_takes_its_uplink() {
    let host = Host::new();
    host.pinged("192.0.2.1");
    let before = host.everything();
    let dry = host.prepare("up0", true, Datapath::Auto).unwrap();
    assert!(dry.lines().count() == 12 && dry.lines().all(|l| l.starts_with("would ")), "{dry}");
    assert_eq!(host.everything(), before);

    let done = host.prepare("up0", false, Datapath::Auto).unwrap();
    assert_eq!(done, dry.replace("would ", ""));
    for address in ["192.0.2.1", "192.0.2.2", "fd00:2::1"] {
        host.pinged(address);
    }
    assert!(host.node.try_run("ping -c 1 -W 2 203.0.113.9"));
    let routes = host.node.run("ip route");
    assert!(routes.contains("default via 192.0.2.254 dev br-phy metric 50"), "{routes}");
    assert!(routes.contains("198.51.100.0/24 dev br-phy proto static"), "{routes}");
    assert!(!routes.contains("up0"), "{routes}");
    let six = host.node.run("ip -6 route show default");
    assert!(six.contains("via fd00:2::fe dev br-phy") && !six.contains("up0"), "{six}");
    assert_eq!(host.node.run("ip -4 -o addr show up0"), "");
    let after = host.everything();
    assert!(host.prepare("up0", false, Datapath::Auto).unwrap().starts_with("nothing to do"));
    assert_eq!(host.everything(), after);
}

#[test]
fn undo_gives_everything_back_and_forgets_the_start_of_the_host() {
    let host = Host::new();
    host.pinged("192.0.2.1");
    let undo = |dry_run| host.run(Args { undo: true, dry_run, ..host.args("up0", Datapath::Auto) });
    assert!(undo(false).unwrap().starts_with("nothing to do"));
    let before = host.everything();
    let persist = || host.run(Args { persist: true, ..host.args("up0", Datapath::Auto) }).unwrap();
    let unit = host.units.path().join("selvage-uplink-up0.service");
    assert!(persist().lines().last().unwrap().starts_with("write and enable unit") && unit.exists());
    assert!(persist().starts_with("nothing to do"));
    // As after a restart of the host: the bridge is there, the addresses are where its configuration puts them.
    host.node.run("nft delete table netdev selvage-uplink");
    host.prepare("up0", false, Datapath::Auto).unwrap();
    let prepared = host.everything();

    let dry = undo(true).unwrap();
    assert!(dry.lines().count() == 12 && dry.lines().all(|l| l.starts_with("would ")), "{dry}");
    assert!(host.everything() == prepared && unit.exists());
    assert_eq!(undo(false).unwrap(), dry.replace("would ", ""));
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(|l| l.trim().to_owned()).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&host.everything()), sorted(&before));
    assert!(!unit.exists());
    for address in ["192.0.2.1", "192.0.2.2", "fd00:2::1"] {
        host.pinged(address);
    }
    assert!(undo(false).unwrap().starts_with("nothing to do"));
}

#[test]
fn a_step_that_fails_takes_the_earlier_ones_back() {
    let host = Host::new();
    let before = host.everything();
    // The bridge's device will take no IPv6 address.
    host.node.run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
    let failed = host.prepare("up0", false, Datapath::Auto).unwrap_err();
    assert!(failed.contains("add address fd00:2::1/64 to br-phy: failed"), "{failed}");
    assert!(failed.contains("undone: create bridge") && !failed.contains("NOT"), "{failed}");
    assert_eq!(host.everything(), before);
    host.pinged("192.0.2.1");
}

#[test]
fn refuses_what_it_must_not_touch() {
    let host = Host::new();
    let refused = |uplink, datapath| host.prepare(uplink, false, datapath).unwrap_err();
    assert!(refused("up9", Datapath::Auto).contains("up9 does not exist"));
    assert!(refused("up0", Datapath::System).contains("not needed: the kernel datapath"));
    host.ovs.vsctl(&["add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev"]).unwrap();
    assert!(refused("up0", Datapath::Auto).contains("belongs to someone else"));
    host.ovs
        .vsctl(&[
            "del-br",
            "br-phy",
            "--",
            "add-br",
            "br-ex",
            "--",
            "set",
            "bridge",
            "br-ex",
            "datapath_type=netdev",
            "--",
            "add-port",
            "br-ex",
            "up0",
        ])
        .unwrap();
    assert!(refused("up0", Datapath::Auto).contains("in bridge br-ex already"));
    let undo = Args { undo: true, ..host.args("up0", Datapath::Auto) };
    assert!(host.run(undo).unwrap_err().contains("in bridge br-ex already"));
}
