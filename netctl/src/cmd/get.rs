//! `netctl get`: every noun by one verb, once or for as long as somebody watches.

use client::{Address, Client, Endpoints, Groups, NetProfiles, Networks, Nodes, Policies, Tenants};
use types::Name;

use super::Shown;
use super::follow::{What, follow};
use crate::Terminal;
use crate::complete::Objects;
use crate::fault::Fault;
use crate::output::Format;
use crate::watching::{Timeout, until_ended};

/// Nouns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Word {
    /// Tenants.
    #[value(alias = "tenants")]
    Tenant,
    /// Networks.
    #[value(aliases = ["networks", "net"])]
    Network,
    /// Endpoint groups.
    #[value(alias = "groups")]
    Group,
    /// Policies.
    #[value(alias = "policies")]
    Policy,
    /// Network profiles.
    #[value(alias = "netprofiles")]
    Netprofile,
    /// Endpoints.
    #[value(aliases = ["endpoints", "ep"])]
    Endpoint,
    /// Nodes.
    #[value(alias = "nodes")]
    Node,
}

impl Word {
    /// What completion asks the server for.
    pub fn objects(self) -> Objects {
        match self {
            Self::Tenant => Objects::Tenant,
            Self::Network => Objects::Network,
            Self::Group => Objects::Group,
            Self::Policy => Objects::Policy,
            Self::Netprofile => Objects::NetProfile,
            Self::Endpoint => Objects::Endpoint,
            Self::Node => Objects::Node,
        }
    }
}

/// Options.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netctl get network
  netctl get endpoint -t blue -o wide
  netctl get policy --all
  netctl get network front -t blue --watch
  netctl get endpoint --all --watch -o json --timeout 1h")]
pub struct Args {
    /// What kind of object.
    noun: Word,
    /// One of them; all without it.
    #[arg(value_name = "OBJECT")]
    name: Option<String>,
    /// The tenant, of nouns that live in one.
    #[arg(short, long, default_value = "default")]
    tenant: Name,
    /// Those of every tenant.
    #[arg(short, long, conflicts_with_all = ["tenant", "name"])]
    all: bool,
    /// How to show them.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
    /// Go on with what changes; with -o json one event a line.
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    timeout: Timeout,
}

/// Runs it.
pub async fn run(args: Args, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    match args.noun {
        Word::Tenant => of::<Tenants>(&args, client, terminal).await,
        Word::Network => of::<Networks>(&args, client, terminal).await,
        Word::Group => of::<Groups>(&args, client, terminal).await,
        Word::Policy => of::<Policies>(&args, client, terminal).await,
        Word::Netprofile => of::<NetProfiles>(&args, client, terminal).await,
        Word::Endpoint => of::<Endpoints>(&args, client, terminal).await,
        Word::Node => of::<Nodes>(&args, client, terminal).await,
    }
}

async fn of<N: Shown>(args: &Args, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    if args.watch {
        let tenant = (!args.all).then_some(args.tenant.as_str());
        let what = What { tenant, name: args.name.as_deref(), format: args.output };
        return until_ended(args.timeout, follow::<N>(what, client, terminal)).await;
    }
    match &args.name {
        Some(name) => {
            let object = client.read::<N>(Address { tenant: args.tenant.as_str(), name }).await?;
            super::show_one::<N>(args.output, &object, terminal)
        }
        None => {
            let tenant = (!args.all).then_some(&args.tenant);
            super::show_list::<N>(args.output, &super::list_of::<N>(tenant, client).await?, terminal)
        }
    }
}
