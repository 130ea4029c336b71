//! `netctl status` and `netctl version`.

use std::time::Duration;

use api::v1::Status;
use client::Client;

use crate::Terminal;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::output::{Format, Table, one_line, say, show, yaml};
use crate::setting::Connection;
use crate::trouble::{Trouble, troubles};
use crate::watching::{Timeout, until_ended};

/// How often a watch asks.
const PERIOD: Duration = Duration::from_secs(1);

/// Options of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netctl status
  netctl status --check || echo somebody should look
  netctl status --watch --timeout 5m
  netctl status -o json")]
pub struct StatusArgs {
    /// How to show it.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
    /// End with status 7 when anything is wrong.
    #[arg(long, conflicts_with = "watch")]
    check: bool,
    /// Show it again whenever it changes.
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    timeout: Timeout,
}

/// Options of `version`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netctl version
  netctl version --client")]
pub struct VersionArgs {
    /// Do not ask the server.
    #[arg(long)]
    client: bool,
}

/// Shows what is wrong.
pub async fn run(args: &StatusArgs, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    if args.watch {
        return until_ended(args.timeout, follow(args.output, client, terminal)).await;
    }
    let status = client.status().await?;
    show(terminal, args.output, &status, |status| text(args.output, status))?;
    match troubles(&status).len() {
        n @ 1.. if args.check => Err(Fault::ending(Exit::Unhealthy, format!("not healthy: {}", counted(n)))),
        _ => Ok(()),
    }
}

/// Shows it, and again whenever it has become something else.
async fn follow(output: Format, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let mut tick = tokio::time::interval(PERIOD);
    let mut shown = None;
    let mut away = false;
    loop {
        tick.tick().await;
        let status = match client.status().await {
            Ok(status) => status,
            Err(e) if matches!(e, client::Error::Unreachable { .. } | client::Error::NoAnswer { .. }) => {
                if !away {
                    // Whoever reads standard output must not take this for a status.
                    let _ = writeln!(terminal.stderr, "{e}; trying again");
                }
                away = true;
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        away = false;
        if shown.as_ref() == Some(&status) {
            continue;
        }
        match output {
            Format::Json => say(terminal, &one_line(&status)?)?,
            Format::Yaml => say(terminal, &format!("---\n{}", yaml(&status)?))?,
            people => {
                let gap = if shown.is_some() { "\n" } else { "" };
                say(terminal, &format!("{gap}{}", text(people, &status)))?;
            }
        }
        shown = Some(status);
    }
}

fn counted(troubles: usize) -> String {
    if troubles == 1 { "1 thing is wrong".to_owned() } else { format!("{troubles} things are wrong") }
}

/// A line on the whole, and a table of what is wrong.
fn text(format: Format, status: &Status) -> String {
    let troubles = troubles(status);
    if format == Format::Name {
        return troubles.iter().map(|t| format!("{}\n", t.object)).collect();
    }
    let connected = status.nodes.iter().filter(|n| n.connected).count();
    let wrong = if troubles.is_empty() { "nothing is wrong".to_owned() } else { counted(troubles.len()) };
    let head = format!(
        "revision {}, {connected} of {} nodes connected, store {}: {wrong}\n",
        status.revision,
        status.nodes.len(),
        if status.store.ok { "ok" } else { "NOT OK" },
    );
    if troubles.is_empty() { head } else { format!("{head}\n{}", table(troubles)) }
}

fn table(troubles: Vec<Trouble>) -> String {
    let mut table = Table::new(&["Object", "Condition", "Since", "Why"]);
    for Trouble { object, condition, since, why, .. } in troubles {
        // One line each: a reason may be a page from some library.
        table.row(vec![object, condition, since, why.split_whitespace().collect::<Vec<_>>().join(" ")]);
    }
    table.to_string()
}

/// Shows the versions of both ends.
pub async fn version(
    args: &VersionArgs,
    connection: &Connection,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    say(terminal, concat!("netctl     ", env!("CARGO_PKG_VERSION"), "\n"))?;
    if args.client {
        return Ok(());
    }
    let server = connection.anonymous()?.version().await?;
    say(terminal, &format!("{:<10} {}\n", server.name, server.version))
}
