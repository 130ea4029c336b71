//! `netctl network`.

use std::net::IpAddr;

use api::v1::{Network, NetworkBody, Subnet};
use client::{Address, Client, Networks};
use types::{Name, Vni};

use super::{InTenant, LsInTenant, ShowAs, Shown, said};
use crate::Terminal;
use crate::absent;
use crate::fault::Fault;
use crate::output::maybe;

/// Verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Create a network.
    #[command(after_help = "Examples:
  netctl network create -t blue --subnet 10.1.1.0/24 --gateway 10.1.1.1 front
  netctl network create -t blue --subnet 10.1.2.20-10.1.2.40/24 --subnetv6 fd00:1:2::/64 back")]
    Create(Create),
    /// List networks.
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  netctl network ls -t blue
  netctl network ls --all -o yaml"
    )]
    Ls(LsInTenant),
    /// Show one network.
    #[command(after_help = "Examples:
  netctl network inspect -t blue front")]
    Inspect {
        /// Its name.
        #[arg(value_name = "NETWORK")]
        name: Name,
        #[command(flatten)]
        place: InTenant,
        #[command(flatten)]
        how: ShowAs,
    },
    /// Delete a network; refused while groups, endpoints or rules use it.
    #[command(
        visible_alias = "delete",
        after_help = "Examples:
  netctl network rm -t blue front"
    )]
    Rm {
        /// Its name.
        #[arg(value_name = "NETWORK")]
        name: Name,
        #[command(flatten)]
        place: InTenant,
    },
}

/// Options of `create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Its name.
    name: Name,
    #[command(flatten)]
    place: InTenant,
    /// IPv4 subnet, 10.1.1.0/24, or a range to number endpoints from, 10.1.1.20-10.1.1.40/24.
    #[arg(short, long, required_unless_present = "subnetv6")]
    subnet: Option<types::Subnet>,
    /// IPv4 gateway; without one the network is isolated from the tenant's others.
    #[arg(short, long, requires = "subnet")]
    gateway: Option<IpAddr>,
    /// IPv6 subnet.
    #[arg(long, visible_alias = "s6")]
    subnetv6: Option<types::Subnet>,
    /// IPv6 gateway.
    #[arg(long, visible_alias = "g6", requires = "subnetv6")]
    gatewayv6: Option<IpAddr>,
    /// VXLAN network identifier; chosen by the server without it.
    #[arg(short = 'p', long, visible_alias = "pkt-tag")]
    vni: Option<Vni>,
    #[command(flatten)]
    absent: absent::OfNetwork,
}

impl Shown for Networks {
    const HEADS: &'static [&'static str] = &[
        "Tenant",
        "Network",
        "Nw Type",
        "Encap type",
        "Packet tag",
        "Subnet",
        "Gateway",
        "IPv6Subnet",
        "IPv6Gateway",
        "Cfgd Tag",
        "Endpoints",
        "Refused",
    ];
    const NARROW: usize = 10;

    fn row(n: &Network) -> Vec<String> {
        let subnet = |s: &Option<Subnet>| {
            let gateway = s.as_ref().and_then(|s| s.gateway);
            [maybe(s.as_ref().map(|s| &s.subnet)), maybe(gateway.as_ref())]
        };
        // What Contiv shows and Selvage has one of, or none, keeps its column: scripts count them.
        let mut row = vec![n.tenant.to_string(), n.name.to_string(), "data".to_owned(), "vxlan".to_owned()];
        row.push(n.status.vni.to_string());
        row.extend(subnet(&n.ipv4));
        row.extend(subnet(&n.ipv6));
        row.extend([String::new(), n.status.endpoints.to_string(), maybe(n.status.refused.as_ref())]);
        row
    }
}

/// Runs a verb.
pub async fn run(verb: Verb, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    match verb {
        Verb::Create(args) => {
            let tenant = args.place.tenant.clone();
            let object = format!("network {tenant}/{}", args.name);
            client.create::<Networks>(tenant.as_str(), &body(args)).await?;
            said(terminal, &object, "created")
        }
        Verb::Ls(args) => super::ls_in_tenant::<Networks>(&args, client, terminal).await,
        Verb::Inspect { name, place, how } => {
            let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
            super::inspect::<Networks>(at, &how, client, terminal).await
        }
        Verb::Rm { name, place } => {
            let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
            super::rm::<Networks>(at, client, terminal).await
        }
    }
}

fn body(args: Create) -> NetworkBody {
    let subnet = |subnet: Option<types::Subnet>, gateway| subnet.map(|subnet| Subnet { subnet, gateway });
    NetworkBody {
        name: Some(args.name),
        ipv4: subnet(args.subnet, args.gateway),
        ipv6: subnet(args.subnetv6, args.gatewayv6),
        vni: args.vni,
        ..NetworkBody::default()
    }
}
