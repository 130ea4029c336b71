//! The demonstration: two tenants with the same subnets on two nodes (deploy/examples/two-tenants.yaml) and the
//! endpoints that `./dev up` attaches.

use std::net::IpAddr;

use anyhow::Result;

use crate::expect::{Intent, Party, parse};
use crate::lab::Wanted;
use crate::probe::Kind;

/// The file that is applied.
pub const FILE: &str = "deploy/examples/two-tenants.yaml";
const YAML: &str = include_str!("../../deploy/examples/two-tenants.yaml");

/// Ports every endpoint serves.
pub const TCP: [u16; 2] = [80, 5432];
/// As [`TCP`].
pub const UDP: [u16; 1] = [5000];

/// How every pair is asked.
pub const KINDS: [Kind; 4] = [Kind::Ping, Kind::Tcp(80), Kind::Tcp(5432), Kind::Udp(5000)];

/// Endpoints: name, network, group, node, last part of its addresses. Blue and green have the same addresses, but for
/// `db-2`: an address that only the other tenant has must not answer.
const ENDPOINTS: [(&str, &str, &str, &str, u8, u8); 8] = [
    ("blue", "web-1", "front", "web", 1, 11),
    ("blue", "web-2", "front", "web", 2, 12),
    ("blue", "db-1", "back", "db", 1, 11),
    ("blue", "db-2", "back", "db", 2, 12),
    ("green", "web-1", "front", "web", 1, 11),
    ("green", "web-2", "front", "web", 2, 12),
    ("green", "db-1", "back", "db", 1, 11),
    ("green", "db-2", "back", "db", 2, 22),
];

/// The endpoints to attach.
pub fn endpoints() -> Vec<Wanted> {
    let wanted = |(tenant, name, network, group, node, last): (&str, &str, &str, &str, u8, u8)| {
        let third = if network == "front" { 1 } else { 2 };
        let v6 = format!("fd00:1:{third}::{last}").parse::<std::net::Ipv6Addr>();
        let mut addresses = vec![IpAddr::from([10, 1, third, last])];
        addresses.extend(v6.map(IpAddr::from));
        Wanted {
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            network: network.to_owned(),
            group: Some(group.to_owned()),
            node,
            addresses,
        }
    };
    ENDPOINTS.map(wanted).into()
}

/// The applied file and the attached endpoints.
///
/// # Errors
/// When the file is not what we think.
pub fn intent() -> Result<Intent> {
    let party = |w: Wanted| Party {
        tenant: w.tenant,
        name: w.name,
        network: w.network,
        group: w.group,
        addresses: w.addresses,
    };
    Ok(Intent { specs: parse(YAML)?, parties: endpoints().into_iter().map(party).collect() })
}
