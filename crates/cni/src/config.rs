//! What the runtime gives a plugin: environment variables and a configuration on standard input.
//! CNI specification 1.1.0, section 1 "Configuration format" and section 2 "Execution Protocol".

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use types::{EndpointName, Name};

use crate::{AddResult, Attachment, CniError, Code, PROTOCOL, Request, Verb, journal};

/// The versions of the specification we speak, oldest first.
pub const VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];

/// The socket when the configuration names none.
const DEFAULT_SOCKET: &str = "/run/selvage/cni.sock";

/// Keys the specification defines at the top of a configuration and that mean nothing to us.
const SPECIFIED: [&str; 10] = [
    "cniVersions",
    "capabilities",
    "runtimeConfig",
    "args",
    "ipam",
    "dns",
    "ipMasq",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
];

/// The plugin's configuration as written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NetConf {
    cni_version: String,
    name: String,
    #[serde(rename = "type")]
    _type: Option<String>,
    socket: Option<PathBuf>,
    journal_dir: Option<PathBuf>,
    tenant: Option<Name>,
    network: Option<Name>,
    group: Option<Name>,
    prev_result: Option<AddResult>,
    #[serde(default, rename = "cni.dev/valid-attachments")]
    valid: Vec<Attachment>,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

/// Where the plugin finds its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The agent's socket.
    pub socket: PathBuf,
    /// Where a deletion waits while the agent is away.
    pub journal_dir: PathBuf,
}

/// One start of the plugin, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// VERSION: needs no agent.
    Version,
    /// Everything else.
    Ask(Box<Request>, Parameters),
}

impl Invocation {
    /// Understands environment and standard input.
    ///
    /// # Errors
    /// [`CniError`] with the specification's code, in the version the configuration asks for where it is known.
    pub fn parse(env: &dyn Fn(&str) -> Option<String>, stdin: &[u8]) -> Result<Self, CniError> {
        let verb = match env("CNI_COMMAND").as_deref() {
            Some("VERSION") => return Ok(Self::Version),
            Some("ADD") => Verb::Add,
            Some("DEL") => Verb::Del,
            Some("CHECK") => Verb::Check,
            Some("STATUS") => Verb::Status,
            Some("GC") => Verb::Gc,
            other => return Err(environment("CNI_COMMAND", other.unwrap_or("is missing"))),
        };
        let conf = parse_conf(stdin)?;
        let version = conf.cni_version.clone();
        let args = CniArgs::parse(env("CNI_ARGS").as_deref().unwrap_or_default());
        args.and_then(|args| ask(verb, conf, args, env)).map_err(|e| e.for_version(&version))
    }
}

fn parse_conf(stdin: &[u8]) -> Result<NetConf, CniError> {
    let value: serde_json::Value = serde_json::from_slice(stdin)
        .map_err(|e| CniError::new(Code::Decode, "configuration is no JSON", e))?;
    let version = value.get("cniVersion").and_then(|v| v.as_str()).unwrap_or("0.1.0").to_owned();
    if !VERSIONS.contains(&version.as_str()) {
        let details = format!("cniVersion {version}; supported are {}", VERSIONS.join(", "));
        return Err(CniError::new(Code::IncompatibleVersion, "incompatible CNI version", details));
    }
    let conf: NetConf = serde_json::from_value(value)
        .map_err(|e| CniError::new(Code::InvalidConfig, "configuration refused", e).for_version(&version))?;
    let known = |key: &str| SPECIFIED.contains(&key) || key.starts_with("cni.dev/");
    match conf.rest.keys().find(|key| !known(key)) {
        Some(key) => {
            Err(CniError::new(Code::UnsupportedField, "unknown configuration key", format!("{key:?}"))
                .for_version(&version))
        }
        None => Ok(conf),
    }
}

fn ask(
    verb: Verb,
    conf: NetConf,
    args: CniArgs,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Invocation, CniError> {
    let names_attachment = matches!(verb, Verb::Add | Verb::Del | Verb::Check);
    let attachment = if names_attachment { Some(attachment(env)?) } else { None };
    let endpoint = match &attachment {
        Some(a) => Some(args.endpoint.map_or_else(|| endpoint_name(a), Ok)?),
        None => None,
    };
    let needed = |key: &str| {
        CniError::new(Code::InvalidConfig, "configuration refused", format!("{key:?} is missing"))
    };
    let socket = conf.socket.unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET));
    let journal_dir = conf.journal_dir.unwrap_or_else(|| journal::default_dir(&socket));
    let request = Request {
        protocol: PROTOCOL,
        verb,
        cni_version: conf.cni_version,
        config_name: conf.name,
        attachment,
        netns: env("CNI_NETNS").filter(|s| !s.is_empty()).map(PathBuf::from),
        tenant: args.tenant.or(conf.tenant).ok_or_else(|| needed("tenant"))?,
        network: args.network.or(conf.network).ok_or_else(|| needed("network"))?,
        group: args.group.or(conf.group),
        endpoint,
        ipv4: args.ipv4,
        ipv6: args.ipv6,
        prev_result: conf.prev_result,
        valid: conf.valid,
    };
    request.check()?;
    Ok(Invocation::Ask(Box::new(request), Parameters { socket, journal_dir }))
}

fn environment(variable: &str, details: &str) -> CniError {
    CniError::new(Code::InvalidEnvironment, "invalid environment variable", format!("{variable}: {details}"))
}

fn attachment(env: &dyn Fn(&str) -> Option<String>) -> Result<Attachment, CniError> {
    let container_id = env("CNI_CONTAINERID").unwrap_or_default();
    let mut id = container_id.chars();
    let starts_well = id.next().is_some_and(|c| c.is_ascii_alphanumeric());
    if !starts_well || !id.all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        return Err(environment(
            "CNI_CONTAINERID",
            "must be letters, digits, '_', '.' and '-', and begin with one of the first two",
        ));
    }
    let ifname = env("CNI_IFNAME").unwrap_or_default();
    // dev_valid_name() in the kernel's net/core/dev.c.
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace();
    if ifname.is_empty() || ifname.len() > 15 || ifname == "." || ifname == ".." || ifname.contains(bad) {
        return Err(environment("CNI_IFNAME", "is no name of a network interface"));
    }
    Ok(Attachment { container_id, ifname })
}

/// `<container id>.<interface>` in lower case. Runtimes use 64 hexadecimal digits, one more than a DNS label holds:
/// longer labels are cut into pieces of 32.
fn endpoint_name(attachment: &Attachment) -> Result<EndpointName, CniError> {
    let whole = format!("{}.{}", attachment.container_id, attachment.ifname).to_ascii_lowercase();
    let mut labels: Vec<&str> = Vec::new();
    for label in whole.split('.') {
        let mut rest = label;
        while rest.len() > 63 {
            let (piece, tail) = rest.split_at(32);
            labels.push(piece);
            rest = tail;
        }
        labels.push(rest);
    }
    EndpointName::new(labels.join(".")).map_err(|e| {
        let hint = "set SELVAGE_ENDPOINT in CNI_ARGS to name the endpoint";
        environment("CNI_CONTAINERID", &format!("gives no endpoint name ({e}); {hint}"))
    })
}

/// `CNI_ARGS`: `KEY=VALUE;KEY=VALUE`. Ours begin with `SELVAGE_`; others are refused unless `IgnoreUnknown` says
/// otherwise, which every runtime that passes its own does.
#[derive(Default)]
struct CniArgs {
    tenant: Option<Name>,
    network: Option<Name>,
    group: Option<Name>,
    endpoint: Option<EndpointName>,
    ipv4: Option<IpAddr>,
    ipv6: Option<IpAddr>,
}

impl CniArgs {
    fn parse(text: &str) -> Result<Self, CniError> {
        let mut args = Self::default();
        let mut unknown = None;
        let mut ignore_unknown = false;
        for pair in text.split(';').filter(|p| !p.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| environment("CNI_ARGS", "must be KEY=VALUE;..."))?;
            match key {
                "SELVAGE_TENANT" => args.tenant = Some(parse_arg(key, value)?),
                "SELVAGE_NETWORK" => args.network = Some(parse_arg(key, value)?),
                "SELVAGE_GROUP" => args.group = Some(parse_arg(key, value)?),
                "SELVAGE_ENDPOINT" => args.endpoint = Some(parse_arg(key, value)?),
                "SELVAGE_IPV4" => args.ipv4 = Some(address(key, value, IpAddr::is_ipv4)?),
                "SELVAGE_IPV6" => args.ipv6 = Some(address(key, value, IpAddr::is_ipv6)?),
                "IgnoreUnknown" => {
                    ignore_unknown = matches!(value, "1" | "true" | "True" | "TRUE" | "t" | "T")
                }
                // A misspelt key of ours is never ignored.
                k if k.starts_with("SELVAGE_") => {
                    return Err(environment("CNI_ARGS", &format!("unknown key {k}")));
                }
                k => unknown = Some(k),
            }
        }
        match unknown.filter(|_| !ignore_unknown) {
            Some(key) => Err(environment("CNI_ARGS", &format!("unknown key {key} (and no IgnoreUnknown=1)"))),
            None => Ok(args),
        }
    }
}

fn parse_arg<T: std::str::FromStr<Err: std::fmt::Display>>(key: &str, value: &str) -> Result<T, CniError> {
    value.parse().map_err(|e| environment("CNI_ARGS", &format!("{key}: {e}")))
}

fn address(key: &str, value: &str, of_family: impl Fn(&IpAddr) -> bool) -> Result<IpAddr, CniError> {
    let address = parse_arg(key, value)?;
    if of_family(&address) {
        Ok(address)
    } else {
        Err(environment("CNI_ARGS", &format!("{key}: {value} is of the other family")))
    }
}
