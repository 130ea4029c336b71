//! Names of objects, from the server.

use std::time::Duration;

use api::v1::Item;
use clap::Parser;
use client::{Address, Client, Endpoints, Groups, NetProfiles, Networks, Nodes, Policies, Tenants};
use types::Name;

use super::{Objects, Offer};
use crate::argv::Walk;
use crate::cli::Cli;
use crate::cmd::{Shown, list_of};
use crate::fault::Fault;

/// The longest that somebody who pressed TAB waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// The options that say where the server is; what the line does not say comes from environment and context file.
const CONNECTION: [(&str, &str); 4] = [
    ("server", "--server"),
    ("ca_file", "--ca-file"),
    ("token_file", "--token-file"),
    ("config", "--config"),
];

/// The names, as far as the words before the cursor tell where; none when they cannot be had in time.
pub async fn fetch(objects: Objects, walk: &Walk<'_>) -> Vec<Offer> {
    let names = tokio::time::timeout(PATIENCE, names(objects, walk)).await;
    let names = names.ok().and_then(Result::ok).unwrap_or_default();
    names.into_iter().map(|(word, what)| Offer { word, what }).collect()
}

/// Asks as the command on the line would.
fn client(walk: &Walk<'_>) -> Result<Client, Fault> {
    let mut words = vec!["netctl".into()];
    for (id, option) in CONNECTION {
        if let Some(value) = walk.value(id) {
            words.extend([option.into(), value.to_owned()]);
        }
    }
    words.push("version".into());
    let cli = Cli::try_parse_from(words).map_err(|e| Fault::usage(e.to_string()))?;
    cli.connection.client()
}

type Names = Vec<(String, String)>;

async fn names(objects: Objects, walk: &Walk<'_>) -> Result<Names, Fault> {
    let client = client(walk)?;
    let tenant = tenant(walk)?;
    let tenant = tenant.as_ref();
    match objects {
        Objects::Tenant => named::<Tenants>(None, &client, |_| String::new()).await,
        Objects::Node => named::<Nodes>(None, &client, |n| n.vtep.to_string()).await,
        Objects::Network => {
            let subnet = |s: &api::v1::Subnet| s.subnet.to_string();
            named::<Networks>(tenant, &client, |n| {
                n.ipv4.iter().chain(&n.ipv6).map(subnet).collect::<Vec<_>>().join(" ")
            })
            .await
        }
        Objects::Group => named::<Groups>(tenant, &client, |g| format!("on {}", g.network)).await,
        Objects::Policy => named::<Policies>(tenant, &client, |p| format!("{} rules", p.rules.len())).await,
        Objects::NetProfile => {
            named::<NetProfiles>(tenant, &client, |p| {
                p.egress.or(p.ingress).map(|limit| limit.rate.to_string()).unwrap_or_default()
            })
            .await
        }
        Objects::Endpoint => {
            named::<Endpoints>(tenant, &client, |e| format!("{} on {}", e.network, e.node)).await
        }
        Objects::Rule => rules(tenant, walk, &client).await,
    }
}

/// The tenant that is said, or the one that is meant; where a command looks in all of them, all.
fn tenant(walk: &Walk<'_>) -> Result<Option<Name>, Fault> {
    let arg = walk.command().get_arguments().find(|a| a.get_id() == "tenant");
    let meant = arg.and_then(|a| a.get_default_values().first()).map(|v| v.as_os_str());
    match walk.value("tenant").or(meant) {
        Some(name) => {
            let name = name.to_string_lossy().parse::<Name>().map_err(|e| Fault::usage(e.to_string()))?;
            Ok(Some(name))
        }
        None => Ok(None),
    }
}

async fn named<N: Shown>(
    tenant: Option<&Name>,
    client: &Client,
    what: impl Fn(&N::Object) -> String,
) -> Result<Names, Fault> {
    let list = list_of::<N>(tenant, client).await?;
    Ok(list.items.iter().map(|o| (o.name().to_owned(), what(o))).collect())
}

async fn rules(tenant: Option<&Name>, walk: &Walk<'_>, client: &Client) -> Result<Names, Fault> {
    let policy = walk.value("policy").map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    let tenant = tenant.map(Name::as_str).unwrap_or_default();
    let policy = client.read::<Policies>(Address { tenant, name: &policy }).await?;
    Ok(policy.rules.iter().map(|r| (r.name.to_string(), crate::output::word(&r.action))).collect())
}
