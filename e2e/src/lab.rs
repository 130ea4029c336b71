//! A lab: nodes, an underlay, a management network and netmaster, all out of network namespaces of this machine.
//!
//! ```text
//!   the machine's namespace ── <mark> ──┐                 people reach the API from here
//!                          <mark>-mgmt: br0  netmaster, etcd
//!                            │mgmt0      │mgmt0
//!                       <mark>-node-1  <mark>-node-2      ovsdb-server, ovs-vswitchd, netplugin
//!                            │eth0       │eth0            in br-phy, which has the tunnel address
//!                          <mark>-fabric: br0             the underlay
//!   endpoints: <mark>-TENANT-NAME, attached to a node by selvage-cni
//! ```
//!
//! # Invariants
//! * Every namespace name begins with the [`Mark`], every process has it in its environment: [`sweep`] needs nothing
//!   else. Two checkouts have different marks and never meet.
//! * A [`Lab`] that is dropped is swept; [`Lab::leave_running`] is the only way to keep it.
//!
//! # Failure
//! Errors say which command failed and what it wrote; daemons' logs lie in `.lab/<mark>/`.

mod endpoint;
pub mod fabric;
pub mod https;
pub mod machine;
mod mark;
mod master;
mod node;
pub mod run;
mod stored;
mod sweep;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use test_support::wait_for_blocking;

pub use endpoint::{Endpoint, Wanted};
pub use mark::{ENV as MARK_VARIABLE, Mark, Purpose};
pub use master::Master;
pub use node::Node;
pub use sweep::{Swept, namespaces, run_dir, sweep};

/// Which store netmaster uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// The embedded one.
    Sqlite,
    /// A private etcd.
    Etcd,
}

/// The directory with the programs under test.
#[derive(Clone, Debug)]
pub struct Binaries(PathBuf);

impl Binaries {
    /// The programs in this directory.
    pub fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// One of them.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Named defects and kill points switched on in the programs under test; only builds with failpoints know them.
#[derive(Clone, Debug, Default)]
pub struct Failpoints(Option<String>);

impl Failpoints {
    /// Switches one named defect on.
    pub fn defect(name: &str) -> Self {
        Self(Some(format!("{name}=return")))
    }

    /// One more.
    #[must_use]
    pub fn with(&self, name: &str) -> Self {
        self.and(&format!("{name}=return"))
    }

    /// One more, that is told a number.
    #[must_use]
    pub fn with_number(&self, name: &str, number: u64) -> Self {
        self.and(&format!("{name}=return({number})"))
    }

    /// A kill point that ends another process, once: the one whose id is in this file.
    #[must_use]
    pub fn with_victim(&self, name: &str, pid_file: &Path) -> Self {
        self.and(&format!("{name}=1*return({})", pid_file.display()))
    }

    fn and(&self, term: &str) -> Self {
        let before = self.0.as_deref().map(|s| format!("{s};")).unwrap_or_default();
        Self(Some(format!("{before}{term}")))
    }

    /// Whether any is.
    pub fn any(&self) -> bool {
        self.0.is_some()
    }

    /// Switches them on in a program.
    pub fn set(&self, command: &mut Command) {
        if let Some(spec) = &self.0 {
            command.env("FAILPOINTS", spec);
        }
    }
}

/// How a lab is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The checkout it belongs to.
    pub checkout: PathBuf,
    /// What it is for.
    pub purpose: Purpose,
    /// The programs under test.
    pub binaries: Binaries,
    /// netmaster's store.
    pub store: StoreKind,
    /// Switched-on defects.
    pub failpoints: Failpoints,
    /// How many nodes.
    pub nodes: u8,
}

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    mark: Mark,
    dir: PathBuf,
    options: Options,
    mgmt: fabric::Management,
    /// netmaster and its store.
    pub master: Master,
    /// The nodes, `node-1` first.
    pub nodes: Vec<Node>,
    /// What is attached, by `tenant/name`.
    pub endpoints: BTreeMap<String, Endpoint>,
    keep: bool,
    /// Held until after `Drop`.
    _lock: File,
}

impl Lab {
    /// Removes what an earlier lab of this mark left, then makes the networks, starts netmaster and the nodes with
    /// their Open vSwitch, and netplugin on each.
    ///
    /// # Errors
    /// When any part does not come up; what was made is removed again.
    pub fn up(options: Options) -> Result<Self> {
        let mark = Mark::new(&options.checkout, options.purpose)?;
        let dir = options.checkout.join(".lab").join(mark.as_str());
        let lock = lock(&mark, &dir)?;
        sweep(&mark, &dir)?;
        let made = Self::make(mark.clone(), dir.clone(), options, lock);
        if made.is_err() {
            // The error that got us here is the one to report.
            let _ = sweep(&mark, &dir);
        }
        made.with_context(|| {
            format!("the lab {mark} did not come up; logs: {}", dir.with_extension("last").display())
        })
    }

    fn make(mark: Mark, dir: PathBuf, options: Options, lock: File) -> Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let run = sweep::run_dir(&mark);
        std::os::unix::fs::symlink(&dir, &run).with_context(|| format!("cannot link {}", run.display()))?;
        let mgmt = fabric::make(&mark)?;
        let (binaries, failpoints) = (&options.binaries, &options.failpoints);
        let mut master = Master::start(&mark, &run, binaries, mgmt, options.store, failpoints)?;
        let mut nodes = std::thread::scope(|scope| {
            let (mark, run) = (&mark, &run);
            let start = |n| scope.spawn(move || Node::start(mark, n, run, binaries, mgmt));
            let handles: Vec<_> = (1..=options.nodes).map(start).collect();
            handles.into_iter().map(join).collect::<Result<Vec<_>>>()
        })?;
        master.wait_until_serving()?;
        for node in &mut nodes {
            join_cluster(&master, node, failpoints)?;
        }
        for node in &mut nodes {
            node.wait_for_netplugin()?;
        }
        let endpoints = BTreeMap::new();
        Ok(Self { mark, dir, options, mgmt, master, nodes, endpoints, keep: false, _lock: lock })
    }

    /// One more machine with its Open vSwitch, that Selvage has not been on yet. It is not among [`Lab::nodes`].
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn bare_node(&self, number: u8) -> Result<Node> {
        Node::start(&self.mark, number, &sweep::run_dir(&self.mark), &self.options.binaries, self.mgmt)
    }

    /// One more machine, which is started by systemd. It has nothing yet and is off.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn machine(&self, name: &str, mac: &str) -> Result<machine::Machine> {
        machine::Machine::new(&self.mark, &self.dir, name, mac)
    }

    /// Gives a machine its join file and starts netplugin there.
    ///
    /// # Errors
    /// When netmaster refuses, or netplugin does not come up.
    pub fn join(&self, node: &mut Node) -> Result<()> {
        join_cluster(&self.master, node, &self.options.failpoints)?;
        node.wait_for_netplugin()
    }

    /// Its mark.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// The programs under test.
    pub fn binaries(&self) -> &Binaries {
        &self.options.binaries
    }

    /// The checkout it belongs to.
    pub fn checkout(&self) -> &Path {
        &self.options.checkout
    }

    /// The defects it runs with.
    pub fn failpoints(&self) -> &Failpoints {
        &self.options.failpoints
    }

    /// Logs and captures.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs `netctl` against its netmaster.
    ///
    /// # Errors
    /// When netctl fails.
    pub fn netctl(&self, args: &[&str]) -> Result<String> {
        run::output(&mut self.master.netctl(args))
    }

    /// What netmaster says the system is doing.
    ///
    /// # Errors
    /// When netctl fails or its answer is none.
    pub fn status(&self) -> Result<api::v1::Status> {
        Ok(serde_json::from_str(&self.netctl(&["status", "-o", "json"])?)?)
    }

    /// Waits until every node is connected and enforces the newest intent.
    ///
    /// # Errors
    /// When that does not come within 20 s.
    pub fn wait_until_realized(&self) -> Result<()> {
        let settled =
            wait_for_blocking("every node to enforce the newest intent", Duration::from_secs(20), || {
                let status = self.status().map_err(|e| format!("{e:#}"))?;
                let current = |n: &api::v1::NodeReport| {
                    n.connected && n.realized_revision.as_ref() == Some(&status.revision)
                };
                let all = status.nodes.len() == self.nodes.len() && status.nodes.iter().all(current);
                if all { Ok(()) } else { Err(format!("{status:?}")) }
            });
        Ok(settled?)
    }

    /// An object as netmaster shows it.
    ///
    /// # Errors
    /// When there is none.
    pub fn inspect<T: serde::de::DeserializeOwned>(&self, noun: &str, tenant: &str, name: &str) -> Result<T> {
        let text = self.netctl(&[noun, "inspect", "-t", tenant, "-o", "json", name])?;
        serde_json::from_str(&text).with_context(|| format!("{noun} {tenant}/{name}"))
    }

    /// Attaches endpoints, those of different nodes at the same time.
    ///
    /// # Errors
    /// When a plugin refuses one.
    pub fn attach(&mut self, wanted: &[Wanted]) -> Result<()> {
        let (mark, binaries) = (&self.mark, &self.options.binaries);
        let made = std::thread::scope(|scope| {
            let per_node = |(node, n): (&Node, u8)| {
                let mine: Vec<_> = wanted.iter().filter(|w| w.node == n).collect();
                mine.into_iter()
                    .map(|w| Endpoint::attach(mark, node, binaries, w))
                    .collect::<Result<Vec<_>>>()
            };
            let handles: Vec<_> =
                self.nodes.iter().zip(1..).map(|each| scope.spawn(move || per_node(each))).collect();
            handles.into_iter().map(join).collect::<Result<Vec<_>>>()
        })?;
        self.endpoints.extend(made.into_iter().flatten().map(|e| (e.id(), e)));
        Ok(())
    }

    /// Detaches one endpoint.
    ///
    /// # Errors
    /// When there is none of that name or the plugin refuses.
    pub fn detach(&mut self, id: &str) -> Result<()> {
        let endpoint = self.endpoints.get(id).with_context(|| format!("no endpoint {id}"))?;
        endpoint.detach(self.node_of(endpoint)?, &self.options.binaries)?;
        self.endpoints.remove(id);
        Ok(())
    }

    /// An attached endpoint.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn endpoint(&self, id: &str) -> Result<&Endpoint> {
        self.endpoints.get(id).with_context(|| format!("no endpoint {id}"))
    }

    /// The node an endpoint is on.
    ///
    /// # Errors
    /// When the lab has no such node.
    pub fn node_of(&self, endpoint: &Endpoint) -> Result<&Node> {
        let index = usize::from(endpoint.wanted.node) - 1;
        self.nodes.get(index).with_context(|| format!("{} is on a node the lab does not have", endpoint.id()))
    }

    /// Leaves everything running.
    pub fn leave_running(mut self) {
        self.keep = true;
        self.nodes.iter_mut().for_each(Node::leave_running);
        self.master.leave_running();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.keep
            && let Err(e) = sweep(&self.mark, &self.dir)
        {
            eprintln!("the lab {} could not be removed: {e:#}", self.mark);
        }
    }
}

fn join_cluster(master: &Master, node: &mut Node, failpoints: &Failpoints) -> Result<()> {
    let file = node.join_file().display().to_string();
    run::output(&mut master.netctl(&["node", "join-token", &node.name, "-o", &file]))?;
    node.start_netplugin(failpoints)
}

/// One lab of a mark at a time: the next waits until this one is gone, instead of sweeping it away.
fn lock(mark: &Mark, dir: &Path) -> Result<File> {
    let path = dir.with_extension("lock");
    std::fs::create_dir_all(path.parent().unwrap_or(dir))?;
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("    waiting: another command of this checkout has the lab {mark}");
        file.lock()?;
    }
    Ok(file)
}

fn join<T>(handle: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle.join().map_err(|_| anyhow::anyhow!("a thread of the lab panicked"))?
}
