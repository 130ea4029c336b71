//! `netplugin cleanup` on a real kernel and a real switch: the host is as it was, others' things among it.

use std::collections::BTreeSet;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cni::{Verb, journal};
use netplugin::cleanup::{Args, cleanup};
use netplugin::config::SwitchArgs;
use netplugin::state_dir::StateDir;
use test_support::Ovs;

use crate::namespace::Namespace;
use crate::node::{BRIDGE, Place, request, start};

const IDENTITY: [&str; 4] = ["ca.crt", "netmaster.json", "node.crt", "node.key"];

struct Host {
    namespace: Namespace,
    ovs: Ovs,
    dir: tempfile::TempDir,
}

impl Host {
    /// A host on which others have a bridge with a port and a flow, nftables tables, and interfaces, one of them under a
    /// name such as ours.
    fn new() -> Self {
        let namespace = Namespace::new();
        let ovs = Ovs::start_in(namespace.name()).unwrap();
        for line in [
            "add-br br-theirs -- set bridge br-theirs datapath_type=netdev external_ids:owner=them",
            "add-port br-theirs theirs0 -- set interface theirs0 type=internal",
            "set Open_vSwitch . external_ids:theirs=1",
        ] {
            ovs.vsctl(&line.split(' ').collect::<Vec<_>>()).unwrap();
        }
        ovs.ofctl(&["add-flow", "br-theirs", "cookie=0x7e57,priority=7,in_port=9,actions=drop"]).unwrap();
        for line in [
            "nft add table inet theirs",
            "nft add table netdev selvage-uplink",
            "ip link add theirs1 type veth peer name theirs2",
            "ip tuntap add dev sv00000000beef mode tap",
        ] {
            namespace.run(line);
        }
        Self { namespace, ovs, dir: tempfile::tempdir().unwrap() }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn write(&self, names: &[&str]) {
        for name in names {
            std::fs::write(self.state().join(name), "x").unwrap();
        }
    }

    fn args(&self) -> Args {
        let switch = SwitchArgs { ovs_run_dir: self.ovs.run_dir().to_owned(), bridge: BRIDGE.into() };
        let cni_socket = self.dir.path().join("run/cni.sock");
        let cni_journal_dir = Some(self.state().join("journal"));
        Args { switch, state_dir: self.state(), cni_socket, cni_journal_dir, all: false, dry_run: false }
    }

    fn cleanup(&self, args: Args) -> Result<String, String> {
        self.namespace.block_on(async move || {
            let mut out = Vec::new();
            let result = cleanup(&args, &mut out).await;
            result.map(|()| String::from_utf8(out).unwrap()).map_err(|e| format!("{e:#}"))
        })
    }

    /// Attaches two endpoints, detaches one while netmaster is away, journals a deletion, and dies.
    fn live(&self) -> [Arc<Namespace>; 3] {
        let place = Place { run_dir: self.ovs.run_dir().to_owned(), state_dir: self.state() };
        let endpoints = [(), (), ()].map(|()| Arc::new(Namespace::new()));
        let [one, two, three] = endpoints.clone();
        self.namespace.block_on(async move || {
            let agent = start(&place).await;
            agent.netmaster.sync().await;
            agent.add("blue", "web", &one).await;
            agent.add("green", "web", &two).await;
            agent.add("blue", "db", &three).await;
            agent.netmaster.go_away(true);
            agent.del("blue", "db", &three).await;
        });
        journal::record(&self.state().join("journal"), &request(Verb::Del, "blue", "web", &endpoints[0]))
            .unwrap();
        self.write(&IDENTITY);
        self.write(&["stale-connections", "node-state.new", "notes"]);
        std::fs::create_dir(self.dir.path().join("run")).unwrap();
        for socket in [self.state().join("status.sock"), self.args().cni_socket] {
            drop(UnixListener::bind(socket).unwrap());
        }
        endpoints
    }

    /// Everything that somebody may miss, or find left.
    fn everything(&self) -> BTreeSet<String> {
        let rows = [
            "--columns=name,ports,datapath_type,fail_mode,protocols,controller,flow_tables,external_ids,other_config",
            "--columns=name,interfaces,external_ids,other_config",
            "--columns=name,type,options,external_ids,other_config,ofport",
            "--columns=prefixes,external_ids",
            "--columns=bridges,external_ids,other_config",
        ];
        let tables = ["Bridge", "Port", "Interface", "Flow_Table", "Open_vSwitch"];
        let rows = rows
            .iter()
            .zip(tables)
            .map(|(columns, table)| self.ovs.vsctl(&["--format=csv", columns, "list", table]).unwrap());
        let seen = [
            "ip -br link show",
            "ip -br addr show",
            "nft list ruleset",
            "ip route show table all",
            "sysctl -a --pattern ^net\\.ipv[46]\\.(conf|neigh|ip_forward)",
        ];
        let seen = seen.iter().map(|command| self.namespace.run(command));
        let flows = self.ovs.ofctl(&["--no-stats", "dump-flows", "br-theirs"]).unwrap();
        rows.chain(seen)
            .chain([flows])
            .flat_map(|text| text.lines().map(String::from).collect::<Vec<_>>())
            .collect()
    }

    fn files(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.state()) else { return vec!["no directory".into()] };
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// ovs-vswitchd takes devices away after the database has the bridge gone.
    fn comes_to(&self, wanted: &BTreeSet<String>) {
        let look = || {
            let now = self.everything();
            let differs: Vec<_> = wanted.symmetric_difference(&now).cloned().collect();
            if differs.is_empty() { Ok(()) } else { Err(differs.join("\n")) }
        };
        test_support::wait_for_blocking("the host to be as it was", Duration::from_secs(10), look).unwrap();
    }
}

#[test]
fn a_cleaned_host_is_as_it_was_and_what_others_have_is_untouched() {
    let host = Host::new();
    let before = host.everything();
    let endpoints = host.live();
    let (during, files) = (host.everything(), host.files());
    assert!(during.difference(&before).count() > 20, "the control");

    let dry = host.cleanup(Args { dry_run: true, ..host.args() }).unwrap();
    assert!(dry.contains("would remove bridge br-selvage with 4 ports\n"), "{dry}");
    assert_eq!(dry.matches("would remove interface sv").count(), 2, "{dry}");
    assert!(dry.contains("would remove nftables table netdev selvage\n"), "{dry}");
    assert!(!dry.contains("node.key") && !dry.contains("notes") && !dry.contains("beef"), "{dry}");
    assert_eq!((host.everything(), host.files()), (during, files));

    let done = host.cleanup(host.args()).unwrap();
    assert_eq!(done, dry.replace("would remove", "removed"));
    host.comes_to(&before);
    assert!(endpoints.iter().all(|e| !e.try_run("ip link show eth0")));
    assert_eq!(host.files(), ["ca.crt", "netmaster.json", "node.crt", "node.key", "notes"]);
    assert!(!host.dir.path().join("run").exists(), "the socket's directory, with nothing else in it");
    assert!(host.cleanup(host.args()).unwrap().starts_with("nothing to do"));

    let all = || Args { all: true, ..host.args() };
    assert_eq!(host.cleanup(all()).unwrap().lines().count(), 4);
    assert_eq!(host.files(), ["notes"]);
    std::fs::remove_file(host.state().join("notes")).unwrap();
    let last = host.cleanup(all()).unwrap();
    assert_eq!(last, format!("removed directory {}\n", host.state().display()));
    assert!(host.cleanup(all()).unwrap().starts_with("nothing to do"));
    assert_eq!(host.files(), ["no directory"]);
    host.comes_to(&before);
}

#[test]
fn cleanup_is_refused_while_it_would_hurt_and_then_touches_nothing() {
    let host = Host::new();
    let _endpoints = host.live();
    let lock = StateDir::existing(host.state()).unwrap().lock().unwrap();
    let (during, files) = (host.everything(), host.files());
    let running = host.cleanup(host.args()).unwrap_err();
    assert!(
        running.starts_with("stop the agent first") && running.contains("another agent runs"),
        "{running}"
    );
    drop(lock);
    std::fs::remove_file(host.args().cni_socket).unwrap();
    let listening = UnixListener::bind(host.args().cni_socket).unwrap();
    let elsewhere = Args { state_dir: host.dir.path().join("other"), ..host.args() };
    let running = host.cleanup(elsewhere).unwrap_err();
    assert!(running.starts_with("stop the agent first: it answers at "), "{running}");
    drop(listening);
    assert_eq!((host.everything(), host.files()), (during, files.clone()));

    host.ovs
        .vsctl(&["add-port", BRIDGE, "theirs3", "--", "set", "interface", "theirs3", "type=internal"])
        .unwrap();
    let during = host.everything();
    let refused = host.cleanup(host.args()).unwrap_err();
    assert!(refused.contains("has port theirs3, which belongs to someone else"), "{refused}");
    assert_eq!((host.everything(), host.files()), (during, files));
    host.ovs.vsctl(&["del-port", BRIDGE, "theirs3"]).unwrap();
    assert!(host.cleanup(host.args()).unwrap().contains("removed bridge br-selvage"));
}

#[test]
fn a_bridge_of_our_name_that_is_not_ours_stays() {
    let host = Host::new();
    host.ovs.vsctl(&["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev"]).unwrap();
    let before = host.everything();
    assert!(host.cleanup(host.args()).unwrap().starts_with("nothing to do"));
    assert_eq!(host.everything(), before);
}
