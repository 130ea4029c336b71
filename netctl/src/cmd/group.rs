//! `netctl group`.

use api::v1::{Group, GroupBody};
use client::{Address, Client, Groups};
use types::Name;

use super::{InTenant, LsInTenant, ShowAs, Shown, said};
use crate::Terminal;
use crate::absent;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::output::{list, maybe};

/// Verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Create a group on a network, or give the group that exists these policies and this profile.
    #[command(after_help = "Examples:
  netctl group create -t blue front web
  netctl group create -t blue back db --policy db-access --policy backup --networkprofile gold")]
    Create(Create),
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
        #[arg(value_name = "GROUP")]
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
        #[arg(value_name = "GROUP")]
        name: Name,
        #[command(flatten)]
        place: InTenant,
    },
}

/// Options of `create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// The network its endpoints are on.
    network: Name,
    /// Its name.
    #[arg(value_name = "GROUP")]
    name: Name,
    #[command(flatten)]
    place: InTenant,
    /// A policy that applies to its endpoints; may be given several times.
    #[arg(short, long)]
    policy: Vec<Name>,
    /// The network profile whose rates and marks its endpoints have.
    #[arg(short = 'n', long, value_name = "NETPROFILE")]
    networkprofile: Option<Name>,
    #[command(flatten)]
    absent: absent::OfGroup,
}

impl Shown for Groups {
    const HEADS: &'static [&'static str] = &[
        "Tenant",
        "Group",
        "Network",
        "IP Pool",
        "CfgdTag",
        "Policies",
        "Network profile",
        "Endpoints",
        "Refused",
    ];
    const NARROW: usize = 7;

    fn row(g: &Group) -> Vec<String> {
        vec![
            g.tenant.to_string(),
            g.name.to_string(),
            g.network.to_string(),
            // Contiv's columns for what Selvage does not have yet: scripts count them.
            String::new(),
            String::new(),
            list(&g.policies),
            maybe(g.net_profile.as_ref()),
            g.status.endpoints.to_string(),
            maybe(g.status.refused.as_ref()),
        ]
    }
}

/// Runs a verb.
pub async fn run(verb: Verb, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    match verb {
        Verb::Create(args) => create(args, client, terminal).await,
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

/// As Contiv: again for a group that exists gives it these policies and this profile. Its network stays what it is.
async fn create(args: Create, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let Create { network, name, place, policy, networkprofile, absent: _ } = args;
    let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
    let body = GroupBody {
        kind: None,
        tenant: None,
        name: Some(name.clone()),
        network,
        policies: policy.into_iter().collect(),
        net_profile: networkprofile,
        resource_version: None,
        status: None,
    };
    let object = super::display::<Groups>(at);
    match client.create::<Groups>(at.tenant, &body).await {
        Ok(_) => return said(terminal, &object, "created"),
        Err(e) if e.problem().is_some_and(|p| p.code == api::Code::AlreadyExists) => {}
        Err(e) => return Err(e.into()),
    }
    let old = client.read::<Groups>(at).await?;
    if old.network != body.network {
        let what = format!("{object} is on network {}, not {}", old.network, body.network);
        return Err(Fault::ending(Exit::Conflict, what).next("rm removes it, when nothing uses it"));
    }
    if (&old.policies, &old.net_profile) == (&body.policies, &body.net_profile) {
        return said(terminal, &object, "unchanged");
    }
    client.replace::<Groups>(at, &body, Some(&old.resource_version)).await?;
    said(terminal, &object, "updated")
}
