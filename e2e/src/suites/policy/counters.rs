//! `netctl policy rule-ls --stats` beside packets: connections, packets and bytes of each rule are those that were sent, near
//! and through the tunnel, over both families, allowed and denied; a change beside a rule, and a restart of the agents, begin
//! nothing anew; a node that does not answer is named.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::v1::{PolicyCounters, RuleCounters};
use types::Family;

use crate::grid;
use crate::lab::{Lab, run};
use crate::probe::{Answer, Kind, Question};
use crate::suite::{Context, claim, claim_none};

/// How long until the switch has credited its flows with what the datapath carried: ovs-vswitchd looks every half second.
const CREDITED: Duration = Duration::from_secs(5);
/// Questions to each address: each is a connection of its own.
const TIMES: u64 = 5;
/// Bytes of a question and of an answer over IPv4, Ethernet, IP and UDP headers included; IPv6 headers have 20 more.
const QUESTION: u64 = 14 + 20 + 8 + 8;
const ANSWER: u64 = QUESTION + "blue/db-1 ".len() as u64;

const RULES: &str = "kind: policy
tenant: blue
name: web-out
rules:
  - { name: echo-out, direction: egress, priority: 5, peer: { group: db }, protocol: udp, port: \"5000\", action: allow }
  - { name: not-5001, direction: egress, priority: 5, protocol: udp, port: \"5001\", action: deny }
---
kind: policy
tenant: blue
name: db-in
rules:
  - { name: echo, direction: ingress, priority: 50, peer: { group: web }, protocol: udp, port: \"5000\", action: allow }
  - { name: not-5002, direction: ingress, priority: 50, protocol: udp, port: \"5002\", action: deny }
---
kind: group
tenant: blue
name: web
network: front
policies: [web-out]
---
kind: group
tenant: blue
name: db
network: DB_NETWORK
policies: [db-access, db-in]
";

/// `netctl`'s word for what is not there.
const NOT_FOUND: i32 = 3;

type Counts = BTreeMap<String, RuleCounters>;

pub(super) fn run(context: &mut Context) -> Result<()> {
    let db: api::v1::Group = context.lab.inspect("group", "blue", "db")?;
    apply(&context.lab, &RULES.replace("DB_NETWORK", db.network.as_str()))?;
    // Tunnels and neighbours are known before anything is counted.
    ask(&context.lab, Kind::Udp(5000), 1)?;
    counted(context, "counters-are-what-was-sent")?;
    let before = settled(&context.lab)?;
    let beside = "policy rule-add -t blue db-in late -d in -g web -l udp -P 5003 -p 50 -j deny";
    context.lab.netctl(&beside.split(' ').collect::<Vec<_>>())?;
    restart_agents(&mut context.lab)?;
    let mut after = settled(&context.lab)?;
    after.remove("late");
    let same = if before == after { Ok(()) } else { Err(format!("{after:?}, before {before:?}")) };
    claim("changes-and-restarts-begin-no-counter-anew", same)?;
    counted(context, "counting-goes-on")?;
    in_metrics(&context.lab)?;
    strangers(&context.lab)?;
    missing(context)
}

/// Sends what is known and finds it in the counters.
fn counted(context: &Context, name: &'static str) -> Result<()> {
    let lab = &context.lab;
    let before = settled(lab)?;
    let echoes = ask(lab, Kind::Udp(5000), TIMES)?;
    let unanswered: Vec<_> =
        echoes.iter().filter(|(_, a)| *a == Answer::Silence).map(|(q, _)| format!("{q:?}")).collect();
    claim_none("what-is-allowed-is-answered", &unanswered)?;
    let mut expected = Counts::new();
    for (question, _) in &echoes {
        let more = more(question);
        for rule in ["echo-out", "echo"] {
            add(&mut expected, rule, (Some(1), 2, QUESTION + ANSWER + 2 * more));
        }
    }
    for (kind, rule) in [(Kind::Udp(5001), "not-5001"), (Kind::Udp(5002), "not-5002")] {
        let asked = ask(lab, kind, TIMES)?;
        let answered: Vec<_> =
            asked.iter().filter(|(_, a)| *a != Answer::Silence).map(|(q, _)| format!("{q:?}")).collect();
        claim_none("what-is-denied-is-not-answered", &answered)?;
        asked.iter().for_each(|(question, _)| add(&mut expected, rule, (None, 1, QUESTION + more(question))));
    }
    let seen = test_support::wait_for_blocking("the counters", CREDITED, || {
        let now = counts(lab).map_err(|e| format!("{e:#}"))?;
        let grown = difference(&now, &before);
        let same = expected.iter().all(|(rule, count)| grown.get(rule) == Some(count));
        if same { Ok(()) } else { Err(format!("{grown:?}, sent {expected:?}")) }
    });
    claim(name, seen.map_err(|e| e.to_string()))
}

/// So many bytes more than over IPv4.
fn more(question: &Question) -> u64 {
    if Family::of(question.target) == Family::V6 { 20 } else { 0 }
}

fn add(counts: &mut Counts, rule: &str, (connections, packets, bytes): (Option<u64>, u64, u64)) {
    let count = counts.entry(rule.to_owned()).or_insert_with(|| RuleCounters {
        name: types::Name::new(rule).unwrap_or_else(|_| unreachable!("a rule of ours")),
        connections: connections.map(|_| 0),
        packets: 0,
        bytes: 0,
    });
    count.connections = count.connections.zip(connections).map(|(a, b)| a + b);
    count.packets += packets;
    count.bytes += bytes;
}

fn difference(now: &Counts, before: &Counts) -> Counts {
    let mut grown = now.clone();
    for (rule, count) in &mut grown {
        let Some(before) = before.get(rule) else { continue };
        count.connections =
            count.connections.zip(before.connections).map(|(now, before)| now.saturating_sub(before));
        count.packets = count.packets.saturating_sub(before.packets);
        count.bytes = count.bytes.saturating_sub(before.bytes);
    }
    grown
}

/// From web-1 to both databases over both families, so often, one try each.
fn ask(lab: &Lab, kind: Kind, times: u64) -> Result<Vec<(Question, Answer)>> {
    let mut questions = Vec::new();
    for id in ["blue/db-1", "blue/db-2"] {
        for target in lab.endpoint(id)?.addresses.iter().copied() {
            questions.extend((0..times).map(|_| Question { target, kind }));
        }
    }
    let answers = grid::ask_with(lab, "blue/web-1", &questions, &["--tries", "1", "--timeout-ms", "1000"])?;
    Ok(questions.into_iter().zip(answers).collect())
}

/// What netctl says, when it has said the same for longer than the switch takes to credit.
fn settled(lab: &Lab) -> Result<Counts> {
    // None: what an agent says that is still starting.
    let mut last = (Counts::new(), std::time::Instant::now());
    test_support::wait_for_blocking("the counters to rest", 4 * CREDITED, || {
        let now = counts(lab).map_err(|e| format!("{e:#}"))?;
        if now != last.0 {
            last = (now, std::time::Instant::now());
        }
        if last.1.elapsed() > Duration::from_millis(1500) { Ok(last.0.clone()) } else { Err(String::new()) }
    })
    .map_err(Into::into)
}

/// The rules of both policies; every node is counted.
fn counts(lab: &Lab) -> Result<Counts> {
    let mut counts = Counts::new();
    for policy in ["web-out", "db-in"] {
        let said = said(lab, "blue", policy)?;
        let missing: Vec<_> = said.missing().map(|(node, why)| format!("{node}: {why}")).collect();
        anyhow::ensure!(missing.is_empty(), "{}", missing.join("; "));
        counts.extend(said.rules.into_iter().map(|rule| (rule.name.to_string(), rule)));
    }
    Ok(counts)
}

fn said(lab: &Lab, tenant: &str, policy: &str) -> Result<PolicyCounters> {
    let text = lab.netctl(&["policy", "rule-ls", "-t", tenant, "--stats", policy, "-o", "json"])?;
    serde_json::from_str(&text).context("counters")
}

/// What the nodes tell Prometheus is, added up, what netctl says.
fn in_metrics(lab: &Lab) -> Result<()> {
    let said = settled(lab)?;
    let texts = lab.nodes.iter().map(crate::lab::Node::metrics).collect::<Result<Vec<_>>>()?;
    let sum = |series: &str, rule: &str| {
        let (name, label) = (format!("selvage_netplugin_rule_{series}_total{{"), format!("rule=\"{rule}\""));
        let lines = texts.iter().flat_map(|text| text.lines());
        let of_rule =
            lines.filter(|l| l.starts_with(&name) && l.contains("tenant=\"blue\"") && l.contains(&label));
        of_rule.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let wrong = said.iter().filter(|(rule, count)| {
        let told = [sum("connections", rule), sum("packets", rule), sum("bytes", rule)];
        told != [count.connections.unwrap_or_default(), count.packets, count.bytes]
    });
    let wrong: Vec<_> = wrong.map(|(_, count)| format!("{count:?}, in metrics otherwise")).collect();
    claim_none("metrics-say-the-same", &wrong)
}

/// Another tenant has no such policy.
fn strangers(lab: &Lab) -> Result<()> {
    let asked = ["policy", "rule-ls", "-t", "green", "--stats", "db-in", "-o", "json"];
    let out = lab.master.netctl(&asked).output().context("netctl policy rule-ls")?;
    let told = out.status.code() == Some(NOT_FOUND) && out.stdout.is_empty();
    claim("nobody-counts-for-another-tenant", told.then_some(()).ok_or_else(|| format!("{out:?}")))
}

fn restart_agents(lab: &mut Lab) -> Result<()> {
    lab.wait_until_realized()?;
    let failpoints = lab.failpoints().clone();
    for node in &mut lab.nodes {
        node.kill_netplugin();
        node.start_netplugin(&failpoints)?;
    }
    lab.wait_until_realized()
}

/// A node that nobody can ask is named, and the others are counted.
fn missing(context: &mut Context) -> Result<()> {
    let lab = &mut context.lab;
    lab.nodes.get_mut(1).context("no second node")?.kill_netplugin();
    let named = test_support::wait_for_blocking("the node to be missing", Duration::from_secs(20), || {
        let words = ["policy", "rule-ls", "-t", "blue", "--stats", "db-in"];
        let text = lab.netctl(&words).map_err(|e| format!("{e:#}"))?;
        if text.contains("Not counted: node node-2: ") { Ok(()) } else { Err(text) }
    });
    claim("a-node-that-does-not-answer-is-named", named.map_err(|e| e.to_string()))?;
    let near = said(lab, "blue", "db-in")?.rules.into_iter().find(|rule| rule.name.as_str() == "echo");
    let counted = near.filter(|rule| rule.packets > 0).map(drop);
    claim("the-others-are-counted", counted.ok_or_else(|| "nothing".to_owned()))
}

fn apply(lab: &Lab, documents: &str) -> Result<()> {
    run::output_with_input(&mut lab.master.netctl(&["apply", "-f", "-"]), documents.as_bytes())?;
    lab.wait_until_realized()
}
