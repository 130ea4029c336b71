//! The commands, one file per noun, and the verbs they share.

pub mod apply;
pub mod audit;
pub mod completion;
pub mod diag;
pub mod endpoint;
pub mod explain;
mod follow;
pub mod get;
pub mod group;
pub mod help;
pub mod netprofile;
pub mod network;
pub mod node;
pub mod policy;
pub mod status;
pub mod tenant;

use api::v1::{Item, List};
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
        Command::Netprofile(verb) => netprofile::run(verb, &connection.client()?, terminal).await,
        Command::Endpoint(verb) => endpoint::run(verb, &connection.client()?, terminal).await,
        Command::Node(verb) => node::run(verb, &connection.client()?, terminal).await,
        Command::Apply(args) => apply::run(args, connection, terminal).await,
        Command::Explain(args) => explain::run(args, &connection.client()?, terminal).await,
        Command::Status(args) => status::run(&args, &connection.client()?, terminal).await,
        Command::Audit(args) => audit::run(&args, &connection.client()?, terminal).await,
        Command::Diag(args) => diag::run(&args, connection, terminal).await,
        Command::Version(args) => status::version(&args, connection, terminal).await,
        Command::Get(args) => get::run(args, &connection.client()?, terminal).await,
        Command::Completion(args) => completion::run(&args, terminal),
        Command::Complete(question) => completion::answer(&question, terminal).await,
        Command::Help(args) => help::run(&args, terminal),
    }
}

/// A noun that can be shown in a table.
pub trait Shown: Noun {
    /// Heads of the columns. Those of Contiv come first, in Contiv's order, where Contiv has the noun.
    const HEADS: &'static [&'static str];
    /// How many columns are shown without `-o wide`.
    const NARROW: usize;
    /// One object's cells.
    fn row(object: &Self::Object) -> Vec<String>;
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
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
    /// The same as -o json.
    #[arg(short, long, conflicts_with = "output")]
    json: bool,
    /// The same as -o name.
    #[arg(short, long, conflicts_with_all = ["output", "json"])]
    quiet: bool,
}

impl Ls {
    /// What all of them say together.
    pub fn format(&self) -> Format {
        match self {
            Self { json: true, .. } => Format::Json,
            Self { quiet: true, .. } => Format::Name,
            Self { output, .. } => *output,
        }
    }
}

/// Options of every `inspect`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowAs {
    /// How to show it.
    #[arg(short, long, value_enum, default_value = "yaml", value_name = "FORMAT")]
    output: Format,
    /// The same as -o json.
    #[arg(short, long, conflicts_with = "output")]
    json: bool,
}

impl ShowAs {
    /// What both say together.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// Lists a noun that lives in no tenant.
pub(crate) async fn ls<N: Shown>(
    how: &Ls,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    let list = client.list::<N>("").await?;
    show_list::<N>(how.format(), &list, terminal)
}

/// Lists a noun in one tenant, or in all.
pub(crate) async fn ls_in_tenant<N: Shown>(
    args: &LsInTenant,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    let tenant = (!args.all).then_some(&args.tenant);
    show_list::<N>(args.how.format(), &list_of::<N>(tenant, client).await?, terminal)
}

/// The objects of a noun, in one tenant or, without it, in all.
pub(crate) async fn list_of<N: Noun>(
    tenant: Option<&Name>,
    client: &Client,
) -> Result<List<N::Object>, Fault> {
    let tenants: Vec<String> = match tenant {
        _ if !N::IN_TENANT => vec![String::new()],
        Some(tenant) => vec![tenant.to_string()],
        None => client.list::<Tenants>("").await?.items.iter().map(|t| t.name.to_string()).collect(),
    };
    let mut whole: Option<List<N::Object>> = None;
    for tenant in &tenants {
        let list = client.list::<N>(tenant).await?;
        match &mut whole {
            None => whole = Some(list),
            Some(whole) => whole.items.extend(list.items),
        }
    }
    let empty = || List { items: Vec::new(), resource_version: "0".to_owned(), next: None };
    Ok(whole.unwrap_or_else(empty))
}

/// Shows a list.
pub(crate) fn show_list<N: Shown>(
    how: Format,
    list: &List<N::Object>,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    show(terminal, how, list, |list| text::<N>(how, &list.items))
}

/// Shows one object.
pub(crate) fn show_one<N: Shown>(
    how: Format,
    object: &N::Object,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    show(terminal, how, object, |o| text::<N>(how, std::slice::from_ref(o)))
}

/// Objects for people: their names, or a table.
fn text<N: Shown>(how: Format, objects: &[N::Object]) -> String {
    if how == Format::Name {
        return objects.iter().map(|o| format!("{}\n", o.name())).collect();
    }
    let mut table = Table::new(heads::<N>(how));
    objects.iter().for_each(|o| table.row(N::row(o)));
    table.to_string()
}

/// The heads a format shows.
pub(crate) fn heads<N: Shown>(how: Format) -> &'static [&'static str] {
    if how == Format::Wide { N::HEADS } else { N::HEADS.get(..N::NARROW).unwrap_or(N::HEADS) }
}

/// Shows one object.
pub(crate) async fn inspect<N: Shown>(
    at: Address<'_>,
    how: &ShowAs,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    show_one::<N>(how.format(), &client.read::<N>(at).await?, terminal)
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
