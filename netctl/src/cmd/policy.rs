//! `netctl policy`. A rule is added or removed by reading the policy and writing it back, at the version that was read.

use api::v1::{Peer, Policy, PolicyBody, PolicyCounters, Ports, Protocol, Rule, Service};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use client::{Address, Client, Policies};
use types::{AddressRange, Direction, Invalid, IpCidr, Name, NodeName, PortRange, RulePriority, Verdict};

use super::{InTenant, Ls, LsInTenant, ShowAs, Shown, said};
use crate::Terminal;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::output::{Format, Table, maybe, show, word};

/// How often a rule is tried to be written when others write the same policy at the same time.
const ATTEMPTS: usize = 5;

/// Verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Create a policy without rules.
    #[command(after_help = "Examples:
  netctl policy create -t blue db-access")]
    Create {
        /// Its name.
        name: Name,
        #[command(flatten)]
        place: InTenant,
    },
    /// List policies.
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  netctl policy ls -t blue"
    )]
    Ls(LsInTenant),
    /// Show one policy with its rules.
    #[command(after_help = "Examples:
  netctl policy inspect -t blue db-access")]
    Inspect {
        /// Its name.
        #[arg(value_name = "POLICY")]
        name: Name,
        #[command(flatten)]
        place: InTenant,
        #[command(flatten)]
        how: ShowAs,
    },
    /// Delete a policy; refused while groups have it.
    #[command(
        visible_alias = "delete",
        after_help = "Examples:
  netctl policy rm -t blue db-access"
    )]
    Rm {
        /// Its name.
        #[arg(value_name = "POLICY")]
        name: Name,
        #[command(flatten)]
        place: InTenant,
    },
    /// Add a rule.
    #[command(after_help = "Examples:
  netctl policy rule-add -t blue db-access web -d in --from-group web -l tcp -P 5432 -p 10 -j allow
  netctl policy rule-add -t blue db-access rest -d in -l tcp -j deny
  netctl policy rule-add -t blue updates mirror -d out --to-ip-address 192.0.2.0/24 -j allow
  netctl policy rule-add -t blue guard inside -d in -i 10.0.0.0/8 --except 10.9.0.0/16,10.8.1.0/24 -j deny
  netctl policy rule-add -t blue guard few -d in -i 10.1.1.20-10.1.1.29 -l tcp -P 22 -j allow
  netctl policy rule-add -t blue guard web -d in -l tcp -P 80,443,8000-8080 -j allow
  netctl policy rule-add -t blue guard pings -d in --service icmp/8 --service icmpv6/128 -j allow")]
    RuleAdd(Box<RuleAdd>),
    /// Remove a rule.
    #[command(after_help = "Examples:
  netctl policy rule-rm -t blue db-access rest")]
    RuleRm {
        /// The policy.
        policy: Name,
        /// The rule.
        rule: Name,
        #[command(flatten)]
        place: InTenant,
    },
    /// List a policy's rules by rising priority: those that win come last.
    #[command(after_help = "Examples:
  netctl policy rule-ls -t blue db-access
  netctl policy rule-ls -t blue --stats db-access
  netctl policy rule-ls -t blue --stats -o json db-access")]
    RuleLs {
        /// The policy.
        policy: Name,
        #[command(flatten)]
        place: InTenant,
        /// Also show what each rule did: connections, packets and bytes, added up over the nodes since their switches
        /// started or the rule was made; replies count for the rule that allowed their connection. With -o json, only that.
        #[arg(long)]
        stats: bool,
        #[command(flatten)]
        how: Ls,
    },
}

/// Options of `rule-add`.
#[derive(Debug, clap::Args)]
pub struct RuleAdd {
    /// The policy.
    policy: Name,
    /// The rule's name in it.
    rule: Name,
    #[command(flatten)]
    place: InTenant,
    /// 1 to 100; the higher number wins, deny wins ties.
    #[arg(short, long, default_value = "1")]
    priority: RulePriority,
    /// in (towards the endpoints the policy applies to) or out (from them).
    #[arg(short, long, default_value = "in", value_parser = directions())]
    direction: Direction,
    #[command(flatten)]
    peer: PeerArgs,
    /// Prefixes inside the CIDR of the peer that are not meant.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    except: Vec<IpCidr>,
    /// tcp, udp, sctp, icmp, icmpv6 or a number; every protocol without it.
    #[arg(short = 'l', long)]
    protocol: Option<Protocol>,
    /// Destination ports: PORT or FIRST-LAST, several with commas; every port without it.
    #[arg(short = 'P', long, requires = "protocol", value_delimiter = ',')]
    port: Vec<PortRange>,
    /// Type of ICMP message, of IPv4 (-l icmp) or IPv6 (-l icmpv6); every type without it.
    #[arg(long, value_name = "TYPE", requires = "protocol")]
    icmp_type: Option<u8>,
    /// Code of the ICMP message; every code without it.
    #[arg(long, value_name = "CODE", requires = "icmp_type")]
    icmp_code: Option<u8>,
    /// A service, as tcp/80,443, udp/53, icmp/8/0 or icmpv6; repeat it for several.
    #[arg(long, value_name = "SERVICE", conflicts_with = "protocol")]
    service: Vec<types::Service>,
    /// allow or deny.
    #[arg(short = 'j', long, default_value = "allow", value_parser = verdicts())]
    action: Verdict,
}

/// The other end: at most one of these; everything without any.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct PeerArgs {
    /// Endpoints of this group (direction in).
    #[arg(short = 'g', long, value_name = "GROUP")]
    from_group: Option<Name>,
    /// Endpoints of this group (direction out).
    #[arg(short = 'e', long, value_name = "GROUP")]
    to_group: Option<Name>,
    /// Addresses of this network (direction in).
    #[arg(short = 'n', long, value_name = "NETWORK")]
    from_network: Option<Name>,
    /// Addresses of this network (direction out).
    #[arg(short = 'o', long, value_name = "NETWORK")]
    to_network: Option<Name>,
    /// Addresses of this CIDR, or FIRST-LAST (direction in).
    #[arg(short = 'i', long, value_name = "ADDRESSES")]
    from_ip_address: Option<Addresses>,
    /// Addresses of this CIDR, or FIRST-LAST (direction out).
    #[arg(short = 's', long, value_name = "ADDRESSES")]
    to_ip_address: Option<Addresses>,
}

/// Addresses by number.
#[derive(Clone, Copy, Debug)]
enum Addresses {
    Cidr(IpCidr),
    Range(AddressRange),
}

impl std::str::FromStr for Addresses {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        if s.contains('-') { s.parse().map(Self::Range) } else { s.parse().map(Self::Cidr) }
    }
}

fn directions() -> impl TypedValueParser<Value = Direction> {
    let words = [PossibleValue::new("in").alias("ingress"), PossibleValue::new("out").alias("egress")];
    PossibleValuesParser::new(words).map(|word| match word.as_str() {
        "in" | "ingress" => Direction::Ingress,
        _ => Direction::Egress,
    })
}

fn verdicts() -> impl TypedValueParser<Value = Verdict> {
    PossibleValuesParser::new(["allow", "deny"])
        .map(|word| if word == "allow" { Verdict::Allow } else { Verdict::Deny })
}

impl Addresses {
    fn peer(self) -> Peer {
        match self {
            Self::Cidr(cidr) => Peer::Cidr { cidr, except: Vec::new() },
            Self::Range(range) => Peer::Range(range),
        }
    }
}

impl PeerArgs {
    /// The peer, if it fits the direction: "from" means nothing on the way out.
    fn peer(self, direction: Direction, except: Vec<IpCidr>) -> Result<Peer, Fault> {
        let from = self.from_group.map(Peer::Group).or(self.from_network.map(Peer::Network));
        let from = from.or(self.from_ip_address.map(Addresses::peer));
        let to = self.to_group.map(Peer::Group).or(self.to_network.map(Peer::Network));
        let to = to.or(self.to_ip_address.map(Addresses::peer));
        match (direction, from, to) {
            (Direction::Ingress, _, Some(_)) => Err(Fault::usage("--to-... goes with --direction out")
                .next("use --from-... or change the direction")),
            (Direction::Egress, Some(_), _) => Err(Fault::usage("--from-... goes with --direction in")
                .next("use --to-... or change the direction")),
            (_, from, to) => match from.or(to).unwrap_or_default() {
                Peer::Cidr { cidr, .. } => Ok(Peer::Cidr { cidr, except }),
                peer if except.is_empty() => Ok(peer),
                _ => Err(Fault::usage("--except goes with a CIDR")
                    .next("add --from-ip-address CIDR, or --to-ip-address CIDR")),
            },
        }
    }
}

impl Shown for Policies {
    const HEADS: &'static [&'static str] = &["Tenant", "Policy", "Rules", "State"];
    const NARROW: usize = 2;

    fn row(p: &Policy) -> Vec<String> {
        let state = p
            .status
            .refused
            .as_ref()
            .map_or_else(|| word(&p.status.realization), |r| format!("refused: {r}"));
        vec![p.tenant.to_string(), p.name.to_string(), p.rules.len().to_string(), state]
    }
}

/// Runs a verb.
pub async fn run(verb: Verb, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    match verb {
        Verb::Create { name, place } => {
            let body = PolicyBody { name: Some(name.clone()), ..PolicyBody::default() };
            client.create::<Policies>(place.tenant.as_str(), &body).await?;
            said(terminal, &format!("policy {}/{name}", place.tenant), "created")
        }
        Verb::Ls(args) => super::ls_in_tenant::<Policies>(&args, client, terminal).await,
        Verb::Inspect { name, place, how } => {
            let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
            super::inspect::<Policies>(at, &how, client, terminal).await
        }
        Verb::Rm { name, place } => {
            let at = Address { tenant: place.tenant.as_str(), name: name.as_str() };
            super::rm::<Policies>(at, client, terminal).await
        }
        Verb::RuleAdd(args) => rule_add(*args, client, terminal).await,
        Verb::RuleRm { policy, rule, place } => {
            let at = Address { tenant: place.tenant.as_str(), name: policy.as_str() };
            change(client, at, |rules| remove(rules, &rule, at)).await?;
            said(terminal, &format!("rule {rule} of policy {}/{policy}", place.tenant), "removed")
        }
        Verb::RuleLs { policy, place, stats, how } => {
            let at = Address { tenant: place.tenant.as_str(), name: policy.as_str() };
            rule_ls(at, stats, how.format(), client, terminal).await
        }
    }
}

async fn rule_ls(
    at: Address<'_>,
    stats: bool,
    format: Format,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    let mut rules = client.read::<Policies>(at).await?.rules;
    rules.sort_by_key(|r| (r.priority, r.action == Verdict::Deny, r.name.clone()));
    let names = |rules: &[Rule]| rules.iter().map(|r| format!("{}\n", r.name)).collect();
    if !stats || format == Format::Name {
        return show(terminal, format, &rules, |rules| match format {
            Format::Name => names(rules),
            _ => text(rules, None),
        });
    }
    let counters = client.counters(at).await?;
    show(terminal, format, &counters, |counters| {
        let missing = |(node, why): (&NodeName, &str)| format!("\nNot counted: node {node}: {why}\n");
        text(&rules, Some(counters)) + &counters.missing().map(missing).collect::<String>()
    })
}

async fn rule_add(args: RuleAdd, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
    let rule = Rule {
        name: args.rule,
        direction: args.direction,
        priority: args.priority,
        peer: args.peer.peer(args.direction, args.except)?,
        protocol: args.protocol,
        port: ports(args.port)?,
        icmp_type: args.icmp_type,
        icmp_code: args.icmp_code,
        services: Some(args.service.iter().map(Service::from).collect()).filter(|s: &Vec<_>| !s.is_empty()),
        action: args.action,
    };
    let at = Address { tenant: args.place.tenant.as_str(), name: args.policy.as_str() };
    change(client, at, |rules| add(rules, rule.clone(), at)).await?;
    said(terminal, &format!("rule {} of policy {}/{}", rule.name, at.tenant, at.name), "added")
}

/// The ports, if any are given.
fn ports(ranges: Vec<PortRange>) -> Result<Option<Ports>, Fault> {
    if ranges.is_empty() {
        return Ok(None);
    }
    let ports = types::Ports::new(ranges).map_err(|e| Fault::usage(e.to_string()))?;
    Ok(Some(ports.into()))
}

fn add(rules: &mut Vec<Rule>, rule: Rule, at: Address<'_>) -> Result<(), Fault> {
    if rules.iter().any(|r| r.name == rule.name) {
        let what = format!("policy {}/{} has a rule {} already", at.tenant, at.name, rule.name);
        return Err(Fault::ending(Exit::Conflict, what).next("rule-rm removes it; rule-ls shows it"));
    }
    rules.push(rule);
    Ok(())
}

fn remove(rules: &mut Vec<Rule>, rule: &Name, at: Address<'_>) -> Result<(), Fault> {
    let before = rules.len();
    rules.retain(|r| r.name != *rule);
    if rules.len() == before {
        let what = format!("policy {}/{} has no rule {rule}", at.tenant, at.name);
        return Err(Fault::ending(Exit::NotFound, what).next("rule-ls shows what there is"));
    }
    Ok(())
}

/// Reads a policy, changes its rules and writes it at the version that was read; again when somebody was faster.
async fn change(
    client: &Client,
    at: Address<'_>,
    edit: impl Fn(&mut Vec<Rule>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut left = ATTEMPTS;
    loop {
        let mut policy = client.read::<Policies>(at).await?;
        edit(&mut policy.rules)?;
        let body = PolicyBody { rules: policy.rules, ..PolicyBody::default() };
        left -= 1;
        match client.replace::<Policies>(at, &body, Some(&policy.resource_version)).await {
            Ok(_) => return Ok(()),
            Err(e) if left > 0 && is_stale(&e) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

fn is_stale(error: &client::Error) -> bool {
    error.problem().is_some_and(|p| p.code == api::Code::ResourceVersionMismatch)
}

/// What a rule did: three columns.
fn stat_cells(rule: &Rule, counters: &PolicyCounters) -> [String; 3] {
    let count = counters.rules.iter().find(|count| count.name == rule.name);
    let connections = count.and_then(|count| count.connections);
    [connections, count.map(|c| c.packets), count.map(|c| c.bytes)]
        .map(|n| n.map_or_else(|| "-".to_owned(), |n| n.to_string()))
}

/// Contiv's two tables, and what the rules did, where that was asked.
fn text(rules: &[Rule], counters: Option<&PolicyCounters>) -> String {
    let table = |heads: &[&'static str]| {
        let stats: &[&str] = if counters.is_some() { &["Connections", "Packets", "Bytes"] } else { &[] };
        Table::new(&[heads, stats].concat())
    };
    let mut incoming = table(&[
        "Rule",
        "Priority",
        "From EndpointGroup",
        "From Network",
        "From IpAddress",
        "To IpAddress",
        "Protocol",
        "Port",
        "Action",
    ]);
    let mut outgoing = table(&[
        "Rule",
        "Priority",
        "To EndpointGroup",
        "To Network",
        "To IpAddress",
        "Protocol",
        "Port",
        "Action",
    ]);
    for r in rules {
        let mut cells = vec![r.name.to_string(), r.priority.to_string()];
        cells.extend(peer_cells(&r.peer));
        let [protocol, port] = service_cells(r);
        let mut last = vec![protocol, port, word(&r.action)];
        last.extend(counters.into_iter().flat_map(|counters| stat_cells(r, counters)));
        match r.direction {
            Direction::Ingress => {
                // Contiv's "To IpAddress" of incoming rules: Selvage's have no such end.
                cells.push(String::new());
                cells.extend(last);
                incoming.row(cells);
            }
            Direction::Egress => {
                cells.extend(last);
                outgoing.row(cells);
            }
        }
    }
    format!("Incoming Rules:\n{incoming}Outgoing Rules:\n{outgoing}")
}

/// Protocol and port. What has no place in Contiv's two columns stands in the first as `--service` takes it.
fn service_cells(r: &Rule) -> [String; 2] {
    let several = r.services.iter().flatten().map(service_text).collect::<Vec<_>>();
    match (&r.protocol, r.icmp_type) {
        (Some(protocol), Some(kind)) => {
            let code = r.icmp_code.map(|code| format!("/{code}")).unwrap_or_default();
            [format!("{protocol}/{kind}{code}"), String::new()]
        }
        (Some(_), None) => [maybe(r.protocol.as_ref()), maybe(r.port.as_ref())],
        (None, _) => [several.join(" "), String::new()],
    }
}

fn service_text(s: &Service) -> String {
    let parts = [
        s.port.as_ref().map(ToString::to_string),
        s.icmp_type.map(|n| n.to_string()),
        s.icmp_code.map(|n| n.to_string()),
    ];
    let parts = parts.into_iter().flatten().map(|part| format!("/{part}")).collect::<String>();
    format!("{}{parts}", s.protocol)
}

/// Group, network, address.
fn peer_cells(peer: &Peer) -> [String; 3] {
    let mut cells = [const { String::new() }; 3];
    match peer {
        Peer::Any => {}
        Peer::Group(n) => cells[0] = n.to_string(),
        Peer::Network(n) => cells[1] = n.to_string(),
        Peer::Cidr { cidr, except } => {
            let except = except.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            cells[2] = if except.is_empty() { cidr.to_string() } else { format!("{cidr} except {except}") };
        }
        Peer::Range(r) => cells[2] = r.to_string(),
    }
    cells
}
