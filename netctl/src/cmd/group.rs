//! `netctl group`.

use api::v1::{Group, GroupBody};
use client::{Address, Client, Groups};
use types::Name;

use super::{InTenant, LsInTenant, ShowAs, Shown, said};
use crate::Terminal;
use crate::fault::Fault;
use crate::output::list;

/// Verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Create a group on a network.
    #[command(after_help = "Examples:
  netctl group create -t blue front web
  netctl group create -t blue back db --policy db-access --policy backup")]
    Create {
        /// The network its endpoints are on.
        network: Name,
        /// Its name.
        name: Name,
        #[command(flatten)]
        place: InTenant,
        /// A policy that applies to its endpoints; may be given several times.
        #[arg(short, long)]
        policy: Vec<Name>,
    },
    /// List groups.
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  netctl group ls -t blue"
    )]
    Ls(LsInTenant),
    /// Show one group.
    #[command(after_help = "Examples:
  netctl group inspect -t blue web")]
    Inspect {
        /// Its name.
        name: Name,
        #[command(flatten)]
        place: InTenant,
        #[command(flatten)]
        how: ShowAs,
    },
    /// Delete a group; refused while endpoints or rules use it.
    #[command(
        visible_alias = "delete",
        after_help = "Examples:
  netctl group rm -t blue web"
    )]
    Rm {
        /// Its name.
        name: Name,
        #[command(flatten)]
        place: InTenant,
    },
}

impl Shown for Groups {
    const HEADS: &'static [&'static str] = &["TENANT", "GROUP", "NETWORK", "POLICIES", "ENDPOINTS"];

    fn row(g: &Group) -> Vec<String> {
        vec![
            g.tenant.to_string(),
            g.name.to_string(),
            g.network.to_string(),
            list(&g.policies),
            g.status.endpoints.to_string(),
        ]
    }

    fn name(g: &Group) -> String {
        g.name.to_string()
    }
}

/// Runs a verb.
pub async fn run(verb: Verb, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    match verb {
        Verb::Create { network, name, place, policy } => {
            let body = GroupBody {
                kind: None,
                tenant: None,
                name: Some(name.clone()),
                network,
                policies: policy.into_iter().collect(),
                resource_version: None,
                status: None,
            };
            client.create::<Groups>(place.tenant.as_str(), &body).await?;
            said(terminal, &format!("group {}/{name}", place.tenant), "created")
        }
        Verb::Ls(args) => super::ls_in_tenant::<Groups>(&args, client, terminal).await,
        Verb::Inspect { name, place, how } => {
            let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
            super::inspect::<Groups>(at, &how, client, terminal).await
        }
        Verb::Rm { name, place } => {
            let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
            super::rm::<Groups>(at, client, terminal).await
        }
    }
}
