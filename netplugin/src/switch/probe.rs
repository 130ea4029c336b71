//! Which Open vSwitch this is, and whether the agent works with it: decided before anything in it is touched.
//!
//! An older switch lacks actions and messages the pipeline is made of (docs/pipeline.md), and would refuse flows only
//! when the first endpoint needs them. The decision is a pure function of what the switch and its database say; what
//! cannot be understood is refused, like what is too old.
//!
//! The version is the one the running `ovs-vswitchd` gives on its control socket. The column `ovs_version` counts only
//! when the daemon does not answer: `ovs-ctl` writes it at start, nobody does when the daemons are started by hand.
//! OpenFlow 1.5 needs no question of its own: it is on from Open vSwitch 2.8, and the handshake verifies it.
//!
//! # Failure
//! A switch that says nothing yet is waited for. One that is refused ends the agent; flows and ports stay as they are.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use ovsdb::vswitch::{DatapathType, Vswitch};
use ovsdb::{Client, UnixctlClient};

use crate::probes::control_socket;

/// The oldest that is supported, and the only one tested (with the userspace datapath).
const TESTED: (u32, u32) = (3, 1);
/// Patch levels from here on are the development of the next minor release.
const DEVELOPMENT: u32 = 90;
/// The tunnel port's type.
const TUNNEL_TYPE: &str = "vxlan";
/// What `ovs-vswitchd` puts before its version.
const PROGRAM: &str = "ovs-vswitchd (Open vSwitch) ";
/// The switch answers such questions at once, or hangs.
const UNIXCTL: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A release: `3.1.0`. What follows the third number is looked at only to be numbers too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OvsVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl FromStr for OvsVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // `u32::from_str` takes a sign.
        let number = |part: &str| match part.bytes().all(|b| b.is_ascii_digit()) {
            true => part.parse::<u32>().map_err(drop),
            false => Err(()),
        };
        let parts = text.split('.').map(number).collect::<Result<Vec<_>, ()>>()?;
        match parts.as_slice() {
            [major, minor] => Ok(Self { major: *major, minor: *minor, patch: 0 }),
            [major, minor, patch, ..] => Ok(Self { major: *major, minor: *minor, patch: *patch }),
            _ => Err(()),
        }
    }
}

/// Whether a switch other than the tested one is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherVersions {
    /// Newer ones with a warning, older ones not.
    RefuseOlder,
    /// Every one, with a warning (`--allow-untested-ovs`).
    Allow,
}

/// What the switch and its database say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The answer of `ovs-vswitchd` to `version`.
    pub running: Option<String>,
    /// The column `ovs_version`.
    pub recorded: Option<String>,
    /// The column `datapath_types`.
    pub datapath_types: BTreeSet<String>,
    /// The column `iface_types`.
    pub iface_types: BTreeSet<String>,
}

/// What to make of a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The tested one.
    Supported,
    /// It may work; the text is the warning.
    Untested(String),
    /// The agent does not start on it.
    Refused(Refusal),
}

/// Why a switch is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too old.
    #[error(
        "Open vSwitch {0} of this node is older than 3.1, the oldest that Selvage is tested with: upgrade openvswitch \
         on this node, or try it with --allow-untested-ovs (flows may be refused, and with them endpoints)"
    )]
    Older(String),
    /// No version, or no text that is one.
    #[error(
        "the version of this node's Open vSwitch is not understood ({0}): compare `ovs-appctl version` with 3.1, the \
         oldest that Selvage is tested with, then upgrade openvswitch or give --allow-untested-ovs"
    )]
    UnknownVersion(String),
    /// The datapath wanted is not there.
    #[error(
        "ovs-vswitchd of this node has no datapath {wanted}, only {offered}: give another --datapath, or load the \
         openvswitch kernel module and restart ovs-vswitchd"
    )]
    NoDatapath {
        /// Wanted.
        wanted: &'static str,
        /// There are.
        offered: List,
    },
    /// No tunnels.
    #[error(
        "ovs-vswitchd of this node has no vxlan interfaces, only {0}: install an openvswitch that is built with them"
    )]
    NoTunnels(List),
}

/// Values of a column, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List(BTreeSet<String>);

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&self.0.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// Whether the agent works with this switch. What is missing is refused whatever is allowed: only versions are a
/// matter of daring.
pub fn judge(facts: &Facts, wanted: DatapathType, others: OtherVersions) -> Verdict {
    if !facts.datapath_types.contains(wanted.as_str()) {
        let offered = List(facts.datapath_types.clone());
        return Verdict::Refused(Refusal::NoDatapath { wanted: wanted.as_str(), offered });
    }
    if !facts.iface_types.contains(TUNNEL_TYPE) {
        return Verdict::Refused(Refusal::NoTunnels(List(facts.iface_types.clone())));
    }
    match (judge_version(facts), others) {
        (Verdict::Refused(Refusal::Older(version)), OtherVersions::Allow) => {
            Verdict::Untested(format!("Open vSwitch {version} is older than 3.1: flows may be refused"))
        }
        (Verdict::Refused(Refusal::UnknownVersion(text)), OtherVersions::Allow) => {
            Verdict::Untested(format!("the version of Open vSwitch is not understood ({text})"))
        }
        (verdict, _) => verdict,
    }
}

fn judge_version(facts: &Facts) -> Verdict {
    let unknown = |text: &str| Verdict::Refused(Refusal::UnknownVersion(text.to_owned()));
    let text = match (&facts.running, &facts.recorded) {
        (Some(answer), _) => match answer.trim_end().strip_prefix(PROGRAM) {
            Some(text) => text,
            None => return unknown(&format!("{answer:?}")),
        },
        (None, Some(column)) => column.as_str(),
        (None, None) => return unknown("neither ovs-vswitchd nor its database says one"),
    };
    let Ok(version) = text.parse::<OvsVersion>() else { return unknown(&format!("{text:?}")) };
    let release = (version.major, version.minor);
    if release < TESTED {
        Verdict::Refused(Refusal::Older(text.to_owned()))
    } else if release > TESTED || version.patch >= DEVELOPMENT {
        Verdict::Untested(format!("Open vSwitch {text} is newer than 3.1, which Selvage is tested with"))
    } else {
        Verdict::Supported
    }
}

/// Asks until the switch has said what it is: its datapaths, and a version unless every one will do. A new database
/// has neither before `ovs-vswitchd` has run on it.
pub async fn ask(client: &Client, run_dir: &Path, others: OtherVersions) -> Facts {
    let mut warned = false;
    loop {
        let facts = ask_once(client, run_dir).await;
        let version = facts.running.is_some() || facts.recorded.is_some() || others == OtherVersions::Allow;
        if version && !facts.datapath_types.is_empty() {
            return facts;
        }
        if !warned {
            let dir = run_dir.display();
            tracing::warn!(path = %dir, "waiting for ovs-vswitchd to say its version and datapaths");
            warned = true;
        }
        #[expect(clippy::disallowed_methods, reason = "asking again really sleeps")]
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn ask_once(client: &Client, run_dir: &Path) -> Facts {
    let running = match control_socket(run_dir) {
        Some(socket) => UnixctlClient::new(socket, UNIXCTL).call("version", &[]).await.ok(),
        None => None,
    };
    match Vswitch::new(&client.cache()).root() {
        Ok(root) => Facts {
            running,
            recorded: root.ovs_version,
            datapath_types: root.datapath_types,
            iface_types: root.iface_types,
        },
        Err(_) => Facts { running, ..Facts::default() },
    }
}

#[cfg(test)]
mod tests;
