//! `netctl audit`.

use std::time::Duration;

use api::v1::{Audit, AuditOutcome, AuditedNode, Disagreement};
use client::{Client, Error};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::Terminal;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::output::{Format, Table, list, show, word};

/// How often somebody who waits is told so.
const PROGRESS: Duration = Duration::from_secs(5);

/// Options of `audit`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Ends with status 7 when a switch does another thing than intent says, or was not looked at.

Examples:
  netctl audit
  netctl audit -o wide
  netctl audit -o json
  netctl audit >/dev/null || echo somebody should look"
)]
pub struct Args {
    /// How to show it; `wide` has every flow a packet meets, `name` the endpoints that disagree.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

/// Has netmaster audit, and shows what it found.
pub async fn run(args: &Args, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let audit = waiting(client.audit(), terminal).await?;
    show(terminal, args.output, &audit, |audit| text(args.output, audit))?;
    if audit.is_clean() {
        return Ok(());
    }
    let next =
        "netctl status says what nodes complain about; flows somebody altered are put back by themselves";
    Err(Fault::ending(Exit::Unhealthy, format!("not clean: {}", verdict(&audit))).next(next))
}

/// Waits for the answer; tells so now and then, beside standard output.
async fn waiting(
    audit: impl Future<Output = Result<Audit, Error>>,
    terminal: &mut Terminal<'_>,
) -> Result<Audit, Error> {
    let began = Instant::now();
    let mut ticks = interval_at(began + PROGRESS, PROGRESS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(audit);
    loop {
        tokio::select! {
            done = &mut audit => return done,
            _ = ticks.tick() => {
                // Who does not read it does not miss it.
                let _ = writeln!(terminal.stderr, "still auditing, {} s", began.elapsed().as_secs());
            }
        }
    }
}

/// What the audit comes to, in few words.
fn verdict(audit: &Audit) -> String {
    let left_out = audit.nodes.iter().filter(|n| n.outcome != AuditOutcome::Audited).count();
    let disagreements = audit.disagreements.len();
    let more = if audit.unlisted > 0 { " and more" } else { "" };
    let counted = |n: usize, one: &str, many: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {many}")),
    };
    let parts = [
        counted(disagreements, "disagreement", "disagreements").map(|text| text + more),
        counted(left_out, "node not looked at", "nodes not looked at"),
        (!audit.complete).then(|| "not everything was asked, it took too long".to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "the switches do what intent says".to_owned() } else { parts.join(", ") }
}

fn text(format: Format, audit: &Audit) -> String {
    if format == Format::Name {
        return audit.disagreements.iter().map(|d| format!("{} {}\n", d.from, d.to)).collect();
    }
    let looked_at = audit.nodes.iter().filter(|n| n.outcome == AuditOutcome::Audited).count();
    let mut text = format!(
        "revision {}, {looked_at} of {} nodes, {} packets: {}\n",
        audit.revision,
        audit.nodes.len(),
        audit.packets,
        verdict(audit),
    );
    if looked_at < audit.nodes.len() || format == Format::Wide {
        text += &format!("\n{}", nodes(&audit.nodes, format));
    }
    if !audit.disagreements.is_empty() {
        text += &format!("\n{}", table(&audit.disagreements));
        let described = audit.disagreements.iter().enumerate().map(|(n, d)| described(format, n + 1, d));
        text += &described.collect::<String>();
    }
    text
}

/// The nodes that were not looked at, or all of them.
fn nodes(nodes: &[AuditedNode], format: Format) -> String {
    let mut table = Table::new(&["Node", "Outcome", "Flows", "Endpoints", "Why"]);
    for node in nodes.iter().filter(|n| format == Format::Wide || n.outcome != AuditOutcome::Audited) {
        let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        let why = node.reason.as_deref().unwrap_or_default();
        table.row(vec![
            node.node.to_string(),
            word(&node.outcome),
            number(node.flows),
            number(node.endpoints),
            why.split_whitespace().collect::<Vec<_>>().join(" "),
        ]);
    }
    table.to_string()
}

fn table(disagreements: &[Disagreement]) -> String {
    let mut table = Table::new(&["No", "Claim", "From", "To", "Packet", "Packets"]);
    for (n, d) in disagreements.iter().enumerate() {
        let cells = [word(&d.claim), d.from.clone(), d.to.clone(), d.packet.clone(), d.packets.to_string()];
        table.row(std::iter::once((n + 1).to_string()).chain(cells).collect());
    }
    table.to_string()
}

/// What a line of a table has no room for. The last flow a packet meets decides; `wide` has those before it too.
fn described(format: Format, number: usize, d: &Disagreement) -> String {
    let mut text = format!("\n{number}. intent:   {}\n   switches: {}\n", d.intended, d.seen);
    if !d.rules.is_empty() {
        text += &format!("   rules:    {}\n", list(&d.rules));
    }
    let first = if format == Format::Wide { 0 } else { d.flows.len().saturating_sub(1) };
    for met in d.flows.iter().skip(first) {
        text += &format!("   flow:     {} {}\n", met.node, met.flow);
    }
    text
}

#[cfg(test)]
mod tests {
    use api::v1::{AuditClaim, MetFlow};

    use super::*;

    fn audit() -> Audit {
        let node = |name: &str, outcome, reason: Option<&str>| AuditedNode {
            node: name.parse().unwrap(),
            outcome,
            reason: reason.map(str::to_owned),
            flows: reason.is_none().then_some(120),
            endpoints: reason.is_none().then_some(2),
        };
        let met = |flow: &str| MetFlow { node: "node-1".parse().unwrap(), flow: flow.to_owned() };
        Audit {
            revision: "17".to_owned(),
            at: "2026-05-04T03:02:01Z".to_owned(),
            milliseconds: 420,
            packets: 1234,
            complete: true,
            nodes: vec![
                node("node-1", AuditOutcome::Audited, None),
                node("node-2", AuditOutcome::Unseen, Some("its agent has no session with this netmaster")),
            ],
            disagreements: vec![Disagreement {
                claim: AuditClaim::Policy,
                from: "blue/web-1".to_owned(),
                to: "blue/db-1 (10.1.2.11)".to_owned(),
                packet: "tcp/22 from 10.1.1.11 to MAC address 0a:58:00:00:00:01".to_owned(),
                intended: "delivered to nobody: denied at the destination by rule blue/db/no-ssh".to_owned(),
                seen: "delivered to blue/db-1".to_owned(),
                rules: vec!["blue/db/no-ssh".to_owned()],
                flows: vec![met("table=0,in_port=1 actions=resubmit(,1)"), met("table=12 actions=output:2")],
                packets: 8,
            }],
            unlisted: 0,
        }
    }

    #[test]
    fn people_read_who_what_why_and_by_which_flow() {
        let wanted = "\
revision 17, 1 of 2 nodes, 1234 packets: 1 disagreement, 1 node not looked at

Node    Outcome  Flows  Endpoints  Why
----    -------  -----  ---------  ---
node-2  unseen   -      -          its agent has no session with this netmaster

No  Claim   From        To                     Packet                                                  Packets
--  -----   ----        --                     ------                                                  -------
1   policy  blue/web-1  blue/db-1 (10.1.2.11)  tcp/22 from 10.1.1.11 to MAC address 0a:58:00:00:00:01  8

1. intent:   delivered to nobody: denied at the destination by rule blue/db/no-ssh
   switches: delivered to blue/db-1
   rules:    blue/db/no-ssh
   flow:     node-1 table=12 actions=output:2
";
        assert_eq!(text(Format::Table, &audit()), wanted);
        assert!(text(Format::Wide, &audit()).contains("flow:     node-1 table=0,in_port=1"));
        assert_eq!(text(Format::Name, &audit()), "blue/web-1 blue/db-1 (10.1.2.11)\n");
    }

    #[test]
    fn a_clean_audit_is_one_line_and_one_that_was_cut_short_is_not_clean() {
        let mut clean = audit();
        clean.nodes.truncate(1);
        clean.disagreements.clear();
        let line = "revision 17, 1 of 1 nodes, 1234 packets: the switches do what intent says\n";
        assert_eq!(text(Format::Table, &clean), line);
        assert!(clean.is_clean() && !audit().is_clean());
        let short = Audit { complete: false, ..clean };
        assert!(!short.is_clean());
        assert_eq!(verdict(&short), "not everything was asked, it took too long");
    }
}
