//! What Contiv's netctl has and this one does not have yet, so that who types it learns that, and what it would be.

/// A noun: its name and what it is.
type Noun = (&'static str, &'static str);

/// Nouns of Contiv that are not there yet.
pub const NOUNS: &[Noun] = &[
    ("aci-gw", "the gateway to a Cisco ACI fabric"),
    ("app-profile", "groups of groups, as a Cisco ACI fabric knows them"),
    ("bgp", "a node's BGP neighbour in the fabric"),
    ("external-contracts", "contracts with what is outside, as a Cisco ACI fabric knows them"),
    ("global", "settings of the whole cluster: forwarding mode, ranges of VLANs and VNIs"),
    ("login", "a session with name and password"),
    ("service", "a virtual address in front of several endpoints"),
];

/// The complaint about a noun that is not there yet.
pub fn noun(word: &str) -> Option<crate::fault::Fault> {
    let (name, what) = NOUNS.iter().find(|(name, _)| *name == word)?;
    let next = match *name {
        "login" => "--token-file names a file with a token; netmaster writes the first one",
        _ => "netctl --help lists what is there",
    };
    Some(crate::fault::Fault::usage(format!("{name} is not there yet ({what})")).next(next))
}

/// The value of an option that is not there yet: there is none.
#[derive(Clone, Copy, Debug)]
pub enum Never {}

/// Options of `network create`.
#[derive(Clone, Debug, clap::Args)]
pub struct OfNetwork {
    /// Only data networks are there.
    #[arg(short = 'n', long, hide = true, value_parser = data, value_name = "TYPE")]
    nw_type: Option<Only>,
    /// Only VXLAN is there.
    #[arg(short, long, hide = true, value_parser = vxlan, value_name = "ENCAP")]
    encap: Option<Only>,
    /// Tags are not there yet.
    #[arg(long, alias = "tag", hide = true, value_parser = tag, value_name = "TAG")]
    nw_tag: Option<Never>,
}

/// Options of `group create`.
#[derive(Clone, Debug, clap::Args)]
pub struct OfGroup {
    /// External contracts are not there yet.
    #[arg(short, long, hide = true, value_parser = contract, value_name = "CONTRACT")]
    external_contract: Option<Never>,
    /// Pools of a group are not there yet.
    #[arg(short = 'r', long, hide = true, value_parser = pool, value_name = "RANGE")]
    ip_pool: Option<Never>,
    /// Tags are not there yet.
    #[arg(long, alias = "tag", hide = true, value_parser = tag, value_name = "TAG")]
    epg_tag: Option<Never>,
}

/// The one value there is: saying it changes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Only;

fn data(text: &str) -> Result<Only, String> {
    match text {
        "data" => Ok(Only),
        "infra" => {
            Err("networks that nodes themselves take part in are not there yet; data networks are".to_owned())
        }
        _ => Err("must be data".to_owned()),
    }
}

fn vxlan(text: &str) -> Result<Only, String> {
    match text {
        "vxlan" => Ok(Only),
        "vlan" => Err("VLAN networks are not there yet; VXLAN networks are".to_owned()),
        _ => Err("must be vxlan".to_owned()),
    }
}

fn tag(_: &str) -> Result<Never, String> {
    Err("tags for container runtimes are not there yet; a network or group is named by its own name"
        .to_owned())
}

fn contract(_: &str) -> Result<Never, String> {
    Err("external contracts are not there yet".to_owned())
}

fn pool(_: &str) -> Result<Never, String> {
    Err("address ranges of a group are not there yet; a network can have one (network create --subnet)"
        .to_owned())
}
