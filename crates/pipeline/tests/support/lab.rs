//! A private Open vSwitch with one bridge per golden case, asked by `ofproto/trace`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;

use openflow::Meter;
use test_support::Ovs;

use super::case::Case;
use super::packets::Probe;

pub struct Lab {
    ovs: Ovs,
}

/// What became of a packet.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Names of the ports it went out by.
    pub ports: BTreeSet<String>,
    /// Tunnel destinations and VNIs it went to.
    pub tunnels: BTreeSet<(IpAddr, u32)>,
    /// The whole trace, for the reader of a failure.
    pub trace: String,
}

fn bridge(index: usize) -> String {
    format!("c{index}")
}

/// Name of the port with this OpenFlow number.
pub fn port_name(index: usize, number: impl std::fmt::Display) -> String {
    format!("c{index}p{number}")
}

impl Lab {
    /// Brings up a bridge per case with its flows loaded.
    pub fn new(cases: &[Case]) -> Self {
        let ovs = Ovs::start().unwrap();
        let underlay = "--may-exist add-br under -- set bridge under datapath_type=netdev \
                        -- add-port under wire -- set interface wire type=internal";
        let mut args: Vec<String> = underlay.split_whitespace().map(str::to_owned).collect();
        for (i, case) in cases.iter().enumerate() {
            let br = bridge(i);
            let add = format!(
                "-- add-br {br} -- set bridge {br} datapath_type=netdev fail-mode=secure protocols=OpenFlow10,OpenFlow15"
            );
            args.extend(add.split(' ').map(str::to_owned));
            for number in case.ports.endpoints.values() {
                let port = port_name(i, number);
                let add = format!(
                    "-- add-port {br} {port} -- set interface {port} type=internal ofport_request={number}"
                );
                args.extend(add.split(' ').map(str::to_owned));
            }
            if let Some(number) = case.ports.tunnel {
                let port = port_name(i, number);
                // Two tunnel ports of one switch must differ: the UDP port does.
                let add = format!(
                    "-- add-port {br} {port} -- set interface {port} type=vxlan options:remote_ip=flow options:key=flow \
                     options:dst_port={} ofport_request={number}",
                    4789 + i
                );
                args.extend(add.split_whitespace().map(str::to_owned));
            }
        }
        ovs.vsctl(&args.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let lab = Self { ovs };
        lab.ip(&["link", "set", "under", "up"]);
        // Where frames of the underlay go: without it a tunnelled packet has no datapath action to be seen by.
        lab.ip(&["link", "set", "wire", "up"]);
        lab.underlay("192.0.2.1/24", &["192.0.2.2"]);
        lab.underlay("2001:db8::1/64", &["2001:db8::2"]);
        for (i, case) in cases.iter().enumerate() {
            let file = lab.ovs.run_dir().join("flows.txt");
            std::fs::write(&file, case.render().flows.to_string()).unwrap();
            for meter in case.render().meters.meters() {
                lab.ovs.ofctl(&["-O", "OpenFlow15", "add-meter", &bridge(i), &meter.to_string()]).unwrap();
            }
            lab.load(&bridge(i), file.to_str().unwrap());
        }
        lab
    }

    fn underlay(&self, own: &str, peers: &[&str]) {
        let nodad: &[&str] = if own.contains(':') { &["nodad"] } else { &[] };
        self.ip(&[&["addr", "add", own, "dev", "under"], nodad].concat());
        for (n, peer) in peers.iter().enumerate() {
            self.ovs
                .appctl(&["tnl/arp/set", "under", peer, &format!("02:00:00:00:00:{:02x}", n + 2)])
                .unwrap();
        }
        let net = own.replace("1/", "0/").replace("::0/", "::/");
        self.ovs.appctl(&["ovs/route/add", &net, "under"]).unwrap();
    }

    fn ip(&self, args: &[&str]) {
        let out = Command::new("ip").args(["-n", self.ovs.netns()]).args(args).output().unwrap();
        assert!(out.status.success(), "ip {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr));
    }

    fn load(&self, bridge: &str, file: &str) {
        self.ovs.ofctl(&["-O", "OpenFlow15", "--bundle", "replace-flows", bridge, file]).unwrap();
        // As the agent's connection does: first fragments show their ports.
        self.ovs.ofctl(&["-O", "OpenFlow15", "set-frags", bridge, "nx-match"]).unwrap();
    }

    /// What the bridge of case `index` holds.
    pub fn dump(&self, index: usize) -> String {
        let args = ["-O", "OpenFlow15", "--no-names", "--no-stats", "dump-flows", &bridge(index)];
        self.ovs.ofctl(&args).unwrap()
    }

    /// The meters the bridge of case `index` holds.
    pub fn meters(&self, index: usize) -> Vec<Meter> {
        let text = self.ovs.ofctl(&["-O", "OpenFlow15", "dump-meters", &bridge(index)]).unwrap();
        let mut meters: Vec<String> = Vec::new();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
            match line.strip_prefix("meter=") {
                Some(_) => meters.push(line.to_owned()),
                None => meters.iter_mut().last().into_iter().for_each(|meter| *meter += &format!(" {line}")),
            }
        }
        meters.iter().map(|m| m.parse().unwrap_or_else(|e| panic!("{m}: {e}"))).collect()
    }

    /// Follows one packet.
    pub fn trace(&self, index: usize, probe: &Probe) -> Outcome {
        let trace = self
            .ovs
            .appctl(&["ofproto/trace", "--names", &bridge(index), &probe.flow, "--ct-next", probe.ct])
            .unwrap();
        let mut outcome = Outcome { trace, ..Outcome::default() };
        let prefix = format!("c{index}p");
        // Each pass through the datapath ends with a line of its actions.
        for actions in outcome.trace.lines().filter_map(|l| l.strip_prefix("Datapath actions: ")) {
            for part in actions.split(',') {
                if part.starts_with(&prefix) {
                    outcome.ports.insert(part.to_owned());
                }
            }
            for push in actions.split("tnl_push(").skip(1) {
                let between = |from: &str, to: &str| {
                    push.split_once(from).and_then(|(_, r)| r.split_once(to)).map(|x| x.0)
                };
                let header = between("ipv4(", ")").or_else(|| between("ipv6(", ")")).unwrap();
                let dst = header.split(',').find_map(|f| f.strip_prefix("dst=")).unwrap();
                let vni = between("vni=0x", ")").unwrap();
                outcome.tunnels.insert((dst.parse().unwrap(), u32::from_str_radix(vni, 16).unwrap()));
            }
        }
        outcome
    }
}
