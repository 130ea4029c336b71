//! `netctl status` and `netctl version`.

use std::fmt::Write as _;

use api::v1::Status;
use client::Client;

use crate::Terminal;
use crate::fault::Fault;
use crate::output::{Format, Table, list, say, show};
use crate::setting::Connection;

/// Options of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netctl status
  netctl status -o json")]
pub struct StatusArgs {
    /// How to show it.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
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

/// Shows what the system is doing.
pub async fn run(args: &StatusArgs, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let status = client.status().await?;
    show(terminal, args.output, &status, text)
}

fn text(status: &Status) -> String {
    let store = match (&status.store.ok, &status.store.reason) {
        (true, _) => "ok".to_owned(),
        (false, reason) => format!("NOT OK: {}", reason.as_deref().unwrap_or("no reason given")),
    };
    let mut text = format!("store     {store}\nrevision  {}\n\n", status.revision);
    let mut nodes = Table::new(&["NODE", "CONNECTED", "REALIZED", "WARNINGS"]);
    for n in &status.nodes {
        let connected = if n.connected { "yes" } else { "no" };
        let realized = n.realized_revision.clone().unwrap_or_default();
        nodes.row(vec![
            n.node.to_string(),
            connected.into(),
            realized,
            list(n.warnings.iter().map(|w| &w.code)),
        ]);
    }
    text += &nodes.to_string();
    let warnings = status.nodes.iter().flat_map(|n| n.warnings.iter().map(move |w| (&n.node, w)));
    for (node, warning) in warnings {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\nwarning on {node}: {}: {}", warning.code, warning.text);
    }
    for refused in &status.refused {
        let _ = writeln!(
            text,
            "\nrefused: {}: {}\n  what refers to it is denied",
            refused.object, refused.reason
        );
    }
    text
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
