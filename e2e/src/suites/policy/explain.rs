//! `netctl explain` beside packets: what it says of a connection is what becomes of it, at one node and through the tunnel,
//! over both families, by rules at either end and by default, and the flows of the switches say so too. A flow that somebody
//! adds is named; so is a node that nobody can look at.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use api::v1::{ExplainedSwitches, Explanation, SwitchAgreement};
use types::Verdict;

use crate::grid::Cell;
use crate::lab::{Lab, run};
use crate::probe::{Answer, Kind, Question};
use crate::suite::{Context, claim, claim_none};
use crate::suites::agent::BRIDGE;
use crate::suites::verdicts::{ask, wait_until};

/// Two of each group, near and far, and the other tenant, which has no policy.
const ASKED: [&str; 6] = ["blue/web-1", "blue/web-2", "blue/db-1", "blue/db-2", "green/web-1", "green/db-1"];
const KINDS: [Kind; 3] = [Kind::Tcp(80), Kind::Tcp(5432), Kind::Ping];
/// How long a change may take to reach every switch, counted from the command's return.
const EFFECTIVE: Duration = Duration::from_secs(1);

/// A cookie nobody of ours has.
const COOKIE: &str = "0xf00d";
/// `netctl`'s word for what is not as it should be.
const UNHEALTHY: i32 = 7;

const WEB_OUT: &str = "kind: policy
tenant: blue
name: web-out
rules:
  - { name: no-postgres, direction: egress, priority: 5, peer: { group: db }, protocol: tcp, port: \"5432\", action: deny }
";

pub(super) fn run(context: &mut Context) -> Result<()> {
    agrees(context, "as-demonstrated", &["web-postgres", "no-other-tcp"])?;
    apply(&context.lab, &format!("{WEB_OUT}---\n{}", web_group("web-out")))?;
    agrees(context, "with-a-rule-at-the-source", &["no-postgres", "no-other-tcp"])?;
    apply(&context.lab, &web_group(""))?;
    let words = ["policy", "rm", "-t", "blue", "web-out"];
    context.lab.netctl(&words)?;
    context.lab.wait_until_realized()?;
    agrees(context, "without-it", &["web-postgres", "no-other-tcp"])?;
    exceptions_and_lists(context)?;
    altered(context)?;
    behind(context)
}

/// An exception lets one of a prefix through to the next rule, over the family it is of; a list names several services.
fn exceptions_and_lists(context: &Context) -> Result<()> {
    let one = context.lab.endpoint("blue/web-1")?.addresses.iter().find(|a| a.is_ipv4()).copied();
    let one = format!("{}/32", one.context("web-1 has no IPv4 address")?);
    let policy: api::v1::Policy = context.lab.inspect("policy", "blue", "db-access")?;
    let rules = [
        &[
            "not-others",
            "-i",
            "10.1.1.0/24",
            "--except",
            &one,
            "-P",
            "5432",
            "-l",
            "tcp",
            "-p",
            "60",
            "-j",
            "deny",
        ][..],
        &["some", "-g", "web", "--service", "tcp/79-80", "--service", "icmp/8", "-p", "70"],
        &["no-pings", "--service", "icmp", "--service", "icmpv6/128", "-p", "69", "-j", "deny"],
    ];
    for rule in rules {
        let words = [&["policy", "rule-add", "-t", "blue", "db-access", "-d", "in"][..], rule].concat();
        context.lab.netctl(&words)?;
    }
    context.lab.wait_until_realized()?;
    let decide = ["not-others", "web-postgres", "some", "no-pings", "no-other-tcp"];
    agrees(context, "with-exceptions-and-lists", &decide)?;
    let body = api::v1::PolicyBody { name: Some(policy.name), rules: policy.rules, ..Default::default() };
    let mut document = serde_json::to_value(&body)?;
    document["kind"] = "policy".into();
    document["tenant"] = "blue".into();
    apply(&context.lab, &document.to_string())
}

/// A flow of nobody of ours, above ours, drops what is allowed, at the far node: where it comes out of the tunnel.
fn altered(context: &Context) -> Result<()> {
    let lab = &context.lab;
    let far = lab.nodes.get(1).context("no second node")?;
    let flow = format!("cookie={COOKIE},table=0,priority=60000,tcp,tp_dst=5432,actions=drop");
    far.ofctl(&["-O", "OpenFlow15", "add-flow", BRIDGE, &flow])?;
    let asked = ["explain", "-t", "blue", "web-1", "db-2", "tcp/5432"];
    let out = lab.master.netctl(&asked).output().context("netctl explain")?;
    let json =
        lab.master.netctl(&[&asked[..], &["-o", "json"]].concat()).output().context("netctl explain")?;
    far.ofctl(&["-O", "OpenFlow15", "del-flows", BRIDGE, &format!("cookie={COOKIE}/-1")])?;
    let explained: Explanation = serde_json::from_slice(&json.stdout)?;
    let text = String::from_utf8_lossy(&out.stdout);
    let told = out.status.code() == Some(UNHEALTHY)
        && text.contains("Switches DISAGREE")
        && text.contains("cookie=0xf00d")
        && explained.verdict == Verdict::Allow
        && explained.switches.as_ref().is_some_and(by_it);
    claim(
        "explain-names-the-flow-that-does-something-else",
        told.then_some(()).ok_or_else(|| text.into_owned()),
    )
}

fn by_it(switches: &ExplainedSwitches) -> bool {
    let last = switches.flows.last();
    let named = last.is_some_and(|met| met.node.as_str() == "node-2" && met.flow.contains("priority=60000"));
    switches.agreement == SwitchAgreement::Disagree && switches.seen == "delivered to nobody" && named
}

/// Every packet ends as explained, and these rules of blue's decided for some.
fn agrees(context: &Context, what: &str, rules: &[&str]) -> Result<()> {
    eprintln!("      {what}");
    wait_until(Instant::now() + EFFECTIVE);
    let (mut wrong, mut decided, mut verdicts) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for cell in ask(context, &ASKED, &KINDS)? {
        let explained = explain(&context.lab, &cell)?;
        let arrives = cell.seen != Answer::Silence;
        verdicts.insert(arrives);
        let agree = explained.switches.as_ref().map(|s| s.agreement) == Some(SwitchAgreement::Agree);
        if arrives != (explained.verdict == Verdict::Allow) || !agree || !explained.warnings.is_empty() {
            wrong.push(format!("{cell}, explained: {explained:?}"));
        }
        let ends = explained.ends.into_iter();
        decided.extend(ends.filter_map(|end| Some(end.reason.strip_prefix("rule blue/")?.to_owned())));
    }
    claim_none("explain-says-what-packets-do", &wrong)?;
    let both = if verdicts.len() == 2 { Ok(()) } else { Err(format!("{verdicts:?}")) };
    claim("packets-arrived-and-did-not", both)?;
    let named = |rule: &&&str| decided.iter().any(|d| d.ends_with(&format!("/{rule}")));
    let missing: Vec<_> = rules.iter().filter(|rule| !named(rule)).map(|rule| (*rule).to_owned()).collect();
    claim_none("explain-names-the-rules-that-decided", &missing)
}

/// A node that does not follow may do something else: that is said, not hidden.
fn behind(context: &mut Context) -> Result<()> {
    let far = context.lab.nodes.get_mut(1).context("no second node")?;
    far.kill_netplugin();
    let cell = ask(context, &["blue/web-1", "blue/web-2"], &KINDS)?.pop().context("nobody asked")?;
    let warned = || {
        let explained = explain(&context.lab, &cell).map_err(|e| format!("{e:#}"))?;
        let warned = explained.warnings.iter().any(|w| w.contains("node-2 is not connected"));
        let unknown = explained.switches.as_ref().map(|s| s.agreement) == Some(SwitchAgreement::Unknown);
        if warned && unknown { Ok(()) } else { Err(format!("{explained:?}")) }
    };
    let told = test_support::wait_for_blocking("the warning", Duration::from_secs(20), warned);
    claim("explain-names-the-node-that-does-not-follow", told.map_err(|e| e.to_string()))
}

/// What netctl says of a cell's question.
fn explain(lab: &Lab, cell: &Cell) -> Result<Explanation> {
    let (tenant, name) = cell.from.split_once('/').context("no tenant in a party's name")?;
    let Question { target, kind } = cell.question;
    let traffic = match kind {
        Kind::Ping => "icmp".to_owned(),
        Kind::Tcp(_) | Kind::Udp(_) => kind.to_string(),
    };
    let target: IpAddr = target;
    let words = ["explain", "-t", tenant, name, &target.to_string(), &traffic, "-o", "json"];
    let out = lab.master.netctl(&words).output().context("netctl explain")?;
    serde_json::from_slice(&out.stdout)
        .with_context(|| format!("netctl {}: {}", words.join(" "), String::from_utf8_lossy(&out.stderr)))
}

fn apply(lab: &Lab, documents: &str) -> Result<()> {
    run::output_with_input(&mut lab.master.netctl(&["apply", "-f", "-"]), documents.as_bytes())?;
    lab.wait_until_realized()
}

fn web_group(policies: &str) -> String {
    format!("kind: group\ntenant: blue\nname: web\nnetwork: front\npolicies: [{policies}]\n")
}
