//! Packets out of the tunnel: only from nodes of the network, only from known endpoints, only in networks that are here.
//!
//! A rogue host on the underlay forges VXLAN packets to node 1, with any outer source it likes. That an outer source
//! cannot be trusted on an open underlay is another matter (encryption); here the switch must judge by it.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use crate::capture::Way;
use crate::frame::odd::{self, Arp, protocol};
use crate::frame::{BROADCAST, End, Mac, vxlan};
use crate::lab::{Lab, Wanted, fabric, run};
use crate::suite::{Context, claim_none};
use crate::suites::intruder::{
    Batch, GATEWAY_MAC, Mark, PORT, Seen, Station, Watch, at, node_address, send, udp, underlay_mac,
};

const ROGUE_MAC: Mac = [0x02, 0xba, 0xd0, 0, 0, 0x66];
const VXLAN_PORT: u16 = 4789;
const ALL_NODES: End = End {
    mac: [0x33, 0x33, 0, 0, 0, 1],
    ip: IpAddr::V6(std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)),
};
const RED: &str = "
kind: tenant
name: red
---
kind: network
tenant: red
name: front
ipv4: { subnet: 10.1.1.0/24, gateway: 10.1.1.1 }
ipv6: { subnet: \"fd00:1:1::/64\", gateway: \"fd00:1:1::1\" }
";

/// A network as it lies on node 1.
struct Network {
    name: String,
    vni: u32,
    /// Its endpoint on node 1.
    here: Station,
}

struct Cast {
    rogue: String,
    node: End,
    /// Tunnel address of node 2.
    peer: Ipv4Addr,
    /// node 2's address on the management network: a node's, but not its tunnel's.
    peer_management: Ipv4Addr,
    /// Two networks of blue and one of green.
    networks: Vec<Network>,
    /// Only on node 1.
    red: Network,
    /// Of blue, on node 2.
    known: Station,
    /// Of green, on node 2, with addresses that blue does not have.
    foreign: Station,
}

pub(super) fn run(context: &mut Context) -> Result<()> {
    let lab = &mut context.lab;
    attach_red(lab)?;
    lab.wait_until_realized()?;
    let cast = Cast::new(lab)?;
    let foreign_tunnels = foreign_tunnels(&cast, 0);
    let networks = unknown_networks(&cast, foreign_tunnels.end());
    let sources = unknown_sources(&cast, networks.end());
    let errors = errors(&cast, sources.end());
    let stolen = stolen_sources(&cast, errors.end());
    let discovery = discovery(&cast, stolen.end());
    let judged = [
        ("foreign-tunnel-sources-arrive-nowhere", foreign_tunnels),
        ("networks-that-are-not-here-arrive-nowhere", networks),
        ("unknown-sources-arrive-nowhere", sources),
        ("errors-from-unknown-sources-arrive-nowhere", errors),
        ("nodes-speak-for-their-own-endpoints-only", stolen),
        ("discovery-crosses-no-tunnel", discovery),
    ];
    let mut next = judged.iter().map(|(_, b)| b.end()).max().unwrap_or_default();
    let watch = Watch::everywhere(lab)?.and_underlay_port(lab, "node-2", Way::Both)?;
    let mut companions = Vec::new();
    open_connections(lab, &cast)?;
    for (_, batch) in &judged {
        let (frames, honest) = batch.between_honest(next, |m| cast.companion(m));
        next = honest.end();
        send(lab, &cast.rogue, &frames)?;
        companions.push(honest);
    }
    let (honest, places) = well_formed(&cast, next);
    send(lab, &cast.rogue, &honest.frames())?;
    let seen = watch.stop()?;
    for (claim, batch) in &judged {
        eprintln!("      {claim}: {} packets", batch.len());
        claim_none(claim, &batch.arrivals(&seen))?;
    }
    let missing: Vec<_> =
        (0..honest.len()).filter_map(|n| honest.missing_one(&seen, &places[n], n)).collect();
    claim_none("well-formed-tunnel-packets-arrive", &missing)?;
    claim_none("honest-packets-between-the-others-arrive", &gaps(&companions, &seen))
}

fn gaps(companions: &[Batch], seen: &Seen) -> Vec<String> {
    companions.iter().flat_map(|c| c.gaps(seen, "blue/web-1")).collect()
}

/// A third tenant, on node 1 only.
fn attach_red(lab: &mut Lab) -> Result<()> {
    let file = lab.dir().join("red.yaml");
    run::write(&file, RED)?;
    lab.netctl(&["apply", "-f", &file.display().to_string()])?;
    lab.attach(&[Wanted {
        tenant: "red".into(),
        name: "web-1".into(),
        network: "front".into(),
        group: None,
        node: 1,
        addresses: vec!["10.1.1.31".parse()?, "fd00:1:1::31".parse()?],
    }])
}

impl Cast {
    fn new(lab: &Lab) -> Result<Self> {
        let rogue = lab.mark().netns("rogue");
        run::output(&mut run::words(&format!("ip netns add {rogue}")))?;
        let mac = ROGUE_MAC.map(|o| format!("{o:02x}")).join(":");
        fabric::plug(lab.mark(), fabric::FABRIC, &rogue, "eth0", "rogue", Some(&mac))?;
        run::output(&mut run::words_in(&rogue, "ip link set eth0 up"))?;
        let network = |tenant: &str, name: &str, here: &str| {
            let status = lab.inspect::<api::v1::Network>("network", tenant, name)?.status;
            let here = Station::of(lab, &format!("{tenant}/{here}"))?;
            Ok::<_, anyhow::Error>(Network { name: format!("{tenant}/{name}"), vni: status.vni.get(), here })
        };
        Ok(Self {
            rogue,
            node: at(underlay_mac(lab, 0)?, lab.nodes[0].vtep().into()),
            peer: lab.nodes[1].vtep(),
            peer_management: node_address(lab, 1, "mgmt0")?,
            networks: vec![
                network("blue", "front", "web-1")?,
                network("blue", "back", "db-1")?,
                network("green", "front", "web-1")?,
            ],
            red: network("red", "front", "web-1")?,
            known: Station::of(lab, "blue/web-2")?,
            foreign: Station::of(lab, "green/db-2")?,
        })
    }

    /// A frame in a VXLAN packet to node 1.
    fn tunnel(&self, source: Ipv4Addr, vni: u32, inner: &[u8]) -> Vec<u8> {
        crate::frame::udp(at(ROGUE_MAC, source.into()), self.node, VXLAN_PORT, &vxlan(vni, inner))
    }

    /// What node 2 would send for its endpoint to `blue/web-1`.
    fn companion(&self, mark: &Mark) -> Vec<u8> {
        let front = &self.networks[0];
        self.tunnel(self.peer, front.vni, &udp(self.known.four(), front.here.four(), mark))
    }
}

/// To an endpoint and to groups, in both families; all from a right or wrong MAC and addresses.
fn to_everyone(mac: Mac, v4: IpAddr, v6: IpAddr, here: &Station) -> Vec<(&'static str, End, End)> {
    let multicast6 = at([0x33, 0x33, 0, 0, 0, 0x77], IpAddr::from([0xff12, 0, 0, 0, 0, 0, 0, 0x77]));
    vec![
        ("IPv4", at(mac, v4), here.four()),
        ("IPv6", at(mac, v6), here.six()),
        ("IPv4 multicast", at(mac, v4), at([1, 0, 0x5e, 0x7f, 0, 1], IpAddr::from([239, 255, 0, 1]))),
        ("IPv4 broadcast", at(mac, v4), at(BROADCAST, Ipv4Addr::BROADCAST.into())),
        ("the subnet's broadcast", at(mac, v4), at(BROADCAST, IpAddr::from([10, 1, 1, 255]))),
        ("IPv6 multicast", at(mac, v6), multicast6),
    ]
}

/// Right in every way, but for the outer source.
fn foreign_tunnels(cast: &Cast, first: usize) -> Batch {
    let mut batch = Batch::starting_at(first);
    let node = if let IpAddr::V4(a) = cast.node.ip { a } else { Ipv4Addr::UNSPECIFIED };
    let sources = [
        ("the rogue host", Ipv4Addr::new(192, 0, 2, 66)),
        ("node 1 itself", node),
        ("node 2's management address", cast.peer_management),
        ("an endpoint's address", cast.known.v4),
        ("nobody", Ipv4Addr::UNSPECIFIED),
        ("loopback", Ipv4Addr::LOCALHOST),
        ("a group", Ipv4Addr::new(224, 0, 0, 1)),
        ("the underlay's broadcast", Ipv4Addr::new(192, 0, 2, 255)),
    ];
    for (who, source) in sources {
        for network in &cast.networks {
            let known = &cast.known;
            for (what, from, to) in to_everyone(known.mac, known.v4.into(), known.v6.into(), &network.here) {
                batch.one(format!("{what} in {} from {who}", network.name), |m| {
                    cast.tunnel(source, network.vni, &udp(from, to, m))
                });
            }
        }
    }
    batch
}

/// From node 2: networks nobody has, one that node 2 is not in, and headers that are none.
fn unknown_networks(cast: &Cast, first: usize) -> Batch {
    let mut batch = Batch::starting_at(first);
    let (known, front) = (&cast.known, &cast.networks[0]);
    let vnis = [("network 0", 0), ("no network", 0x00ab_cdef), ("the last number", 0x00ff_ffff)];
    for (which, vni) in vnis {
        for (what, from, to) in to_everyone(known.mac, known.v4.into(), known.v6.into(), &front.here) {
            batch.one(format!("{what} in {which}"), |m| cast.tunnel(cast.peer, vni, &udp(from, to, m)));
        }
    }
    // Known to red or not: node 2 hosts nothing of red's.
    for (who, station) in [("red's endpoint", &cast.red.here), ("a blue one", known)] {
        for (what, from, to) in to_everyone(station.mac, station.v4.into(), station.v6.into(), &cast.red.here)
        {
            batch.one(format!("{what} in {} as {who}", cast.red.name), |m| {
                cast.tunnel(cast.peer, cast.red.vni, &udp(from, to, m))
            });
        }
    }
    let inner = |m: &Mark| udp(known.four(), front.here.four(), m);
    batch.one("a header without a network (RFC 7348, flag I)", |m| {
        let mut payload = vxlan(front.vni, &inner(m));
        payload[0] = 0;
        crate::frame::udp(at(ROGUE_MAC, cast.peer.into()), cast.node, VXLAN_PORT, &payload)
    });
    for (name, kind) in [("802.1Q", 0x8100), ("802.1ad", 0x88a8)] {
        for control in [0, 5] {
            batch.one(format!("a frame with tag {control} {name}"), |m| {
                cast.tunnel(cast.peer, front.vni, &odd::tag(&inner(m), kind, control))
            });
        }
    }
    batch.one("no IP", |m| {
        let frame = crate::frame::ethernet(known.mac, BROADCAST, crate::frame::ethertype::EXPERIMENT, m);
        cast.tunnel(cast.peer, front.vni, &frame)
    });
    // What node 1 would have to send on.
    for (what, to) in
        [("back to node 2", known.four()), ("to be routed", at(GATEWAY_MAC, cast.networks[1].here.v4.into()))]
    {
        batch.one(what, |m| {
            cast.tunnel(cast.peer, front.vni, &udp(at(known.mac, front.here.v4.into()), to, m))
        });
    }
    batch
}

/// From node 2, in a right network: addresses that no endpoint has, or one of another tenant's.
fn unknown_sources(cast: &Cast, first: usize) -> Batch {
    let mut batch = Batch::starting_at(first);
    let sources: [(&str, IpAddr, IpAddr); 6] = [
        ("nobody in the subnet", [10, 1, 1, 77].into(), [0xfd00, 1, 1, 0, 0, 0, 0, 0x77].into()),
        ("the gateway", [10, 1, 1, 1].into(), [0xfd00, 1, 1, 0, 0, 0, 0, 1].into()),
        ("somebody outside", [198, 51, 100, 7].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into()),
        ("no address", Ipv4Addr::UNSPECIFIED.into(), [0; 8].map(|_: u16| 0).into()),
        ("link-local", [169, 254, 0, 7].into(), cast.known.link_local().into()),
        ("another tenant's endpoint", cast.foreign.v4.into(), cast.foreign.v6.into()),
    ];
    // Blue's networks: green has an endpoint with the foreign address.
    for network in &cast.networks[..2] {
        for (who, v4, v6) in sources {
            for mac in [cast.known.mac, GATEWAY_MAC, ROGUE_MAC] {
                for (what, from, to) in to_everyone(mac, v4, v6, &network.here) {
                    batch.one(format!("{what} in {} as {who} at {mac:02x?}", network.name), |m| {
                        cast.tunnel(cast.peer, network.vni, &udp(from, to, m))
                    });
                }
            }
            for (from, to) in [(v4, network.here.four()), (v6, network.here.six())] {
                let from = at(cast.known.mac, from);
                batch.one(format!("ping in {} as {who}", network.name), |m| {
                    let (number, message) = odd::echo_request(from, to, m);
                    cast.tunnel(cast.peer, network.vni, &odd::packet(from, to, number, &message))
                });
                batch.one(format!("TCP in {} as {who}", network.name), |m| {
                    cast.tunnel(cast.peer, network.vni, &crate::frame::tcp_syn(from, to, 5432, m))
                });
            }
        }
    }
    batch
}

/// The connections that [`errors`] are about: node 1 knows them.
fn open_connections(lab: &Lab, cast: &Cast) -> Result<()> {
    let (here, there) = (&cast.networks[0].here, &cast.known);
    let nothing: Mark = [0; 12];
    send(
        lab,
        &here.netns,
        &[udp(here.four(), there.four(), &nothing), udp(here.six(), there.six(), &nothing)],
    )
}

/// An ICMP error to `blue/web-1` about its connection to `blue/web-2`; the mark stands in what it quotes.
fn error(cast: &Cast, from: End, mark: &Mark) -> Vec<u8> {
    let front = &cast.networks[0];
    let (here, there) = match from.ip {
        IpAddr::V4(_) => (front.here.four(), cast.known.four()),
        IpAddr::V6(_) => (front.here.six(), cast.known.six()),
    };
    let quoted = odd::udp_packet(here, there, odd::SOURCE_PORT, PORT, mark);
    cast.tunnel(cast.peer, front.vni, &odd::unreachable(from, here, &quoted))
}

/// Errors about a connection that is there, from addresses that no endpoint has.
fn errors(cast: &Cast, first: usize) -> Batch {
    let mut batch = Batch::starting_at(first);
    let sources: [(&str, IpAddr); 6] = [
        ("nobody in the subnet", [10, 1, 1, 77].into()),
        ("the gateway", [10, 1, 1, 1].into()),
        ("somebody outside", [198, 51, 100, 7].into()),
        ("nobody in the subnet", [0xfd00, 1, 1, 0, 0, 0, 0, 0x77].into()),
        ("somebody outside", [0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into()),
        ("link-local", cast.known.link_local().into()),
    ];
    for (who, ip) in sources {
        batch.one(format!("an error from {who}, {ip}"), |m| error(cast, at(cast.known.mac, ip), m));
    }
    batch
}

/// From node 2 with the addresses of endpoints that are on node 1.
fn stolen_sources(cast: &Cast, first: usize) -> Batch {
    let mut batch = Batch::starting_at(first);
    let [front, back, _] = &cast.networks[..] else { return batch };
    for (network, victim) in [(front, &back.here), (back, &front.here), (front, &front.here)] {
        for mac in [victim.mac, GATEWAY_MAC, cast.known.mac] {
            for (what, from, to) in to_everyone(mac, victim.v4.into(), victim.v6.into(), &network.here) {
                batch.one(format!("{what} in {} as {} at {mac:02x?}", network.name, victim.id), |m| {
                    cast.tunnel(cast.peer, network.vni, &udp(from, to, m))
                });
            }
        }
    }
    batch
}

/// ARP and neighbour discovery from a right node and a known endpoint: the switch here answers for everyone.
fn discovery(cast: &Cast, first: usize) -> Batch {
    let mut batch = Batch::starting_at(first);
    let (known, front) = (&cast.known, &cast.networks[0]);
    let here = &front.here;
    let mut add = |name: String, make: &dyn Fn(&Mark) -> Vec<u8>| {
        batch.one(name, |m| cast.tunnel(cast.peer, front.vni, &make(m)));
    };
    for (who, ip) in [("itself", known.v4), ("the gateway", Ipv4Addr::new(10, 1, 1, 1))] {
        for (operation, verb) in [(1, "question"), (2, "reply")] {
            let arp = Arp { operation, sender: (known.mac, ip), target: ([0; 6], here.v4) };
            add(format!("ARP {verb} as {who} to all"), &|m| arp.frame(known.mac, BROADCAST, m));
            add(format!("ARP {verb} as {who}"), &|m| arp.frame(known.mac, here.mac, m));
        }
    }
    for (to_whom, to) in [("all", ALL_NODES), ("one", here.six())] {
        for (kind, option, what) in [(135, 1, "solicitation"), (136, 2, "advertisement")] {
            for (who, address) in [("itself", known.v6.octets()), ("one there", here.v6.octets())] {
                add(format!("{what} about {who} to {to_whom}"), &|m| {
                    let parts: [&[u8]; 4] = [
                        &[0xe0, 0, 0, 0],
                        &address,
                        &odd::nd_option(option, &known.mac),
                        &odd::nd_option(14, m),
                    ];
                    let message = odd::icmpv6_message(known.six(), to, kind, 0, &parts);
                    odd::behind(known.six(), to, &[], protocol::ICMPV6, &message)
                });
            }
        }
        add(format!("router advertisement to {to_whom}"), &|m| {
            let from = at(known.mac, known.link_local().into());
            let parts: [&[u8]; 2] = [&[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0], &odd::nd_option(14, m)];
            odd::behind(from, to, &[], protocol::ICMPV6, &odd::icmpv6_message(from, to, 134, 0, &parts))
        });
    }
    batch
}

/// From the right node and a known endpoint: bridged, routed, to groups; and where each must turn up.
fn well_formed(cast: &Cast, first: usize) -> (Batch, Vec<String>) {
    let mut batch = Batch::starting_at(first);
    let mut places = Vec::new();
    let known = &cast.known;
    for (network, mac) in [(&cast.networks[0], known.mac), (&cast.networks[1], GATEWAY_MAC)] {
        let all = to_everyone(mac, known.v4.into(), known.v6.into(), &network.here);
        // Only the network's own members send to its groups.
        let unicast = if mac == GATEWAY_MAC { 2 } else { all.len() };
        for (what, from, to) in all.into_iter().take(unicast) {
            batch.one(format!("{what} in {}", network.name), |m| {
                cast.tunnel(cast.peer, network.vni, &udp(from, to, m))
            });
            places.push(network.here.id.clone());
        }
    }
    for from in [known.four(), known.six()] {
        batch.one(format!("an error from {}", from.ip), |m| error(cast, from, m));
        places.push(cast.networks[0].here.id.clone());
    }
    (batch, places)
}
