//! The lines of packets.txt: what a network engineer reads, turned into packets for `ofproto/trace`.
//!
//! ```text
//! allow  SOURCE -> DESTINATION SERVICE [STATE] [over ipv4|ipv6] [at NAME...]
//! drop   the same
//! answer SOURCE arp|nd|na ADDRESS        the switch answers; or  SOURCE -> gateway icmp
//! refused FRAGMENT                       this object is denied, not enforced
//!
//! SOURCE       [tunnel VTEP vni N | port P] NAME[(CHANGE, ...)]    CHANGE: src ADDR, mac MAC, sha MAC, sll MAC,
//!                                                                  dst-mac MAC, vlan N, frag first|later
//! STATE        est, rpl (a reply: from the port), rel, old, old-rpl, old-rel (of a connection that was judged before
//!              something changed), inv, ack, syn-ack
//! DESTINATION  NAME, gateway, or an address
//! SERVICE      tcp/PORT udp/PORT sctp/PORT icmp icmp/TYPE proto/NUMBER
//! ```
//! Without `over` a line holds for every family that both ends have. `at` lists who gets a group packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use node_state::Endpoint;
use types::MacAddr;

use super::case::Case;
use super::generations::label;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    Drop,
    Answer,
}

#[derive(Clone, Debug, Default)]
struct Changes {
    src: Option<IpAddr>,
    mac: Option<String>,
    sha: Option<String>,
    sll: Option<String>,
    dst_mac: Option<String>,
    vlan: Option<u16>,
    frag: Option<String>,
}

/// A line of packets.txt.
pub enum Line {
    Refused(String),
    Packets(Vec<Probe>),
}

/// One packet and what must come of it.
#[derive(Debug)]
pub struct Probe {
    pub verdict: Verdict,
    /// For `ofproto/trace`.
    pub flow: String,
    /// What conntrack says, for `--ct-next`.
    pub ct: &'static str,
    /// Endpoints that must get it, if it is allowed.
    pub at: Vec<String>,
    /// Whose MAC an answer must name.
    pub answerer: Option<MacAddr>,
    /// Port it comes in by.
    pub in_port: String,
}

pub fn parse(case: &Case) -> Vec<(String, Line)> {
    let text = std::fs::read_to_string(case.dir.join("packets.txt")).unwrap();
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines.map(|l| (l.to_owned(), parse_line(case, l))).collect()
}

fn parse_line(case: &Case, line: &str) -> Line {
    let (plain, changes) = take_changes(line);
    let mut words: Vec<&str> = plain.split_whitespace().collect();
    let verdict = match words.remove(0) {
        "allow" => Verdict::Allow,
        "drop" => Verdict::Drop,
        "answer" => Verdict::Answer,
        "refused" => return Line::Refused(words[0].to_owned()),
        other => panic!("{line}: unknown verdict {other}"),
    };
    let mut at = Vec::new();
    if let Some(i) = words.iter().position(|w| *w == "at") {
        at = words.split_off(i).into_iter().skip(1).map(str::to_owned).collect();
    }
    let mut packet = Packet { case, line, changes, ..Packet::new(case, line) };
    packet.origin(&mut words);
    let name = words.remove(0);
    packet.source = Some(case.endpoint(name));
    match words.remove(0) {
        "->" => Line::Packets(packet.ip_probes(verdict, &words, at)),
        kind => Line::Packets(vec![packet.discovery(verdict, kind, words[0])]),
    }
}

fn take_changes(line: &str) -> (String, Changes) {
    let mut changes = Changes::default();
    let Some((before, rest)) = line.split_once('(') else { return (line.to_owned(), changes) };
    let (inside, after) = rest.split_once(')').unwrap();
    for change in inside.split(',') {
        let (what, value) = change.trim().split_once(' ').unwrap();
        let text = Some(value.to_owned());
        match what {
            "src" => changes.src = Some(value.parse().unwrap()),
            "mac" => changes.mac = text,
            "sha" => changes.sha = text,
            "sll" => changes.sll = text,
            "dst-mac" => changes.dst_mac = text,
            "frag" => changes.frag = text,
            "vlan" => changes.vlan = Some(value.parse().unwrap()),
            _ => panic!("{line}: unknown change {what}"),
        }
    }
    (format!("{before}{after}"), changes)
}

struct Packet<'c> {
    case: &'c Case,
    line: &'c str,
    changes: Changes,
    source: Option<&'c Endpoint>,
    port: Option<String>,
    tunnel: Option<(IpAddr, u32)>,
}

impl<'c> Packet<'c> {
    fn new(case: &'c Case, line: &'c str) -> Self {
        Self { case, line, changes: Changes::default(), source: None, port: None, tunnel: None }
    }

    fn origin(&mut self, words: &mut Vec<&str>) {
        match words[0] {
            "tunnel" => {
                self.tunnel = Some((words[1].parse().unwrap(), words[3].parse().unwrap()));
                words.drain(..4);
            }
            "port" => {
                self.port = Some(words[1].to_owned());
                words.drain(..2);
            }
            _ => {}
        }
    }

    fn source(&self) -> &'c Endpoint {
        self.source.unwrap()
    }

    fn in_port(&self) -> String {
        match (&self.port, self.tunnel) {
            (Some(port), _) => port.clone(),
            (None, Some(_)) => self.case.ports.tunnel.unwrap().to_string(),
            (None, None) => self.case.ports.endpoints[&self.source().uid].to_string(),
        }
    }

    /// The frame's outside: port, tunnel, MACs, tag.
    fn frame(&self, dst_mac: &str) -> String {
        let own = self.source().mac.to_string();
        let mac = self.changes.mac.clone().unwrap_or(own);
        let dst = self.changes.dst_mac.clone().unwrap_or(dst_mac.to_owned());
        let mut flow = format!("in_port={},dl_src={mac},dl_dst={dst}", self.in_port());
        if let Some((vtep, vni)) = self.tunnel {
            let (src, dst) =
                if vtep.is_ipv4() { ("tun_src", "tun_dst") } else { ("tun_ipv6_src", "tun_ipv6_dst") };
            flow += &format!(",tun_id={vni},{src}={vtep},{dst}={}", self.case.local.vtep);
        }
        if let Some(vlan) = self.changes.vlan {
            flow += &format!(",dl_vlan={vlan},dl_vlan_pcp=0");
        }
        flow
    }

    fn source_address(&self, ipv4: bool) -> Option<IpAddr> {
        let own = self.source().addresses.iter().copied().find(|a| a.is_ipv4() == ipv4);
        match self.changes.src {
            Some(changed) => Some(changed).filter(|c| c.is_ipv4() == ipv4),
            None => own,
        }
    }

    fn discovery(&self, verdict: Verdict, kind: &str, target: &str) -> Probe {
        let broadcast = "ff:ff:ff:ff:ff:ff";
        let own = self.source().mac.to_string();
        let (answerer, flow) = match kind {
            "arp" => {
                let spa = self.source_address(true).unwrap();
                let sha = self.changes.sha.clone().unwrap_or(own);
                let arp = format!("arp,arp_op=1,arp_spa={spa},arp_tpa={target},arp_sha={sha}");
                (self.owner(target), format!("{},{arp}", self.frame(broadcast)))
            }
            "nd" => {
                let src = self.source_address(false).unwrap();
                let sll = if src.is_unspecified() { "00:00:00:00:00:00".to_owned() } else { own };
                let sll = self.changes.sll.clone().unwrap_or(sll);
                let nd = format!(
                    "icmp6,ipv6_src={src},ipv6_dst=ff02::1:ff00:1,nw_ttl=255,icmpv6_type=135,icmpv6_code=0,\
                     nd_target={target},nd_sll={sll}"
                );
                (self.owner(target), format!("{},{nd}", self.frame("33:33:ff:00:00:01")))
            }
            "na" => {
                let src = self.source_address(false).unwrap();
                let na = format!(
                    "icmp6,ipv6_src={src},ipv6_dst=ff02::1,nw_ttl=255,icmpv6_type=136,icmpv6_code=0,\
                     nd_target={target},nd_tll={own}"
                );
                (None, format!("{},{na}", self.frame("33:33:00:00:00:01")))
            }
            "frame" => (None, format!("{},dl_type={target}", self.frame(broadcast))),
            other => panic!("{}: unknown packet {other}", self.line),
        };
        Probe { verdict, flow, ct: "trk,new", at: Vec::new(), answerer, in_port: self.in_port() }
    }

    /// The MAC that has an address in the source's network.
    fn owner(&self, address: &str) -> Option<MacAddr> {
        let address: IpAddr = address.parse().unwrap();
        let network = self.case.network(self.source());
        if network.subnets.iter().any(|s| s.gateway == Some(address)) {
            return Some(pipeline::GATEWAY_MAC);
        }
        let mut peers = self.case.state.endpoints().filter(|e| e.vni == network.vni);
        let has = |e: &&Endpoint| e.addresses.contains(&address) || address == IpAddr::V6(e.mac.link_local());
        peers.find(has).map(|e| e.mac)
    }

    fn ip_probes(&self, verdict: Verdict, words: &[&str], at: Vec<String>) -> Vec<Probe> {
        let (destination, service) = (words[0], words[1]);
        let mut over = [true, false].to_vec();
        let mut state = "new";
        let mut rest = words[2..].iter();
        while let Some(word) = rest.next() {
            match *word {
                "over" => over = vec![*rest.next().unwrap() == "ipv4"],
                s => state = s,
            }
        }
        let literal: Option<IpAddr> = destination.parse().ok();
        let at =
            if literal.is_none() && destination != "gateway" { vec![destination.to_owned()] } else { at };
        let mut probes = Vec::new();
        for ipv4 in over {
            let Some(src) = self.source_address(ipv4) else { continue };
            let Some((dst, dst_mac)) = self.destination(destination, literal, ipv4) else { continue };
            let (ct, flags) = match state {
                "new" => ("trk,new", 0x02),
                "est" | "old" => ("trk,est", 0x10),
                "rpl" | "old-rpl" => ("trk,est,rpl", 0x10),
                "rel" | "old-rel" => ("trk,rel", 0x10),
                "inv" => ("trk,inv", 0x10),
                "ack" => ("trk,new", 0x10),
                "syn-ack" => ("trk,new", 0x12),
                other => panic!("{}: unknown state {other}", self.line),
            };
            let kind = if state.ends_with("rel") {
                Kind::Error
            } else if state.ends_with("rpl") {
                Kind::Reply
            } else {
                Kind::Plain
            };
            let flow = format!("{},{}", self.frame(&dst_mac), l3(src, dst, service, flags, kind));
            let flow = match state {
                "est" | "rpl" | "rel" => format!("{flow},ct_label={:#x}", self.label(dst, state == "rpl")),
                _ => flow,
            };
            let frag = self.changes.frag.as_ref().map(|f| format!(",ip_frag={f}")).unwrap_or_default();
            let flow = flow + &frag;
            let answerer = (destination == "gateway").then_some(pipeline::GATEWAY_MAC);
            probes.push(Probe { verdict, flow, ct, at: at.clone(), answerer, in_port: self.in_port() });
        }
        assert!(!probes.is_empty(), "{}: the ends share no address family", self.line);
        probes
    }

    /// The label of a connection that was judged by what holds now.
    fn label(&self, dst: IpAddr, reply: bool) -> u128 {
        let flows = self.case.render().flows;
        let sender = self.source();
        let receiver =
            self.case.state.endpoints().find(|e| e.vrf == sender.vrf && e.addresses.contains(&dst));
        match receiver {
            Some(receiver) if reply => label(&flows, receiver, Some(sender)),
            receiver => label(&flows, sender, receiver),
        }
    }

    fn destination(&self, name: &str, literal: Option<IpAddr>, ipv4: bool) -> Option<(IpAddr, String)> {
        let network = self.case.network(self.source());
        let gateway = pipeline::GATEWAY_MAC.to_string();
        if name == "gateway" {
            let gateways = network.subnets.iter().filter_map(|s| s.gateway);
            return gateways.into_iter().find(|g| g.is_ipv4() == ipv4).map(|g| (g, gateway));
        }
        if let Some(address) = literal {
            let mac = group_mac(address)
                .or_else(|| {
                    network
                        .subnets
                        .iter()
                        .any(|s| s.cidr.last() == address)
                        .then(|| "ff:ff:ff:ff:ff:ff".into())
                })
                .or_else(|| self.owner(name).map(|m| m.to_string()));
            return (address.is_ipv4() == ipv4).then_some((address, mac.unwrap_or(gateway)));
        }
        let endpoint = self.case.endpoint(name);
        let address = endpoint.addresses.iter().copied().find(|a| a.is_ipv4() == ipv4)?;
        // From the tunnel, routing was done at the other end.
        let neighbour = endpoint.vni == network.vni || self.tunnel.is_some();
        Some((address, if neighbour { endpoint.mac.to_string() } else { gateway }))
    }
}

fn group_mac(address: IpAddr) -> Option<String> {
    match address {
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("ff:ff:ff:ff:ff:ff".into()),
        IpAddr::V4(a) if a.is_multicast() => {
            let [_, b, c, d] = a.octets();
            Some(MacAddr::new([1, 0, 0x5e, b & 0x7f, c, d]).to_string())
        }
        IpAddr::V6(a) if a.is_multicast() => {
            let o: [u8; 16] = Ipv6Addr::octets(&a);
            Some(MacAddr::new([0x33, 0x33, o[12], o[13], o[14], o[15]]).to_string())
        }
        _ => None,
    }
}

/// What a packet of an IP protocol is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Reply,
    Error,
}

fn l3(src: IpAddr, dst: IpAddr, service: &str, tcp_flags: u16, kind_of: Kind) -> String {
    let (kind, number) = service.split_once('/').unwrap_or((service, ""));
    let v4 = src.is_ipv4();
    let addresses =
        if v4 { format!("nw_src={src},nw_dst={dst}") } else { format!("ipv6_src={src},ipv6_dst={dst}") };
    let six = if v4 { "" } else { "6" };
    let icmp_type = match (v4, kind_of) {
        (true, Kind::Plain) => "8",
        (true, Kind::Reply) => "0",
        (true, Kind::Error) => "3",
        (false, Kind::Plain) => "128",
        (false, Kind::Reply) => "129",
        (false, Kind::Error) => "1",
    };
    let (source, number_of) = if kind_of == Kind::Reply { (number, "40000") } else { ("40000", number) };
    let icmp_type = if number.is_empty() { icmp_type } else { number };
    let l4 = match kind {
        "tcp" => format!("tcp{six},tcp_src={source},tcp_dst={number_of},tcp_flags={tcp_flags:#x}"),
        "udp" => format!("udp{six},udp_src={source},udp_dst={number_of}"),
        "sctp" => format!("sctp{six},sctp_src={source},sctp_dst={number_of}"),
        "icmp" if v4 => format!("icmp,icmp_type={icmp_type},icmp_code=0"),
        "icmp" => format!("icmp6,icmpv6_type={icmp_type},icmpv6_code=0"),
        "proto" if v4 => format!("ip,nw_proto={number}"),
        "proto" => format!("ipv6,nw_proto={number}"),
        other => panic!("unknown service {other}"),
    };
    format!("{l4},{addresses},nw_ttl=64")
}
