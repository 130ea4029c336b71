//! What somebody does by hand, in the words of `ovs-ofctl(8)` and `ovs-vsctl(8)`.

use anyhow::{Context as _, Result};

use crate::lab::Node;
use crate::suites::agent::BRIDGE;

/// Cookies of Selvage's flows, as value and mask.
const OURS: &str = "0x5e00000000000000/0xff00000000000000";
/// A cookie nobody of ours has.
pub(super) const FOREIGN_COOKIE: &str = "0xf00d";

/// What an edit is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// Flows.
    Ofctl,
    /// Rows of the database.
    Vsctl,
}

/// What is looked at once it is put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Flows and rows are as before.
    AllAsBefore,
    /// The same, and no flow was touched: forwarding does not depend on it.
    FlowsUntouched,
    /// Open vSwitch threw away every flow in the bridge, those of others, too.
    SwitchEmptied,
    /// What others had in the bridge is gone, by the same hand.
    OthersGone,
}

/// One thing done by hand.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    /// For people.
    pub name: &'static str,
    pub tool: Tool,
    pub words: Vec<String>,
    /// A word of the report.
    pub says: String,
    pub after: After,
}

/// What edits are about.
pub(super) struct Facts {
    /// The interface of an endpoint.
    port: String,
    /// Its number.
    number: String,
    tunnel: String,
    /// Match and priority of a flow of ours in the first table that is about this port.
    flow: String,
    /// Our cookie on it.
    cookie: String,
}

impl Facts {
    /// About `web-1` of blue.
    pub fn find(node: &Node, flows: impl Iterator<Item = String>) -> Result<Self> {
        let label = ["external_ids:selvage-tenant=blue", "external_ids:selvage-endpoint=web-1"];
        let find = [&["--bare", "--columns=name,ofport", "find", "Interface"], &label[..]].concat();
        let text = node.vsctl(&find)?;
        let mut found = text.split_whitespace();
        let (port, number) = (
            found.next().context("no port of web-1")?.to_owned(),
            found.next().context("no number")?.to_owned(),
        );
        let tunnel = node.vsctl(&["--bare", "--columns=name", "find", "Interface", "type=vxlan"])?;
        let of_port = format!("in_port={number}");
        let is_it = |line: &String| {
            line.starts_with(BRIDGE)
                && (line.contains("table=0,") || !line.contains("table="))
                && line.split([',', ' ']).any(|word| word == of_port)
        };
        let line = flows.into_iter().find(is_it).context("no flow of the port")?;
        let (matches, _) = line.split_once(" actions=").context("a flow has actions")?;
        let words: Vec<&str> = matches.split([',', ' ']).filter(|w| !w.is_empty() && *w != BRIDGE).collect();
        let cookie = words.iter().find(|w| w.starts_with("cookie=")).context("a flow has a cookie")?;
        let flow: Vec<&str> = words.iter().filter(|w| !w.starts_with("cookie=")).copied().collect();
        Ok(Self {
            port,
            number,
            tunnel: tunnel.trim().to_owned(),
            flow: flow.join(","),
            cookie: (*cookie).to_owned(),
        })
    }

    /// The flows' turn.
    pub fn of_flows(&self) -> Vec<Edit> {
        let Self { number, flow, cookie, .. } = self;
        let edit = |name, words: &str, argument: String| Edit {
            name,
            tool: Tool::Ofctl,
            words: words.split(' ').map(str::to_owned).chain([argument]).collect(),
            says: "flows of table".to_owned(),
            after: After::AllAsBefore,
        };
        let del = format!("--strict del-flows {BRIDGE}");
        let add = format!("add-flow {BRIDGE}");
        vec![
            edit("a flow is deleted", &del, flow.clone()),
            edit(
                "an endpoint's flows are deleted",
                &format!("del-flows {BRIDGE}"),
                format!("in_port={number}"),
            ),
            edit("all our flows are deleted", &format!("del-flows {BRIDGE}"), format!("cookie={OURS}")),
            edit(
                "a flow is altered",
                &format!("--strict mod-flows {BRIDGE}"),
                format!("{flow},actions=drop"),
            ),
            edit(
                "a flow is added in our name",
                &add,
                format!("{cookie},table=0,priority=60000,actions=drop"),
            ),
            edit("a flow is replaced", &add, format!("cookie={FOREIGN_COOKIE},{flow},actions=drop")),
        ]
    }

    /// Rows that forwarding does not depend on.
    pub fn of_rows(&self) -> Vec<Edit> {
        let Self { port, tunnel, .. } = self;
        let edit = |name, words: String, says: String| Edit {
            after: After::FlowsUntouched,
            ..row(name, &words, says)
        };
        let (settings, of_ports) = (format!("settings of bridge {BRIDGE}"), "settings of ports".to_owned());
        vec![
            edit(
                "the bridge loses our mark",
                format!("remove Bridge {BRIDGE} external_ids owner"),
                format!("mark of bridge {BRIDGE}"),
            ),
            edit(
                "a port loses our mark",
                format!("clear Port {port} external_ids"),
                format!("mark of port {port}"),
            ),
            edit(
                "an endpoint's labels are removed",
                format!("clear Interface {port} external_ids"),
                of_ports.clone(),
            ),
            edit(
                "an endpoint's label is altered",
                format!("set Interface {port} external_ids:selvage-endpoint=web-9"),
                of_ports.clone(),
            ),
            edit("an access VLAN is set", format!("set Port {port} tag=7"), of_ports.clone()),
            edit(
                "an access VLAN is set on the tunnel",
                format!("set Port {tunnel} tag=7 vlan_mode=access"),
                of_ports,
            ),
            edit(
                "in-band control is allowed",
                format!("remove Bridge {BRIDGE} other_config disable-in-band"),
                settings,
            ),
            edit(
                "prefixes are no longer tracked",
                format!("clear Bridge {BRIDGE} flow_tables"),
                "flow table settings".to_owned(),
            ),
        ]
    }

    /// Rows that forwarding depends on.
    pub fn of_ports(&self) -> Vec<Edit> {
        let Self { port, tunnel, .. } = self;
        let settings = format!("settings of bridge {BRIDGE}");
        let emptied =
            |name, words: &str, says| Edit { after: After::SwitchEmptied, ..row(name, words, says) };
        let (of_port, of_tunnel) = (format!("port {port}"), format!("port {tunnel}"));
        vec![
            row("an endpoint's port is deleted", &format!("del-port {BRIDGE} {port}"), of_port.clone()),
            row(
                "an endpoint's number is altered",
                &format!("set Interface {port} ofport_request=999"),
                of_port,
            ),
            row("the tunnel port is deleted", &format!("del-port {BRIDGE} {tunnel}"), of_tunnel.clone()),
            row(
                "the tunnel is altered",
                &format!("set Interface {tunnel} options:key=77"),
                "settings of ports".into(),
            ),
            row("the tunnel gets another type", &format!("set Interface {tunnel} type=geneve"), of_tunnel),
            row(
                "protocols are altered",
                &format!("set Bridge {BRIDGE} protocols=OpenFlow10"),
                settings.clone(),
            ),
            // Both make it empty the bridge (`connmgr_set_fail_mode`, `connmgr_set_controllers` in OVS).
            emptied(
                "the fail mode is altered",
                &format!("set-fail-mode {BRIDGE} standalone"),
                settings.clone(),
            ),
            emptied("a controller is set", &format!("set-controller {BRIDGE} tcp:127.0.0.1:6653"), settings),
            emptied(
                "the bridge gets another datapath",
                &format!("set Bridge {BRIDGE} datapath_type=system"),
                format!("datapath of bridge {BRIDGE}"),
            ),
            Edit {
                after: After::OthersGone,
                ..row("the bridge is deleted", &format!("del-br {BRIDGE}"), format!("bridge {BRIDGE}"))
            },
        ]
    }

    /// What happens while the agent is away.
    pub fn meanwhile(&self) -> Edit {
        let words = format!("del-port {BRIDGE} {} -- set Port {} tag=7", self.port, self.tunnel);
        row("a port is deleted while the agent is away", &words, format!("port {}", self.port))
    }
}

fn row(name: &'static str, words: &str, says: String) -> Edit {
    let words = words.split(' ').map(str::to_owned).collect();
    Edit { name, tool: Tool::Vsctl, words, says, after: After::AllAsBefore }
}
