//! The commands, one file per noun, and the verbs they share.

pub mod apply;
pub mod endpoint;
pub mod group;
pub mod network;
pub mod node;
pub mod policy;
pub mod status;
pub mod tenant;

use clap::CommandFactory;
use client::{Address, Client, Noun, Tenants};
use types::Name;

use crate::Terminal;
use crate::cli::{Cli, Command};
use crate::fault::Fault;
use crate::output::{Format, Table, say, show};

/// Runs a parsed command line.
pub async fn run(cli: Cli, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let connection = &cli.connection;
    match cli.command {
        Command::Tenant(verb) => tenant::run(verb, &connection.client()?, terminal).await,
        Command::Network(verb) => network::run(verb, &connection.client()?, terminal).await,
        Command::Group(verb) => group::run(verb, &connection.client()?, terminal).await,
        Command::Policy(verb) => policy::run(verb, &connection.client()?, terminal).await,
        Command::Endpoint(verb) => endpoint::run(verb, &connection.client()?, terminal).await,
        Command::Node(verb) => node::run(verb, &connection.client()?, terminal).await,
        Command::Apply(args) => apply::run(args, connection, terminal).await,
        Command::Status(args) => status::run(&args, &connection.client()?, terminal).await,
        Command::Version(args) => status::version(&args, connection, terminal).await,
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "netctl", &mut terminal.stdout);
            Ok(())
        }
    }
}

/// A noun that can be shown in a table.
pub trait Shown: Noun {
    /// Heads of the columns.
    const HEADS: &'static [&'static str];
    /// One object's cells.
    fn row(object: &Self::Object) -> Vec<String>;
    /// Its name.
    fn name(object: &Self::Object) -> String;
}

/// `-t TENANT`.
#[derive(Clone, Debug, clap::Args)]
pub struct InTenant {
    /// The tenant.
    #[arg(short, long, default_value = "default")]
    pub tenant: Name,
}

/// Options of `ls` of nouns that live in a tenant.
#[derive(Clone, Debug, clap::Args)]
pub struct LsInTenant {
    /// The tenant.
    #[arg(short, long, default_value = "default")]
    tenant: Name,
    /// Those of every tenant.
    #[arg(short, long, conflicts_with = "tenant")]
    all: bool,
    #[command(flatten)]
    how: Ls,
}

/// Options of every `ls`.
#[derive(Clone, Debug, clap::Args)]
pub struct Ls {
    /// How to show them.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
    /// Names only, one a line.
    #[arg(short, long, conflicts_with = "output")]
    quiet: bool,
}

/// Options of every `inspect`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowAs {
    /// How to show it.
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Format,
}

/// Lists a noun that lives in no tenant.
pub(crate) async fn ls<N: Shown>(
    how: &Ls,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    let list = client.list::<N>("").await?;
    show_list::<N>(how, &list, terminal)
}

/// Lists a noun in one tenant, or in all.
pub(crate) async fn ls_in_tenant<N: Shown>(
    args: &LsInTenant,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    let tenants = if args.all {
        client.list::<Tenants>("").await?.items.into_iter().map(|t| t.name).collect()
    } else {
        vec![args.tenant.clone()]
    };
    let mut whole: Option<api::v1::List<N::Object>> = None;
    for tenant in &tenants {
        let list = client.list::<N>(tenant.as_str()).await?;
        match &mut whole {
            None => whole = Some(list),
            Some(whole) => whole.items.extend(list.items),
        }
    }
    let empty = api::v1::List { items: Vec::new(), resource_version: "0".to_owned() };
    show_list::<N>(&args.how, &whole.unwrap_or(empty), terminal)
}

fn show_list<N: Shown>(
    how: &Ls,
    list: &api::v1::List<N::Object>,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    if how.quiet {
        return say(terminal, &list.items.iter().map(|o| N::name(o) + "\n").collect::<String>());
    }
    show(terminal, how.output, list, |list| table::<N>(&list.items))
}

/// The table of some objects.
fn table<N: Shown>(objects: &[N::Object]) -> String {
    let mut table = Table::new(N::HEADS);
    objects.iter().for_each(|o| table.row(N::row(o)));
    table.to_string()
}

/// Shows one object.
pub(crate) async fn inspect<N: Shown>(
    at: Address<'_>,
    how: &ShowAs,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    let object = client.read::<N>(at).await?;
    show(terminal, how.output, &object, |o| table::<N>(std::slice::from_ref(o)))
}

/// Deletes one object.
pub(crate) async fn rm<N: Shown>(
    at: Address<'_>,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    client.delete::<N>(at).await?;
    said(terminal, &display::<N>(at), "deleted")
}

/// Says what happened to an object: `network blue/web created`.
pub(crate) fn said(terminal: &mut Terminal<'_>, object: &str, what: &str) -> Result<(), Fault> {
    say(terminal, &format!("{object} {what}\n"))
}

/// `network blue/web`, as the server names it.
pub(crate) fn display<N: Noun>(at: Address<'_>) -> String {
    if N::IN_TENANT {
        format!("{} {}/{}", N::NAME, at.tenant, at.name)
    } else {
        format!("{} {}", N::NAME, at.name)
    }
}
