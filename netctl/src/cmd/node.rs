//! `netctl node`.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use api::v1::Node;
use client::{Address, Client, Nodes};
use types::NodeName;

use super::{Ls, ShowAs, Shown, said};
use crate::Terminal;
use crate::fault::Fault;
use crate::output::{list, maybe, say};

/// Verbs. Nodes create themselves by joining.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List nodes.
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  netctl node ls"
    )]
    Ls(Ls),
    /// Show one node.
    #[command(after_help = "Examples:
  netctl node inspect node-1")]
    Inspect {
        /// Its name.
        #[arg(value_name = "NODE")]
        name: NodeName,
        #[command(flatten)]
        how: ShowAs,
    },
    /// Remove a node: its key is revoked and its join files are useless. Refused while it hosts endpoints.
    #[command(
        visible_alias = "delete",
        after_help = "Examples:
  netctl node rm node-1
  netctl node rm --drain node-1"
    )]
    Rm {
        /// Its name.
        #[arg(value_name = "NODE")]
        name: NodeName,
        /// Drain it first.
        #[arg(long)]
        drain: bool,
    },
    /// Let a node take no new endpoints; those it has stay.
    #[command(after_help = "Examples:
  netctl node cordon node-1")]
    Cordon {
        /// Its name.
        #[arg(value_name = "NODE")]
        name: NodeName,
    },
    /// Let a cordoned node take new endpoints again.
    #[command(after_help = "Examples:
  netctl node uncordon node-1")]
    Uncordon {
        /// Its name.
        #[arg(value_name = "NODE")]
        name: NodeName,
    },
    /// Cordon a node and delete its endpoints: their containers lose their network, their addresses are free after cooling.
    #[command(after_help = "Examples:
  netctl node drain node-1")]
    Drain {
        /// Its name.
        #[arg(value_name = "NODE")]
        name: NodeName,
    },
    /// Make a join file: all that netplugin needs to join once, within an hour. Secret.
    #[command(after_help = "Examples:
  netctl node join-token node-1 -o join.json")]
    JoinToken {
        /// The node that may join with it.
        #[arg(value_name = "NODE")]
        name: NodeName,
        /// Where to write it, readable by you alone; standard output without it.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

impl Shown for Nodes {
    const HEADS: &'static [&'static str] =
        &["Node", "VTEP", "Connected", "Realized", "Flows", "Endpoints", "Warnings", "Agent", "Refused"];
    const NARROW: usize = 7;

    fn row(n: &Node) -> Vec<String> {
        let s = &n.status;
        vec![
            n.name.to_string(),
            n.vtep.to_string(),
            if s.connected { "yes" } else { "no" }.to_owned(),
            s.realized_revision.clone().unwrap_or_default(),
            s.flows.map(|f| f.to_string()).unwrap_or_default(),
            s.endpoints.to_string(),
            list(s.warnings.iter().map(|w| &w.code)),
            maybe(s.agent_version.as_ref()),
            maybe(s.refused.as_ref()),
        ]
    }
}

/// Runs a verb.
pub async fn run(verb: Verb, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let at = |name| Address { tenant: "", name };
    match verb {
        Verb::Ls(how) => super::ls::<Nodes>(&how, client, terminal).await,
        Verb::Inspect { name, how } => {
            super::inspect::<Nodes>(at(name.as_str()), &how, client, terminal).await
        }
        Verb::Rm { name, drain } => {
            if drain {
                client.drain(name.as_str()).await?;
            }
            super::rm::<Nodes>(at(name.as_str()), client, terminal).await
        }
        Verb::Cordon { name } => {
            client.cordon(name.as_str()).await?;
            said(terminal, &format!("node {name}"), "cordoned")
        }
        Verb::Uncordon { name } => {
            client.uncordon(name.as_str()).await?;
            said(terminal, &format!("node {name}"), "uncordoned")
        }
        Verb::Drain { name } => {
            client.drain(name.as_str()).await?;
            said(terminal, &format!("node {name}"), "drained")
        }
        Verb::JoinToken { name, output } => {
            let file = client.join_token(name.as_str()).await?;
            let text = serde_json::to_string_pretty(&file).map_err(|e| Fault::usage(e.to_string()))? + "\n";
            match output {
                None => say(terminal, &text),
                Some(path) => {
                    write_secret(&path, &text)?;
                    said(
                        terminal,
                        &format!("join file of node {name}"),
                        &format!("written to {}", path.display()),
                    )
                }
            }
        }
    }
}

/// Writes a new file that only its owner can read.
fn write_secret(path: &PathBuf, text: &str) -> Result<(), Fault> {
    let fail = |e: std::io::Error| Fault::usage(format!("cannot write {}: {e}", path.display()));
    // A file that exists may be open to others, or a link to somewhere else.
    let mut file: File = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(fail)?;
    file.write_all(text.as_bytes()).map_err(fail)
}
