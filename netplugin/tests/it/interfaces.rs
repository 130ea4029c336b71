//! What netlink makes, seen through other programs' eyes.

use futures_util::future::join_all;
use netplugin::netlink::{InterfaceSpec, Interfaces, Veths, has_host_drops, host_name, remove_host_drops};
use types::EndpointUid;

use crate::namespace::Namespace;

fn spec(endpoint: &Namespace, uid: u64) -> InterfaceSpec {
    crate::failpoints();
    InterfaceSpec {
        uid: EndpointUid::new(uid).unwrap(),
        netns: endpoint.path(),
        ifname: "eth0".into(),
        mac: "0a:58:0a:01:01:05".parse().unwrap(),
        mtu: 1450,
        addresses: vec!["10.1.1.5/24".parse().unwrap(), "fd00:1::5/64".parse().unwrap()],
        gateways: vec!["10.1.1.1".parse().unwrap(), "fd00:1::1".parse().unwrap()],
    }
}

#[test]
fn an_interface_is_complete_and_silent_until_it_is_set_up() {
    let (node, endpoint) = (Namespace::new(), Namespace::new());
    let s = spec(&endpoint, 0xa1);
    let wanted = s.clone();
    let host = node.block_on(async move || Veths::new(true).unwrap().create(&wanted).await.unwrap());
    assert_eq!(host, host_name(s.uid));
    let host_end = node.run(&format!("ip -o link show {host}"));
    assert!(host_end.contains("state DOWN") && !host_end.contains(",UP"), "{host_end}");
    assert_eq!(node.run(&format!("cat /proc/sys/net/ipv6/conf/{host}/disable_ipv6")).trim(), "1");
    let drop = node.run("nft list table netdev selvage");
    assert!(drop.contains(&format!("device \"{host}\"")) && drop.contains("policy drop"), "{drop}");
    let link = endpoint.run("ip -o link show eth0");
    assert!(link.contains("mtu 1450") && link.contains("0a:58:0a:01:01:05"), "{link}");
    assert!(endpoint.run("ip -4 -o addr show eth0").contains("10.1.1.5/24"));
    assert!(endpoint.run("ip -6 -o addr show eth0").contains("fd00:1::5/64"));
    assert!(endpoint.run("ip route").contains("default via 10.1.1.1 dev eth0"));
    assert!(endpoint.run("ip -6 route").contains("default via fd00:1::1 dev eth0"));
    assert!(endpoint.run("ethtool -k eth0").contains("tx-checksumming: off"));
    assert!(endpoint.run("ip link show lo").contains("UP"));
}

#[test]
fn set_up_returns_when_duplicate_address_detection_is_over() {
    let (node, endpoint) = (Namespace::new(), Namespace::new());
    let s = spec(&endpoint, 0xa2);
    let wanted = s.clone();
    node.block_on(async move || {
        let veths = Veths::new(true).unwrap();
        veths.create(&wanted).await.unwrap();
        assert!(veths.check(&wanted).await.unwrap_err().to_string().contains("is down"));
        veths.set_up(&wanted).await.unwrap();
        veths.check(&wanted).await.unwrap();
        assert!(!veths.offload_on(&wanted).await.unwrap());
    });
    let addresses = endpoint.run("ip -6 -o addr show eth0 scope global");
    assert!(!addresses.contains("tentative"), "{addresses}");
    endpoint.run("ethtool -K eth0 tx on");
    endpoint.run("ip addr del 10.1.1.5/24 dev eth0");
    node.block_on(async move || {
        let veths = Veths::new(true).unwrap();
        assert!(veths.offload_on(&s).await.unwrap());
        assert!(veths.check(&s).await.unwrap_err().to_string().contains("has no 10.1.1.5/24"));
    });
}

#[test]
fn delete_takes_everything_away_and_may_be_repeated() {
    let (node, endpoint) = (Namespace::new(), Namespace::new());
    let s = spec(&endpoint, 0xa3);
    node.block_on(async move || {
        let veths = Veths::new(true).unwrap();
        veths.create(&s).await.unwrap();
        veths.delete(s.uid).await.unwrap();
        veths.delete(s.uid).await.unwrap();
    });
    assert!(!endpoint.try_run("ip link show eth0"));
    assert!(!node.run("nft list ruleset").contains("sv0000000000a3"));
}

#[test]
fn interfaces_deleted_at_once_take_nobody_elses_along() {
    let (node, endpoint) = (Namespace::new(), Namespace::new());
    node.run("ip link add theirs0 type veth peer name theirs1");
    node.run("ip link set theirs1 group 7");
    let specs = (0xb0..0xb8).map(|uid| InterfaceSpec {
        ifname: format!("p{uid}"),
        addresses: Vec::new(),
        gateways: Vec::new(),
        ..spec(&endpoint, uid)
    });
    let specs: Vec<_> = specs.collect();
    node.block_on(async move || {
        let veths = Veths::new(true).unwrap();
        for s in &specs {
            veths.create(s).await.unwrap();
        }
        let (kept, leaving) = specs.split_last().unwrap();
        // One that never was, too: it may not keep the others from going.
        let uids = leaving.iter().map(|s| s.uid).chain([EndpointUid::new(0xbf).unwrap()]);
        for deleted in join_all(uids.map(|uid| veths.delete(uid))).await {
            deleted.unwrap();
        }
        assert_eq!(veths.list().await.unwrap(), [kept.uid].into());
    });
    let links = node.run("ip -br link");
    assert!(links.contains("theirs0") && links.contains("theirs1") && links.contains("lo"), "{links}");
    assert_eq!(endpoint.run("ip -br link").matches("p18").count(), 1, "their other ends went with them");
    assert_eq!(node.run("nft list ruleset").matches("chain sv").count(), 1);
}

#[test]
fn a_deletion_nobody_waits_for_any_more_spares_what_is_made_under_its_name() {
    let (node, endpoint) = (Namespace::new(), Namespace::new());
    let [mut one, mut two] = [0xc1, 0xc2].map(|uid| spec(&endpoint, uid));
    (one.ifname, two.ifname) = ("p1".into(), "p2".into());
    for s in [&mut one, &mut two] {
        (s.addresses, s.gateways) = (Vec::new(), Vec::new());
    }
    node.block_on(async move || {
        let veths = Veths::new(true).unwrap();
        veths.create(&one).await.unwrap();
        veths.create(&two).await.unwrap();
        {
            // Polled once: it is on the list of those that leave. Then its caller gives up.
            let mut deletion = std::pin::pin!(veths.delete(one.uid));
            assert!(futures_util::poll!(&mut deletion).is_pending());
        }
        veths.create(&one).await.unwrap();
        let others = [two.uid, EndpointUid::new(0xc3).unwrap()];
        for deleted in join_all(others.map(|uid| veths.delete(uid))).await {
            deleted.unwrap();
        }
        assert_eq!(veths.list().await.unwrap(), [one.uid].into());
    });
}

#[test]
fn chains_of_others_and_of_an_earlier_life_are_told_apart_from_ours() {
    let (node, endpoint) = (Namespace::new(), Namespace::new());
    let s = spec(&endpoint, 0xa5);
    node.run("ip link add sv00000000dead type veth peer name other");
    for device in ["sv00000000dead", "other"] {
        let hook = format!("type filter hook ingress device {device} priority 0; policy accept;");
        node.run("nft add table netdev theirs");
        node.run(&format!("nft add chain netdev theirs {device} {{ {hook} }}"));
    }
    // What an agent that died left behind, for another device.
    node.run("nft add table netdev selvage");
    node.run("nft add chain netdev selvage sv0000000000a5");
    node.block_on(async move || {
        let veths = Veths::new(true).unwrap();
        veths.create(&s).await.unwrap();
        assert_eq!(veths.protect(&[s.uid].into()).await.unwrap(), [].into(), "it has its chain");
        veths.delete(s.uid).await.unwrap();
        // A refused change does not spoil the next one.
        assert!(
            veths.create(&InterfaceSpec { netns: "/run/netns/nowhere".into(), ..s.clone() }).await.is_err()
        );
        veths.create(&s).await.unwrap();
    });
    let ruleset = node.run("nft list ruleset");
    assert!(ruleset.contains("device \"sv0000000000a5\" priority -500; policy drop"), "{ruleset}");
    assert_eq!(ruleset.matches("policy accept").count(), 2, "{ruleset}");
    node.run("nft delete chain netdev selvage sv0000000000a5");
    let s = spec(&endpoint, 0xa5);
    node.block_on(async move || {
        let veths = Veths::new(true).unwrap();
        assert_eq!(veths.protect(&[s.uid].into()).await.unwrap(), [s.uid].into(), "put back");
        assert!(has_host_drops().await.unwrap());
        remove_host_drops().await.unwrap();
        remove_host_drops().await.unwrap();
        assert!(!has_host_drops().await.unwrap());
    });
    assert!(!node.run("nft list ruleset").contains("selvage"));
}

#[test]
fn a_second_attempt_replaces_what_the_first_left() {
    let (node, endpoint) = (Namespace::new(), Namespace::new());
    let s = spec(&endpoint, 0xa4);
    node.block_on(async move || {
        let veths = Veths::new(true).unwrap();
        veths.create(&s).await.unwrap();
        veths.create(&s).await.unwrap();
    });
    assert!(endpoint.try_run("ip link show eth0"));
}

#[test]
fn a_taken_interface_name_and_a_missing_namespace_are_refused_by_name() {
    let (node, endpoint) = (Namespace::new(), Namespace::new());
    endpoint.run("ip link add eth0 type veth peer name other");
    let taken = spec(&endpoint, 0xa5);
    let mut missing = spec(&endpoint, 0xa6);
    missing.netns = "/run/netns/no-such-namespace".into();
    let (taken, missing) = node.block_on(async move || {
        let veths = Veths::new(false).unwrap();
        (veths.create(&taken).await.unwrap_err(), veths.create(&missing).await.unwrap_err())
    });
    assert!(taken.to_string().contains("eth0"), "{taken}");
    assert!(!taken.is_missing_namespace());
    assert!(missing.is_missing_namespace(), "{missing}");
    assert!(!node.try_run("ip link show sv0000000000a5"));
}

#[test]
fn a_file_on_which_no_namespace_is_mounted_is_refused_in_words() {
    let (node, endpoint) = (Namespace::new(), Namespace::new());
    let file = tempfile::NamedTempFile::new().unwrap();
    let s = InterfaceSpec { netns: file.path().to_owned(), ..spec(&endpoint, 0xa8) };
    let refused = node.block_on(async move || Veths::new(true).unwrap().create(&s).await.unwrap_err());
    let path = file.path().display().to_string();
    assert!(refused.to_string().starts_with(&format!("{path}: is no network namespace")), "{refused}");
    assert!(!node.try_run("ip link show sv0000000000a8"));
}

#[test]
fn the_uplink_mtu_is_that_of_the_interface_with_the_tunnel_address() {
    let node = Namespace::new();
    node.run("ip link add up0 mtu 1432 type veth peer name down0");
    node.run("ip addr add 192.0.2.7/24 dev up0");
    node.block_on(async || {
        let veths = Veths::new(true).unwrap();
        assert_eq!(veths.mtu_of_address("192.0.2.7".parse().unwrap()).await.unwrap(), 1432);
        assert!(veths.mtu_of_address("192.0.2.8".parse().unwrap()).await.is_err());
    });
}

#[test]
fn a_removed_drop_chain_is_put_back() {
    let (node, endpoint) = (Namespace::new(), Namespace::new());
    let s = spec(&endpoint, 0xa7);
    let wanted = s.clone();
    node.block_on(async move || drop(Veths::new(true).unwrap().create(&wanted).await.unwrap()));
    node.run("nft flush ruleset");
    let repaired = node.block_on(async move || {
        let veths = Veths::new(true).unwrap();
        // Another one that is plugged, but whose link is gone.
        let uids = [s.uid, EndpointUid::new(0xa8).unwrap()].into();
        (veths.protect(&uids).await.unwrap(), veths.protect(&uids).await.unwrap())
    });
    assert_eq!((repaired.0.len(), repaired.1.len()), (1, 0));
    assert!(node.run("nft list table netdev selvage").contains("device \"sv0000000000a7\""));
}
