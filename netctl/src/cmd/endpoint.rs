//! `netctl endpoint`.

use std::net::IpAddr;

use api::v1::{Endpoint, EndpointBody};
use client::{Address, Client, Endpoints};
use types::{EndpointName, Family, Name, NodeName};

use super::{InTenant, LsInTenant, ShowAs, Shown, said};
use crate::Terminal;
use crate::fault::Fault;
use crate::output::{list, maybe, word};

/// Verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Create an endpoint by hand; container runtimes do it through the CNI plugin.
    #[command(after_help = "Examples:
  netctl endpoint create -t blue --network front --group web --node node-1 web-1
  netctl endpoint create -t blue --network front --node node-1 --address 10.1.1.11 web-1")]
    Create(Create),
    /// List endpoints.
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  netctl endpoint ls -t blue
  netctl endpoint ls --all"
    )]
    Ls(LsInTenant),
    /// Show one endpoint.
    #[command(after_help = "Examples:
  netctl endpoint inspect -t blue web-1")]
    Inspect {
        /// Its name.
        name: EndpointName,
        #[command(flatten)]
        place: InTenant,
        #[command(flatten)]
        how: ShowAs,
    },
    /// Delete an endpoint; its node stops forwarding for it.
    #[command(
        visible_alias = "delete",
        after_help = "Examples:
  netctl endpoint rm -t blue web-1"
    )]
    Rm {
        /// Its name.
        name: EndpointName,
        #[command(flatten)]
        place: InTenant,
    },
}

/// Options of `create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Its name.
    name: EndpointName,
    #[command(flatten)]
    place: InTenant,
    /// Its network.
    #[arg(short, long)]
    network: Name,
    /// Its group.
    #[arg(short, long)]
    group: Option<Name>,
    /// The node that hosts it.
    #[arg(long)]
    node: NodeName,
    /// A wanted address; once per family. The server chooses without it.
    #[arg(long)]
    address: Vec<IpAddr>,
}

impl Shown for Endpoints {
    const HEADS: &'static [&'static str] =
        &["TENANT", "ENDPOINT", "NETWORK", "GROUP", "NODE", "ADDRESSES", "MAC", "STATE"];

    fn row(e: &Endpoint) -> Vec<String> {
        vec![
            e.tenant.to_string(),
            e.name.to_string(),
            e.network.to_string(),
            maybe(e.group.as_ref()),
            e.node.to_string(),
            list(&e.status.addresses),
            e.status.mac.to_string(),
            word(&e.status.realization),
        ]
    }

    fn name(e: &Endpoint) -> String {
        e.name.to_string()
    }
}

/// Runs a verb.
pub async fn run(verb: Verb, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    match verb {
        Verb::Create(args) => {
            let tenant = args.place.tenant.clone();
            let object = format!("endpoint {tenant}/{}", args.name);
            client.create::<Endpoints>(tenant.as_str(), &body(args)?).await?;
            said(terminal, &object, "created")
        }
        Verb::Ls(args) => super::ls_in_tenant::<Endpoints>(&args, client, terminal).await,
        Verb::Inspect { name, place, how } => {
            let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
            super::inspect::<Endpoints>(at, &how, client, terminal).await
        }
        Verb::Rm { name, place } => {
            let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
            super::rm::<Endpoints>(at, client, terminal).await
        }
    }
}

fn body(args: Create) -> Result<EndpointBody, Fault> {
    let of = |family| -> Result<Option<IpAddr>, Fault> {
        let mut wanted = args.address.iter().copied().filter(|a| Family::of(*a) == family);
        let first = wanted.next();
        match wanted.next() {
            Some(second) => Err(Fault::usage(format!("--address {second}: one per family is enough"))),
            None => Ok(first),
        }
    };
    Ok(EndpointBody {
        kind: None,
        tenant: None,
        ipv4: of(Family::V4)?,
        ipv6: of(Family::V6)?,
        name: Some(args.name),
        network: args.network,
        group: args.group,
        node: args.node,
        resource_version: None,
        status: None,
    })
}
