//! Endpoints: namespaces attached through the CNI plugin, exactly as a container runtime would.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::mark::Mark;
use super::run::{in_netns, output, output_with_input, words};
use super::{Binaries, Node};

/// What endpoint to make.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Its tenant.
    pub tenant: String,
    /// Its name in the tenant.
    pub name: String,
    /// Its network.
    pub network: String,
    /// Its group.
    pub group: Option<String>,
    /// The number of its node, from 1.
    pub node: u8,
    /// The addresses it asks for; none = the store chooses.
    pub addresses: Vec<IpAddr>,
}

impl Wanted {
    /// `blue/web-1`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.tenant, self.name)
    }

    fn config(&self, node: &Node) -> serde_json::Value {
        let mut config = serde_json::json!({
            "cniVersion": "1.1.0", "name": "selvage", "type": "selvage-cni",
            "socket": node.cni_socket(), "tenant": self.tenant, "network": self.network,
        });
        if let Some(group) = &self.group {
            config["group"] = group.clone().into();
        }
        config
    }

    fn arguments(&self) -> String {
        let mut args = format!("IgnoreUnknown=1;SELVAGE_ENDPOINT={}", self.name);
        for address in &self.addresses {
            let key = if address.is_ipv4() { "IPV4" } else { "IPV6" };
            args += &format!(";SELVAGE_{key}={address}");
        }
        args
    }
}

/// An attached endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What was asked for.
    pub wanted: Wanted,
    /// Its network namespace.
    pub netns: String,
    /// The addresses it got, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// The whole result of ADD: a runtime keeps it and gives it to CHECK and DEL.
    result: serde_json::Value,
}

/// The part of a CNI result that we read (CNI specification 1.1, "ADD success").
#[derive(Deserialize)]
struct CniResult {
    #[serde(default)]
    ips: Vec<CniIp>,
}

#[derive(Deserialize)]
struct CniIp {
    address: String,
}

impl Endpoint {
    /// Makes the namespace and attaches it.
    ///
    /// # Errors
    /// When the plugin refuses; the text has its answer.
    pub fn attach(mark: &Mark, node: &Node, binaries: &Binaries, wanted: &Wanted) -> Result<Self> {
        let netns = mark.netns(&format!("{}-{}", wanted.tenant, wanted.name));
        output(&mut words(&format!("ip netns add {netns}")))?;
        let answer = call(node, binaries, "ADD", &netns, wanted, None)
            .with_context(|| format!("attach {}", wanted.id()))?;
        let addresses =
            parse_addresses(&answer).with_context(|| format!("CNI result of {}: {answer}", wanted.id()))?;
        let result = serde_json::from_str(&answer)?;
        Ok(Self { wanted: wanted.clone(), netns, addresses, result })
    }

    /// Detaches it and deletes its namespace.
    ///
    /// # Errors
    /// When the plugin refuses.
    pub fn detach(&self, node: &Node, binaries: &Binaries) -> Result<()> {
        call(node, binaries, "DEL", &self.netns, &self.wanted, Some(&self.result))
            .with_context(|| format!("detach {}", self.id()))?;
        output(&mut words(&format!("ip netns del {}", self.netns))).map(drop)
    }

    /// Asks the plugin whether it is as it was attached.
    ///
    /// # Errors
    /// What the plugin found wrong.
    pub fn check(&self, node: &Node, binaries: &Binaries) -> Result<()> {
        call(node, binaries, "CHECK", &self.netns, &self.wanted, Some(&self.result)).map(drop)
    }

    /// `blue/web-1`.
    pub fn id(&self) -> String {
        self.wanted.id()
    }

    /// A command inside it.
    pub fn command(&self, program: &Path) -> Command {
        in_netns(&self.netns, program)
    }
}

fn call(
    node: &Node,
    binaries: &Binaries,
    verb: &str,
    netns: &str,
    wanted: &Wanted,
    previous: Option<&serde_json::Value>,
) -> Result<String> {
    let plugin = binaries.path("selvage-cni");
    let mut command = in_netns(&node.netns(), &plugin);
    command.env("CNI_COMMAND", verb).env("CNI_CONTAINERID", netns).env("CNI_IFNAME", "eth0");
    command.env("CNI_NETNS", format!("/run/netns/{netns}")).env("CNI_ARGS", wanted.arguments());
    command.env("CNI_PATH", plugin.parent().unwrap_or(Path::new("/")));
    let mut config = wanted.config(node);
    if let Some(result) = previous {
        config["prevResult"] = result.clone();
    }
    output_with_input(&mut command, config.to_string().as_bytes())
}

fn parse_addresses(answer: &str) -> Result<Vec<IpAddr>> {
    let result: CniResult = serde_json::from_str(answer)?;
    let addresses =
        result.ips.iter().map(|ip| Ok(ip.address.split('/').next().unwrap_or_default().parse()?));
    let mut addresses = addresses.collect::<Result<Vec<IpAddr>>>()?;
    addresses.sort_by_key(IpAddr::is_ipv6);
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_gives_addresses_ipv4_first() {
        let answer = r#"{"cniVersion":"1.1.0","interfaces":[],"ips":[{"address":"fd00::5/64"},{"address":"10.1.1.5/24"}]}"#;
        let want: Vec<IpAddr> = vec!["10.1.1.5".parse().unwrap(), "fd00::5".parse().unwrap()];
        assert_eq!(parse_addresses(answer).unwrap(), want);
    }
}
