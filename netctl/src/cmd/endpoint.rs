//! `netctl endpoint`.

use std::net::IpAddr;

use api::v1::{Endpoint, EndpointBody};
use client::{Address, Client, Endpoints};
use types::{EndpointName, Family, Name, NodeName};

use super::{InTenant, LsInTenant, ShowAs, Shown, said};
use crate::Terminal;
use crate::exit::Exit;
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
    /// Show one endpoint, by its name, or by a part of its name or UID that no other has.
    #[command(after_help = "Examples:
  netctl endpoint inspect -t blue web-1
  netctl endpoint inspect 5f3759df")]
    Inspect {
        /// Its name, or a part of its name (a container's id) or UID.
        #[arg(value_name = "ENDPOINT")]
        name: String,
        /// The tenant; without it the endpoint is looked for in every tenant.
        #[arg(short, long)]
        tenant: Option<Name>,
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
        #[arg(value_name = "ENDPOINT")]
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
        &["Tenant", "Endpoint", "Network", "Group", "Node", "Addresses", "MAC", "State", "UID", "Refused"];
    const NARROW: usize = 8;

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
            e.status.uid.clone(),
            maybe(e.status.refused.as_ref()),
        ]
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
        Verb::Inspect { name, tenant, how } => {
            let found = find(&name, tenant.as_ref(), client).await?;
            super::show_one::<Endpoints>(how.format(), &found, terminal)
        }
        Verb::Rm { name, place } => {
            let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
            super::rm::<Endpoints>(at, client, terminal).await
        }
    }
}

/// The one endpoint that is called so, or has this in its name or UID.
async fn find(text: &str, tenant: Option<&Name>, client: &Client) -> Result<Endpoint, Fault> {
    if let (Some(tenant), Ok(name)) = (tenant, text.parse::<EndpointName>()) {
        match client.read::<Endpoints>(Address { tenant: tenant.as_str(), name: name.as_str() }).await {
            Err(e) if e.problem().is_some_and(|p| p.code == api::Code::NotFound) => {}
            answer => return Ok(answer?),
        }
    }
    let all = super::list_of::<Endpoints>(tenant, client).await?.items;
    let (called, partly): (Vec<_>, Vec<_>) = all
        .into_iter()
        .filter(|e| e.name.as_str().contains(text) || e.status.uid.contains(text))
        .partition(|e| e.name.as_str() == text);
    let mut found = if called.is_empty() { partly } else { called };
    match (found.pop(), found.len()) {
        (None, _) => {
            let what = format!("no endpoint has {text:?} in its name or UID");
            Err(Fault::ending(Exit::NotFound, what).next("endpoint ls --all shows what there is"))
        }
        (Some(only), 0) => Ok(only),
        (Some(last), _) => {
            found.push(last);
            let fault = Fault::ending(Exit::Conflict, format!("{text:?} may be {} endpoints", found.len()));
            let fault =
                found.iter().fold(fault, |f, e| f.detail(format!("endpoint {}/{}", e.tenant, e.name)));
            Err(fault.next("say more of its name, or its tenant"))
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
