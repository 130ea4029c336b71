//! `netctl explain`: what policy makes of a connection, which rule says so, and whether the switches do that.

use api::v1::{
    ConsideredRule, ExplainBody, ExplainedEnd, ExplainedSwitches, Explanation, Party, RuleOutcome,
    SwitchAgreement,
};
use client::Client;
use types::{Direction, Family, Traffic, Verdict};

use super::InTenant;
use crate::Terminal;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::output::{Format, Table, show, word};

/// Options of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netctl explain -t blue web-1 db-1 tcp/5432
  netctl explain -t blue web-1 10.1.2.7 icmp
  netctl explain -t blue 10.1.1.11 db-1 udp/53 -o json
  netctl explain -t blue --check web-1 db-1 tcp/5432 && echo it may
  netctl explain -t blue --flows web-1 db-1 tcp/5432

The rules of each end's group are shown in the order they are asked: the first that fits decides. Then the first packet
is sent through the flows that the switches of both ends hold now. Where they do something else than intent says, that is
told and the exit status is 7.")]
pub struct Args {
    /// Who opens the connection: an endpoint, or an endpoint's address.
    #[arg(value_name = "SOURCE")]
    from: Party,
    /// To whom: an endpoint, or an address.
    #[arg(value_name = "DESTINATION")]
    to: Party,
    /// With what: tcp/PORT, udp/PORT, sctp/PORT, icmp (a ping), icmp/TYPE/CODE, or an IP protocol number.
    #[arg(value_name = "PROTOCOL/PORT")]
    traffic: Traffic,
    #[command(flatten)]
    place: InTenant,
    /// Over IPv4, where both ends have both families (the default).
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Over IPv6.
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Do not ask the switches.
    #[arg(long)]
    intent_only: bool,
    /// Show the flows that its first packet meets on the switches. Shown in any case where these do something else than
    /// intent says.
    #[arg(long, conflicts_with = "intent_only")]
    flows: bool,
    /// End with status 7 when it is denied.
    #[arg(long)]
    check: bool,
    /// How to show it.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

/// Shows what becomes of a connection.
pub async fn run(args: Args, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let family = match (args.ipv4, args.ipv6) {
        (true, _) => Some(Family::V4),
        (_, true) => Some(Family::V6),
        (false, false) => None,
    };
    let switches = !args.intent_only;
    let body = ExplainBody { from: args.from, to: args.to, traffic: args.traffic, family, switches };
    let answer = client.explain(args.place.tenant.as_str(), &body).await?;
    show(terminal, args.output, &answer, |answer| text(answer, &body, args.flows))?;
    if let Some(switches) = answer.switches.filter(|s| s.agreement == SwitchAgreement::Disagree) {
        let text = format!("the switches do something else than intent says: {}", switches.seen);
        return Err(Fault::ending(Exit::Unhealthy, text));
    }
    match answer.verdict {
        Verdict::Deny if args.check => Err(Fault::ending(Exit::Unhealthy, answer.reason)),
        Verdict::Allow | Verdict::Deny => Ok(()),
    }
}

fn text(answer: &Explanation, asked: &ExplainBody, flows: bool) -> String {
    let side = |party: &Party, address: std::net::IpAddr| match party {
        Party::Address(_) => address.to_string(),
        Party::Endpoint(name) => format!("{name} ({address})"),
    };
    let mut text = format!(
        "{} -> {} {}: {}\n  {}\n",
        side(&asked.from, answer.from),
        side(&asked.to, answer.to),
        answer.traffic,
        word(&answer.verdict),
        answer.reason,
    );
    answer.ends.iter().for_each(|end| text.push_str(&one_end(end)));
    if let Some(switches) = &answer.switches {
        text.push_str(&on_switches(switches, flows));
    }
    for warning in &answer.warnings {
        text.push_str(&format!("\nWarning: {warning}\n"));
    }
    text
}

fn one_end(end: &ExplainedEnd) -> String {
    let side = match end.direction {
        Direction::Egress => "Source",
        Direction::Ingress => "Destination",
    };
    let group = end.group.as_ref().map_or_else(|| "no group".to_owned(), |group| format!("group {group}"));
    let head = format!(
        "\n{side} {} ({group}, network {}, node {}): {} by {}\n",
        end.endpoint,
        end.network,
        end.node,
        word(&end.verdict),
        end.reason,
    );
    if end.rules.is_empty() {
        return head;
    }
    let mut table = Table::new(&["Policy", "Rule", "Priority", "Action", "Outcome"]);
    for rule in &end.rules {
        table.row(row(rule));
    }
    format!("{head}{table}")
}

/// What the switches do, and at which of them nobody could look.
fn on_switches(switches: &ExplainedSwitches, flows: bool) -> String {
    let (word, always) = match switches.agreement {
        SwitchAgreement::Agree => ("agree", false),
        SwitchAgreement::Disagree => ("DISAGREE", true),
        SwitchAgreement::Unknown => ("cannot be asked", false),
    };
    let mut text = format!("\nSwitches {word} (revision {}): {}\n", switches.revision, switches.seen);
    for node in &switches.nodes {
        if let Some(reason) = &node.reason {
            text.push_str(&format!("  node {}: {reason}\n", node.node));
        }
    }
    for met in switches.flows.iter().filter(|_| flows || always) {
        text.push_str(&format!("  {} {}\n", met.node, met.flow));
    }
    text
}

fn row(rule: &ConsideredRule) -> Vec<String> {
    let outcome = match rule.outcome {
        RuleOutcome::Decided => "decided",
        RuleOutcome::Overruled => "fits, but one before it decided",
        RuleOutcome::OtherDirection => "speaks of the other direction",
        RuleOutcome::OtherPeer => "speaks of other peers",
        RuleOutcome::OtherService => "speaks of other services",
    };
    vec![
        rule.policy.to_string(),
        rule.rule.to_string(),
        rule.priority.to_string(),
        word(&rule.action),
        outcome.to_owned(),
    ]
}
