//! `netctl tenant`.

use api::v1::{Tenant, TenantBody};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use client::{Address, Client, Tenants};
use types::{DefaultAction, Name};

use super::{Ls, ShowAs, Shown, said};
use crate::Terminal;
use crate::fault::Fault;
use crate::output::word;

/// Verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Create a tenant.
    #[command(after_help = "Examples:
  netctl tenant create blue
  netctl tenant create red --default-action deny")]
    Create {
        /// Its name.
        name: Name,
        /// What happens to connections inside it that no rule decides.
        #[arg(long, value_name = "ACTION", default_value = "allow", value_parser = default_actions())]
        default_action: DefaultAction,
    },
    /// List tenants.
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  netctl tenant ls
  netctl tenant ls -o json"
    )]
    Ls(Ls),
    /// Show one tenant.
    #[command(after_help = "Examples:
  netctl tenant inspect blue")]
    Inspect {
        /// Its name.
        #[arg(value_name = "TENANT")]
        name: Name,
        #[command(flatten)]
        how: ShowAs,
    },
    /// Delete a tenant; refused while anything is in it.
    #[command(
        visible_alias = "delete",
        after_help = "Examples:
  netctl tenant rm blue"
    )]
    Rm {
        /// Its name.
        #[arg(value_name = "TENANT")]
        name: Name,
    },
}

fn default_actions() -> impl TypedValueParser<Value = DefaultAction> {
    PossibleValuesParser::new(["allow", "deny"])
        .map(|word| if word == "allow" { DefaultAction::Allow } else { DefaultAction::Deny })
}

impl Shown for Tenants {
    const HEADS: &'static [&'static str] =
        &["Name", "Default action", "VRF", "Networks", "Groups", "Policies", "Endpoints"];
    const NARROW: usize = 1;

    fn row(t: &Tenant) -> Vec<String> {
        let s = &t.status;
        let counts = [s.networks, s.groups, s.policies, s.endpoints].map(|n| n.to_string());
        let mut row = vec![t.name.to_string(), word(&t.default_action), s.vrf.to_string()];
        row.extend(counts);
        row
    }
}

/// Runs a verb.
pub async fn run(verb: Verb, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let at = |name| Address { tenant: "", name };
    match verb {
        Verb::Create { name, default_action } => {
            let body = TenantBody { name: Some(name.clone()), default_action, ..TenantBody::default() };
            client.create::<Tenants>("", &body).await?;
            said(terminal, &format!("tenant {name}"), "created")
        }
        Verb::Ls(how) => super::ls::<Tenants>(&how, client, terminal).await,
        Verb::Inspect { name, how } => {
            super::inspect::<Tenants>(at(name.as_str()), &how, client, terminal).await
        }
        Verb::Rm { name } => super::rm::<Tenants>(at(name.as_str()), client, terminal).await,
    }
}
