//! The rendered flows of two nodes against policy in plain words: random clusters, random packets, both families.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::net::IpAddr;

use node_state::Endpoint;
use openflow::Field;
use proptest::prelude::*;
use support::cluster::{Cluster, ESTABLISHED, NEW, REPLY, answer, packet, pick, shot, through_tunnel};
use support::evaluator::Packet;
use support::world::{VTEPS, World, world};
use types::{Direction, Family, Verdict};

proptest! {
    #![proptest_config(support::config(100))]

    /// Delivered to the addressed endpoint and to nobody else, exactly when both ends' policies allow it; the label
    /// names the deciding rules; nothing ever reaches another VRF.
    #[test]
    fn flows_do_what_policy_says(world in world(), shots in prop::collection::vec(shot(), 60)) {
        let _defects = support::sabotage();
        let cluster = Cluster::new(&world);
        let endpoints: Vec<_> = world.state.endpoints().collect();
        for shot in shots {
            let (src, dst) = (*pick(&endpoints, shot.src), *pick(&endpoints, shot.dst));
            let family = usize::from(shot.v6);
            let (from, to) = (src.addresses[family], dst.addresses[family]);
            // The address in the sender's own VRF: the same endpoint, its twin, or nobody.
            let target = endpoints.iter().copied().find(|e| e.vrf == src.vrf && e.addresses.contains(&to));
            let neighbour = dst.vni == src.vni;
            let honest_mac = if neighbour { dst.mac } else { pipeline::GATEWAY_MAC };
            let mac = if shot.honest { honest_mac } else { pick(&endpoints, shot.mac).mac };
            let (ports, committed) =
                cluster.send(world.node_of(src), packet(src, from, mac, to, &shot.opening));

            let reachable = target.filter(|t| t.uid != src.uid).filter(|t| {
                let family = Family::of(to);
                (mac == t.mac && t.vni == src.vni)
                    || (mac == pipeline::GATEWAY_MAC && world.routed(src, family) && world.routed(t, family))
            });
            let verdicts = target.map(|t| {
                let egress = world.judge(src, Direction::Egress, to, &shot.opening);
                let ingress = world.judge(t, Direction::Ingress, from, &shot.opening);
                (egress, ingress)
            });
            let allowed = |v: &((Verdict, u32), (Verdict, u32))| v.0.0 == Verdict::Allow && v.1.0 == Verdict::Allow;
            match (reachable, verdicts.filter(allowed)) {
                (Some(t), Some((egress, ingress))) => {
                    prop_assert_eq!(&ports, &vec![t.uid.get() as u32], "{:?} {:?}", shot, verdicts);
                    let (here, there) = (world.node_of(src), world.node_of(t));
                    prop_assert_eq!(committed[here].map(|c| c.0), Some(egress.1), "egress rule");
                    prop_assert_eq!(committed[there].map(|c| c.1), Some(ingress.1), "ingress rule");
                }
                _ => prop_assert!(ports.is_empty(), "{:?} {:?} {:?} went to {:?}", shot, reachable, verdicts, ports),
            }
        }
    }

    /// A sender's other lies: addresses that are not its own, unknown sources from the tunnel, unknown tunnel sources.
    #[test]
    fn nothing_false_gets_in(world in world(), shots in prop::collection::vec(shot(), 20)) {
        let _defects = support::sabotage();
        let cluster = Cluster::new(&world);
        let endpoints: Vec<_> = world.state.endpoints().collect();
        for shot in shots {
            let (src, dst) = (*pick(&endpoints, shot.src), *pick(&endpoints, shot.dst));
            let family = usize::from(shot.v6);
            let (to, stranger): (_, IpAddr) =
                (dst.addresses[family], if shot.v6 { "fd00:1::99" } else { "10.1.1.99" }.parse().unwrap());
            let other = pick(&endpoints, shot.mac).addresses[family];
            let node = world.node_of(src);
            for false_source in [stranger, other] {
                if !src.addresses.contains(&false_source) {
                    let (ports, _) = cluster.send(node, packet(src, false_source, dst.mac, to, &shot.opening));
                    prop_assert!(ports.is_empty(), "{} from {:?}", false_source, src);
                }
            }
            let honest = packet(src, src.addresses[family], dst.mac, to, &shot.opening);
            let (ports, _) = cluster.send(node, honest.clone().with(Field::EthSrc, 0x0a58_ffff_ffffu64));
            prop_assert!(ports.is_empty(), "a foreign MAC");
            let (ports, _) = cluster.send(node, honest.clone().with(Field::VlanVid, 0x1007u16));
            prop_assert!(ports.is_empty(), "a VLAN tag");

            let tunnelled = |from: IpAddr| through_tunnel(&packet(src, from, dst.mac, to, &shot.opening).with(Field::TunId, dst.vni.get()), 1);
            let arrives = |p: Packet| cluster.at(0, p).sent;
            prop_assert!(arrives(tunnelled(stranger)).is_empty(), "an unknown source from the tunnel");
            let stray = tunnelled(src.addresses[family]).with(Field::TunSrc, "192.0.2.9".parse::<IpAddr>().unwrap());
            prop_assert!(arrives(stray).is_empty(), "an unknown tunnel source");
            let ourselves = tunnelled(src.addresses[family]).with(Field::TunSrc, VTEPS[0].parse::<IpAddr>().unwrap());
            prop_assert!(arrives(ourselves).is_empty(), "ourselves as tunnel source");
            if node == 0 && src.vrf == dst.vrf {
                let stolen = arrives(tunnelled(src.addresses[family]));
                prop_assert!(stolen.is_empty(), "another node speaks for an endpoint of ours");
            }
        }
    }
}

/// A fragment that was refused or has not arrived must not open what was closed.
fn lost(world: &World, at: prop::sample::Index) -> World {
    let keys: Vec<_> = world.state.fragments().map(|(key, _)| key.clone()).collect();
    let mut state = world.state.clone();
    state.remove(pick(&keys, at));
    World { state }
}

proptest! {
    #![proptest_config(support::config(100))]

    #[test]
    fn losing_a_fragment_never_opens(
        world in world(),
        gone in any::<prop::sample::Index>(),
        shots in prop::collection::vec(shot(), 40),
    ) {
        let _defects = support::sabotage();
        let whole = Cluster::new(&world);
        let poorer = Cluster::new(&lost(&world, gone));
        let endpoints: Vec<_> = world.state.endpoints().collect();
        for shot in shots {
            let (src, dst) = (*pick(&endpoints, shot.src), *pick(&endpoints, shot.dst));
            let family = usize::from(shot.v6);
            let mac = if dst.vni == src.vni { dst.mac } else { pipeline::GATEWAY_MAC };
            let packet = packet(src, src.addresses[family], mac, dst.addresses[family], &shot.opening);
            let (before, _) = whole.send(world.node_of(src), packet.clone());
            let (after, _) = poorer.send(world.node_of(src), packet);
            prop_assert!(after.is_empty() || after == before, "{:?} opened to {:?}", shot, after);
        }
    }
}

/// The fragments of `first`, with those of the endpoints as they are, and all else as in `second`: other policies, other
/// groups, other defaults.
fn ruled_otherwise(first: &World, second: &World) -> World {
    let is_endpoint = |f: &&node_state::Fragment| matches!(f, node_state::Fragment::Endpoint(_));
    let fragments = |w: &World, endpoints: bool| -> Vec<_> {
        let all = w.state.fragments().map(|(_, f)| f);
        all.filter(|f| is_endpoint(f) == endpoints).cloned().collect()
    };
    let state = fragments(first, true).into_iter().chain(fragments(second, false)).collect();
    World { state }
}

/// Endpoints in other groups than before, each with its moves told.
fn moved(world: &World, groups: &[u64]) -> World {
    let mut state = world.state.clone();
    for (endpoint, group) in world.state.endpoints().zip(groups) {
        let vrf = u64::from(endpoint.vrf.get());
        let group = (*group > 0).then(|| types::GroupId::new(vrf * 10 + group).unwrap());
        let moves = endpoint.moves.clone().moved(endpoint.group, group).unwrap();
        state.insert(node_state::Fragment::Endpoint(Endpoint { group, moves, ..endpoint.clone() }));
    }
    World { state }
}

proptest! {
    #![proptest_config(support::config(100))]

    /// After anything changed, packets of connections there were, either way, fare as a new one does: exactly what is
    /// forbidden now is cut. What goes on is judged once, and by no more than it has to be. While nothing changes, no
    /// packet is judged.
    #[test]
    fn established_connections_fare_as_new_ones_do(
        before in world(),
        other in world(),
        regroup in prop::option::of(prop::collection::vec(0u64..=3, 12)),
        shots in prop::collection::vec(shot(), 60),
    ) {
        let _defects = support::sabotage();
        let after = match &regroup {
            Some(groups) => moved(&before, groups),
            None => ruled_otherwise(&before, &other),
        };
        let (was, is) = (Cluster::new(&before), Cluster::new(&after));
        let endpoints: Vec<_> = before.state.endpoints().collect();
        for shot in shots {
            let (src, dst) = (*pick(&endpoints, shot.src), *pick(&endpoints, shot.dst));
            if src.vrf != dst.vrf || src.uid == dst.uid {
                continue;
            }
            let family = usize::from(shot.v6);
            let mac = if dst.vni == src.vni { dst.mac } else { pipeline::GATEWAY_MAC };
            let opening = packet(src, src.addresses[family], mac, dst.addresses[family], &shot.opening)
                .with(Field::TcpSrc, 40000u16).with(Field::UdpSrc, 40000u16).with(Field::SctpSrc, 40000u16);
            let (here, there) = (before.node_of(src), before.node_of(dst));
            let (ports, committed) = was.pass(here, opening.clone(), NEW, [0; 2]);
            if ports.is_empty() {
                continue;
            }
            let labels = committed.map(Option::unwrap_or_default);
            let more = opening.clone().with(Field::TcpFlags, 0x10u8);
            let reply = answer(&opening, src, dst, mac);
            prop_assert_eq!(was.pass(here, more.clone(), ESTABLISHED, labels), (ports.clone(), [None; 2]), "judged again");
            let (back, judged) = was.pass(there, reply.clone(), REPLY, labels);
            prop_assert_eq!(judged, [None; 2], "a reply judged again");

            let (now, anew) = is.pass(here, opening.clone(), NEW, [0; 2]);
            let (still, relabelled) = is.pass(here, more, ESTABLISHED, labels);
            prop_assert_eq!(&still, &now, "{:?} of an established connection", &shot);
            let (still_back, relabelled_back) = is.pass(there, reply, REPLY, labels);
            // What opens a connection may have a way that its answers have not (a network without gateway).
            let wanted = if now.is_empty() { Vec::new() } else { is.pass(there, answer(&opening, src, dst, mac), REPLY, anew.map(Option::unwrap_or_default)).0 };
            prop_assert_eq!(&still_back, &wanted, "{:?}, a reply; before {:?}", &shot, &back);
            for (relabelled, passed) in [(relabelled, &still), (relabelled_back, &still_back)] {
                for (node, label) in relabelled.into_iter().enumerate().filter(|_| !passed.is_empty()) {
                    let anew = anew[node].unwrap_or_default();
                    let generations = |label: u128| label >> 64;
                    prop_assert_eq!(generations(label.unwrap_or(labels[node])), generations(anew), "generations at {}", node);
                }
            }
        }
    }
}
