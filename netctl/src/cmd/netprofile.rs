//! `netctl netprofile`.

use api::v1::{NetProfile, NetProfileBody, RateLimit};
use client::{Address, Client, NetProfiles};
use types::{Bandwidth, Burst, Dscp, Name, RateShare};

use super::{InTenant, LsInTenant, ShowAs, Shown, said};
use crate::Terminal;
use crate::fault::Fault;
use crate::output::{list, maybe, word};

/// Verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Create a network profile, or give the one that exists these values.
    #[command(after_help = "Examples:
  netctl netprofile create -t blue -b 20Mbps gold
  netctl netprofile create -t blue -b 1Gbps --ingress-bandwidth 500Mbps --dscp 46 --share group bulk
  netctl group create -t blue front web --networkprofile gold")]
    Create(Create),
    /// List network profiles.
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  netctl netprofile ls -t blue"
    )]
    Ls(LsInTenant),
    /// Show one network profile.
    #[command(after_help = "Examples:
  netctl netprofile inspect -t blue gold")]
    Inspect {
        /// Its name.
        #[arg(value_name = "NETPROFILE")]
        name: Name,
        #[command(flatten)]
        place: InTenant,
        #[command(flatten)]
        how: ShowAs,
    },
    /// Delete a network profile; refused while a group has it.
    #[command(
        visible_alias = "delete",
        after_help = "Examples:
  netctl netprofile rm -t blue gold"
    )]
    Rm {
        /// Its name.
        #[arg(value_name = "NETPROFILE")]
        name: Name,
        #[command(flatten)]
        place: InTenant,
    },
}

/// Options of `create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Its name.
    #[arg(value_name = "NETPROFILE")]
    name: Name,
    #[command(flatten)]
    place: InTenant,
    /// How fast endpoints may send, like 20Mbps or 1Gbps.
    #[arg(short, long, value_name = "RATE")]
    bandwidth: Option<Bandwidth>,
    /// How fast they may receive.
    #[arg(long, value_name = "RATE")]
    ingress_bandwidth: Option<Bandwidth>,
    /// What IP packets they send are marked with, 0 to 63.
    #[arg(short, long)]
    dscp: Option<Dscp>,
    /// How much may pass at once above the rates, in kilobytes; one second of the rate without it.
    #[arg(short = 's', long, value_name = "KILOBYTES")]
    burst: Option<Burst>,
    /// Whose the rates are: each endpoint's, or the group's on a node.
    #[arg(long, value_parser = share(), default_value = "endpoint")]
    share: RateShare,
}

fn share() -> impl clap::builder::TypedValueParser<Value = RateShare> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(["endpoint", "group"])
        .map(|word| if word == "group" { RateShare::Group } else { RateShare::Endpoint })
}

impl Shown for NetProfiles {
    const HEADS: &'static [&'static str] = &[
        "Name",
        "Tenant",
        "Bandwidth",
        "DSCP",
        "burst size",
        "Ingress",
        "Share",
        "Groups",
        "Realization",
        "Refused",
    ];
    const NARROW: usize = 5;

    fn row(p: &NetProfile) -> Vec<String> {
        let rate = |limit: Option<RateLimit>| maybe(limit.map(|l| l.rate).as_ref());
        let burst = p.egress.or(p.ingress).and_then(|l| l.burst);
        vec![
            p.name.to_string(),
            p.tenant.to_string(),
            rate(p.egress),
            maybe(p.dscp.as_ref()),
            maybe(burst.as_ref()),
            rate(p.ingress),
            word(&p.share),
            list(&p.status.groups),
            word(&p.status.realization),
            maybe(p.status.refused.as_ref()),
        ]
    }
}

/// Runs a verb.
pub async fn run(verb: Verb, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    match verb {
        Verb::Create(args) => create(args, client, terminal).await,
        Verb::Ls(args) => super::ls_in_tenant::<NetProfiles>(&args, client, terminal).await,
        Verb::Inspect { name, place, how } => {
            let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
            super::inspect::<NetProfiles>(at, &how, client, terminal).await
        }
        Verb::Rm { name, place } => {
            let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
            super::rm::<NetProfiles>(at, client, terminal).await
        }
    }
}

/// As Contiv: again for one that exists gives it these values.
async fn create(args: Create, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let Create { name, place, bandwidth, ingress_bandwidth, dscp, burst, share } = args;
    if burst.is_some() && bandwidth.is_none() && ingress_bandwidth.is_none() {
        let fault = Fault::usage("a burst is what may pass above a rate, and there is none".to_owned());
        return Err(fault.next("give --bandwidth or --ingress-bandwidth, too"));
    }
    let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
    let [egress, ingress] =
        [bandwidth, ingress_bandwidth].map(|rate| rate.map(|rate| RateLimit { rate, burst }));
    let body =
        NetProfileBody { name: Some(name.clone()), egress, ingress, dscp, share, ..Default::default() };
    let object = super::display::<NetProfiles>(at);
    match client.create::<NetProfiles>(at.tenant, &body).await {
        Ok(_) => return said(terminal, &object, "created"),
        Err(e) if e.problem().is_some_and(|p| p.code == api::Code::AlreadyExists) => {}
        Err(e) => return Err(e.into()),
    }
    let old = client.read::<NetProfiles>(at).await?;
    if (old.egress, old.ingress, old.dscp, old.share) == (egress, ingress, dscp, share) {
        return said(terminal, &object, "unchanged");
    }
    client.replace::<NetProfiles>(at, &body, Some(&old.resource_version)).await?;
    said(terminal, &object, "updated")
}
