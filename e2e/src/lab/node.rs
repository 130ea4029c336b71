//! A node: a namespace with its own Open vSwitch, an uplink on the underlay, a management link, and netplugin.
//!
//! Laid out as a real machine would be prepared for the userspace datapath (docs/testing.md): the uplink `eth0` is a
//! port of the bridge `br-phy` and has no address; the tunnel address lies on `br-phy`; netplugin makes `br-selvage`.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use test_support::{Daemon, wait_for_blocking};

use super::fabric::{self, FABRIC, MANAGEMENT, Management};
use super::mark::{ENV, Mark};
use super::run::{in_netns, ip_batch, output, output_with_input, sysctl, words, words_in};
use super::{Binaries, Failpoints};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// What the tunnel headers leave of an underlay of 1500: Ethernet 14, IPv4 20, UDP 8, VXLAN 8 (RFC 7348 section 5).
const ENDPOINT_MTU: u16 = 1450;

/// One node of a lab.
#[derive(Debug)]
pub struct Node {
    /// Its name in Selvage: `node-1`.
    pub name: String,
    number: u8,
    mark: Mark,
    /// Sockets, databases, logs.
    pub dir: PathBuf,
    binaries: Binaries,
    supervised: Vec<Daemon>,
    netplugin: Option<Daemon>,
}

impl Node {
    /// Makes the namespace and its links, starts Open vSwitch and prepares `br-phy`. No netplugin yet.
    ///
    /// # Errors
    /// When any of it fails.
    pub fn start(mark: &Mark, number: u8, run: &Path, binaries: &Binaries, mgmt: Management) -> Result<Self> {
        let name = format!("node-{number}");
        let dir = run.join(&name);
        std::fs::create_dir_all(&dir)?;
        let mut node = Self {
            name,
            number,
            mark: mark.clone(),
            dir,
            binaries: binaries.clone(),
            supervised: Vec::new(),
            netplugin: None,
        };
        node.make_links(mgmt)?;
        node.start_ovs()?;
        node.make_underlay_bridge()?;
        Ok(node)
    }

    /// Its network namespace.
    pub fn netns(&self) -> String {
        self.mark.netns(&self.name)
    }

    /// Its tunnel address: of TEST-NET-1 (RFC 5737).
    pub fn vtep(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, self.number)
    }

    /// The socket of its CNI server.
    pub fn cni_socket(&self) -> PathBuf {
        self.dir.join("cni.sock")
    }

    /// Where its join file is put.
    pub fn join_file(&self) -> PathBuf {
        self.dir.join("join.json")
    }

    fn uplink_mac(&self) -> String {
        format!("02:5e:00:00:00:{:02x}", self.number)
    }

    fn make_links(&self, mgmt: Management) -> Result<()> {
        let netns = self.netns();
        output(&mut words(&format!("ip netns add {netns}")))?;
        // As on a Kubernetes node, the host's own stack would forward if it got to see a frame: it must not.
        sysctl(&netns, &["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])?;
        fabric::plug(&self.mark, FABRIC, &netns, "eth0", &self.name, Some(&self.uplink_mac()))?;
        fabric::plug(&self.mark, MANAGEMENT, &netns, "mgmt0", &self.name, None)?;
        // Open vSwitch reads eth0 through a packet socket, which is a tap: without the drop the host's own stack
        // would process every frame a second time.
        let drop = "table netdev selvage_lab { chain eth0 { type filter hook ingress device eth0 priority -500; policy drop; }; }";
        output_with_input(&mut words_in(&netns, "nft -f -"), drop.as_bytes())?;
        sysctl(&netns, &["net.ipv6.conf.eth0.disable_ipv6=1", "net.ipv6.conf.mgmt0.disable_ipv6=1"])?;
        ip_batch(
            Some(&netns),
            &[
                "link set lo up".into(),
                format!("addr add {}/26 dev mgmt0", mgmt.node(self.number)),
                "link set mgmt0 up".into(),
                "link set eth0 up".into(),
            ],
        )
    }

    fn start_ovs(&mut self) -> Result<()> {
        let conf = self.dir.join("conf.db");
        output(Command::new("ovsdb-tool").arg("create").arg(&conf).arg(SCHEMA))?;
        let (dir, sock) = (self.dir.display().to_string(), self.dir.join("db.sock"));
        let mut ovsdb = self.supervised_command("ovsdb-server");
        // The database connects to the switch, not the other way round: a userspace switch forwards nothing while it
        // is without its database, and one that connects itself first backs off for a second (docs/testing.md).
        let switch_sock = self.dir.join("vswitchd.db");
        ovsdb.arg(&conf).arg(format!("--remote=punix:{}", sock.display()));
        ovsdb.arg(format!("--remote=unix:{}", switch_sock.display()));
        ovsdb.args(["--unixctl", &format!("{dir}/ovsdb.ctl"), &format!("--pidfile={dir}/ovsdb-server.pid")]);
        ovsdb.args(["-vconsole:emer", "--no-chdir", &format!("--log-file={dir}/ovsdb-server.log")]);
        self.supervise("ovsdb-server", &ovsdb)?;
        wait_for_blocking("ovsdb-server", Duration::from_secs(20), || self.vsctl(&["--no-wait", "init"]))?;
        let mut vswitchd = self.supervised_command("ovs-vswitchd");
        vswitchd.arg(format!("punix:{}", switch_sock.display())).args([
            "--monitor",
            "--disable-system",
            "--no-chdir",
        ]);
        vswitchd.args([
            "--unixctl",
            &format!("{dir}/vswitchd.ctl"),
            &format!("--pidfile={dir}/ovs-vswitchd.pid"),
        ]);
        vswitchd.args(["-vconsole:emer", &format!("--log-file={dir}/ovs-vswitchd.log")]);
        self.supervise("ovs-vswitchd", &vswitchd)?;
        wait_for_blocking("ovs-vswitchd", Duration::from_secs(20), || self.appctl(&["version"]))?;
        Ok(())
    }

    fn make_underlay_bridge(&self) -> Result<()> {
        let hwaddr = format!("other-config:hwaddr={}", self.uplink_mac());
        let settings = ["datapath_type=netdev", "fail-mode=standalone", &hwaddr];
        let bridge = [&["add-br", "br-phy", "--", "set", "bridge", "br-phy"][..], &settings[..]].concat();
        self.vsctl(&[&bridge[..], &["--", "add-port", "br-phy", "eth0"][..]].concat())?;
        sysctl(&self.netns(), &["net.ipv6.conf.br-phy.disable_ipv6=1"])?;
        let lines = [format!("addr add {}/24 dev br-phy", self.vtep()), "link set br-phy up".into()];
        ip_batch(Some(&self.netns()), &lines)
    }

    /// Runs `ovs-vsctl` on this node.
    ///
    /// # Errors
    /// As [`output`].
    pub fn vsctl(&self, args: &[&str]) -> Result<String> {
        let db = format!("--db=unix:{}", self.dir.join("db.sock").display());
        output(Command::new("ovs-vsctl").arg("--timeout=20").arg(db).args(args))
    }

    /// Every row of its database, a line of JSON for each table (ovsdb-client(1), `dump`).
    ///
    /// # Errors
    /// As [`output`].
    pub fn ovsdb_dump(&self) -> Result<String> {
        let db = format!("unix:{}", self.dir.join("db.sock").display());
        output(Command::new("ovsdb-client").args([
            "--timeout=20",
            "--format=json",
            "dump",
            &db,
            "Open_vSwitch",
        ]))
    }

    /// Runs `ovs-ofctl` on this node.
    ///
    /// # Errors
    /// As [`output`].
    pub fn ofctl(&self, args: &[&str]) -> Result<String> {
        output(Command::new("ovs-ofctl").env("OVS_RUNDIR", &self.dir).args(args))
    }

    /// Runs `ovs-appctl` on this node's ovs-vswitchd.
    ///
    /// # Errors
    /// As [`output`].
    pub fn appctl(&self, args: &[&str]) -> Result<String> {
        output(Command::new("ovs-appctl").arg("-t").arg(self.dir.join("vswitchd.ctl")).args(args))
    }

    /// Starts netplugin; it joins with the join file when it has no certificate yet.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_netplugin(&mut self, failpoints: &Failpoints) -> Result<()> {
        let mut command = in_netns(&self.netns(), self.binaries.path("netplugin"));
        command.arg("run").args(["--node", &self.name, "--vtep", &self.vtep().to_string()]);
        command.arg("--state-dir").arg(self.dir.join("state")).arg("--ovs-run-dir").arg(&self.dir);
        command.args(["--bridge", "br-selvage"]).arg("--cni-socket").arg(self.cni_socket());
        command.args(["--datapath", "netdev", "--mtu", &ENDPOINT_MTU.to_string(), "--rule-metrics"]);
        command.arg("--join").arg(self.join_file());
        command.env(ENV, self.mark.as_str());
        failpoints.set(&mut command);
        self.netplugin = Some(Daemon::start("netplugin", &command, &self.dir.join("netplugin.log"))?);
        Ok(())
    }

    /// What netplugin tells Prometheus.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn metrics(&self) -> Result<String> {
        let ask = r"exec 3<>/dev/tcp/127.0.0.1/9996; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3";
        output(in_netns(&self.netns(), "bash").args(["-c", ask]))
    }

    /// Waits until its CNI server answers.
    ///
    /// # Errors
    /// When netplugin ends or does not come up within 30 s; the text has the end of its log.
    pub fn wait_for_netplugin(&mut self) -> Result<()> {
        let socket = self.cni_socket();
        let netplugin = self.netplugin.as_mut().context("netplugin was not started")?;
        let ready = wait_for_blocking("netplugin's CNI socket", Duration::from_secs(30), || {
            match netplugin.running() {
                Ok(()) => std::os::unix::net::UnixStream::connect(&socket).map(|_| Ok(())),
                // It will not come back: no need to wait.
                Err(ended) => Ok(Err(ended)),
            }
        });
        ready.with_context(|| self.name.clone())?.with_context(|| self.name.clone())
    }

    /// `kill -9` of netplugin.
    pub fn kill_netplugin(&mut self) {
        // Dropping the guard kills it.
        drop(self.netplugin.take());
    }

    /// Whether netplugin is alive.
    ///
    /// # Errors
    /// When it is not; the text has the end of its log.
    pub fn netplugin_runs(&mut self) -> Result<()> {
        Ok(self.netplugin.as_mut().context("netplugin was not started")?.running()?)
    }

    /// `kill -9` of `ovs-vswitchd` or `ovsdb-server`, by its pid file; the supervisor starts it again.
    ///
    /// # Errors
    /// When it does not run, so far as its pid file says.
    pub fn kill_supervised(&self, daemon: &str) -> Result<()> {
        let file = self.pid_file(daemon);
        let pid =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let pid = pid.trim();
        // The file outlives a killed process, whose number may be somebody else's by now.
        let runs = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        ensure!(runs.trim() == daemon, "{daemon} of {} does not run", self.name);
        Ok(nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid.parse()?),
            nix::sys::signal::Signal::SIGKILL,
        )?)
    }

    /// Where `ovs-vswitchd` or `ovsdb-server` writes its process id.
    pub fn pid_file(&self, daemon: &str) -> PathBuf {
        self.dir.join(format!("{daemon}.pid"))
    }

    fn supervised_command(&self, program: &str) -> Command {
        let mut command = in_netns(&self.netns(), self.binaries.path("selvage-supervise"));
        command.arg(program).env(ENV, self.mark.as_str()).env("OVS_RUNDIR", &self.dir);
        command
    }

    fn supervise(&mut self, name: &str, command: &Command) -> Result<()> {
        let log = self.dir.join(format!("{name}.supervise.log"));
        self.supervised.push(Daemon::start(name, command, &log)?);
        Ok(())
    }

    /// Leaves its processes running for good.
    pub fn leave_running(&mut self) {
        for daemon in self.supervised.drain(..).chain(self.netplugin.take()) {
            daemon.leave_running();
        }
    }
}
