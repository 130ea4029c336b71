//! The CNI plugin against the specification, and what is left when everything is deleted: nothing.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::lab::run;
use crate::suite::{Context, claim, claim_none};
use crate::suites::agent::wait_until_current;
use crate::suites::runtime::{Attachment, check_result, list, traces, wait_for_traces};

pub(super) fn run(context: &mut Context) -> Result<()> {
    let lab = &context.lab;
    let before = traces(lab)?;
    let first = Attachment::new(lab, &lab.nodes[0], "container-a")?;
    version(&first)?;
    let result = attached(&first, "1.1.0")?;
    // Else finding none in the end would prove nothing.
    let made = traces(lab)?;
    let kinds = [
        "endpoint blue/",
        "node-1: port ",
        "node-1: flow ",
        "node-1: interface ",
        "node-1: nftables ",
        "node-2: flow ",
    ];
    let blind = kinds.iter().filter(|k| !made.difference(&before).any(|line| line.starts_with(**k)));
    claim_none("attached-endpoint-leaves-every-kind-of-trace", &blind.collect::<Vec<_>>())?;
    repeated(context, &first, &result)?;
    checked(&first, &result)?;
    let second = Attachment::new(lab, &lab.nodes[1], "container-b")?.version("1.0.0");
    let other = attached(&second, "1.0.0")?;
    let reached = reaches(&second, &addresses(&result)?);
    claim("attached-endpoints-reach-each-other", reached)?;
    errors(context)?;
    released(context, &first, &result)?;
    // A runtime that lost the container, and its namespace with it, still calls DEL.
    second.remove_namespace()?;
    claim("cni-del-works-without-the-namespace", second.call("DEL", Some(&other))?.silent())?;
    claim("nothing-is-left-after-del", wait_for_traces(lab, &before))?;
    let unknown = Attachment::of(lab, &lab.nodes[0], "never-seen", "no-such-namespace".into());
    claim("cni-del-of-unknown-succeeds", unknown.call("DEL", None)?.silent())?;
    claim("nothing-is-left-after-refused-and-unknown-requests", wait_for_traces(lab, &before))?;
    agent_away(context)?;
    claim("nothing-is-left-after-del-without-agent", wait_for_traces(&context.lab, &before))
}

/// While the agent is away a container can be let go of, and none can be attached.
fn agent_away(context: &mut Context) -> Result<()> {
    let lab = &mut context.lab;
    let leaving = Attachment::new(lab, &lab.nodes[0], "container-c")?;
    claim("cni-status-succeeds", leaving.call("STATUS", None)?.silent())?;
    let result = attached(&leaving, "1.1.0")?;
    let (binaries, failpoints) = (lab.binaries().clone(), lab.failpoints().clone());
    lab.nodes[0].kill_netplugin();
    claim("cni-status-without-agent-is-error-50", leaving.call("STATUS", None)?.error("1.1.0", 50))?;
    claim("cni-del-works-without-agent", leaving.call("DEL", Some(&result))?.silent())?;
    claim("cni-del-twice-works-without-agent", leaving.call("DEL", Some(&result))?.silent())?;
    let gone = leaving.interface().map_or(Ok(()), |link| Err(link.to_string()));
    claim("interface-is-gone-after-del-without-agent", gone)?;
    claim("cni-add-without-agent-is-error-11", leaving.call("ADD", None)?.error("1.1.0", 11))?;
    leaving.remove_namespace()?;
    lab.nodes[0].start_netplugin(&failpoints)?;
    wait_until_current(&binaries, &mut lab.nodes[0]).map(drop)
}

fn version(attachment: &Attachment) -> Result<()> {
    let answer = attachment.call("VERSION", None)?.result();
    let good = answer.and_then(|v| {
        let supported = v["supportedVersions"].as_array().cloned().unwrap_or_default();
        let has = |version: &str| supported.iter().any(|s| s == version);
        if has("1.0.0") && has("1.1.0") && v["cniVersion"].is_string() { Ok(()) } else { Err(v.to_string()) }
    });
    claim("cni-version-names-1.0.0-and-1.1.0", good)
}

/// ADD; the result is the specification's, and the container's interface is as it says.
fn attached(attachment: &Attachment, version: &str) -> Result<Value> {
    let answer = attachment.call("ADD", None)?.result();
    let result = match answer {
        Ok(result) => result,
        Err(e) => {
            claim("cni-add-succeeds", Err(e))?;
            Value::Null
        }
    };
    claim("cni-result-is-valid", check_result(&result, version).map_err(|e| format!("{e}: {result}")))?;
    claim("interface-is-as-the-result-says", compare(attachment, &result))?;
    Ok(result)
}

fn compare(attachment: &Attachment, result: &Value) -> Result<(), String> {
    let link = attachment.interface().ok_or("there is no eth0")?;
    let said = &result["interfaces"][0];
    if link["address"] != said["mac"] || link["operstate"] != "UP" || said["name"] != "eth0" {
        return Err(format!("{link} is not {said}"));
    }
    // MTU is new in 1.1.0.
    if said["mtu"].is_number() && said["mtu"] != link["mtu"] {
        return Err(format!("MTU {} is not {}", link["mtu"], said["mtu"]));
    }
    let has: Vec<String> = link["addr_info"]
        .as_array()
        .cloned()
        .unwrap_or_default()
        .iter()
        .map(|a| format!("{}/{}", a["local"].as_str().unwrap_or_default(), a["prefixlen"]))
        .collect();
    let missing =
        result["ips"].as_array().into_iter().flatten().find(|ip| !has.iter().any(|h| ip["address"] == **h));
    match missing {
        Some(ip) => Err(format!("{ip} is not among {has:?}")),
        None => routes(attachment, result),
    }
}

fn routes(attachment: &Attachment, result: &Value) -> Result<(), String> {
    let show = |family: &str| {
        run::output(&mut attachment.command(&format!("ip {family} route show"))).map_err(|e| format!("{e:#}"))
    };
    let routes = show("-4")? + &show("-6")?;
    let gateways = result["routes"].as_array().into_iter().flatten().filter_map(|r| r["gw"].as_str());
    let missing: Vec<_> = gateways.filter(|gw| !routes.contains(&format!("default via {gw} "))).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no route via {missing:?}: {routes}")) }
}

/// ADD again: the same answer, one endpoint, still working.
fn repeated(context: &Context, attachment: &Attachment, result: &Value) -> Result<()> {
    let again = attachment.call("ADD", None)?.result();
    let same = again.and_then(|a| if a == *result { Ok(()) } else { Err(format!("{a} is not {result}")) });
    claim("cni-add-twice-gives-the-same-result", same)?;
    let all = list(&context.lab, "endpoint", "blue")?;
    let count = all.iter().filter(|e| e["name"] == attachment.endpoint()).count();
    claim("cni-add-twice-makes-one-endpoint", if count == 1 { Ok(()) } else { Err(format!("{count}")) })?;
    let web = crate::suites::traffic::address_of(&context.lab, "blue/web-1", false)?;
    claim("endpoint-works-after-second-add", reaches(attachment, &[web]))
}

fn reaches(from: &Attachment, to: &[IpAddr]) -> Result<(), String> {
    let silent = to.iter().find(|address| {
        let ping = || run::output(&mut from.command(&format!("ping -n -q -c1 -W1 {address}")));
        // The first may meet duplicate address detection or an unresolved tunnel.
        let patience = std::time::Duration::from_secs(5);
        test_support::wait_for_blocking("an answer", patience, ping).is_err()
    });
    silent.map_or(Ok(()), |address| Err(format!("{address} does not answer")))
}

fn addresses(result: &Value) -> Result<Vec<IpAddr>> {
    let ips = result["ips"].as_array().context("a result without ips")?;
    let address = |ip: &Value| {
        let text = ip["address"].as_str().unwrap_or_default();
        text.split('/').next().unwrap_or_default().parse().with_context(|| ip.to_string())
    };
    ips.iter().map(address).collect()
}

/// CHECK: content, and with an address lost no longer.
fn checked(attachment: &Attachment, result: &Value) -> Result<()> {
    claim("cni-check-passes", attachment.call("CHECK", Some(result))?.silent())?;
    let address = result["ips"][0]["address"].as_str().context("no address")?;
    let ip = |verb: &str| run::output(&mut attachment.command(&format!("ip addr {verb} {address} dev eth0")));
    ip("del")?;
    let noticed = attachment.call("CHECK", Some(result))?.error("1.1.0", 100);
    claim("cni-check-notices-a-lost-address", noticed)?;
    let repaired = attachment.call("ADD", None)?.result().and_then(|r| compare(attachment, &r));
    claim("cni-add-repairs-the-interface", repaired)?;
    claim("cni-check-passes-again", attachment.call("CHECK", Some(result))?.silent())
}

/// Every refusal is an error object with the specification's code, in the version asked for.
fn errors(context: &Context) -> Result<()> {
    let lab = &context.lab;
    let good = Attachment::new(lab, &lab.nodes[0], "container-bad")?.version("1.0.0");
    let with = |key: &str, value: &str| {
        let mut bad = good.clone();
        bad.config[key] = value.into();
        bad
    };
    let environment = |key: &str, value: &str| {
        let mut bad = good.clone();
        bad.environment.iter_mut().filter(|(k, _)| *k == key).for_each(|(_, v)| *v = value.to_owned());
        bad
    };
    let old = good.clone().version("0.4.0").call("ADD", None)?;
    claim("unsupported-version-is-error-1", old.error("1.1.0", 1))?;
    let unknown = with("grup", "web").call("ADD", None)?;
    claim("misspelt-key-is-error-2", unknown.error("1.0.0", 2))?;
    let nowhere = environment("CNI_NETNS", "/run/netns/no-such").call("ADD", None)?;
    claim("missing-namespace-is-error-3", nowhere.error("1.0.0", 3))?;
    let nobody = environment("CNI_CONTAINERID", "").call("ADD", None)?;
    claim("missing-container-id-is-error-4", nobody.error("1.0.0", 4))?;
    claim("broken-configuration-is-error-6", good.call_with("ADD", b"{")?.error("1.1.0", 6))?;
    let network = with("network", "no-such").call("ADD", None)?;
    claim("unknown-network-is-error-7", network.error("1.0.0", 7))?;
    let group = with("group", "db").call("ADD", None)?;
    claim("group-of-another-network-is-error-7", group.error("1.0.0", 7))?;
    let taken = environment_args(&good, "SELVAGE_IPV4=10.1.1.11").call("ADD", None)?;
    claim("address-of-another-endpoint-is-error-7", taken.error("1.0.0", 7))?;
    let unchecked = good.call("CHECK", None)?;
    claim("check-of-unknown-is-error-100", unchecked.error("1.0.0", 100))?;
    good.remove_namespace()
}

fn environment_args(attachment: &Attachment, args: &str) -> Attachment {
    let mut with = attachment.clone();
    with.environment.push(("CNI_ARGS", args.to_owned()));
    with
}

/// DEL frees the addresses, and they cool: they are listed so, and nobody gets them at once.
fn released(context: &Context, attachment: &Attachment, result: &Value) -> Result<()> {
    let lab = &context.lab;
    let freed = addresses(result)?;
    claim("cni-del-succeeds", attachment.call("DEL", Some(result))?.silent())?;
    claim(
        "interface-is-gone-after-del",
        match attachment.interface() {
            None => Ok(()),
            Some(link) => Err(link.to_string()),
        },
    )?;
    let network = lab.inspect::<api::v1::Network>("network", "blue", "front")?;
    let cooling: Vec<IpAddr> = network.status.addresses.into_iter().flat_map(|a| a.cooling).collect();
    let listed = freed.iter().all(|a| cooling.contains(a));
    claim(
        "freed-addresses-are-listed-as-cooling",
        if listed { Ok(()) } else { Err(format!("{freed:?} not in {cooling:?}")) },
    )?;
    claim("cni-del-twice-succeeds", attachment.call("DEL", Some(result))?.silent())?;
    let again = attachment.call("ADD", None)?.result();
    let again = again.map_err(anyhow::Error::msg).context("ADD after DEL")?;
    let reused: Vec<_> = addresses(&again)?.into_iter().filter(|a| freed.contains(a)).collect();
    claim(
        "cooling-address-is-not-given-out",
        if reused.is_empty() { Ok(()) } else { Err(format!("{reused:?}")) },
    )?;
    let gone = attachment.call("DEL", Some(&again))?.silent();
    ensure!(gone.is_ok(), "DEL: {gone:?}");
    attachment.remove_namespace()
}
