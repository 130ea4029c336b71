//! The plugin as a container runtime starts it: environment, configuration on standard input, exit status, JSON.
//! CNI specification 1.1.0, section 2 "Execution Protocol".

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::lab::{Lab, Node, run};

/// One container's attachment.
#[derive(Clone)]
pub(super) struct Attachment {
    plugin: PathBuf,
    node_netns: String,
    /// CNI_CONTAINERID.
    pub container: String,
    /// Name of its network namespace.
    pub netns: String,
    /// The configuration; a test changes what it likes.
    pub config: Value,
    /// The environment but for CNI_COMMAND; a test changes what it likes.
    pub environment: Vec<(&'static str, String)>,
}

/// What the plugin did.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Whether its exit status was 0.
    pub succeeded: bool,
    /// Its standard output.
    pub text: String,
}

impl Attachment {
    /// A new container in a new namespace on a node, to be attached to blue's network `front`, group `web`. Its
    /// endpoint has the name the plugin makes of container and interface.
    pub fn new(lab: &Lab, node: &Node, name: &str) -> Result<Self> {
        let netns = lab.mark().netns(name);
        run::output(&mut run::words(&format!("ip netns add {netns}")))?;
        Ok(Self::of(lab, node, name, netns))
    }

    /// As [`Attachment::new`], without making the namespace.
    pub fn of(lab: &Lab, node: &Node, name: &str, netns: String) -> Self {
        let plugin = lab.binaries().path("selvage-cni");
        let path = plugin.parent().map(|p| p.display().to_string()).unwrap_or_default();
        Self {
            node_netns: node.netns(),
            container: name.to_owned(),
            config: json!({
                "cniVersion": "1.1.0", "name": "selvage", "type": "selvage-cni",
                "socket": node.cni_socket(), "tenant": "blue", "network": "front", "group": "web",
            }),
            environment: vec![
                ("CNI_CONTAINERID", name.to_owned()),
                ("CNI_IFNAME", "eth0".to_owned()),
                ("CNI_NETNS", format!("/run/netns/{netns}")),
                ("CNI_PATH", path),
            ],
            plugin,
            netns,
        }
    }

    /// The same, in another version of the specification.
    pub fn version(mut self, version: &str) -> Self {
        self.config["cniVersion"] = version.into();
        self
    }

    /// The same of another container, in a namespace of that name.
    pub fn another(&self, name: &str) -> Self {
        let mut other = Self { container: name.to_owned(), netns: name.to_owned(), ..self.clone() };
        for (key, value) in &mut other.environment {
            match *key {
                "CNI_CONTAINERID" => name.clone_into(value),
                "CNI_NETNS" => *value = format!("/run/netns/{name}"),
                _ => {}
            }
        }
        other
    }

    /// The name of its endpoint.
    pub fn endpoint(&self) -> String {
        format!("{}.eth0", self.container)
    }

    /// Starts the plugin.
    pub fn call(&self, verb: &str, previous: Option<&Value>) -> Result<Outcome> {
        let mut config = self.config.clone();
        if let Some(result) = previous {
            config["prevResult"] = result.clone();
        }
        self.call_with(verb, config.to_string().as_bytes())
    }

    /// Starts the plugin with this on its standard input.
    pub fn call_with(&self, verb: &str, input: &[u8]) -> Result<Outcome> {
        let mut command = run::in_netns(&self.node_netns, &self.plugin);
        command.env("CNI_COMMAND", verb).envs(self.environment.iter().map(|(k, v)| (*k, v)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("selvage-cni")?;
        if let Some(mut stdin) = child.stdin.take() {
            // VERSION reads nothing.
            let _ = stdin.write_all(input);
        }
        let out = child.wait_with_output()?;
        Ok(Outcome {
            succeeded: out.status.success(),
            text: String::from_utf8_lossy(&out.stdout).into_owned(),
        })
    }

    /// A command inside the container.
    pub fn command(&self, line: &str) -> Command {
        run::words_in(&self.netns, line)
    }

    /// The container's end of the interface, as `ip` tells it: `None` when there is none.
    pub fn interface(&self) -> Option<Value> {
        let text = run::output(&mut self.command("ip -j addr show dev eth0")).ok()?;
        serde_json::from_str::<Value>(&text).ok()?.get(0).cloned()
    }

    /// Ends the container.
    pub fn remove_namespace(&self) -> Result<()> {
        run::output(&mut run::words(&format!("ip netns del {}", self.netns))).map(drop)
    }
}

impl Outcome {
    /// The result of a successful ADD.
    pub fn result(&self) -> Result<Value, String> {
        if !self.succeeded {
            return Err(self.text.clone());
        }
        serde_json::from_str(&self.text).map_err(|e| format!("{e}: {}", self.text))
    }

    /// Success without output, as DEL and CHECK have it.
    pub fn silent(&self) -> Result<(), String> {
        if self.succeeded && self.text.is_empty() { Ok(()) } else { Err(format!("{self:?}")) }
    }

    /// An error object with this code: section 5 "Error". `version` is what was asked for.
    pub fn error(&self, version: &str, code: u64) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{what}: {self:?}"));
        if self.succeeded {
            return wrong("not refused");
        }
        let Ok(error) = serde_json::from_str::<Value>(&self.text) else { return wrong("no JSON") };
        let text = |key: &str| error[key].as_str().is_some_and(|t| !t.is_empty());
        if error["cniVersion"] != version || error["code"] != code || !text("msg") || !text("details") {
            return wrong(&format!("not an error {code} of version {version}"));
        }
        Ok(())
    }
}

/// Checks the result of ADD against section 5 "Add Success" of the version asked for.
pub(super) fn check_result(result: &Value, version: &str) -> Result<(), String> {
    let (interface, route): (&[&str], &[&str]) = match version {
        "1.0.0" => (&["name", "mac", "sandbox"], &["dst", "gw"]),
        _ => (
            &["name", "mac", "mtu", "sandbox", "socketPath", "pciID"],
            &["dst", "gw", "mtu", "advmss", "priority", "table", "scope"],
        ),
    };
    if result["cniVersion"] != version {
        return Err(format!("cniVersion is {}", result["cniVersion"]));
    }
    only("the result", result, &["cniVersion", "interfaces", "ips", "routes", "dns"])?;
    let interfaces = every("interfaces", result, interface)?;
    for ip in every("ips", result, &["address", "gateway", "interface"])? {
        let address = ip["address"].as_str().unwrap_or_default();
        address.parse::<types::HostCidr>().map_err(|e| e.to_string())?;
        let index = ip["interface"].as_u64().and_then(|i| usize::try_from(i).ok());
        if index.and_then(|i| interfaces.get(i)).is_none() {
            return Err(format!("no interface of {ip}"));
        }
    }
    for route in every("routes", result, route)? {
        let dst = route["dst"].as_str().unwrap_or_default();
        dst.parse::<types::IpCidr>().map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn every(list: &str, result: &Value, keys: &[&str]) -> Result<Vec<Value>, String> {
    let items = result[list].as_array().filter(|a| !a.is_empty()).ok_or(format!("no {list}: {result}"))?;
    items.iter().try_for_each(|item| only(list, item, keys))?;
    Ok(items.clone())
}

/// Keys of other versions are as wrong as keys of nobody.
fn only(what: &str, value: &Value, keys: &[&str]) -> Result<(), String> {
    let object = value.as_object().ok_or_else(|| format!("{what} is no object: {value}"))?;
    match object.keys().find(|k| !keys.contains(&k.as_str())) {
        Some(key) => Err(format!("{what} has {key}")),
        None => Ok(()),
    }
}

/// Everything an endpoint leaves its traces in, one line each: endpoints and address use in netmaster; ports, flows,
/// interfaces, nftables chains and journals on the nodes.
pub(super) fn traces(lab: &Lab) -> Result<BTreeSet<String>> {
    let mut traces = BTreeSet::new();
    for tenant in ["blue", "green"] {
        for endpoint in list(lab, "endpoint", tenant)? {
            traces.insert(format!(
                "endpoint {tenant}/{} {}",
                endpoint["name"], endpoint["status"]["addresses"]
            ));
        }
        for network in list(lab, "network", tenant)? {
            let used = network["status"]["addresses"].as_array().cloned().unwrap_or_default();
            let used: Vec<_> = used.iter().map(|u| format!("{}: {}", u["family"], u["used"])).collect();
            traces.insert(format!("network {tenant}/{} uses {}", network["name"], used.join(", ")));
        }
    }
    for node in &lab.nodes {
        traces.extend(on_node(node)?.into_iter().map(|line| format!("{}: {line}", node.name)));
    }
    Ok(traces)
}

/// The objects of a kind.
pub(super) fn list(lab: &Lab, noun: &str, tenant: &str) -> Result<Vec<Value>> {
    let text = lab.netctl(&[noun, "ls", "-t", tenant, "-o", "json"])?;
    let list: Value = serde_json::from_str(&text)?;
    Ok(list["items"].as_array().with_context(|| format!("netctl {noun} ls: no items"))?.clone())
}

fn on_node(node: &Node) -> Result<Vec<String>> {
    let netns = node.netns();
    let bridge = super::agent::BRIDGE;
    let mut lines: Vec<String> =
        node.vsctl(&["list-ports", bridge])?.lines().map(|l| format!("port {l}")).collect();
    let flows = node.ofctl(&["-O", "OpenFlow15", "--no-stats", "dump-flows", bridge])?;
    ensure!(flows.lines().count() > 1, "no flows on {}: {flows}", node.name);
    lines.extend(flows.lines().map(|l| format!("flow {}", l.trim())));
    let links = run::output(&mut run::words_in(&netns, "ip -o link show type veth"))?;
    let names = links.lines().filter_map(|l| l.split(": ").nth(1)?.split('@').next());
    lines.extend(names.map(|n| format!("interface {n}")));
    let rules = run::output(&mut run::words_in(&netns, "nft list ruleset"))?;
    lines.extend(rules.lines().filter(|l| l.contains("chain")).map(|l| format!("nftables {}", l.trim())));
    if let Ok(entries) = std::fs::read_dir(node.dir.join("selvage-cni-journal")) {
        lines.extend(entries.flatten().map(|e| format!("journal {}", e.file_name().display())));
    }
    let log = std::fs::read_to_string(node.dir.join("state/detach.json")).unwrap_or_default();
    lines.extend((log.len() > 2).then(|| format!("to be detached {log}")));
    Ok(lines)
}

/// Waits until everything is as it was; says what is not.
pub(super) fn wait_for_traces(lab: &Lab, before: &BTreeSet<String>) -> Result<(), String> {
    let same = test_support::wait_for_blocking("no trace", std::time::Duration::from_secs(10), || {
        let now = traces(lab).map_err(|e| format!("{e:#}"))?;
        let more = now.difference(before).map(|l| format!("left: {l}"));
        let less = before.difference(&now).map(|l| format!("missing: {l}"));
        let all: Vec<_> = more.chain(less).take(10).collect();
        if all.is_empty() { Ok(()) } else { Err(all.join("\n        ")) }
    });
    same.map_err(|e| e.to_string())
}
